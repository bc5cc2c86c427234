"""How far a trained network really sees."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn

    from imgfx.model import ModelSpec

TOLERANCE = 1e-6
"""Largest change of an output in [0, 1]: float32's rounding, a tenth of what tiles may differ."""
_KEPT = 48


@torch.inference_mode()
def measured_reach(network: nn.Module, spec: ModelSpec) -> int:
    """The least border around a tile with which its output is that of the whole image.

    The halo is the radius that the layers could see at most; what comes from its outermost pixels
    is below float32's rounding in a trained network, and would be computed for nothing. Measured on
    noise of full contrast and on edges, where influence reaches furthest.

    Args:
        network: (1, channels + conditions, H, W) -> (1, channels, scale * H, scale * W).
        spec: with the halo.

    Returns:
        Input pixels, a multiple of `multiple_of`, at most the halo rounded up to one; 0 where
        there is no halo.
    """
    if spec.latent or not spec.halo:
        return 0
    network = deepcopy(network).cpu()  # a GPU rounds in ways of its own, and borders would grow
    multiple = spec.multiple_of
    most = -(-spec.halo // multiple) * multiple
    kept = -(-_KEPT // multiple) * multiple
    probes = [(probe, network(probe)) for probe in _probes(spec, kept + 2 * most)]
    reach = most
    while reach > 0 and _suffices(network, spec, probes, (most, kept, reach - multiple)):
        reach -= multiple
    return reach


def _suffices(
    network: nn.Module,
    spec: ModelSpec,
    probes: list[tuple[torch.Tensor, torch.Tensor]],
    sizes: tuple[int, int, int],
) -> bool:
    most, kept, border = sizes
    window = slice(most - border, most + kept + border)
    whole = slice(spec.scale * most, spec.scale * (most + kept))
    inner = slice(spec.scale * border, spec.scale * (border + kept))
    for probe, expected in probes:
        found = network(probe[..., window, window].contiguous())[..., inner, inner]
        if float((found - expected[..., whole, whole]).abs().max()) > TOLERANCE:
            return False
    return True


def _probes(spec: ModelSpec, side: int) -> Iterator[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    shape = (1, spec.channels, side, side)
    noise = torch.rand(shape, generator=random)
    edges = torch.zeros(shape)
    edges[..., side // 2 :] = 0.6
    edges[..., side // 2 :, :] += 0.4
    for colours in ((noise > 0.5).float(), noise, edges):
        for value in (-1.0, 0.3) if spec.conditions else (0.0,):
            planes = torch.full((1, len(spec.conditions), side, side), value)
            yield torch.cat([colours, planes], dim=1)
