"""How deblur is trained: random blurs, a loss on pixels and on frequencies, two probes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from imgfx.api import Probe, Recipe, restoration_task
from imgfx_deblur.blur import RADIUS, degrade, kernel, probe_pair

if TYPE_CHECKING:
    import torch
    from torch import nn

    from imgfx.api import Task

_PATCH = 96
_BATCH = 8
_SMOOTH = 1e-3
_FREQUENCIES = 0.05
"""What the loss on frequencies counts beside that on pixels."""


def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Charbonnier's loss, and the mean absolute error of the spectra; (N, C, H, W) -> scalar.

    Blur lives in the high frequencies, of which a loss on pixels alone says little.
    Source: Cho et al., MIMO-UNet, ICCV 2021, equation 6.
    """
    import torch

    error = output - target
    pixels = (error.square() + _SMOOTH**2).sqrt().mean()
    spectrum = torch.view_as_real(torch.fft.rfft2(error, norm="ortho")).abs().mean()
    return pixels + _FREQUENCIES * spectrum


PROBES = (
    Probe("focus", partial(probe_pair, shape=kernel(1.5, 1.5, 0.0)), border=4),
    Probe("shake", partial(probe_pair, shape=kernel(0.6, 2.5, 0.7)), border=4),
)
"""A round blur and a long one, both with noise of 1/255."""


def make_task(
    folders: Sequence[Path], exclude: Sequence[str], batch: int | None, network: nn.Module
) -> Task:
    """Random 96x96 patches, each blurred by a kernel of its own."""
    return restoration_task(
        network,
        folders,
        exclude,
        degrade=degrade,
        probes=PROBES,
        batch_size=batch or _BATCH,
        crop=_PATCH + 2 * RADIUS,
        loss=loss,
    )


RECIPE = Recipe(
    task=make_task, metric="psnr", batch=_BATCH, steps=40_000, rate=1e-3, clip=1.0, warmup=200
)
