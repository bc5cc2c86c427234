"""Growth of a trained network into a larger one that computes the same, and then learns on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from imgfx.errors import TrainingError, WeightsError
from imgfx.weights import network_from_weights

if TYPE_CHECKING:
    from pathlib import Path

    from imgfx.model import Model, ModelSpec
    from imgfx.weights import Weights

_SIDE = 48
_TOLERANCE = 1e-4


def grown_network(model: Model, weights: Weights, origin: Path | str) -> nn.Module:
    """The model's network at its own size, which answers what the smaller one of `weights` does.

    New channels are fed by fresh weights and feed the old ones by zeros; new layers are left as
    the network makes them, and must start as the identity. Source: Chen, Goodfellow, Shlens,
    Net2Net: Accelerating Learning via Knowledge Transfer, 2016.

    Raises:
        WeightsError: weights of another architecture, larger than the network, or such that the
            larger network's answers differ.
    """
    small = network_from_weights(model, weights, origin)
    network = model.build(model.spec)
    _fill(network, weights.tensors, origin)
    difference = _difference(small, network.eval(), model.spec)
    if difference > _TOLERANCE:
        raise WeightsError(
            f"{origin}: {model.name} cannot be grown from these weights: the larger network's "
            f"answers differ by {difference:.2g}"
        )
    return network


def renew(network: nn.Module, fresh: nn.Module, parts: Sequence[str]) -> None:
    """Gives parts of a network the fresh weights of another of its kind.

    Args:
        network: changed in place.
        fresh: newly built.
        parts: names of modules, as the weights begin with them.

    Raises:
        TrainingError: it has no such part.
    """
    modules, sources = dict(network.named_modules()), dict(fresh.named_modules())
    for part in parts:
        if part not in modules or not part:
            there = ", ".join(name for name, _ in network.named_children())
            raise TrainingError(f"--renew {part}: the network has no such part; it has {there}")
        modules[part].load_state_dict(sources[part].state_dict())


def _fill(
    network: nn.Module, tensors: Mapping[str, npt.NDArray[np.float32]], origin: Path | str
) -> None:
    state = network.state_dict()
    for name, values in tensors.items():
        if name not in state or not _fits(values.shape, state[name].shape):
            raise WeightsError(f"{origin}: {name} has no place in the larger network")
    with torch.no_grad():
        for prefix, module in network.named_modules():
            for local, target in module.named_parameters(prefix, recurse=False):
                if local in tensors:
                    _place(module, target, torch.from_numpy(tensors[local]))
            for local, target in module.named_buffers(prefix, recurse=False):
                if local in tensors:
                    _place(module, target, torch.from_numpy(tensors[local]))


def _fits(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    return len(small) == len(large) and all(s <= n for s, n in zip(small, large, strict=True))


def _place(module: nn.Module, target: torch.Tensor, values: torch.Tensor) -> None:
    """Writes values to the target's leading corner; what new channels say to old ones is zero."""
    if target.ndim > 1:
        outputs = 1 if isinstance(module, nn.ConvTranspose2d) else 0
        target.narrow(outputs, 0, values.shape[outputs]).zero_()
    target[tuple(slice(0, size) for size in values.shape)] = values


@torch.inference_mode()
def _difference(small: nn.Module, large: nn.Module, spec: ModelSpec) -> float:
    """Largest absolute difference between the two networks' answers to random input."""
    random = torch.Generator().manual_seed(0)
    if spec.latent:
        inputs = torch.randn(2, spec.latent, generator=random)
    else:
        side = -(-_SIDE // spec.multiple_of) * spec.multiple_of
        channels = spec.channels + len(spec.conditions)
        inputs = torch.rand(2, channels, side, side, generator=random)
    return float((small(inputs) - large(inputs)).abs().max())
