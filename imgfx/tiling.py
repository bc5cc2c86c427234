"""Tiles: cut an image into windows with a halo, run each, stitch the results.

All windows of one image have the same size. A window at the image's border ends at the border, so
that the network sees there just what it sees when the image is run whole; inside the image, a
window reaches at least one halo beyond the part that is kept. Tiled and whole results are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from imgfx.model import ModelSpec

Float = npt.NDArray[np.float32]

_SMALLEST_TILE = 32
_MEMORY_PER_BATCH = 512 << 20


@dataclass(frozen=True)
class Span:
    """Along one axis, in input pixels: what is run, and the part of it that is kept."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


@dataclass(frozen=True)
class Window:
    """A rectangle of the image, in input pixels; within the image."""

    top: int
    bottom: int
    left: int
    right: int


Reader = Callable[[Window], Float]
"""Answers a window's pixels, (h, w, C) float32 in [0, 1]."""
Run = Callable[[Float], Float]
"""The network: (N, C, h, w) float32 -> (N, C', scale * h, scale * w) float32."""


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def spans(length: int, tile: int, halo: int, multiple: int) -> list[Span]:
    """The windows along an axis of `length` pixels, all of the same size.

    Windows start at multiples of `multiple` and have such sizes; the last may reach up to
    multiple - 1 pixels beyond the image, where it is padded. The axis is divided evenly into
    parts of at most `tile` pixels (rounded up to the multiple), as a narrow rest would cost as
    much as a whole window.
    """
    padded = _up(length, multiple)
    tile, halo = _up(max(1, tile), multiple), _up(halo, multiple)
    parts = -(-length // tile)
    tile = _up(-(-length // parts), multiple)
    size = min(padded, tile + 2 * halo)
    if size == padded:
        return [Span(0, padded, 0, length)]
    found = []
    for keep in range(0, length, tile):
        start = min(max(0, keep - halo), padded - size)
        found.append(Span(start, start + size, keep, min(keep + tile, length)))
    return found


def choose_tile(spec: ModelSpec, batch: int = 1) -> int:
    """The side of tiles of which a batch's fp32 activations fit in half a gigabyte."""
    pixels = _MEMORY_PER_BATCH / (4 * spec.floats_per_pixel * batch)
    side = int(pixels**0.5) - 2 * _up(spec.halo, spec.multiple_of)
    return max(_SMALLEST_TILE, side // spec.multiple_of * spec.multiple_of)


def largest_tile(spec: ModelSpec, window: int) -> int:
    """The side of tiles whose windows, halo and rounding included, are at most `window` pixels."""
    multiple = spec.multiple_of
    side = window // multiple * multiple - 2 * _up(spec.halo, multiple)
    return max(multiple, side)


def _read_padded(read: Reader, rows: Span, columns: Span, height: int, width: int) -> Float:
    """A window, mirrored where it reaches beyond the image's bottom or right border."""
    inside = Window(rows.start, min(rows.stop, height), columns.start, min(columns.stop, width))
    pixels = read(inside)
    below = rows.stop - rows.start - pixels.shape[0]
    right = columns.stop - columns.start - pixels.shape[1]
    if below or right:
        pixels = np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="symmetric")
    return pixels


def _batch(windows: Sequence[Float], conditions: Sequence[float]) -> Float:
    """(N, C + conditions, h, w) from (h, w, C) windows."""
    height, width, channels = windows[0].shape
    stacked = np.empty((len(windows), channels + len(conditions), height, width), np.float32)
    for row, window in zip(stacked, windows, strict=True):
        row[:channels] = window.transpose(2, 0, 1)
        for plane, value in zip(row[channels:], conditions, strict=True):
            plane[...] = value
    return stacked


def run_tiled(
    read: Reader,
    height: int,
    width: int,
    spec: ModelSpec,
    run: Run,
    *,
    tile: int | None = None,
    batch: int = 1,
    conditions: Sequence[float] = (),
) -> Float:
    """A whole image through a network, tile by tile.

    Args:
        read: answers the pixels of any window of the image.
        height: of the image, at least 1.
        width: of the image, at least 1.
        spec: scale, halo and multiples of the network.
        run: the network.
        tile: side of the kept part of a tile in input pixels; None chooses by memory, 0 runs
            the image whole.
        batch: tiles a call.
        conditions: values of the constant planes that the spec names.

    Returns:
        (scale * height, scale * width, C) float32.
    """
    side = choose_tile(spec, batch) if tile is None else tile or max(height, width)
    multiple = spec.multiple_of
    columns_of = spans(width, side, spec.halo, multiple)
    grid = list(product(spans(height, side, spec.halo, multiple), columns_of))
    result = np.empty((height * spec.scale, width * spec.scale, spec.channels), np.float32)
    for first in range(0, len(grid), batch):
        group = grid[first : first + batch]
        windows = [_read_padded(read, rows, columns, height, width) for rows, columns in group]
        outputs = run(_batch(windows, conditions))
        for (rows, columns), output in zip(group, outputs, strict=True):
            _keep(result, output, rows, columns, spec.scale)
    return result


def _keep(result: Float, output: Float, rows: Span, columns: Span, scale: int) -> None:
    """Copies the kept part of one tile's output to its place."""
    top, bottom = (scale * edge for edge in (rows.keep_start, rows.keep_stop))
    left, right = (scale * edge for edge in (columns.keep_start, columns.keep_stop))
    above, before = scale * rows.start, scale * columns.start
    part = output[:, top - above : bottom - above, left - before : right - before]
    result[top:bottom, left:right] = part.transpose(1, 2, 0)
