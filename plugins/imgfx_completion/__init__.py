"""Complete command lines in bash, zsh and fish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgfx.hookspecs import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def imgfx_commands() -> Sequence[click.Command]:
    """The command `completion`."""
    return []
