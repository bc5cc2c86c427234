"""The stage `unsharp`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from imgfx.api import image_filter

if TYPE_CHECKING:
    from imgfx.api import Image


@image_filter("unsharp")
@click.option(
    "--radius",
    type=click.FloatRange(0.1, 100),
    default=1.5,
    show_default=True,
    metavar="PIXELS",
    help="Standard deviation of the blur: about the width of what is sharpened, 0.1 to 100.",
)
@click.option(
    "--amount",
    type=click.FloatRange(0, 10),
    default=0.7,
    show_default=True,
    metavar="0..10",
    help="How much of the difference to the blurred image is added.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 255),
    default=0.0,
    show_default=True,
    metavar="LEVELS",
    help="Of 255: smaller differences stay, larger ones count from here; spares noise.",
)
def unsharp(image: Image, radius: float, amount: float, threshold: float) -> Image:
    """Sharpen by an unsharp mask.

    The difference between the image and a blurred copy is added to it. Gray, depth, alpha and
    metadata are kept; colours hidden under transparency do not leak into edges.

    \b
    Examples:
      imgfx open a.jpg unsharp save b.jpg
      imgfx open scan.tif unsharp --radius 2 --amount 1.2 --threshold 3 save sharp.tif
      imgfx open photos superres-rednet --scale 2 unsharp --amount 0.3 save out
    """
    from imgfx_unsharp.mask import Mask, sharpened

    if amount == 0:
        return image
    mask = Mask(radius, amount, threshold / 255)
    return image.with_pixels(sharpened(image.pixels, image.alpha, mask, image.depth))
