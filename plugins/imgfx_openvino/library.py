"""The OpenVINO library, imported so that it tells nobody."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_CONVERTER = "openvino.tools.ovc"


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
