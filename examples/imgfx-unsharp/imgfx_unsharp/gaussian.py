"""A Gaussian blur, one axis at a time, of any band of rows of an image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]

_TRUNCATE = 4.0
"""Standard deviations at which the kernel ends, as in SciPy's `gaussian_filter`."""


def reach(sigma: float) -> int:
    """How many pixels to each side the kernel has."""
    return int(_TRUNCATE * sigma + 0.5)


def weights(sigma: float) -> Float:
    """One half of the kernel: the middle's weight, then those of its neighbours outwards."""
    distance = np.arange(reach(sigma) + 1)
    half = np.exp(-0.5 * np.square(distance / sigma))
    return np.asarray(half / (2 * half.sum() - half[0]), np.float32)


def mirrored(index: npt.NDArray[np.intp], length: int) -> npt.NDArray[np.intp]:
    """Indices beyond an axis's ends folded back, the end sample repeated: c b a | a b c | c b a."""
    period = index % (2 * length)
    return np.where(period < length, period, 2 * length - 1 - period)


def blurred_rows(padded: Float, sigma: float) -> Float:
    """(h + 2 * reach, ...) -> (h, ...), blurred along the first axis.

    The kernel is symmetric, so each weight multiplies the sum of two rows.
    """
    middle, *outer = weights(sigma)
    far = reach(sigma)
    rows = len(padded) - 2 * far
    result: Float = middle * padded[far : far + rows]
    for step, weight in enumerate(outer, start=1):
        pair = padded[far - step : far - step + rows] + padded[far + step : far + step + rows]
        pair *= weight
        result += pair
    return result


def blurred_band(band: Float, sigma: float) -> Float:
    """(h + 2 * reach, W, C) -> (h, W, C), blurred along both axes; columns are mirrored."""
    far, width = reach(sigma), band.shape[1]
    rows = blurred_rows(band, sigma)
    columns = mirrored(np.arange(-far, width + far), width)
    turned = np.ascontiguousarray(rows.swapaxes(0, 1)[columns])
    return blurred_rows(turned, sigma).swapaxes(0, 1)
