"""The stage `denoise-ae`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgfx.ranges import FiniteRange
from imgfx.stage import Apply, learned_filter, self_ensemble_option, weights_option
from imgfx_denoise_ae.model import FULL_SCALE, MODEL, UNKNOWN

if TYPE_CHECKING:
    from imgfx.session import Session

    _ParamType = click.ParamType[float | None]
else:
    _ParamType = click.ParamType  # generic only in the newest Click


class Sigma(_ParamType):
    """`auto`, or a noise level from 0 to 75."""

    name = "sigma"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        """None for auto."""
        if value is None or value == "auto":
            return None
        return FiniteRange(0, FULL_SCALE).convert(value, param, ctx)


@learned_filter("denoise-ae", parallel=True)
@click.option(
    "--strength",
    type=FiniteRange(0, 1),
    default=1.0,
    show_default=True,
    metavar="0..1",
    help="How much of the noise found is removed.",
)
@click.option(
    "--sigma",
    type=Sigma(),
    default="auto",
    show_default=True,
    metavar="auto|0..75",
    help="Standard deviation of the noise on the scale of 8 bits, when it is known.",
)
@self_ensemble_option
@weights_option
def denoise(
    session: Session,
    strength: float,
    sigma: float | None,
    self_ensemble: bool,
    weights: Path | None,
) -> Apply:
    """Remove noise with a convolutional denoising autoencoder.

    Works on noise of unknown strength: Gaussian, sensor noise, also after JPEG. Gray stays gray, 16
    bits stay 16 bits, alpha is left alone.

    \b
    Examples:
      imgfx open a.jpg denoise-ae save b.png
      imgfx open a.jpg denoise-ae --strength 0.6 save b.png
      cat a.png | imgfx denoise-ae --sigma 25 > b.png
    """
    loaded = session.load(MODEL, weights)
    plane = UNKNOWN if sigma is None else sigma / FULL_SCALE
    return partial(
        loaded.apply, conditions=(plane,), strength=strength, self_ensemble=self_ensemble
    )
