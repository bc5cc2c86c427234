"""Results: images put together from tiles, and the depth in which they are kept between stages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from imgfx.image import Depth, Image, Pixels, pixels_from_float
from imgfx.model import ModelSpec
from imgfx.tiling import Reader, Window

Float = npt.NDArray[np.float32]

_LARGE = 1 << 26
"""Values of a result from which on it is kept in 16 bits between stages, not in 32."""


def depth_between(image: Image, values: int) -> Depth:
    """The depth of a result of so many values: float32, but uint16 where memory asks for it.

    An image that is to be written in float32 stays so.
    """
    return "uint16" if values > _LARGE and image.depth != "float32" else "float32"


def check_request(
    name: str, spec: ModelSpec, conditions: Sequence[float], enlarge: int, strength: float
) -> None:
    """Whether what a stage asks of a model suits its spec; see `LoadedModel.restore`.

    Raises:
        ValueError: it does not; it says what the network takes.
    """
    if len(conditions) != len(spec.conditions):
        listed = f" ({', '.join(spec.conditions)})" if spec.conditions else ""
        raise ValueError(
            f"{name}: conditions: {len(conditions)} given, its network takes "
            f"{len(spec.conditions)}{listed}"
        )
    if enlarge < 1:
        raise ValueError(f"{name}: enlarge is {enlarge}, expected 1 or more")
    if not 0 <= strength <= 1:
        raise ValueError(f"{name}: strength is {strength:g}, expected 0 to 1")
    if strength < 1 and spec.scale > 1:
        raise ValueError(
            f"{name}: strength is {strength:g}, but its network makes the image {spec.scale} times "
            "larger, so that there is nothing to mix the result with; leave strength at 1"
        )


class Result:
    """A restored image that is being put together from its tiles."""

    def __init__(
        self, image: Image, read: Reader, enlarge: int, spec: ModelSpec, strength: float
    ) -> None:
        self._read, self._scale, self._strength = read, spec.scale, strength
        self._gray = image.is_gray
        factor = enlarge * spec.scale
        height, width = factor * image.height, factor * image.width
        channels = 1 if self._gray else spec.channels
        self._depth: Depth = depth_between(image, height * width * channels)
        self.pixels: Pixels = np.empty((height, width, channels), self._depth)

    def keep(self, window: Window, part: Float) -> None:
        """Puts a part, (h, w, C) float32, in its place."""
        if self._strength < 1:
            part = self._strength * part + (1 - self._strength) * self._read(window)
        if self._gray:
            part = part.mean(axis=2, keepdims=True, dtype=np.float32)
        rows = slice(self._scale * window.top, self._scale * window.bottom)
        columns = slice(self._scale * window.left, self._scale * window.right)
        self.pixels[rows, columns] = pixels_from_float(part, self._depth)
