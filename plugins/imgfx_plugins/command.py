"""The command group `plugins`."""

from __future__ import annotations

import click

from imgfx_plugins.doctor_command import doctor
from imgfx_plugins.info_command import info
from imgfx_plugins.list_command import list_
from imgfx_plugins.new_command import new
from imgfx_plugins.test_command import test


@click.group("plugins")
def plugins() -> None:
    """List, explain, start and check plugins; examine the installation.

    \b
    Examples:
      imgfx plugins list
      imgfx plugins info sepia
      imgfx plugins new sepia
      imgfx plugins test sepia
      imgfx plugins doctor
    """


for _command in (list_, info, new, test, doctor):
    plugins.add_command(_command)
