"""The denoising autoencoder: a residual encoder and decoder around a smaller latent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

from imgfx.model import ModelSpec
from imgfx.training.networks import fan_in_normal_

if TYPE_CHECKING:
    from torch import Tensor


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), 3x3, no normalisation, so that brightness passes unchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        fan_in_normal_(self.first, 1.0)
        fan_in_normal_(self.second, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> the same."""
        change: Tensor = self.second(functional.relu_(self.first(x)))
        return change.add_(x)


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


class DenoisingAutoencoder(nn.Module):
    """Three resolutions (1/2, 1/4, 1/8), additive skips, and the noise as its output.

    The input is the image and a plane that holds sigma / 75 where the noise level is known, and
    -1 where it is not. At the default widths the latent holds 2.5 numbers per pixel against the
    image's 3, and a pixel costs about 196,000 multiply-adds.

    Sources: pixel-unshuffle and noise plane, Zhang, Zuo, Zhang, FFDNet, 2018; additive skips,
    Mao, Shen, Yang, 2016; residual learning, Zhang et al., DnCNN, 2017.
    """

    def __init__(self, widths: tuple[int, int, int], blocks: int, middle: int) -> None:
        super().__init__()
        fine, half, coarse = widths
        self.head = nn.Conv2d(4 * 4, fine, 3, padding=1)
        self.encode_fine = _blocks(fine, blocks)
        self.down_fine = nn.Conv2d(fine, half, 2, stride=2)
        self.encode_half = _blocks(half, blocks)
        self.down_half = nn.Conv2d(half, coarse, 2, stride=2)
        self.latent = _blocks(coarse, middle)
        self.up_half = nn.ConvTranspose2d(coarse, half, 2, stride=2)
        self.decode_half = _blocks(half, blocks)
        self.up_fine = nn.ConvTranspose2d(half, fine, 2, stride=2)
        self.decode_fine = _blocks(fine, blocks)
        self.tail = nn.Conv2d(fine, 3 * 4, 3, padding=1)
        fan_in_normal_(self.tail, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 4, H, W), H and W multiples of 8 -> (N, 3, H, W) float32.

        The layers run in the weights' dtype; the noise is subtracted in float32, so that a
        half-precision engine rounds the noise and never the image.
        """
        # Sums in place and before the layers that follow: no skip is held longer than needed.
        features = functional.pixel_unshuffle(x.to(self.head.weight.dtype), 2)
        fine = self.encode_fine(self.head(features))
        half = self.encode_half(self.down_fine(fine))
        latent = self.latent(self.down_half(half))
        half = self.up_half(latent).add_(half)
        half = self.decode_half(half)
        fine = self.up_fine(half).add_(fine)
        fine = self.decode_fine(fine)
        noise = functional.pixel_shuffle(self.tail(fine), 2)
        return x[:, :3].float() - noise.float()


def build_network(spec: ModelSpec) -> DenoisingAutoencoder:
    """The network of a spec, with fresh weights."""
    o = spec.options
    return DenoisingAutoencoder((o["fine"], o["half"], o["coarse"]), o["blocks"], o["middle"])
