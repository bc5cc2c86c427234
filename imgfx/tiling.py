"""Tiles: cut an image into windows with a halo, run each, stitch the results.

A window reaches one halo beyond the part that is kept, or to the image's border, where the network
sees just what it sees when the image is run whole. Tiled and whole results are equal. Of all cuts
that fit the memory the one is taken that costs the fewest pixels, halos included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, product

import numpy as np
import numpy.typing as npt

from imgfx.model import ModelSpec

Float = npt.NDArray[np.float32]

_SMALLEST_TILE = 32


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
Keep = Callable[[Window, Float], None]
"""Given a rectangle in input pixels and its part of the result, (scale * h, scale * w, C)."""


Progress = Callable[[int, int], None]
"""Told how many of how many windows are done."""


def unwatched(_done: int, _of: int) -> None:
    """Progress that nobody is told of."""


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class Limits:
    """What bounds the windows of an image."""

    tile: int | None = None
    """Side of the kept part in input pixels; None leaves it to the others, 0 is the whole image."""
    side: int = 0
    """Of the largest window; 0 where there is no limit."""
    pixels: int = 0
    """Of the largest window; 0 where there is no limit. Tiles do not get smaller than 32."""


UNLIMITED = Limits()


def spans(length: int, parts: int, halo: int, multiple: int) -> list[Span]:
    """The windows along an axis of `length` pixels, divided evenly.

    Windows start at multiples of `multiple` and have such sizes; the last may reach up to
    multiple - 1 pixels beyond the image, where it is padded.
    """
    padded, halo = _up(length, multiple), _up(halo, multiple)
    tile = _up(-(-length // parts), multiple)
    found = []
    for keep in range(0, length, tile):
        stop = min(keep + tile, length)
        window = max(0, keep - halo), min(padded, _up(stop, multiple) + halo)
        found.append(Span(*window, keep, stop))
    return found


@lru_cache(maxsize=4096)
def _widest(length: int, parts: int, halo: int, multiple: int) -> int:
    """The longest of the windows."""
    return max(span.stop - span.start for span in spans(length, parts, halo, multiple))


@lru_cache(maxsize=4096)
def _cost(length: int, parts: int, halo: int, multiple: int) -> int:
    """Pixels along an axis that are run, halos included."""
    return sum(span.stop - span.start for span in spans(length, parts, halo, multiple))


def divided(height: int, width: int, spec: ModelSpec, limits: Limits) -> tuple[int, int]:
    """Into how many rows and columns of windows an image is cut."""
    if limits.tile is not None:
        tile = _up(limits.tile or max(height, width), spec.multiple_of)
        return -(-height // tile), -(-width // tile)
    if not limits.side and not limits.pixels:
        return 1, 1
    found = list(_fitting(height, width, spec, limits))
    if not found:  # not even the smallest tiles fit; they are taken
        return max(1, height // _SMALLEST_TILE), max(1, width // _SMALLEST_TILE)

    def cost(cut: tuple[int, int]) -> int:
        axes = zip((height, width), cut, strict=True)
        rows, columns = (_cost(n, k, spec.margin, spec.multiple_of) for n, k in axes)
        return rows * columns

    return min(found, key=cost)


def _fitting(height: int, width: int, spec: ModelSpec, limits: Limits) -> Iterator[tuple[int, int]]:
    """For each number of columns the fewest rows whose windows are within the limits."""
    most = height + width + 2 * spec.margin + 2 * spec.multiple_of
    side = limits.side or most
    rows, most_rows = max(1, height // _SMALLEST_TILE), max(1, width // _SMALLEST_TILE)
    for columns in range(1, most_rows + 1):
        across = _widest(width, columns, spec.margin, spec.multiple_of)
        if across > side:
            continue
        tallest = min(side, limits.pixels // across if limits.pixels else side)
        if _widest(height, rows, spec.margin, spec.multiple_of) > tallest:
            continue
        while rows > 1 and _widest(height, rows - 1, spec.margin, spec.multiple_of) <= tallest:
            rows -= 1
        yield rows, columns
        if rows == 1:
            return


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
    keep: Keep,
    *,
    limits: Limits = UNLIMITED,
    batch: int = 1,
    conditions: Sequence[float] = (),
    progress: Progress = unwatched,
) -> None:
    """A whole image through a network, tile by tile.

    Args:
        read: answers the pixels of any window of the image.
        height: of the image, at least 1.
        width: of the image, at least 1.
        spec: scale, halo and multiples of the network.
        run: the network.
        keep: given each part of the result once.
        limits: of the windows.
        batch: windows of the same size a call.
        conditions: values of the constant planes that the spec names.
        progress: told before the first window, and after each call of the network.
    """
    down, across = divided(height, width, spec, limits)
    halo, multiple = spec.margin, spec.multiple_of
    grid = list(product(spans(height, down, halo, multiple), spans(width, across, halo, multiple)))
    done = 0
    progress(done, len(grid))
    for group in _alike(grid, batch, limits.pixels):
        windows = [_read_padded(read, rows, columns, height, width) for rows, columns in group]
        outputs = run(_batch(windows, conditions))
        for (rows, columns), output in zip(group, outputs, strict=True):
            kept = Window(rows.keep_start, rows.keep_stop, columns.keep_start, columns.keep_stop)
            keep(kept, _kept(output, rows, columns, spec.scale))
        done += len(group)
        progress(done, len(grid))


def _alike(
    grid: Sequence[tuple[Span, Span]], batch: int, pixels: int
) -> Iterator[Sequence[tuple[Span, Span]]]:
    """Neighbours whose windows have one size, as many at a time as batch and pixels allow."""

    def size(cell: tuple[Span, Span]) -> tuple[int, int]:
        return cell[0].stop - cell[0].start, cell[1].stop - cell[1].start

    for (height, width), cells in groupby(grid, size):
        row = list(cells)
        most = min(batch, max(1, pixels // (height * width))) if pixels else batch
        for first in range(0, len(row), most):
            yield row[first : first + most]


def _kept(output: Float, rows: Span, columns: Span, scale: int) -> Float:
    """(h, w, C): of one window's output (C, ...) the part that is kept."""
    top, bottom = (scale * (edge - rows.start) for edge in (rows.keep_start, rows.keep_stop))
    left, right = (
        scale * (edge - columns.start) for edge in (columns.keep_start, columns.keep_stop)
    )
    return output[:, top:bottom, left:right].transpose(1, 2, 0)
