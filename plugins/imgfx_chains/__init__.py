"""Chains as files: run one, save one, and replay what made an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgfx.hookspecs import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def imgfx_commands() -> Sequence[click.Command]:
    """The commands `run`, `chain` and `replay`."""
    from imgfx_chains.chain_command import chain
    from imgfx_chains.replay_command import replay
    from imgfx_chains.run_command import run

    return [chain, replay, run]
