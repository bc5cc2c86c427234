"""List, explain, start and check plugins, and examine the installation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgfx.hookspecs import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def imgfx_commands() -> Sequence[click.Command]:
    """The command group `plugins`."""
    from imgfx_plugins.command import plugins

    return [plugins]
