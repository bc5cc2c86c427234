"""How superres-fast is trained: small images of one scale, and what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imgfx.degradations import round_to_8_bits, shrink
from imgfx.resample import taps
from imgfx.training.recipe import Recipe, Rng, Task
from imgfx.training.restoration import Probe, restoration_task

if TYPE_CHECKING:
    from torch import nn

Float = npt.NDArray[np.float32]

_BATCH = 16
_PATCHES = {2: 48, 3: 40, 4: 32}
"""Side of a small patch by scale."""
_MARGIN = 3
"""Small pixels cut off on each side, where the bicubic kernel, of two, meets the crop's end."""


def degrade(clean: Float, rng: Rng, *, scale: int) -> tuple[Float, Float]:
    """Small patches (N, 3, p, p) and their originals (N, 3, scale * p, scale * p) from crops."""
    del rng  # nothing random in it
    sharp = clean.transpose(0, 3, 1, 2)
    side = sharp.shape[-1]
    down = taps(side, side // scale).matrix(side)
    small = round_to_8_bits(np.asarray(down @ sharp @ down.T, dtype=np.float32))
    edge = _MARGIN * scale
    return (
        np.ascontiguousarray(small[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]),
        np.ascontiguousarray(sharp[..., edge:-edge, edge:-edge]),
    )


def _pair(clean: Float, seed: int, *, scale: int) -> tuple[Float, Float]:
    del seed  # nothing random in it
    return shrink(clean, scale).transpose(2, 0, 1), clean


def make_task(
    folders: Sequence[Path],
    exclude: Sequence[str],
    batch: int | None,
    network: nn.Module,
    *,
    scale: int,
) -> Task:
    """Random patches, shrunk by bicubic interpolation as MATLAB's imresize does."""
    return restoration_task(
        network,
        folders,
        exclude,
        degrade=partial(degrade, scale=scale),
        probes=[Probe(f"x{scale}", partial(_pair, scale=scale), scale)],
        batch_size=batch or _BATCH,
        crop=scale * (_PATCHES[scale] + 2 * _MARGIN),
    )


def recipe_for(scale: int) -> Recipe:
    """The recipe of one scale."""
    return Recipe(
        task=partial(make_task, scale=scale),
        metric="psnr",
        batch=_BATCH,
        steps=60_000,
        rate=1e-3,
        muon=4.0,
        clip=0.5,
        warmup=200,
    )
