"""A residual network at the input's resolution that ends in a pixel shuffle.

Sources: pixel shuffle, Shi et al., ESPCN, CVPR 2016; residual blocks without normalisation, Lim et
al., EDSR, CVPRW 2017; PReLU, He et al., 2015.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from imgfx.model import ModelSpec
from imgfx.training.networks import fan_in_normal_

if TYPE_CHECKING:
    from torch import Tensor


class ResidualBlock(nn.Module):
    """x + conv(prelu(conv(x))), 3x3, no normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.activation = nn.PReLU(width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        fan_in_normal_(self.first, 1.0)
        fan_in_normal_(self.second, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same."""
        change: Tensor = self.second(self.activation(self.first(x)))
        return change.add_(x)


class FastSuperResolution(nn.Module):
    """Enlarges RGB images by an integer; starts as bilinear interpolation."""

    def __init__(self, scale: int, width: int, blocks: int) -> None:
        super().__init__()
        self._scale = scale
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.tail = nn.Conv2d(width, 3 * scale**2, 3, padding=1)
        fan_in_normal_(self.head, 1.0)
        fan_in_normal_(self.tail, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, scale * H, scale * W) float32.

        The layers run in the weights' dtype; the base is added in float32, so that a
        half-precision engine rounds the correction and never the image.
        """
        features = self.head(x.to(self.head.weight.dtype))
        features = self.body(features).add_(features)
        phases = bilinear_phases(x.float(), self._scale)
        return functional.pixel_shuffle(phases + self.tail(features).float(), self._scale)


def bilinear_phases(x: Tensor, scale: int) -> Tensor:
    """(N, C, H, W) -> (N, C * scale^2, H, W), of which the pixel shuffle is x enlarged bilinearly.

    Nothing but shifts and sums, which every engine leaves in float32; enlarging by one operation
    is rounded like the layers in a half-precision engine, and with it the image.
    """
    rows = torch.stack(_along(x, 2, scale), dim=2)  # (N, C, scale, H, W)
    both = torch.stack(_along(rows, 4, scale), dim=3)  # (N, C, scale, scale, H, W)
    return both.flatten(1, 3)


def _along(x: Tensor, axis: int, scale: int) -> list[Tensor]:
    """Of each output phase along an axis, the mean of two neighbours by its distance to them."""
    size = x.shape[axis]
    before = torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, size - 1)], axis)
    behind = torch.cat([x.narrow(axis, 1, size - 1), x.narrow(axis, size - 1, 1)], axis)
    phases = []
    for phase in range(scale):
        offset = (phase + 0.5) / scale - 0.5
        neighbour, share = before if offset < 0 else behind, abs(offset)
        phases.append((1 - share) * x + share * neighbour)
    return phases


def build_network(spec: ModelSpec) -> FastSuperResolution:
    """The network of a spec, with fresh weights."""
    return FastSuperResolution(spec.scale, spec.options["width"], spec.options["blocks"])
