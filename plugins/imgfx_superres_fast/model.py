"""The models `superres-fast-x2`, `-x3` and `-x4`, described without importing torch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from imgfx.model import Model, ModelSpec, bundled_weights

if TYPE_CHECKING:
    from torch import nn

    from imgfx.training.recipe import Recipe

ARCHITECTURE = "superres-fast-1"

_SIZES = {2: (32, 5), 3: (40, 7), 4: (48, 8)}
"""Width and residual blocks by scale: 20 to 27 thousand multiply-adds an output pixel."""


def fast_spec(scale: int, width: int, blocks: int) -> ModelSpec:
    """The spec of a network of this size: each 3x3 layer sees one pixel further, as does the base.

    Source of the layer count: head, two a block, and the tail.
    """
    return ModelSpec(
        architecture=ARCHITECTURE,
        scale=scale,
        halo=2 * blocks + 2,
        floats_per_pixel=4 * width + 6 * scale**2,
        options={"width": width, "blocks": blocks},
    )


def _build(spec: ModelSpec) -> nn.Module:
    from imgfx_superres_fast.network import build_network

    return build_network(spec)


def _recipe(scale: int) -> Recipe:
    from imgfx_superres_fast.recipe import recipe_for

    return recipe_for(scale)


def _model(scale: int) -> Model:
    width, blocks = _SIZES[scale]
    name = f"superres-fast-x{scale}"
    return Model(
        name=name,
        spec=fast_spec(scale, width, blocks),
        build=_build,
        weights=bundled_weights(name),
        recipe=partial(_recipe, scale),
        sized=partial(fast_spec, scale),
        describe=(
            f"A residual network of {blocks} blocks of {width} channels at the input's resolution, "
            f"enlarged {scale} times by a pixel shuffle and added to bilinear interpolation."
        ),
    )


MODELS = {scale: _model(scale) for scale in _SIZES}
