"""The plugin API, version 1: all of it.

A plugin is a module named by an entry point. The group says what kind of thing it offers and
carries the API's version; the entry point's name is what users type:

    [project.entry-points."imgfx.filters.v1"]
    sepia = "imgfx_sepia"

Listing imports nothing: the short help is the first line of the module's docstring. The module is
imported and registered with pluggy when its name is used, and then the hook of its kind is called.
Import torch, OpenCV and other heavy packages inside the functions that need them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from imgfx.engines.base import Engine
    from imgfx.model import Model
    from imgfx.runners import ChainRunner
    from imgfx.stage import StageCommand

PROJECT = "imgfx"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

GROUPS = {
    "source": "imgfx.sources.v1",
    "filter": "imgfx.filters.v1",
    "sink": "imgfx.sinks.v1",
    "command": "imgfx.commands.v1",
    "model": "imgfx.models.v1",
    "engine": "imgfx.engines.v1",
    "runner": "imgfx.runners.v1",
}
"""Entry-point groups by kind; the suffix is the API's version."""


@hookspec
def imgfx_stages() -> Sequence[StageCommand]:  # type: ignore[empty-body]
    """Stages of a chain; called when one of the module's stage names is first used.

    Return commands made by `imgfx.stage.source`, `filter_`, `learned_filter` or `sink`, named as
    the entry points are.
    """


@hookspec
def imgfx_commands() -> Sequence[click.Command]:  # type: ignore[empty-body]
    """Management commands such as `train`; called when one is first used. Groups are welcome."""


@hookspec
def imgfx_models() -> Sequence[Model]:  # type: ignore[empty-body]
    """Models for `train`, `eval` and the engines; called when one is first used."""


@hookspec
def imgfx_engines() -> Sequence[Engine]:  # type: ignore[empty-body]
    """Engines for `--engine`; called when one is first used. Opening one may still fail."""


@hookspec
def imgfx_runners() -> Sequence[ChainRunner]:  # type: ignore[empty-body]
    """What can run a chain, for `--runner`; called when one is first used."""
