"""The acceptance gate: a newly built engine must agree with PyTorch in fp32, or it is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from imgfx.errors import EngineError
from imgfx.latents import latent_vectors
from imgfx.model import ModelSpec

Float = npt.NDArray[np.float32]
Run = Callable[[Float], Float]

LIMITS = {"fp32": 80.0, "fp16": 55.0, "bf16": 42.0, "int8": 38.0}
"""Least PSNR by precision, in dB on outputs in [0, 1], on the worst probe. That is noise in every
pixel, where RED-Net-30 in bf16 has 44.5 dB in PyTorch itself, and 56 dB on a photograph."""
_SIDE = 96
_NO_NUMBERS = float("-inf")


def probes(spec: ModelSpec) -> Float:
    """Inputs of many kinds: flat, gradients, edges, texture, noise; (N, C, H, W) or (N, latent)."""
    if spec.latent:
        return latent_vectors(0, range(4), spec.latent)
    side = -(-_SIDE // spec.multiple_of) * spec.multiple_of
    rows, columns = np.meshgrid(*2 * [np.linspace(0, 1, side)], indexing="ij")
    random = np.random.default_rng(0)
    gray = [
        np.full((side, side), 0.02),
        rows * columns,
        ((rows + columns) * 9).astype(int) % 2 * 0.9 + 0.05,
        0.5 + 0.4 * np.sin(40 * rows**2 + 25 * columns),
        np.clip(rows + random.normal(0, 0.1, rows.shape), 0, 1),
        random.random(rows.shape),
    ]
    colours = np.stack(gray)[:, None] * np.linspace(1, 0.7, spec.channels)[:, None, None]
    planes = [np.full((len(gray), 1, side, side), value) for value in _conditions(spec)]
    return np.concatenate([colours, *planes], axis=1).astype(np.float32)


def _conditions(spec: ModelSpec) -> list[float]:
    return [0.3] * len(spec.conditions)


def agreement(run: Run, reference: Run, spec: ModelSpec) -> float:
    """PSNR in dB of a network's outputs against the reference's; minus infinity for non-numbers."""
    inputs = probes(spec)
    worst = float("inf")
    for start in range(len(inputs)):
        one = inputs[start : start + 1]
        output, expected = run(one), reference(one)
        if output.shape != expected.shape or not np.isfinite(output).all():
            return _NO_NUMBERS
        error = float(np.square(output.astype(np.float64) - expected).mean())
        worst = min(worst, 10 * np.log10(1 / max(error, 1e-20)))
    return worst


def check(psnr: float, precision: str, what: str) -> None:
    """Refuses an engine that does not agree.

    Raises:
        EngineError: it is below the limit of its precision.
    """
    limit = LIMITS.get(precision, LIMITS["bf16"])
    if psnr < limit:
        raise EngineError(
            f"{what}: refused: its results in {precision} are {psnr:.1f} dB from PyTorch's in "
            f"fp32, at least {limit:g} dB are needed"
        )
