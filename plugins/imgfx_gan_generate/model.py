"""The generators and the classifier that measures one, described without importing torch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgfx.model import Model, ModelSpec, bundled_weights

if TYPE_CHECKING:
    from torch import nn

    from imgfx.training.recipe import Recipe

GENERATOR = "dcgan-2"
CLASSIFIER = "small-classifier-1"


def generator_spec(
    size: int = 28, channels: int = 1, width: int = 192, doublings: int = 2, latent: int = 64
) -> ModelSpec:
    """The spec of a generator of size x size images.

    Args:
        size: side of the images in pixels, a multiple of 2 ** doublings.
        channels: 1 gray, 3 RGB.
        width: channels at the smallest resolution; each doubling halves them.
        doublings: of the resolution, from the smallest to the image's.
        latent: length of the random vector.
    """
    options = {"size": size, "width": width, "doublings": doublings}
    return ModelSpec(architecture=GENERATOR, channels=channels, latent=latent, options=options)


def classifier_spec(width: int = 32, channels: int = 1, classes: int = 10) -> ModelSpec:
    """The spec of a classifier with features of 4 * width numbers."""
    options = {"width": width, "classes": classes}
    return ModelSpec(architecture=CLASSIFIER, channels=channels, options=options)


def _build(spec: ModelSpec) -> nn.Module:
    from imgfx_gan_generate.networks import Generator

    return Generator(spec)


def _recipe(variant: str) -> Recipe:
    from imgfx_gan_generate.recipe import RECIPES

    return RECIPES[variant]


def _build_classifier(spec: ModelSpec) -> nn.Module:
    from imgfx_gan_generate.networks import Classifier

    return Classifier(spec)


def _classifier_recipe() -> Recipe:
    from imgfx_gan_generate.classifier import RECIPE

    return RECIPE


_KIND = (
    "The generator of a generative adversarial network (DCGAN, Radford, Metz, Chintala, 2016), "
    "trained with originals and fakes in one extended minibatch, and with sigmoid cross-entropy on "
    "the discriminator's logits."
)

FASHION = Model(
    name="gan-generate",
    spec=generator_spec(),
    build=_build,
    weights=bundled_weights("gan-generate"),
    recipe=partial(_recipe, "fashion"),
    judge="fashion-classifier",
    describe=f"{_KIND} It makes 28x28 gray pictures of clothes.",
)

FACES = Model(
    name="gan-generate-faces",
    spec=generator_spec(size=64, channels=3, width=256, doublings=4),
    build=_build,
    weights=bundled_weights("gan-generate-faces"),
    recipe=partial(_recipe, "faces"),
    describe=f"{_KIND} It makes 64x64 pictures of faces.",
    caution=(
        "The people in these pictures do not exist; a likeness to anyone is by chance. Whom the "
        "training data show often, the generator shows often and well, others rarely and badly, so "
        "its pictures stand for nobody but that collection. CelebA (Liu, Luo, Wang, Tang, Deep "
        "Learning Face Attributes in the Wild, ICCV 2015), where it is named below, holds "
        "photographs of celebrities found on the web: light-skinned, young, made-up and smiling "
        "faces that look into a camera are over-represented in it; it and weights trained on it "
        "are for non-commercial research only. Do not use the pictures to pass off made-up people "
        "as real ones, nor to identify or judge anyone."
    ),
)

CLASSIFIER_MODEL = Model(
    name="fashion-classifier",
    spec=classifier_spec(),
    build=_build_classifier,
    weights=bundled_weights("fashion-classifier"),
    recipe=_classifier_recipe,
    describe=(
        "A small convolutional classifier of Fashion-MNIST's ten kinds of clothes. `imgfx eval "
        "gan-generate` measures generated images in its features, so that no network has to be "
        "downloaded for that."
    ),
)

MODELS = {"fashion": FASHION, "faces": FACES}
"""By the names that `gan-generate --model` takes."""
