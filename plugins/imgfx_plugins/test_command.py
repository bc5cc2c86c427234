"""`imgfx plugins test`: the conformance kit."""

from __future__ import annotations

import click


@click.command("test")
def test() -> None:
    """Check a plugin."""
