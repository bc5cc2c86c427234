"""Options that the stage and the command share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

_WHITES = {"auto": None, "1": 1.0, "255": 255.0}


def white_of(word: str) -> float | None:
    """The value of `--range`."""
    return _WHITES[word]


def probing_options(function: Function) -> Function:
    """--range and --halo: what probing is to be told."""
    halo = click.option(
        "--halo",
        type=click.IntRange(0, 4096),
        metavar="PIXELS",
        help="Border that a tile needs around it, 0 to 4096.  [default: probed]",
    )
    white = click.option(
        "--range",
        "white",
        type=click.Choice(list(_WHITES)),
        default="auto",
        show_default=True,
        help="White in the network's input and output; auto: probed, and 1 where that tells not.",
    )
    return white(halo(function))
