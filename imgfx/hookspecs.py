"""The plugin API, version 1: all of it.

A plugin is a module named by an entry point. The group says what kind of thing it offers and
carries the API's version; the entry point's name is what users type:

    [project.entry-points."imgfx.filters.v1"]
    sepia = "imgfx_sepia"

Listing imports nothing: the short help is the first line of the module's docstring. The module is
imported and registered with pluggy when its name is used, and then the hook of its kind is called.
Import torch, OpenCV and other heavy packages inside the functions that need them.

What hooks answer is made with `imgfx.api`; with `imgfx.testing` it is tested. These three modules
and the groups are the API, and keep their promises as docs/plugins.md says.
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

API_VERSION = 1
"""Grows when plugins must be changed to go on working; what is added leaves it as it is."""

KINDS = ("source", "filter", "sink", "command", "model", "engine", "runner")

GROUPS = {kind: f"imgfx.{kind}s.v{API_VERSION}" for kind in KINDS}
"""Entry-point groups by kind: imgfx.filters.v1 and so on; the suffix is the API's version."""


@hookspec
def imgfx_stages() -> Sequence[StageCommand]:  # type: ignore[empty-body]
    """Stages of a chain; called when one of the module's stage names is first used.

    Return commands made by `imgfx.api.source`, `image_filter`, `learned_filter`, `model_filter` or
    `sink`, named as the entry points are.
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
