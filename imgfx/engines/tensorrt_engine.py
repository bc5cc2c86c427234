"""TensorRT: networks compiled for NVIDIA GPUs, by `tensorrt` or `tensorrt_rtx`.

One code serves both packages, the former from version 10 on. Networks are strongly typed: fp16
means that the exported graph is in half precision where the network is, and the image itself stays
fp32.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from imgfx.engines.base import Engine, Request, Runner
from imgfx.engines.cache import EngineCache
from imgfx.engines.choice import gpus
from imgfx.engines.compiled import build_ahead, open_compiled
from imgfx.engines.onnx import INPUT, OUTPUT
from imgfx.errors import DeviceError, EngineError
from imgfx.hookspecs import hookimpl
from imgfx.latents import AT_ONCE
from imgfx.model import Model, ModelSpec
from imgfx.weights import Weights

if TYPE_CHECKING:
    import tensorrt as trt
    import torch

Float = npt.NDArray[np.float32]

_T = TypeVar("_T")

PACKAGES = ("tensorrt", "tensorrt_rtx")
_BATCH = 2
_MEMORY = 1 << 30
"""Of a batch's activations in fp16. One profile serves all windows up to that, tuned for the
largest."""
_SIDES = 256, 2048
"""Of the largest window, whatever memory and tile say; the first holds what is compared with
PyTorch."""


class TensorRtEngine:
    """See `Engine`."""

    name = "tensorrt"
    preference: Mapping[str, int] = {"cuda": 90}

    def missing(self) -> str:
        """See `Engine`."""
        return "" if _package() else "pip install 'imgfx[tensorrt]', or imgfx[tensorrt-rtx]"

    def open(self, model: Model, weights: Weights, request: Request) -> Runner:
        """See `Engine`. fp32 and fp16, on CUDA."""
        compiler = self._compiler(request, weights.spec)
        if request.device == "cpu" or not gpus():
            raise DeviceError("--engine tensorrt needs a CUDA device, and there is none here")
        return open_compiled(compiler, model, weights, request)

    def build(self, model: Model, weights: Weights, request: Request) -> str:
        """Compiles ahead of time; with TensorRT-RTX also on machines without a GPU.

        What was compiled so is compared with PyTorch when it is first loaded on a GPU.
        """
        compiler = self._compiler(request, weights.spec)
        if compiler.package == "tensorrt" and not gpus():
            raise DeviceError("tensorrt compiles for the GPU it finds, and there is none here")
        build_ahead(compiler, model, weights, EngineCache(), request.say)
        return f"{self.name} on cuda in {compiler.precision}"

    def _compiler(self, request: Request, spec: ModelSpec) -> TensorRtCompiler:
        package = _package()
        if package is None:
            raise EngineError(f"--engine tensorrt: TensorRT is not installed: {self.missing()}")
        if request.precision not in ("auto", "fp32", "fp16"):
            raise EngineError(f"--engine tensorrt has no {request.precision}; use fp16 or fp32")
        precision = "fp16" if request.precision == "auto" else request.precision
        return TensorRtCompiler(package, precision, spec, request.tile, request.batch)


def _package() -> str | None:
    """The installed TensorRT, the full one first; the name alone may be an empty wheel."""
    return next((name for name in PACKAGES if find_spec(name)), None)


class TensorRtCompiler:
    """See `Compiler`."""

    name = "tensorrt"
    device = "cuda"

    def __init__(
        self,
        package: str,
        precision: str,
        spec: ModelSpec,
        tile: int | None = None,
        batch: int | None = None,
    ) -> None:
        self.package, self.precision = package, precision
        self.half = precision == "fp16"
        self._spec = spec
        try:
            self._trt = importlib.import_module(package)
            self._version = str(self._trt.__version__)
        except (ImportError, OSError, AttributeError) as error:
            raise EngineError(f"{package} cannot be imported: {error}") from error
        self.batch = batch or (AT_ONCE if spec.latent else _BATCH)
        self.largest = 0 if spec.latent else _largest(spec, tile, self.batch)

    def version(self) -> str:
        """See `Compiler`."""
        return f"{self.package} {self._version}"

    def hardware(self) -> str:
        """See `Compiler`. TensorRT-RTX finishes its code when it is loaded, on any GPU."""
        if self.package == "tensorrt_rtx":
            return "any"
        import torch

        major, minor = torch.cuda.get_device_capability()
        return f"{torch.cuda.get_device_name()}, {major}.{minor}"

    def options(self) -> str:
        """See `Compiler`."""
        return f"windows to {self.largest}, batch to {self.batch}"

    def compile(self, graph: bytes) -> bytes:
        """See `Compiler`."""
        if not TYPE_CHECKING:
            trt = self._trt  # either package; their names and signatures are the same
        log = Log.of(self._trt)
        builder = _had(trt.Builder(log.logger), log, "no builder")
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = _had(builder.create_network(flags), log, "no network")
        parser = trt.OnnxParser(network, log.logger)
        if not parser.parse(graph):
            errors = [str(parser.get_error(k).desc()) for k in range(parser.num_errors)]
            raise EngineError(f"TensorRT cannot read the graph: {'; '.join(errors) or log.last()}")
        config = _had(builder.create_builder_config(), log, "no configuration")
        config.clear_flag(trt.BuilderFlag.TF32)  # fp32 is what it says
        profile = builder.create_optimization_profile()
        # Answers nothing in some versions; a shape that does not fit fails in the build.
        profile.set_shape(INPUT, *self._shapes())
        if config.add_optimization_profile(profile) < 0:
            raise EngineError(f"TensorRT refuses the profile: {log.last()}")
        plan = builder.build_serialized_network(network, config)
        return bytes(_had(plan, log, "TensorRT cannot build it"))

    def _shapes(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Least, optimal and largest input."""
        spec = self._spec
        if spec.latent:
            return (1, spec.latent), (self.batch, spec.latent), (self.batch, spec.latent)
        planes, least = spec.channels + len(spec.conditions), spec.multiple_of
        most = (self.batch, planes, self.largest, self.largest)
        return (1, planes, least, least), most, most

    def load(self, blob: bytes) -> _Program:
        """See `Compiler`."""
        if not TYPE_CHECKING:
            trt = self._trt
        log = Log.of(self._trt)
        runtime = _had(trt.Runtime(log.logger), log, "no runtime")
        engine = _had(runtime.deserialize_cuda_engine(blob), log, "TensorRT cannot load it")
        context = _had(engine.create_execution_context(), log, "no context")
        return _Program(runtime, engine, context, log)


