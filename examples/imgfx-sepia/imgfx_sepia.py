"""Tone an image like an old photograph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from imgfx.api import StageCommand, hookimpl, image_filter

if TYPE_CHECKING:
    from imgfx.api import Image

_TONE = (
    (0.393, 0.769, 0.189),
    (0.349, 0.686, 0.168),
    (0.272, 0.534, 0.131),
)
"""Red, green and blue of the sepia image, each a mix of the original's three."""


@image_filter("sepia")
@click.option(
    "--amount",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    metavar="0..1",
    help="0 changes nothing, 1 is full sepia.",
)
def sepia(image: Image, amount: float) -> Image:
    """Tone an image like an old photograph.

    A gray image becomes an RGB one. Alpha, depth and metadata are kept.

    \b
    Examples:
      imgfx open a.jpg sepia save b.jpg
      imgfx open photos denoise-ae sepia --amount 0.4 save out
    """
    # Imported here, so that `imgfx --help` and `imgfx sepia --help` stay quick.
    import numpy as np

    if amount == 0:
        return image
    pixels = image.floats  # (H, W, 1 or 3) float32 in [0, 1], whatever the depth
    rgb = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    toned = np.minimum(rgb @ np.array(_TONE, np.float32).T, 1)
    # Rounding to the file's depth is left to the sink: the next filter gets every digit.
    return image.with_pixels(rgb + np.float32(amount) * (toned - rgb))


@hookimpl
def imgfx_stages() -> Sequence[StageCommand]:
    """The stage `sepia`."""
    return [sepia]
