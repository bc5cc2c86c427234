"""The stage `deblur`: all of it comes with the model."""

from __future__ import annotations

from imgfx.api import model_filter
from imgfx_deblur.model import MODEL

deblur = model_filter(
    "deblur",
    MODEL,
    help="""Sharpen what is out of focus or slightly shaken, with a network.

    Gray stays gray, 16 bits stay 16 bits, alpha is kept. The package has no weights of its own:
    `imgfx train deblur` makes some.

    \b
    Examples:
      imgfx open soft.jpg deblur --weights deblur.safetensors save sharp.png
      imgfx open soft.jpg deblur --weights deblur.safetensors --strength 0.5 save sharp.png
    """,
)
