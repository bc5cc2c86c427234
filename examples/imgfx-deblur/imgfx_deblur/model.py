"""The model `deblur`, described without importing torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgfx.api import Model, ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from imgfx.api import Recipe

ARCHITECTURE = "imgfx-deblur-nafnet-1"
"""Changes whenever old weights no longer fit, so that they are refused by name."""


def deblur_spec(width: int = 16, levels: int = 2, blocks: int = 1, middle: int = 4) -> ModelSpec:
    """The spec of a network of this size.

    Args:
        width: channels at full resolution; they double at each level below.
        levels: how many times the resolution is halved.
        blocks: before each halving, and after each doubling.
        middle: blocks at the lowest resolution.
    """
    return ModelSpec(
        architecture=ARCHITECTURE,
        halo=receptive_radius(levels, blocks, middle),
        multiple_of=2**levels,
        floats_per_pixel=10 * width,
        options={"width": width, "levels": levels, "blocks": blocks, "middle": middle},
    )


def receptive_radius(levels: int, blocks: int, middle: int) -> int:
    """How far an output pixel sees, in input pixels, layer by layer.

    The first and the last convolution see one pixel further each. A block has one 3x3 convolution,
    which sees one pixel further at its own resolution: 2**level of the image's. Halving and
    doubling work on whole cells of 2**levels pixels, of which an output pixel sees all.
    """
    cell: int = 2**levels
    passed = 2 * blocks * (cell - 1)  # the sum of 2**level over all levels but the lowest
    return 2 + passed + middle * cell + cell - 1


def _build(spec: ModelSpec) -> nn.Module:
    from imgfx_deblur.network import build_network

    return build_network(spec)


def _recipe() -> Recipe:
    from imgfx_deblur.recipe import RECIPE

    return RECIPE


MODEL = Model(
    name="deblur",
    spec=deblur_spec(),
    build=_build,
    recipe=_recipe,
    describe=(
        "A U-Net of NAFNet's blocks (Chen, Chu, Zhang, Sun, ECCV 2022) without their global "
        "channel attention, 16 channels at full resolution; the input added at the end."
    ),
    caution="Trained on Gaussian blurs of up to 3 pixels: it does not undo strong motion blur.",
)
