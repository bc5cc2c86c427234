"""What restoring and enlarging must do about transparency."""

from __future__ import annotations

import numpy as np

from imgfx.image import Depth, Image, Pixels, float_from_pixels, pixels_from_float
from imgfx.resample import apply_taps, taps
from imgfx.result import depth_between

_ROUNDS = 8
"""Pixels that colours are carried into transparent areas; interpolation reaches two."""
_BAND = 1 << 20
"""Values that are made at a time, so that a large image is not held once more as float32."""
_SIDE = 128
"""Of the tiles in which colours are carried; most are all visible or all invisible, and quick."""


def enlarged_alpha(image: Image, scale: int) -> Pixels | None:
    """Alpha (scale * H, scale * W) by bicubic interpolation, so its edges stay on the picture's.

    It is float32, or uint16 where the enlarged pixels would be; alpha that is the same everywhere
    keeps its dtype.
    """
    alpha = image.alpha
    if alpha is None or scale == 1:
        return alpha
    height, width = scale * image.height, scale * image.width
    if (alpha == alpha[0, 0]).all():
        return np.full((height, width), alpha[0, 0], alpha.dtype)
    depth = depth_between(image, height * width * image.pixels.shape[2])
    rows, columns = taps(image.height, height), taps(image.width, width)
    result: Pixels = np.empty((height, width), depth)
    step = max(1, _BAND // width)
    for top in range(0, height, step):
        band = apply_taps(alpha, rows.window(top, top + step), columns)
        result[top : top + step] = pixels_from_float(np.clip(band, 0, 1, out=band), depth)
    return result


def with_carried_colours(image: Image) -> Image:
    """The image with the colours of visible pixels carried a little into invisible ones.

    What lies below fully transparent pixels is often black, and a network or interpolation would
    mix it into the visible edge as a dark fringe. Visible pixels keep every bit, and invisible ones
    that are too far away become black.
    """
    if image.alpha is None or image.alpha.all() or not image.alpha.any():
        return image
    pixels = image.pixels.copy()
    for top in range(0, image.height, _SIDE):
        for left in range(0, image.width, _SIDE):
            _carry(image, pixels, top, left)
    return image.with_pixels(pixels)


def with_hidden_pixels(image: Image, pixels: Pixels) -> Pixels:
    """Pixels of the image's size, with the image's own where it is fully transparent.

    Args:
        image: of any depth.
        pixels: (H, W, C) of any depth; written to.
    """
    if image.alpha is None or image.alpha.all():
        return pixels
    for top in range(0, image.height, _SIDE):
        rows = slice(top, top + _SIDE)
        hidden = ~(image.alpha[rows] > 0)
        pixels[rows][hidden] = _of_depth(image.pixels[rows][hidden], pixels)
    return pixels


def _carry(image: Image, pixels: Pixels, top: int, left: int) -> None:
    """Fills the invisible pixels of a tile, looking no further than colours are carried."""
    assert image.alpha is not None
    tile = np.s_[top : top + _SIDE, left : left + _SIDE]
    hidden = ~(image.alpha[tile] > 0)
    if not hidden.any():
        return
    above, before = max(0, top - _ROUNDS), max(0, left - _ROUNDS)
    seen = np.s_[above : top + _SIDE + _ROUNDS, before : left + _SIDE + _ROUNDS]
    known = image.alpha[seen] > 0
    colours = np.where(known[..., None], float_from_pixels(image.pixels[seen]), np.float32(0))
    for _ in range(_ROUNDS):
        weight = _sum_of_neighbours(known.astype(np.float32))
        reached = (weight > 0) & ~known
        if not reached.any():
            break
        colours[reached] = _sum_of_neighbours(colours)[reached] / weight[reached, None]
        known |= reached
    height, width = hidden.shape
    filled = colours[top - above :, left - before :][:height, :width][hidden]
    pixels[tile][hidden] = _of_depth(filled, pixels)


def _of_depth(values: Pixels, other: Pixels) -> Pixels:
    """Values of any depth in that of other pixels."""
    depth: Depth = other.dtype.name  # type: ignore[assignment]
    return pixels_from_float(values, depth)


def _sum_of_neighbours(values: Pixels) -> Pixels:
    """The sum over each pixel's 3x3 neighbourhood, itself included; zero beyond the border."""
    margins = [(1, 1), (1, 1)] + [(0, 0)] * (values.ndim - 2)
    padded = np.pad(values, margins)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    total: Pixels = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return total
