"""The stage `superres-rednet`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgfx.ranges import FiniteRange
from imgfx.stage import Apply, learned_filter, self_ensemble_option, weights_option
from imgfx_superres_rednet.model import MODEL

if TYPE_CHECKING:
    from imgfx.session import Session


@learned_filter("superres-rednet", parallel=True)
@click.option(
    "--scale",
    type=click.Choice(["1", "2", "3", "4"]),
    default="2",
    show_default=True,
    help="Times larger on a side; 1 sharpens a soft image and keeps its size.",
)
@click.option(
    "--strength",
    type=FiniteRange(0, 1),
    default=1.0,
    show_default=True,
    metavar="0..1",
    help="How much of the network's change is made; 0 is bicubic interpolation alone.",
)
@self_ensemble_option
@weights_option
def superres(
    session: Session, scale: str, strength: float, self_ensemble: bool, weights: Path | None
) -> Apply:
    """Enlarge or sharpen with RED-Net-30.

    The image is enlarged by bicubic interpolation, then the network restores what that lost. Gray
    stays gray, 16 bits stay 16 bits, alpha is enlarged along.

    \b
    Examples:
      imgfx open a.jpg superres-rednet --scale 2 save b.png
      imgfx open soft.jpg superres-rednet --scale 1 --strength 0.6 save sharp.png
      cat a.png | imgfx denoise-ae | imgfx superres-rednet --scale 4 > b.png
    """
    loaded = session.load(MODEL, weights)
    return partial(loaded.apply, enlarge=int(scale), strength=strength, self_ensemble=self_ensemble)
