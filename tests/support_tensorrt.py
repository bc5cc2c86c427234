"""A double of TensorRT on the processor: the API's names and signatures, ONNX Runtime behind them.

As on a GPU, nothing is computed when it is enqueued, only when the stream is waited for, and inputs
and outputs are raw addresses: memory that was freed meanwhile is found out. `install` puts the
double in the place of the package, and memory of the host in the place of the GPU's.
`test_tensorrt_types.py` holds the signatures against the real ones.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.machinery
import json
import sys
import types
import weakref
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import torch

__version__ = "11.4.0.106"
_MAGIC = b"a plan of the double\n"


class ILogger:
    """See TensorRT."""

    class Severity(IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self) -> None:
        pass

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class NetworkDefinitionCreationFlag(IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(IntEnum):
    TF32 = 4


class INetworkDefinition:
    def __init__(self) -> None:
        self.graph = b""


class IParserError:
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        return self._text


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, list[list[int]]] = {}

    def set_shape(
        self,
        input: str,  # noqa: A002  # the real one has these names
        min: Sequence[int],  # noqa: A002
        opt: Sequence[int],
        max: Sequence[int],  # noqa: A002
    ) -> None:
        self.shapes[input] = [list(min), list(opt), list(max)]


class IBuilderConfig:
    def __init__(self) -> None:
        self.profiles: list[IOptimizationProfile] = []
        self.flags = {BuilderFlag.TF32}

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1


class IHostMemory:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __bytes__(self) -> bytes:
        return self._content


class Builder:
    builds = 0
    """Plans built since `install`."""

    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def create_network(self, flags: int = 0) -> INetworkDefinition | None:
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig | None:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        (profile,) = config.profiles
        assert not config.flags  # fp32 is not to be rounded to TF32
        Builder.builds += 1
        head = json.dumps(profile.shapes).encode()
        return IHostMemory(_MAGIC + head + b"\n" + network.graph)


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network, self._errors = network, []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> IParserError:
        return IParserError(self._errors[index])

    def parse(self, model: bytes, path: str | None = None) -> bool:
        try:
            _session(bytes(model))
        except Exception as error:  # noqa: BLE001  # ONNX Runtime's are of many kinds
            self._errors.append(str(error).splitlines()[0])
            return False
        self._network.graph = bytes(model)
        return True


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        if not serialized_engine.startswith(_MAGIC):
            self._logger.log(ILogger.Severity.ERROR, "deserialize: the magic tag does not match")
            return None
        head, graph = serialized_engine[len(_MAGIC) :].split(b"\n", 1)
        return ICudaEngine(self, json.loads(head), graph)


class ICudaEngine:
    def __init__(self, runtime: Runtime, shapes: dict[str, Any], graph: bytes) -> None:
        self._logger = runtime._logger
        self._runtime = weakref.ref(runtime)  # the real one does not keep it alive either
        self.shapes, self.session = shapes, _session(graph)

    def create_execution_context(self, strategy: int = 0) -> IExecutionContext | None:
        assert self._runtime() is not None, "the runtime was freed"
        return IExecutionContext(self)


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = weakref.ref(engine)
        self._logger = engine._logger
        self._input: tuple[int, ...] = ()
        self._output: tuple[int, ...] = ()
        self._addresses: dict[str, int] = {}

    def _alive(self) -> ICudaEngine:
        engine = self._engine()
        assert engine is not None, "the engine was freed"
        return engine

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        least, _, most = self._alive().shapes[name]
        inside = len(shape) == len(least) and all(
            low <= size <= high for low, size, high in zip(least, shape, most, strict=True)
        )
        if not inside:
            reason = f"{name}: {tuple(shape)} is not in the profile"
            self._logger.log(ILogger.Severity.ERROR, reason)
            return False
        self._input = tuple(shape)
        self._output = self._run(np.zeros(self._input, np.float32)).shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return {"input": self._input, "output": self._output}[name]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert isinstance(memory, int)
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        source, target = self._addresses["input"], self._addresses["output"]
        shape, result = self._input, self._output
        memory = _live[source]

        def work() -> None:
            assert memory() is not None, "the input's memory was freed while the stream ran"
            batch = _floats(source, shape).copy()
            _floats(target, result)[...] = self._run(batch)

        _streams[stream_handle].pending.append(work)
        return True

    def _run(self, batch: np.ndarray) -> np.ndarray:
        session = self._alive().session
        return np.asarray(session.run(["output"], {"input": batch})[0])


def _session(graph: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _floats(address: int, shape: tuple[int, ...]) -> np.ndarray:
    pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
    return np.ctypeslib.as_array(pointer, shape)


class Stream:
    """In the place of `torch.cuda.Stream`."""

    def __init__(self) -> None:
        self.cuda_stream = 1000 + len(_streams)  # 0 would be the default stream
        self.pending: list[Callable[[], None]] = []
        _streams[self.cuda_stream] = self

    def synchronize(self) -> None:
        while self.pending:
            self.pending.pop(0)()


_streams: dict[int, Stream] = {}
_current: list[Stream] = []
_live: dict[int, weakref.ref[torch.Tensor]] = {}


@contextlib.contextmanager
def _stream(stream: Stream) -> Iterator[None]:
    _current.append(stream)
    try:
        yield
    finally:
        _current.pop()


_to_host = torch.Tensor.cpu


def _uploaded(tensor: torch.Tensor) -> torch.Tensor:
    copy = tensor.clone()
    _live[copy.data_ptr()] = weakref.ref(copy)
    return copy


def _downloaded(tensor: torch.Tensor) -> torch.Tensor:
    """As with CUDA, a copy to the host waits for the stream it is made on, and for no other."""
    if _current:
        _current[-1].synchronize()
    return _to_host(tensor)


def install(patch: Any) -> None:
    """Puts the double in place, by pytest's monkeypatch."""
    module = types.ModuleType("tensorrt")
    module.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
    for name, value in vars(sys.modules[__name__]).items():
        if isinstance(value, type) and name != "Stream":
            setattr(module, name, value)
    module.__version__ = __version__
    patch.setitem(sys.modules, "tensorrt", module)
    patch.setattr(Builder, "builds", 0)
    patch.setattr("imgfx.engines.tensorrt_engine.gpus", lambda: 1)
    patch.setattr(torch.cuda, "Stream", Stream)
    patch.setattr(torch.cuda, "stream", _stream)
    patch.setattr(torch.cuda, "get_device_name", lambda: "a double")
    patch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    patch.setattr(torch.cuda, "mem_get_info", lambda: (8 << 30, 16 << 30))
    patch.setattr(torch.Tensor, "cuda", _uploaded)
    patch.setattr(torch.Tensor, "cpu", _downloaded)
