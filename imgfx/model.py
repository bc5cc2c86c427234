"""Model: a network with its spec, its weights and, if it can be trained, its recipe."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from imgfx.training.recipe import Recipe


@dataclass(frozen=True)
class ModelSpec:
    """What tiler, engine and exporter must know of a network; stored in the weights' header.

    An image-to-image network maps (N, channels + len(conditions), H, W) in [0, 1] to
    (N, channels, scale * H, scale * W). A generator has ``latent`` set and maps (N, latent)
    to (N, channels, H, W).

    Raises:
        ValueError: a number is too small to make sense.
    """

    architecture: str
    """Name of the network; weights of another one are refused."""
    channels: int = 3
    """Colour channels in and out: 1 gray, 3 RGB."""
    scale: int = 1
    """Output pixels per input pixel along one axis."""
    halo: int = 0
    """Receptive-field radius in input pixels: how far the layers can see."""
    reach: int = 0
    """How far trained weights do see, by measurement, in input pixels; 0 where it is not known."""
    multiple_of: int = 1
    """Height and width given to the network must be multiples of this."""
    conditions: tuple[str, ...] = ()
    """Names of constant planes appended to the colour channels, one value an image."""
    floats_per_pixel: int = 64
    """Live activations per input pixel at the widest point; sizes the tiles."""
    keeps_mean: bool = True
    """Whether an image keeps its mean brightness, as of a restorer; an output whose mean is off by
    more than 0.25 is then taken for a failure. False for what changes it on purpose."""
    latent: int = 0
    """Length of a generator's input vector; 0 for image-to-image networks."""
    options: Mapping[str, int] = field(default_factory=dict)
    """Widths, depths and the like, from which the network is rebuilt."""

    def __post_init__(self) -> None:
        for name in ("channels", "scale", "multiple_of"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 1 or more")
        for name in ("halo", "reach", "latent", "floats_per_pixel"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")

    @property
    def margin(self) -> int:
        """The border that a tile needs around it, in input pixels."""
        return self.reach or self.halo

    def to_json(self) -> str:
        """The spec as one JSON object with sorted keys."""
        fields = dataclasses.asdict(self)
        if not self.reach:  # the text is part of weights' digests, some older than the field
            del fields["reach"]
        if self.keeps_mean:  # so, too
            del fields["keeps_mean"]
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """The spec from `to_json`.

        Raises:
            ValueError: not JSON, or fields this version does not know.
        """
        fields: dict[str, Any] = json.loads(text)
        unknown = set(fields) - {f.name for f in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"unknown fields in the model's spec: {', '.join(sorted(unknown))}")
        fields["conditions"] = tuple(fields.get("conditions", ()))
        return cls(**fields)


@dataclass(frozen=True)
class Model:
    """One model that a plugin offers."""

    name: str
    """The name users type: `imgfx train NAME`."""
    spec: ModelSpec
    """Of a newly built network; a weights file brings its own."""
    build: Callable[[ModelSpec], nn.Module]
    """Makes the network of a spec with fresh weights; imports torch when called."""
    weights: Path | None = None
    """The weights used when none are named."""
    recipe: Callable[[], Recipe] | None = None
    """How the model is trained; None when it cannot be."""
    sized: Callable[..., ModelSpec] | None = None
    """Answers the spec of a network of another size, by keyword the spec's options; None when there
    is but one size."""
    judge: str = ""
    """For generators: the model in whose features `imgfx eval` measures the images. Its network has
    `features`, (N, channels, H, W) in [0, 1] -> (N, D)."""
    describe: str = ""
    """One sentence for the model card: what it is and where it comes from."""
    caution: str = ""
    """For the model card: what users of the weights must know of their limits and terms."""


def bundled_weights(name: str) -> Path | None:
    """The weights that ship with imgfx under this name; None when there are none yet."""
    path = Path(str(resources.files("imgfx_weights"))) / f"{name}.safetensors"
    return path if path.is_file() else None
