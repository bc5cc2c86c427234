"""Writes docs/commands.md from the help of the bundled stages and commands: `make docs`."""

from __future__ import annotations

from pathlib import Path

import click

from imgfx.cli import build_cli
from imgfx.offers import installed_offers
from imgfx.plugins import STAGE_KINDS, Registry

PAGE = Path(__file__).parent / "commands.md"
_WIDTH = 100


def page() -> str:
    """The page's text."""
    registry = Registry(offer for offer in installed_offers() if offer.bundled)
    root = build_cli(registry)
    parts = ["# Commands and stages\n\nWritten by `make docs` from the help texts.\n"]
    parts.append(_section("imgfx", root))
    parent = click.Context(root, info_name="imgfx", **root.context_settings)
    for kind in (*STAGE_KINDS, "command"):
        for name in registry.names(kind):
            command = registry.command(name) if kind == "command" else registry.stage(name)
            assert command is not None
            parts.append(_section(name, command, parent))
    return "\n".join(parts)


def _section(name: str, command: click.Command, parent: click.Context | None = None) -> str:
    settings = {**command.context_settings, "max_content_width": _WIDTH, "terminal_width": _WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    return f"## {name}\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
