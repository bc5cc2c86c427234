"""The stage `gan-generate`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgfx.ranges import FiniteRange
from imgfx.stage import Item, Items, source, weights_option
from imgfx_gan_generate.model import MODELS

if TYPE_CHECKING:
    from imgfx.image import Image
    from imgfx.session import LoadedModel, Session


_MOST = 2**63
"""Numbers of images."""


class GeneratedItems:
    """`count` images of a seed; each depends on the seed and its number alone."""

    def __init__(
        self,
        loaded: LoadedModel,
        label: str,
        seed: int,
        count: int,
        temperature: float,
        first: int = 0,
    ) -> None:
        self._loaded, self._label, self._seed = loaded, label, seed
        self._temperature, self._first = temperature, first
        self.count: int | None = count

    def __iter__(self) -> Iterator[Item]:
        for number in range(self._first, self._first + (self.count or 0)):
            name = f"{self._label}_{self._seed}_{number:04d}"
            load = partial(_image, self._loaded, self._seed, number, self._temperature, name)
            alone = {"first": number, "count": 1}
            yield Item(f"gan-generate #{number}", load, name=name, again=alone)


def _image(loaded: LoadedModel, seed: int, number: int, temperature: float, name: str) -> Image:
    from imgfx.image import Image
    from imgfx.latents import latent_vectors

    latent = latent_vectors(seed, [number], loaded.spec.latent, temperature)
    return Image(loaded.generate(latent)[0], name=name)


@source("gan-generate")
@click.option(
    "--count", type=click.IntRange(1), default=1, show_default=True, help="How many images."
)
@click.option(
    "--first",
    type=click.IntRange(0, _MOST - 1),
    default=0,
    show_default=True,
    metavar="NUMBER",
    help="The number of the first image; the following ones count on.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="The same seed gives the same images on the same engine.",
)
@click.option(
    "--model",
    type=click.Choice(["faces", "fashion"]),  # written out for completion
    default="fashion",
    show_default=True,
    help="What is generated: fashion (28x28, gray) or faces (64x64, colour).",
)
@click.option(
    "--temperature",
    type=FiniteRange(0, 2),
    default=0.85,
    show_default=True,
    help="Below 1 images are nearer to the usual, above more varied and stranger.",
)
@weights_option
def generate(
    session: Session,
    count: int,
    first: int,
    seed: int,
    model: str,
    temperature: float,
    weights: Path | None,
) -> Items:
    """Make new images with the generator of a GAN.

    Image number k of a seed is always the same, whatever --count is.

    \b
    Examples:
      imgfx gan-generate --count 64 --seed 7 save out
      imgfx gan-generate --model faces --count 8 save faces/
      imgfx gan-generate --seed 3 superres-rednet --scale 4 save dress.png
    """
    if first + count > _MOST:
        raise click.UsageError(f"gan-generate: --first and --count lead beyond number {_MOST - 1}")
    loaded = session.load(MODELS[model], weights)
    return GeneratedItems(loaded, model, seed, count, temperature, first)