def _largest(spec: ModelSpec, tile: int | None, batch: int) -> int:
    """Side of the largest window: that of the tile asked for, or as memory allows."""
    multiple = spec.multiple_of
    if tile:
        margin = -(-spec.margin // multiple) * multiple
        return max(_SIDES[0], -(-tile // multiple) * multiple + 2 * margin)
    side = math.isqrt(_MEMORY // (2 * spec.floats_per_pixel * batch))
    return min(max(side, _SIDES[0]), _SIDES[1]) // multiple * multiple


class _Program:
    """See `Program`. Runs on a stream of its own; called from one thread at a time."""

    def __init__(
        self,
        runtime: trt.Runtime,
        engine: trt.ICudaEngine,
        context: trt.IExecutionContext,
        log: Log,
    ) -> None:
        import torch

        self._context, self._log = context, log
        self._kept = runtime, engine  # the context does not keep them alive
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, batch: Float) -> Float:
        """See `Program`."""
        import torch

        with torch.cuda.stream(self._stream):
            # Both stay in variables until the copy to the host has waited for the stream.
            source = torch.from_numpy(np.ascontiguousarray(batch)).cuda()
            target = self._enqueued(source)
            return np.asarray(target.cpu().numpy())

    def _enqueued(self, source: torch.Tensor) -> torch.Tensor:
        import torch

        context = self._context
        self._check(context.set_input_shape(INPUT, tuple(source.shape)), "the input's shape")
        shape = tuple(context.get_tensor_shape(OUTPUT))
        self._check(min(shape) > 0, "the output's shape")
        target = torch.empty(shape, dtype=torch.float32, device=source.device)
        self._check(context.set_tensor_address(INPUT, source.data_ptr()), "the input")
        self._check(context.set_tensor_address(OUTPUT, target.data_ptr()), "the output")
        self._check(context.execute_async_v3(self._stream.cuda_stream), "to run")
        return target

    def _check(self, answer: bool, what: str) -> None:
        if not answer:
            raise EngineError(f"TensorRT refuses {what}: {self._log.last()}")

    def close(self) -> None:
        """See `Program`. In this order: a context must not outlive its engine."""
        del self._context
        del self._kept


def _had(answer: _T | None, log: Log, what: str) -> _T:
    """TensorRT answers None where other libraries raise; its log says why."""
    if answer is None:
        raise EngineError(f"{what}: {log.last()}")
    return answer


class Log:
    """What TensorRT says of errors, and the logger that it says it to."""

    def __init__(self, logger: trt.ILogger, lines: list[str]) -> None:
        self.logger = logger
        self._lines = lines

    @classmethod
    def of(cls, package: Any) -> Log:
        """A log of the one or the other package."""
        if not TYPE_CHECKING:
            trt = package
        lines: list[str] = []
        errors = (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR)

        class Logger(trt.ILogger):
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
                if severity in errors:
                    lines.append(" ".join(msg.split()))

        return cls(Logger(), lines)

    def last(self) -> str:
        """The newest line."""
        return self._lines[-1] if self._lines else "its log gives no reason"


@hookimpl
def imgfx_engines() -> Sequence[Engine]:
    """The engine for NVIDIA GPUs."""
    return [TensorRtEngine()]
