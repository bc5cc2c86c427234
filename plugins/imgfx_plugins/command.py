"""The command group `plugins`."""

from __future__ import annotations

import click

from imgfx_plugins.list_command import list_
from imgfx_plugins.new_command import new
from imgfx_plugins.test_command import test


@click.group("plugins")
def plugins() -> None:
    """List, explain, start and check plugins.

    \b
    Examples:
      imgfx plugins list
      imgfx plugins new sepia
      imgfx plugins test sepia
    """


for _command in (list_, new, test):
    plugins.add_command(_command)
