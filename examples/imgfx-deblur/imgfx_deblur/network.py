"""A U-Net of NAFNet's blocks: layer normalisation and gates in place of activations.

NAFNet's channel attention averages over the whole image. It is left out: with it a tile would be
worked on otherwise than the image that it is cut from (Chu et al., ECCV 2022, on just that), and no
halo would be large enough.

Source: Chen, Chu, Zhang, Sun, Simple Baselines for Image Restoration, ECCV 2022 (arXiv 2204.04676).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from imgfx.api import ModelSpec


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel, so it sees no other pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, width, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, width, H, W) -> the same."""
        centred = x - x.mean(dim=1, keepdim=True)
        variance = centred.square().mean(dim=1, keepdim=True)
        return centred * (variance + 1e-5).rsqrt() * self.gain + self.bias


def gate(x: torch.Tensor) -> torch.Tensor:
    """(N, 2 * C, H, W) -> (N, C, H, W): one half times the other. Source: NAFNet, equation 6."""
    half = x.shape[1] // 2
    return x[:, :half] * x[:, half:]


def start_small(layer: nn.Conv2d, deviation: float) -> None:
    """Normal weights and no bias."""
    nn.init.normal_(layer.weight, std=deviation)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Block(nn.Module):
    """Two gated residual branches: one mixes pixels and channels, the other channels alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.spread = nn.Conv2d(width, 2 * width, 1)
        self.depthwise = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.merge = nn.Conv2d(width, width, 1)
        self.second_norm = ChannelNorm(width)
        self.second_spread = nn.Conv2d(width, 2 * width, 1)
        self.second_merge = nn.Conv2d(width, width, 1)
        # Branches that start small keep a deep stack of products tame.
        for layer in (self.merge, self.second_merge):
            start_small(layer, 0.3 / width**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, width, H, W) -> the same."""
        x = x + self.merge(gate(self.depthwise(self.spread(self.norm(x)))))
        second: torch.Tensor = self.second_merge(gate(self.second_spread(self.second_norm(x))))
        return x + second


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(count)))


class Deblur(nn.Module):
    """Encoder and decoder with additive skips; answers the image plus a correction."""

    def __init__(self, width: int, levels: int, blocks: int, middle: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels + 1)]
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.encoders = nn.ModuleList(_blocks(w, blocks) for w in widths[:-1])
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, stride=2) for w in widths[:-1])
        self.middle = _blocks(widths[-1], middle)
        self.ups = nn.ModuleList(nn.Conv2d(2 * w, 4 * w, 1, bias=False) for w in widths[-2::-1])
        self.decoders = nn.ModuleList(_blocks(w, blocks) for w in widths[-2::-1])
        self.tail = nn.Conv2d(width, 3, 3, padding=1)
        start_small(self.tail, 0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W), H and W multiples of 2**levels -> (N, 3, H, W) float32.

        The layers run in the weights' dtype; the correction is added in float32, so that a
        half-precision engine rounds the correction and never the image.
        """
        features = self.head(x.to(self.head.weight.dtype))
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            features = encoder(features)
            skips.append(features)
            features = down(features)
        features = self.middle(features)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            features = decoder(functional.pixel_shuffle(up(features), 2) + skips.pop())
        correction: torch.Tensor = self.tail(features)
        return x.float() + correction.float()


def build_network(spec: ModelSpec) -> Deblur:
    """The network of a spec, with fresh weights."""
    size = (spec.options[name] for name in ("width", "levels", "blocks", "middle"))
    return Deblur(*size)
