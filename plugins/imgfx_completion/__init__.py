"""Print the script that completes imgfx's command lines in bash, zsh or fish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgfx.hookspecs import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def imgfx_commands() -> Sequence[click.Command]:
    """The command `completion`."""
    from imgfx_completion.command import completion

    return [completion]
