"""`imgfx plugins list`: what is offered, by whom; imports no plugin."""

from __future__ import annotations

import click


@click.command("list")
def list_() -> None:
    """List what plugins offer."""
