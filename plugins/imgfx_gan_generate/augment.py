"""Differentiable augmentation: the discriminator sees originals and fakes changed alike.

With few originals it would otherwise learn them by heart, and the generator nothing from it. Places
are changed and colours are not: a discriminator that is shown any saturation lets the generator
drift to faces of orange and blue.

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


def shifted(images: Tensor) -> Tensor:
    """(N, C, H, W), each moved by whole pixels by chance, black where nothing comes in."""
    count, _, height, width = images.shape
    most = round(height * _FURTHEST)
    padded = functional.pad(images, [most] * 4)
    tops, lefts = torch.randint(0, 2 * most + 1, (2, count)).tolist()
    parts = [
        image[:, top : top + height, left : left + width]
        for image, top, left in zip(padded, tops, lefts, strict=True)
    ]
    return torch.stack(parts).contiguous(memory_format=torch.channels_last)
