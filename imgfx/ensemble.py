"""Geometric self-ensemble: a window restored in each of its eight positions, and the mean taken.

Turned and mirrored, a photograph is as likely as it was; a network that has learned from finitely
many of them answers a little differently for each position, and the mean of the eight answers is
nearer to the truth than one of them. The costs are eight times the arithmetic.

Source: Timofte et al., "Seven ways to improve example-based single image super resolution" (CVPR
2016), enhanced prediction; the name is that of Lim et al., "Enhanced Deep Residual Networks for
Single Image Super-Resolution" (CVPRW 2017), section 3.3. The code that goes with RED-Net (Mao et
al., NIPS 2016) measures so, too.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from imgfx.tiling import Run

Float = npt.NDArray[np.float32]

_HEIGHT, _WIDTH = 2, 3
_FLIPS: tuple[tuple[int, ...], ...] = ((), (_HEIGHT,), (_WIDTH,), (_HEIGHT, _WIDTH))
POSITIONS = tuple(product((False, True), _FLIPS))
"""Of a square: whether height and width are swapped, and which axes are mirrored before that."""


def self_ensembled(run: Run) -> Run:
    """The network that answers the mean of what `run` answers in the eight positions.

    Args:
        run: (N, C, h, w) float32 -> (N, C', scale * h, scale * w) float32, for any h and w. Planes
            that are constant, as conditions are, stay what they are.
    """

    def mean(batch: Float) -> Float:
        (_, _), *others = POSITIONS
        total = np.array(run(batch), np.float32)  # a copy, which is added to
        for swapped, flips in others:
            total += _back(run(_placed(batch, swapped, flips)), swapped, flips)
        total /= len(POSITIONS)
        return total

    return mean


def _placed(batch: Float, swapped: bool, flips: tuple[int, ...]) -> Float:
    placed = np.flip(batch, flips)
    if swapped:
        placed = placed.swapaxes(_HEIGHT, _WIDTH)
    return np.ascontiguousarray(placed)


def _back(output: Float, swapped: bool, flips: tuple[int, ...]) -> Float:
    if swapped:
        output = output.swapaxes(_HEIGHT, _WIDTH)
    return np.flip(output, flips)
