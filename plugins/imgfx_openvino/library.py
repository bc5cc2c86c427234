"""The OpenVINO library, imported so that it tells nobody."""

from __future__ import annotations

import importlib
import sys
import threading
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import openvino

_CONVERTER = "openvino.tools.ovc"


_starting = threading.Lock()


def the_core() -> openvino.Core:
    """The one core of this process; from then on several threads may use OpenVINO.

    Each core gives the thread that first uses it a stack for signal handlers, and sets back the
    one from before when it goes. Cores that go in the order they came leave a stack that is
    unmapped, and the next Ctrl-C ends the process with a segmentation fault (openvino 2026.4).

    Raises:
        ImportError, OSError, RuntimeError, AttributeError: OpenVINO does not start.
    """
    with _starting:
        return _started()


@cache
def _started() -> openvino.Core:
    library = openvino_alone()
    # OpenVINO's binding asks for NumPy's functions when it first needs them, and lets go of
    # Python's lock in the middle: a second thread that comes then waits for the first with that
    # lock held, for ever (openvino 2026.4). Here there is no second one.
    _ = library.Tensor(np.zeros(1, np.float32)).data
    core: openvino.Core = library.Core()
    return core


def openvino_alone() -> ModuleType:
    """The package `openvino` without its model converter.

    The converter, which imgfx has no use for, reports each import to a web service, from a process
    that it forks beside running threads, and leaves an identifier in ~/intel (openvino 2026.4,
    openvino_telemetry 2025.2). The package does without where the converter cannot be imported.
    Who has imported OpenVINO before decided otherwise, and keeps it.
    """
    if "openvino" in sys.modules or _CONVERTER in sys.modules:
        return importlib.import_module("openvino")
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # what makes an import fail
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[_CONVERTER]
