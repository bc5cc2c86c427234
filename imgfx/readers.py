"""Windows of an image, as networks take them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imgfx.image import Image, float_from_pixels
from imgfx.resample import apply_taps, taps
from imgfx.tiling import Reader, Window

Float = npt.NDArray[np.float32]


def rgb_reader(image: Image, channels: int = 3) -> Reader:
    """Reads windows of an image as float32; gray is repeated in all channels."""

    def read(window: Window) -> Float:
        part = image.pixels[window.top : window.bottom, window.left : window.right]
        values = float_from_pixels(part)
        return np.broadcast_to(values, (*values.shape[:2], channels))

    return read


def enlarged_reader(image: Image, scale: int, channels: int = 3) -> Reader:
    """Reads windows of the image enlarged by bicubic interpolation, clipped to [0, 1].

    Only the window is ever computed, so the enlarged image need not fit in memory.
    """
    if scale == 1:
        return rgb_reader(image, channels)
    rows = taps(image.height, scale * image.height)
    columns = taps(image.width, scale * image.width)

    def read(window: Window) -> Float:
        across = columns.window(window.left, window.right)
        values = apply_taps(image.pixels, rows.window(window.top, window.bottom), across)
        np.clip(values, 0, 1, out=values)
        return np.broadcast_to(values, (*values.shape[:2], channels))

    return read
