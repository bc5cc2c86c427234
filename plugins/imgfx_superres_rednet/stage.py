"""The stage `superres-rednet`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgfx.stage import Apply, learned_filter, self_ensemble_option, weights_option
from imgfx_superres_rednet.model import MODEL

if TYPE_CHECKING:
    from imgfx.image import Image
    from imgfx.session import Session


@learned_filter("superres-rednet", parallel=True)
@click.option(
    "--scale",
    type=click.Choice(["1", "2", "3", "4"]),
    default="2",
    show_default=True,
    help="Times larger on a side; 1 sharpens a soft image and keeps its size.",
)
@self_ensemble_option
@weights_option
def superres(session: Session, scale: str, self_ensemble: bool, weights: Path | None) -> Apply:
    """Enlarge or sharpen with RED-Net-30.

    The image is enlarged by bicubic interpolation, then the network restores what that lost. Gray
    stays gray, 16 bits stay 16 bits, alpha is enlarged along.

    \b
    Examples:
      imgfx open a.jpg superres-rednet --scale 2 save b.png
      imgfx open soft.jpg superres-rednet --scale 1 save sharp.png
      cat a.png | imgfx denoise-ae | imgfx superres-rednet --scale 4 > b.png
    """
    from imgfx.alpha import enlarged_alpha, with_carried_colours

    loaded = session.load(MODEL, weights)
    factor = int(scale)

    def apply(image: Image) -> Image:
        shown = with_carried_colours(image)
        pixels = loaded.restore(shown, enlarge=factor, self_ensemble=self_ensemble)
        return image.with_pixels(pixels, enlarged_alpha(image, factor))

    return apply
