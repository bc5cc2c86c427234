"""Sharpen what is out of focus or slightly shaken, with a small NAFNet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgfx.api import hookimpl

if TYPE_CHECKING:
    from imgfx.api import Model, StageCommand


@hookimpl
def imgfx_stages() -> Sequence[StageCommand]:
    """The stage `deblur`."""
    from imgfx_deblur.stage import deblur

    return [deblur]


@hookimpl
def imgfx_models() -> Sequence[Model]:
    """The model `deblur`, for `imgfx train` and `imgfx engine`."""
    from imgfx_deblur.model import MODEL

    return [MODEL]
