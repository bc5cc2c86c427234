"""Make new images with the generator of a GAN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgfx.hookspecs import hookimpl

if TYPE_CHECKING:
    from imgfx.model import Model
    from imgfx.stage import StageCommand


@hookimpl
def imgfx_stages() -> Sequence[StageCommand]:
    """The stage `gan-generate`."""
    from imgfx_gan_generate.stage import generate

    return [generate]


@hookimpl
def imgfx_models() -> Sequence[Model]:
    """The generators of clothes and of faces, and the classifier that measures the first."""
    from imgfx_gan_generate.model import CLASSIFIER_MODEL, FACES, FASHION

    return [FASHION, FACES, CLASSIFIER_MODEL]
