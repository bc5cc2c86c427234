"""The seam between a model and what runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from imgfx.model import Model
from imgfx.weights import Weights

Say = Callable[[str], None]
"""Told a line for the user."""


def _silently(_text: str) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Request:
    """What was asked for; `auto` leaves the choice to the engine."""

    device: str = "auto"
    precision: str = "auto"
    say: Say = _silently
    """Told of what takes long."""
    tile: int | None = None
    """Side of the tiles that will be run, without their border; for engines that must know."""
    batch: int | None = None
    """Windows a call at most; None leaves it to the engine."""
    build: bool = True
    """False: what has not been compiled yet is not; its runner only tells the choice."""
    at_once: int = 1
    """Threads that will call the runner at a time; more than one only of engines that are
    `ManyAtOnce`."""


@dataclass(frozen=True)
class Choice:
    """What runs; shown with -v and kept in the report."""

    engine: str
    device: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} on {self.device} in {self.precision}"


class Runner(Protocol):
    """A model loaded on a device.

    Called from `Request.at_once` threads at a time; from one, unless its engine is `ManyAtOnce`.
    """

    choice: Choice
    batch: int
    """Tiles a call that suit the device."""
    largest: int
    """Side of the largest window that it takes, in pixels; 0 where there is no limit."""
    memory: int
    """Bytes that one call may use; sizes the windows."""

    def __call__(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(N, C, H, W) or (N, latent) float32 -> (N, C', H', W') float32, row by row.

        Raises:
            OutOfMemoryError: there is too little memory for so large an input.
        """
        ...

    def close(self) -> None:
        """Frees the device's memory."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Something that can run models, as a plugin offers it by `imgfx_engines`."""

    name: str
    preference: Mapping[str, int]
    """By device, how `--engine auto` ranks it, highest first; devices that it lacks are those that
    it is never chosen for. PyTorch has 10."""

    def missing(self) -> str:
        """What a user must do before it can run here at all; empty if nothing. Imports nothing."""
        ...

    def open(self, model: Model, weights: Weights, request: Request) -> Runner:
        """Loads a model.

        Raises:
            EngineError: the device or precision asked for cannot be had; `auto` never fails
                for want of a device.
        """
        ...


@runtime_checkable
class ManyAtOnce(Protocol):
    """An engine that runs several small windows at a time in less time than one after another."""

    at_once: int
    """How many suit this machine; `open` heeds `Request.at_once` up to that."""


@runtime_checkable
class Builds(Protocol):
    """An engine that compiles for a device that need not be there."""

    def build(self, model: Model, weights: Weights, request: Request) -> str:
        """Compiles and stores; answers what for.

        Raises:
            EngineError: it cannot be done here.
        """
        ...
