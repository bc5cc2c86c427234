"""Run any image-to-image network from an ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgfx.api import hookimpl

if TYPE_CHECKING:
    import click

    from imgfx.api import StageCommand


@hookimpl
def imgfx_stages() -> Sequence[StageCommand]:
    """The stage `onnx`."""
    from imgfx_onnx.stage import onnx

    return [onnx]


@hookimpl
def imgfx_commands() -> Sequence[click.Command]:
    """The command `onnx-info`."""
    from imgfx_onnx.command import onnx_info

    return [onnx_info]
