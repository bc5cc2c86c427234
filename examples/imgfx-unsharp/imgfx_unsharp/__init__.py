"""Sharpen by an unsharp mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgfx.api import hookimpl

if TYPE_CHECKING:
    from imgfx.api import StageCommand


@hookimpl
def imgfx_stages() -> Sequence[StageCommand]:
    """The stage `unsharp`."""
    from imgfx_unsharp.stage import unsharp

    return [unsharp]
