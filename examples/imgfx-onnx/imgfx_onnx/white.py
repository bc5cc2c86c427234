"""Whether white is 1 or 255 to a network, as far as its answers tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imgfx_onnx.graph import RunError
from imgfx_onnx.network import Float, Network
from imgfx_onnx.sizes import Sizes

_CLEAR = 0.02
"""A mean error from which on an answer is another picture."""
_LEAST_SIDE = 48


def told_white(network: Network, sizes: Sizes) -> float | None:
    """1.0 or 255.0; None where its answers to both are alike.

    A network that restores answers about the picture that it was given. Given it in the wrong
    range, one that clips, saturates or adds what it has learned answers another one; one without
    any of that does not care.
    """
    if network.graph.dtype == "uint8":
        return 255.0
    low, high = (_error(replace(network, white=white), sizes) for white in (1.0, 255.0))
    if low > _CLEAR and high < 0.5 * low:
        return 255.0
    if high > _CLEAR and low < 0.5 * high:
        return 1.0
    return None


def _error(network: Network, sizes: Sizes) -> float:
    """Mean difference of a smooth picture and what is made of it, shrunk to its size."""
    picture = _picture(network, sizes)
    try:
        answer = network(picture)
    except RunError:
        return float("inf")
    _, channels, height, width = picture.shape
    cells = answer.reshape(channels, height, sizes.scale, width, sizes.scale)
    difference = np.abs(cells.mean(axis=(2, 4)) - picture[0])
    return float(np.nan_to_num(difference, nan=np.inf).mean())


def _picture(network: Network, sizes: Sizes) -> Float:
    """(1, channels, h, w): slow waves around a bright gray, of other phases in each channel."""
    side = sizes.multiple * -(-max(_LEAST_SIDE, sizes.smallest) // sizes.multiple)
    height, width = network.fixed or (side, side)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    phases = np.arange(network.channels, dtype=np.float32)[:, None, None]
    waves = 0.55 + 0.2 * np.sin(6 * y / height + phases) + 0.2 * np.cos(5 * x / width - phases)
    return np.asarray(waves[None], np.float32)
