"""Small untrained networks of the bundled models, and files of their weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from imgfx.model import Model, ModelSpec
from imgfx.weights import save_weights, weights_from_network
from imgfx_denoise_ae.model import MODEL as DENOISE
from imgfx_denoise_ae.model import denoise_spec
from imgfx_gan_generate.model import FASHION, generator_spec
from imgfx_superres_rednet.model import MODEL as REDNET
from imgfx_superres_rednet.model import rednet_spec

TINY = {
    "denoise-ae": (DENOISE, denoise_spec((8, 8, 8), 1, 1)),
    "superres-rednet": (REDNET, rednet_spec(6, 3)),
    "gan-generate": (FASHION, generator_spec(28, 1, 8, latent=8)),
}
"""By name: a model, and the spec of a network that is trained and run in no time."""

Change = Callable[[nn.Module], object]


def write_weights(
    path: Path,
    model: Model,
    spec: ModelSpec | None = None,
    *,
    seed: int = 0,
    change: Change = lambda network: None,
) -> Path:
    """A file of untrained weights, of a network that has been changed so; answers its path."""
    spec = spec or model.spec
    torch.manual_seed(seed)
    network = model.build(spec)
    with torch.no_grad():
        change(network)
    save_weights(path, weights_from_network(network, spec, model.name, {}))
    return path


def write_tiny_restorers(folder: Path, change_last: Change) -> dict[str, Path]:
    """By name: weights of the tiny restorers, of which the last layer has been changed so."""
    return {
        name: write_weights(
            folder / f"{name}.safetensors", *TINY[name], change=lambda n: change_last(last_layer(n))
        )
        for name in ("denoise-ae", "superres-rednet")
    }


def last_layer(network: nn.Module) -> nn.Module:
    """What a restorer's correction of the image comes out of."""
    return network.tail if hasattr(network, "tail") else network.deconvolutions[-1]


def silence(layer: nn.Module) -> None:
    """Nothing comes out of it any more: as a restorer's last layer, no correction."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
