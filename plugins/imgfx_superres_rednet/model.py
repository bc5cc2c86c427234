"""The model `superres-rednet`, described without importing torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgfx.model import Model, ModelSpec, bundled_weights

if TYPE_CHECKING:
    from torch import nn

    from imgfx.training.recipe import Recipe

ARCHITECTURE = "rednet-1"


def rednet_spec(width: int = 64, depth: int = 15) -> ModelSpec:
    """The spec of a network of this size: each of its 2 * depth layers sees one pixel further."""
    skips = depth // 2
    return ModelSpec(
        architecture=ARCHITECTURE,
        halo=2 * depth,
        floats_per_pixel=(skips + 3) * width,
        options={"width": width, "depth": depth},
    )


def _build(spec: ModelSpec) -> nn.Module:
    from imgfx_superres_rednet.network import build_network

    return build_network(spec)


def _recipe() -> Recipe:
    from imgfx_superres_rednet.recipe import RECIPE

    return RECIPE


MODEL = Model(
    name="superres-rednet",
    spec=rednet_spec(),
    build=_build,
    weights=bundled_weights("superres-rednet"),
    recipe=_recipe,
    sized=rednet_spec,
    describe=(
        "RED-Net-30 (Mao, Shen, Yang, NIPS 2016): 15 convolutions and 15 deconvolutions of 64 "
        "channels with symmetric additive skips, the input added at the end; it works on the "
        "image enlarged by bicubic interpolation."
    ),
)
