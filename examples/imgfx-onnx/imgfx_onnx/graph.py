"""An ONNX file opened by ONNX Runtime, and what its header says; the one door to the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imgfx.api import ImgfxError

if TYPE_CHECKING:
    import onnxruntime

_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
_FATAL = 4
"""The runtime's level of logging: what it says otherwise is in the exception, too."""


class RunError(Exception):
    """The network does not take an input of this size; one line."""


@dataclass(frozen=True)
class Graph:
    """A network of one image in and one image out."""

    path: Path
    session: onnxruntime.InferenceSession
    device: str
    """cpu or cuda."""
    input: str
    """Its name."""
    dtype: str
    """Of the input: float32, float16 or uint8."""
    shape: tuple[int | None, ...]
    """Of the input, four numbers; None where any is taken."""

    def __call__(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An input of its dtype and shape -> its first output.

        Raises:
            RunError: it cannot be run on that.
            MemoryError: there is too little memory for so large an input.
        """
        try:
            return np.asarray(self.session.run(None, {self.input: values})[0])
        except Exception as error:  # the runtime raises many kinds
            text = first_line(error)
            if "alloc" in text.lower() or "memory" in text.lower():
                raise MemoryError(text) from error
            raise RunError(text) from error


def open_graph(path: Path, device: str = "auto") -> Graph:
    """The network of a file.

    Args:
        path: the file; weights kept outside it are looked for beside it.
        device: cpu, cuda, or auto, which takes CUDA where this ONNX Runtime has it.

    Raises:
        ImgfxError: ONNX Runtime is missing, the file is no ONNX, or the network takes something
            else than one image.
    """
    providers = _providers(device)
    session = _session(path, providers)
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs)
        raise ImgfxError(f"{path}: takes {len(inputs)} inputs ({names}); one image is what I have")
    (taken,) = inputs
    if taken.type not in _TYPES:
        raise ImgfxError(f"{path}: takes {taken.type}; export it for float32, float16 or uint8")
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in taken.shape)
    if len(shape) != 4:
        raise ImgfxError(f"{path}: takes {len(shape)} dimensions; an image network takes 4 (NCHW)")
    found = "cuda" if session.get_providers()[0].startswith("CUDA") else "cpu"
    if device == "cuda" and found != "cuda":
        raise ImgfxError(f"{path}: --device cuda: ONNX Runtime cannot use it here")
    return Graph(path, session, found, taken.name, _TYPES[taken.type], shape)


def _providers(device: str) -> list[str]:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImgfxError(
            "ONNX files need ONNX Runtime, which cannot be imported "
            f"({first_line(error)}): pip install onnxruntime"
        ) from error
    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if device == "cuda" and not has_cuda:
        raise ImgfxError("--device cuda: this ONNX Runtime has none: pip install onnxruntime-gpu")
    first = ["CUDAExecutionProvider"] if has_cuda and device != "cpu" else []
    return [*first, "CPUExecutionProvider"]


def _session(path: Path, providers: list[str]) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    # Threads that wait in a loop would take the processor from the other stages of a chain.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # the runtime raises many kinds
        reason = first_line(error).removeprefix(f"Load model from {path} failed:").strip()
        raise ImgfxError(f"{path}: not an ONNX file that can be run: {reason}") from error


def first_line(error: BaseException) -> str:
    """What an error says, in one line and without the runtime's prefix.

    "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from ..." -> "Load model from ..."
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = lines[0].strip()
    return line.split(" : ", 3)[-1] if line.startswith("[ONNXRuntimeError]") else line
