"""The model `denoise-ae`, described without importing torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgfx.model import Model, ModelSpec, bundled_weights

if TYPE_CHECKING:
    from torch import nn

    from imgfx.training.recipe import Recipe

ARCHITECTURE = "denoise-ae-1"

UNKNOWN = -1.0
"""The sigma plane's value when the noise level is not given."""
FULL_SCALE = 75.0
"""The sigma plane holds sigma / 75."""


def receptive_radius(blocks: int, middle: int) -> int:
    """How far an output pixel sees, in pixels, rounded up to a multiple of 8.

    Each 3x3 convolution adds one sample at its resolution (2, 4 or 8 pixels); a 2x2 stride-2
    layer adds at most one sample of the coarser grid.
    """
    fine = 2 * (2 + 4 * blocks)
    half = 4 * (4 * blocks + 1)
    coarse = 8 * (2 * middle + 1)
    return -(-(fine + half + coarse) // 8) * 8


def denoise_spec(
    widths: tuple[int, int, int] = (64, 96, 160), blocks: int = 3, middle: int = 2
) -> ModelSpec:
    """The spec of a network with these channels at 1/2, 1/4 and 1/8 of the resolution."""
    fine, half, coarse = widths
    return ModelSpec(
        architecture=ARCHITECTURE,
        conditions=("sigma",),
        halo=receptive_radius(blocks, middle),
        multiple_of=8,
        # Live at the widest point, at 1/4 of the pixels: skip, block input, both convolutions.
        floats_per_pixel=fine + 8,
        options={
            "fine": fine, "half": half, "coarse": coarse, "blocks": blocks, "middle": middle,
        },
    )  # fmt: skip


def _sized(fine: int, half: int, coarse: int, blocks: int, middle: int) -> ModelSpec:
    return denoise_spec((fine, half, coarse), blocks, middle)


def _build(spec: ModelSpec) -> nn.Module:
    from imgfx_denoise_ae.network import build_network

    return build_network(spec)


def _recipe() -> Recipe:
    from imgfx_denoise_ae.recipe import RECIPE

    return RECIPE


MODEL = Model(
    name="denoise-ae",
    spec=denoise_spec(),
    build=_build,
    weights=bundled_weights("denoise-ae"),
    recipe=_recipe,
    sized=_sized,
    describe=(
        "A convolutional denoising autoencoder: residual encoder and decoder around a latent that "
        "is smaller than the image, with additive skips; it predicts the noise."
    ),
)
