"""Recipe and Task: how a model is trained, without a word on the loop that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch
    from torch import nn

    from imgfx.model import ModelSpec

# Written as texts, so that a plugin may name them at its top without importing numpy.
Arrays: TypeAlias = "Mapping[str, npt.NDArray[np.float32]]"
Tensors: TypeAlias = "Mapping[str, torch.Tensor]"
Rng: TypeAlias = "np.random.Generator"


class Learner(Protocol):
    """What the loop hands to a task's step: the networks, and a way to move one of them."""

    networks: Mapping[str, nn.Module]
    step: int

    def autocast(self) -> torch.autocast:
        """The context in which forward passes run in the training's precision."""
        ...

    def update(self, name: str, loss: torch.Tensor) -> None:
        """One optimizer step of network `name`: zero gradients, backward, clip, step."""
        ...


class Task(Protocol):
    """One model's learning problem over one set of data."""

    def networks(self) -> Mapping[str, nn.Module]:
        """All networks that learn; the first is the one that is averaged and shipped."""
        ...

    def batch(self, rng: Rng) -> Arrays:
        """One minibatch, drawn with `rng` alone so that a resumed run draws the same."""
        ...

    def step(self, learner: Learner, batch: Tensors) -> Mapping[str, torch.Tensor]:
        """Forward, loss and updates on one minibatch; the scalars to be logged."""
        ...

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Figures of the averaged network on held-out data; higher is better for the metric."""
        ...

    def samples(self, network: nn.Module) -> npt.NDArray[np.uint8]:
        """A picture (H, W, C) that shows a person how far training is."""
        ...

    def describe_data(self) -> str:
        """What the data are: counts and folders, for the model card."""
        ...


@runtime_checkable
class ValidatedOn(Protocol):
    """A task that can be validated on other images than those it holds out."""

    def validated_on(self, folders: Sequence[Path]) -> Task:
        """The task, with these folders' images for validation."""
        ...


@dataclass(frozen=True)
class Teacher:
    """A trained model from whose answers another one learns."""

    model: str
    spec: ModelSpec
    network: nn.Module
    """In evaluation mode, on the device of the run."""


@runtime_checkable
class Teachable(Protocol):
    """A task whose network can learn from the answers of others."""

    def taught_by(self, teachers: Sequence[Teacher]) -> Task:
        """The task, with these teachers.

        Raises:
            TrainingError: one of them cannot teach it.
        """
        ...


@dataclass(frozen=True)
class Recipe:
    """How to train one model: the numbers of the optimisation, and the task."""

    task: Callable[[Sequence[Path], Sequence[str], int | None, nn.Module], Task]
    """(data folders, exclude patterns, batch size or None for the recipe's, network) -> task."""
    metric: str
    """The figure of `Task.validate` that picks the best weights."""
    batch: int
    """Examples a step."""
    steps: int
    """Default length of a run."""
    rate: float
    """Peak learning rate of Adam."""
    muon: float = 0.0
    """Peak rate of Muon on hidden weights in units of `rate`; 0 leaves all to Adam."""
    betas: tuple[float, float] = (0.9, 0.99)
    warmup: int = 200
    """Steps of linear warm-up; then the rate falls as a cosine to `final_rate` times the peak."""
    final_rate: float = 0.0
    clip: float = 0.0
    """Largest norm of the gradient; 0 leaves it alone."""
    ema: float = 0.999
    """Decay of the moving average of the weights, ramped up from the start."""
    precision: str = "auto"
    """Of the forward pass: fp32, bf16, or auto (bf16 where the processor has it)."""
