"""Run a chain on a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgfx.hookspecs import hookimpl

if TYPE_CHECKING:
    from imgfx.runners import ChainRunner


@hookimpl
def imgfx_runners() -> Sequence[ChainRunner]:
    """The runner `ray`."""
    from imgfx_ray.runner import RayRunner

    return [RayRunner()]
