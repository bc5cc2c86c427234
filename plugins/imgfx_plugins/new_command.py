"""`imgfx plugins new`: a package to start from."""

from __future__ import annotations

import click


@click.command("new")
def new() -> None:
    """Start a package."""
