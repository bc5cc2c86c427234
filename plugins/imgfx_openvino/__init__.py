"""Run models by OpenVINO, on processors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgfx.hookspecs import hookimpl

if TYPE_CHECKING:
    from imgfx.engines.base import Engine


@hookimpl
def imgfx_engines() -> Sequence[Engine]:
    """The engine `openvino`."""
    from imgfx_openvino.engine import OpenVinoEngine

    return [OpenVinoEngine()]
