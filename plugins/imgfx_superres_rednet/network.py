"""RED-Net-30: fifteen convolutions, fifteen deconvolutions, symmetric additive skips.

Source: Mao, Shen, Yang, Image Restoration Using Very Deep Convolutional Encoder-Decoder Networks
with Symmetric Skip Connections, NIPS 2016 (arXiv 1603.09056).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

from imgfx.model import ModelSpec
from imgfx.training.networks import StrideOneDeconvolution, fan_in_normal_

if TYPE_CHECKING:
    from torch import Tensor


class RedNet(nn.Module):
    """`depth` convolutions and `depth` deconvolutions, 3x3, and the input added at the end.

    Every second convolution's output is added to the output of its mirrored deconvolution, and
    the ReLU comes after the sum: with depth 15, conv 14 to deconv 1, conv 12 to deconv 3, ...,
    conv 2 to deconv 13.
    """

    def __init__(self, width: int = 64, depth: int = 15) -> None:
        super().__init__()
        sizes = [3] + [width] * depth
        pairs = list(itertools.pairwise(sizes))
        convolutions = [nn.Conv2d(i, o, 3, padding=1) for i, o in pairs]
        deconvolutions = [StrideOneDeconvolution(o, i) for i, o in reversed(pairs)]
        # He, halved where skips add variance, and a small last layer: the net starts as x + 0.
        for convolution in convolutions:
            fan_in_normal_(convolution, 1.0)
        for deconvolution in deconvolutions:
            fan_in_normal_(deconvolution, 0.5)
        fan_in_normal_(deconvolutions[-1], 0.02)
        self.convolutions = nn.ModuleList(convolutions)
        self.deconvolutions = nn.ModuleList(deconvolutions)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W) float32.

        The layers run in the weights' dtype; the input is added in float32, so that a
        half-precision engine rounds the correction and never the image.
        """
        depth = len(self.convolutions)
        skips: dict[int, Tensor] = {}
        features = x.to(next(self.parameters()).dtype)
        for number, layer in enumerate(self.convolutions, start=1):
            features = functional.relu_(layer(features))
            if number % 2 == 0:
                skips[depth - number] = features
        for number, layer in enumerate(self.deconvolutions[:-1], start=1):
            features = layer(features)
            if number in skips:
                features.add_(skips.pop(number))
            functional.relu_(features)
        correction: Tensor = self.deconvolutions[-1](features)
        return x.float() + correction.float()


def build_network(spec: ModelSpec) -> RedNet:
    """The network of a spec, with fresh weights."""
    return RedNet(spec.options["width"], spec.options["depth"])
