"""Differentiable augmentation: the discriminator sees originals and fakes changed alike.

With few originals it would otherwise learn them by heart, and the generator nothing from it.

Source: Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, NeurIPS 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

_FURTHEST = 0.125
"""Of a shift, as a share of the side."""


def augmented(images: Tensor) -> Tensor:
    """(N, C, H, W) with other brightness, saturation, contrast and place, by chance.

    Of images in [0, 1] the result may leave that range; the discriminator does not mind.
    """
    return _shifted(_recoloured(images))


def _recoloured(images: Tensor) -> Tensor:
    brightness, saturation, contrast = (
        torch.rand(len(images), 1, 1, 1, device=images.device) for _ in range(3)
    )
    x = images + 0.5 * (brightness - 0.5)
    gray = x.mean(dim=1, keepdim=True)
    x = gray + 2 * saturation * (x - gray)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (contrast + 0.5) * (x - mean)


def _shifted(images: Tensor) -> Tensor:
    """Each image moved by whole pixels, black where nothing comes in."""
    count, _, height, width = images.shape
    most = round(height * _FURTHEST)
    padded = functional.pad(images, [most] * 4)
    tops, lefts = torch.randint(0, 2 * most + 1, (2, count)).tolist()
    parts = [
        image[:, top : top + height, left : left + width]
        for image, top, left in zip(padded, tops, lefts, strict=True)
    ]
    return torch.stack(parts).contiguous(memory_format=torch.channels_last)
