"""Models that teach another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgfx.errors import TrainingError
from imgfx.training.recipe import Teacher
from imgfx.weights import load_weights, network_from_weights

if TYPE_CHECKING:
    from imgfx.model import Model


def teacher_of(model: Model, device: str) -> Teacher:
    """The model with its own weights, on a device.

    Raises:
        TrainingError: it has none.
        WeightsError: they are damaged.
    """
    import torch

    if model.weights is None:
        raise TrainingError(f"--teacher {model.name}: it has no weights of its own")
    weights = load_weights(model.weights)
    network = network_from_weights(model, weights, model.weights)
    ready = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Teacher(model.name, weights.spec, ready)
