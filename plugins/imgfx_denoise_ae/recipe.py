"""How denoise-ae is trained: which noise is added, and what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imgfx.degradations import add_noise, round_to_8_bits
from imgfx.files import jpeg_round_trip
from imgfx.training.recipe import Recipe, Rng, Task
from imgfx.training.restoration import Probe, psnr_loss, restoration_task
from imgfx_denoise_ae.model import FULL_SCALE, UNKNOWN

if TYPE_CHECKING:
    from torch import nn

Float = npt.NDArray[np.float32]

_PATCH = 192
"""Side of a patch: the network sees 96 pixels far, and beyond a patch's border there is nothing."""
_SMALLEST = 96
"""Shorter side of a photo that is learned from; it goes on as in a mirror up to a patch's."""
_LARGEST_SIGMA = 55.0
"""Of noise that the network must find out by itself; told, it learns up to FULL_SCALE."""
_GRAY_SHARE = 0.1
_KNOWN_SHARE = 0.35
_SENSOR_SHARE = 0.1
_JPEG_SHARE = 0.1
_CLEAN_SHARE = 0.04


def degrade(clean: Float, rng: Rng) -> tuple[Float, Float]:
    """Noisy inputs (N, 4, H, W) and clean targets (N, 3, H, W) from (N, H, W, 3) crops."""
    clean = clean.copy()
    gray = rng.random(len(clean)) < _GRAY_SHARE
    clean[gray] = clean[gray].mean(axis=3, keepdims=True)
    inputs = np.empty((len(clean), 4, *clean.shape[1:3]), np.float32)
    for row, patch, is_gray in zip(inputs, clean, gray, strict=True):
        noisy, plane = _noisy(patch, bool(is_gray), rng)
        row[:3] = noisy.transpose(2, 0, 1)
        row[3] = plane
    return inputs, np.ascontiguousarray(clean.transpose(0, 3, 1, 2))


def _noisy(patch: Float, gray: bool, rng: Rng) -> tuple[Float, float]:
    """One noisy patch and the value of its sigma plane."""
    kind = rng.random()
    if kind < _CLEAN_SHARE:
        return patch, UNKNOWN
    if kind < _CLEAN_SHARE + _JPEG_SHARE:
        return jpeg_round_trip(patch, int(rng.integers(25, 96))), UNKNOWN
    known = rng.random() < _KNOWN_SHARE
    sigma = float(rng.uniform(0, FULL_SCALE if known else _LARGEST_SIGMA))
    shape = (*patch.shape[:2], 1) if gray else patch.shape
    noise = rng.standard_normal(shape, dtype=np.float32)
    if kind < _CLEAN_SHARE + _JPEG_SHARE + _SENSOR_SHARE:
        return round_to_8_bits(patch + noise * _sensor_deviation(patch, rng)), UNKNOWN
    plane = sigma / FULL_SCALE if known else UNKNOWN
    return round_to_8_bits(patch + noise * np.float32(sigma / 255)), plane


def _sensor_deviation(patch: Float, rng: Rng) -> Float:
    """Standard deviation of Poisson-Gaussian noise: shot noise grows with the signal.

    Source: Foi et al., Practical Poissonian-Gaussian Noise Modeling, 2008, eq. 3.
    """
    shot = 10.0 ** rng.uniform(-3.5, -1.8)
    read = (rng.uniform(0, 12) / 255) ** 2
    return np.asarray(np.sqrt(shot * np.clip(patch, 0, 1) + read), dtype=np.float32)


def network_input(noisy: Float, plane: float = UNKNOWN) -> Float:
    """(H, W, 3) and the sigma plane's value as (4, H, W)."""
    constant = np.full((1, *noisy.shape[:2]), plane, np.float32)
    return np.concatenate([noisy.transpose(2, 0, 1), constant])


def _noise_probe(sigma: int) -> Probe:
    def pair(clean: Float, seed: int) -> tuple[Float, Float]:
        return network_input(add_noise(clean, sigma, seed)), clean

    return Probe(f"sigma{sigma}", pair)


def make_task(
    folders: Sequence[Path], exclude: Sequence[str], batch: int | None, network: nn.Module
) -> Task:
    """Random 192x192 patches under Gaussian, sensor and JPEG noise, or none."""
    return restoration_task(
        network,
        folders,
        exclude,
        degrade=degrade,
        loss=psnr_loss,
        probes=[_noise_probe(25), _noise_probe(15), _noise_probe(50)],
        batch_size=batch or RECIPE.batch,
        crop=_PATCH,
        smallest=_SMALLEST,
    )


RECIPE = Recipe(
    task=make_task, metric="psnr", batch=4, steps=60_000, rate=1e-3, muon=2.0, clip=0.5, warmup=300
)
