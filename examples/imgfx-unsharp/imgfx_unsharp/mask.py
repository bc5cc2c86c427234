"""The unsharp mask: an image plus what a blur takes from it.

It works on the values as the file has them, in gamma light, and not in linear light. Such values
are spaced about as the eye sees: the dark line and the bright line that sharpening draws along an
edge look equally strong. In linear light the same mask draws black lines and hardly any white ones.
Besides, linear light would need the curve of the image's own profile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imgfx.api import float_from_pixels, pixels_from_float
from imgfx_unsharp.gaussian import Float, blurred_band, mirrored, reach

if TYPE_CHECKING:
    from typing import Literal

Pixels = npt.NDArray[Any]

_BAND = 1 << 22
"""Values of a band, about: 16 MB as float32, and a handful of such arrays at a time."""
_LARGE = 1 << 26
"""Values of a result from which on it is kept in 16 bits, not in 32, as imgfx's models do."""
_INVISIBLE = 1e-6
"""Of the blurred alpha: below it nothing around a pixel can be seen."""


@dataclass(frozen=True)
class Mask:
    """How an image is sharpened."""

    radius: float
    """Standard deviation of the Gaussian, in pixels."""
    amount: float
    """How much of the difference is added; 1 is all of it."""
    threshold: float = 0.0
    """In [0, 1]: differences are lessened by it and at most to nothing, so that none jumps."""


def sharpened(
    pixels: Pixels, alpha: Pixels | None, mask: Mask, depth: Literal["uint8", "uint16", "float32"]
) -> Pixels:
    """(H, W, C) of any depth, with (H, W) alpha or None -> (H, W, C) in [0, 1].

    Float32, but uint16 when there are more than 67 million values and `depth`, the file's, is not
    float32. The image is worked on in bands of rows: beside the result, memory holds one of them.
    """
    large = pixels.size > _LARGE and depth != "float32"
    result = np.empty(pixels.shape, "uint16" if large else "float32")
    for rows, padded in _bands(pixels.shape, mask.radius):
        values = float_from_pixels(pixels[padded])
        veil = None if alpha is None else float_from_pixels(alpha[padded])[..., None]
        band = _sharpened_band(values, veil, mask)
        result[rows] = pixels_from_float(band, "uint16") if large else band
    return result


def _bands(shape: tuple[int, ...], radius: float) -> Iterator[tuple[slice, npt.NDArray[np.intp]]]:
    """The rows of each band, and their indices with `reach` more at both ends, mirrored."""
    height, far = shape[0], reach(radius)
    size = max(1, _BAND // (shape[1] * shape[2]), 2 * far)
    for top in range(0, height, size):
        bottom = min(top + size, height)
        yield slice(top, bottom), mirrored(np.arange(top - far, bottom + far), height)


def _sharpened_band(values: Float, veil: Float | None, mask: Mask) -> Float:
    """(h + 2 * reach, W, C) and alpha (h + 2 * reach, W, 1) -> (h, W, C)."""
    far = reach(mask.radius)
    inner = values[far : len(values) - far]
    change = inner - _surroundings(values, inner, veil, mask.radius)
    if mask.threshold:
        change = np.sign(change) * np.maximum(np.abs(change) - np.float32(mask.threshold), 0)
    change *= np.float32(mask.amount)
    change += inner
    return np.clip(change, 0, 1, out=change)


def _surroundings(values: Float, inner: Float, veil: Float | None, sigma: float) -> Float:
    """The blurred image; with alpha, each pixel counts as much as it can be seen.

    What lies below transparency is often black, and would be sharpened against as a dark edge.
    """
    if veil is None:
        return blurred_band(values, sigma)
    seen = blurred_band(veil, sigma)
    colours = blurred_band(values * veil, sigma)
    return np.where(seen > _INVISIBLE, colours / np.maximum(seen, _INVISIBLE), inner)
