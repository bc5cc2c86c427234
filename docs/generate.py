"""Writes docs/commands.md and docs/api.md, from help texts and docstrings: `make docs`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from imgfx.cli import build_cli
from imgfx.offers import STAGE_KINDS, installed_offers
from imgfx.plugins import Registry

sys.path.insert(0, str(Path(__file__).parent))  # run as a script, and by a test

import api_page

PAGE = Path(__file__).parent / "commands.md"
_WIDTH = 100


def bundled_registry() -> Registry:
    """What comes with imgfx, whatever else is installed."""
    return Registry(offer for offer in installed_offers() if offer.bundled)


def page() -> str:
    """The text of docs/commands.md."""
    registry = bundled_registry()
    root = build_cli(registry)
    parts = ["# Commands and stages\n\nWritten by `make docs` from the help texts.\n"]
    parts.append(_section("imgfx", root))
    parent = click.Context(root, info_name="imgfx", **root.context_settings)
    for kind in (*STAGE_KINDS, "command"):
        for name in registry.names(kind):
            command = registry.command(name) if kind == "command" else registry.stage(name)
            assert command is not None
            parts += _sections(name, command, parent)
    return "\n".join(parts)


def _sections(
    name: str, command: click.Command, parent: click.Context, title: str = ""
) -> Iterator[str]:
    """The help of a command, and of its sub-commands."""
    title = f"{title} {name}".strip()
    yield _section(name, command, parent, title)
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name, parent=parent)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _sections(inner, found, context, title)


def _section(
    name: str, command: click.Command, parent: click.Context | None = None, title: str = ""
) -> str:
    settings = {**command.context_settings, "max_content_width": _WIDTH, "terminal_width": _WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    return f"## {title or name}\n\n```text\n{command.get_help(context)}\n```\n"


PAGES = {PAGE: page, api_page.PAGE: api_page.page}
"""The generated pages, and what makes them."""


if __name__ == "__main__":
    for path, text in PAGES.items():
        path.write_text(text(), encoding="utf-8")
