"""The OpenVINO library, imported so that it tells nobody."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino

_CONVERTER = "openvino.tools.ovc"


@cache
def the_core() -> openvino.Core:
    """The one core of this process.

    Each core gives the thread that first uses it a stack for signal handlers, and sets back the
    one from before when it goes. Cores that go in the order they came leave a stack that is
    unmapped, and the next Ctrl-C ends the process with a segmentation fault (openvino 2026.4).

    Raises:
        ImportError, OSError, RuntimeError, AttributeError: OpenVINO does not start.
    """
    core: openvino.Core = openvino_alone().Core()
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
