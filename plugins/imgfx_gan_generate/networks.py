"""Generator, discriminator and classifier, DCGAN-like.

Source: Radford, Metz, Chintala, Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks, ICLR 2016. Unlike there, the discriminator has no batch norm: the
lecture's step shows it originals and fakes in one minibatch, whose statistics would mix.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from imgfx.model import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor


class Generator(nn.Module):
    """Random vectors to images, by stride-2 deconvolutions that halve the channels.

    Kernel 4 with stride 2 covers every output pixel equally often, so there is no checkerboard.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = [spec.options["width"] // 2**k for k in range(spec.options["doublings"] + 1)]
        self._start = (widths[0], *2 * [spec.options["size"] // 2 ** spec.options["doublings"]])
        side = self._start[1]
        self.project = nn.Linear(spec.latent, widths[0] * side**2, bias=False)
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(i, o, 4, stride=2, padding=1, bias=False)
            for i, o in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.to_image = nn.Conv2d(widths[-1], spec.channels, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        """(N, latent) standard normal -> (N, channels, size, size) in [0, 1]."""
        x = self.project(latent.to(self.project.weight.dtype)).reshape(-1, *self._start)
        x = functional.relu(self.norms[0](x))
        for enlarge, norm in zip(self.enlarge, self.norms[1:], strict=True):
            x = functional.relu(norm(enlarge(x)))
        return torch.sigmoid(self.to_image(x).float())


class Discriminator(nn.Module):
    """Images to one logit each: positive for 'original'. Each layer halves the resolution."""

    def __init__(self, size: int, channels: int, width: int, halvings: int) -> None:
        super().__init__()
        widths = [channels, *(width * 2**k for k in range(halvings))]
        self.layers = nn.ModuleList(
            nn.Conv2d(i, o, 4, stride=2, padding=1) for i, o in itertools.pairwise(widths)
        )
        self.judge = nn.Linear(widths[-1] * (size // 2**halvings) ** 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, size, size) in [0, 1] -> (N,) logits."""
        x = 2 * images - 1
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.2)
        logits: Tensor = self.judge(x.flatten(1))
        return logits.flatten().float()


class Classifier(nn.Module):
    """Which of ten things a picture shows; its features measure generators."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        width, self.classes = spec.options["width"], spec.options["classes"]
        widths = [spec.channels, width, 2 * width, 4 * width]
        self.layers = nn.ModuleList(
            nn.Conv2d(i, o, 3, padding=1, bias=False) for i, o in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for o in widths[1:])
        self.answer = nn.Linear(widths[-1], self.classes)

    def features(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) in [0, 1] -> (N, 4 * width), each a mean over the picture."""
        x = 2 * images - 1
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = functional.max_pool2d(functional.relu(norm(layer(x))), 2)
        return x.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W) in [0, 1] -> (N, classes) logits."""
        x = functional.dropout(self.features(images), 0.3, self.training)
        logits: Tensor = self.answer(x)
        return logits.float()
