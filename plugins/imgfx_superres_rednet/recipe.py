"""How superres-rednet is trained: soft images of four kinds, and what is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imgfx.degradations import enlarge, lecture, round_to_8_bits, shrink
from imgfx.resample import taps
from imgfx.training.recipe import Recipe, Rng, Task
from imgfx.training.restoration import Probe, restoration_task

if TYPE_CHECKING:
    from torch import nn

Float = npt.NDArray[np.float32]

_PATCH = 96
"""Side of a patch: the network sees 30 pixels far, and beyond a patch's border there is nothing."""
_MARGIN = 12
_CROP = _PATCH + 2 * _MARGIN
_SMALLEST = 72
"""Shorter side of a photo that is learned from; it goes on as in a mirror up to a crop's."""
SCALES = (1, 2, 3, 4)
_SHARES = (0.25, 0.55, 0.1, 0.1)
"""More than half for scale 2, which is asked for most. Scales 1 and 2 look alike, and what one of
them gains by its share the other loses (docs/decisions/021)."""


@lru_cache
def _matrices(scale: int, crop: int) -> tuple[Float, Float]:
    """(shrink, enlarge) for one axis of a crop; scale 1 is the lecture's protocol."""
    if scale == 1:
        half = crop // 2
        down = taps(crop, half, "linear", antialias=False).matrix(crop)
        return down, taps(half, crop, "linear", antialias=False).matrix(half)
    small = crop // scale
    return taps(crop, small).matrix(crop), taps(small, crop).matrix(small)


def _along_both(matrix: Float, images: Float) -> Float:
    return np.asarray(matrix @ images @ matrix.T, dtype=np.float32)


def small_and_soft(images: Float, scale: int) -> tuple[Float, Float]:
    """(..., s, s) shrunk, and enlarged again, rounded to 8 bits after each; s a multiple of 12."""
    down, up = _matrices(scale, images.shape[-1])
    small = round_to_8_bits(_along_both(down, images))
    return small, round_to_8_bits(_along_both(up, small))


def soften(images: Float, scale: int) -> Float:
    """(..., s, s) shrunk and enlarged again; see `small_and_soft`."""
    return small_and_soft(images, scale)[1]


def drawn_scales(rng: Rng, number: int) -> npt.NDArray[np.int_]:
    """A scale for each of `number` crops."""
    return rng.choice(SCALES, size=number, p=_SHARES)


def degrade(clean: Float, rng: Rng) -> tuple[Float, Float]:
    """Soft and sharp patches (N, 3, 96, 96) from (N, 120, 120, 3) crops, a scale drawn for each.

    The crop's margin is thrown away, so that no patch shows the resizing's own border.
    """
    sharp = np.ascontiguousarray(clean.transpose(0, 3, 1, 2))
    soft = np.empty_like(sharp)
    drawn = drawn_scales(rng, len(sharp))
    for scale in SCALES:
        soft[drawn == scale] = soften(sharp[drawn == scale], scale)
    middle = (..., slice(_MARGIN, -_MARGIN), slice(_MARGIN, -_MARGIN))
    return np.ascontiguousarray(soft[middle]), np.ascontiguousarray(sharp[middle])


def _probe(name: str, soft: Callable[[Float], Float], border: int) -> Probe:
    def pair(clean: Float, seed: int) -> tuple[Float, Float]:
        del seed  # nothing random in it
        return soft(clean).transpose(2, 0, 1), clean

    return Probe(name, pair, border)


def _resized(scale: int) -> Callable[[Float], Float]:
    return lambda clean: enlarge(shrink(clean, scale), scale)


def make_task(
    folders: Sequence[Path], exclude: Sequence[str], batch: int | None, network: nn.Module
) -> Task:
    """Random 96x96 patches, softened by scales 1 (the lecture's protocol), 2, 3 and 4."""
    from imgfx_superres_rednet.taught import SoftTask

    probes = [_probe(f"x{scale}", _resized(scale), scale) for scale in (2, 3, 4)]
    plain = restoration_task(
        network,
        folders,
        exclude,
        degrade=degrade,
        probes=[_probe("lecture", lecture, 0), *probes],
        batch_size=batch or RECIPE.batch,
        crop=_CROP,
        smallest=_SMALLEST,
    )
    return SoftTask.of(plain)


RECIPE = Recipe(
    task=make_task, metric="psnr", batch=4, steps=40_000, rate=5e-4, muon=3.0, clip=0.5, warmup=150
)
