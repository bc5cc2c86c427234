"""The engine `openvino`: networks compiled for the processor, run without PyTorch."""

from __future__ import annotations

import io
import os
import queue
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imgfx.engines.base import Request, Runner
from imgfx.engines.compiled import open_compiled
from imgfx.errors import EngineError
from imgfx.model import Model
from imgfx.weights import Weights
from imgfx_openvino.library import the_core

if TYPE_CHECKING:
    import openvino

Float = npt.NDArray[np.float32]

_HINTS = {"fp32": "f32", "bf16": "bf16"}
_MOST_AT_ONCE = 16
"""A thread for each is enough to keep that many processors busy; the memory is not that of more."""


class OpenVinoEngine:
    """See `Engine`."""

    name = "openvino"
    preference: Mapping[str, int] = {"cpu": 50}

    @property
    def at_once(self) -> int:
        """See `ManyAtOnce`: a processor each."""
        return min(_MOST_AT_ONCE, _processors())

    def missing(self) -> str:
        """See `Engine`."""
        return "" if find_spec("openvino") else "pip install 'imgfx[openvino]'"

    def open(self, model: Model, weights: Weights, request: Request) -> Runner:
        """See `Engine`. bf16 needs a processor with its instructions."""
        if self.missing():
            raise EngineError(f"--engine openvino: OpenVINO is not installed: {self.missing()}")
        if request.device == "cuda":
            raise EngineError("--engine openvino runs on the CPU; leave out --device cuda")
        compiler = _Compiler(request.precision, request.at_once)
        return open_compiled(compiler, model, weights, request)


class _Compiler:
    """See `Compiler`. Sizes and batch stay symbolic: on CPUs that costs nothing."""

    name = "openvino"
    device = "cpu"
    half = False
    batch = 1
    largest = 0

    def __init__(self, wanted: str, at_once: int) -> None:
        self._at_once = at_once
        try:
            self._core = the_core()
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            raise EngineError(f"OpenVINO does not start: {error}") from error
        self.precision = self._precision(wanted)

    def _precision(self, wanted: str) -> str:
        fast = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if wanted == "auto":
            return "bf16" if fast else "fp32"
        if wanted == "bf16" and not fast:
            raise EngineError("--precision bf16: OpenVINO finds no bf16 instructions here")
        if wanted not in _HINTS:
            raise EngineError(f"--engine openvino has no {wanted}; use bf16 or fp32")
        return wanted

    def version(self) -> str:
        """See `Compiler`."""
        import openvino

        return str(openvino.__version__).partition("-")[0]  # without the build

    def hardware(self) -> str:
        """See `Compiler`."""
        abilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return f"{self._core.get_property('CPU', 'FULL_DEVICE_NAME')}: {' '.join(abilities)}"

    def options(self) -> str:
        """See `Compiler`."""
        return ""

    def compile(self, graph: bytes) -> bytes:
        """See `Compiler`."""
        try:
            network = self._core.read_model(io.BytesIO(graph))
            stream = io.BytesIO()
            self._core.compile_model(network, "CPU", self._settings()).export_model(stream)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot compile it: {_first_line(error)}") from error
        return stream.getvalue()

    def load(self, blob: bytes) -> _Program:
        """See `Compiler`."""
        try:
            imported = self._core.import_model(blob, "CPU", self._settings())
            return _Program(imported, self._at_once)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot load it: {_first_line(error)}") from error

    def _settings(self) -> dict[str, Any]:
        return {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "PERFORMANCE_HINT": "LATENCY" if self._at_once == 1 else "THROUGHPUT",
            "NUM_STREAMS": self._at_once,
        }


class _Program:
    """See `Program`. May be called from several threads; each call has a request of its own."""

    def __init__(self, compiled: openvino.CompiledModel, at_once: int) -> None:
        self._closed = False
        self._idle: queue.SimpleQueue[openvino.InferRequest] = queue.SimpleQueue()
        for _ in range(at_once):
            self._idle.put(compiled.create_infer_request())

    def __call__(self, batch: Float) -> Float:
        """See `Program`."""
        if self._closed:
            raise EngineError("OpenVINO: this network has been closed")
        request = self._idle.get()
        try:
            results = request.infer({0: np.ascontiguousarray(batch)}, share_inputs=True)
            return np.asarray(results[0], np.float32)
        finally:
            self._idle.put(request)

    def close(self) -> None:
        """See `Program`."""
        self._closed = True
        while not self._idle.empty():
            self._idle.get()


def _processors() -> int:
    """Those that this process may use."""
    usable = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(usable(0)) if usable is not None else os.cpu_count() or 1


def _first_line(error: RuntimeError) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[-1]
