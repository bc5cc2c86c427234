"""Sample images: the kinds that a plugin meets in the hands of users."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from imgfx.image import Depth, Image, Metadata, pixels_from_float

Float = npt.NDArray[np.float32]

_EXIF = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0"
"""A TIFF structure with one entry: Orientation 1."""
_XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


def _profile() -> bytes:
    """The 128 bytes of header that every ICC profile has, and no tags."""
    header = bytearray(132)
    header[0:4] = (132).to_bytes(4, "big")
    header[8:12] = bytes([2, 0x40, 0, 0])
    header[12:24] = b"mntrRGB XYZ "
    header[36:40] = b"acsp"
    return bytes(header)


METADATA = Metadata(exif=_EXIF, xmp=_XMP, icc=_profile(), dpi=(300.0, 300.0))
"""Some of everything that rides along with pixels."""


def sample_images() -> Mapping[str, Image]:
    """Images by what is special about them; made anew at each call, the same each time.

    They are gray, RGB, RGBA, of 8 and 16 bits and float32, of one pixel, of odd sizes, with
    metadata, black and white. Each one's name is its key.
    """
    found = {
        "gray": sample_image(24, 32, 1),
        "rgb": sample_image(24, 32),
        "rgba": sample_image(24, 32, alpha=True),
        "gray-alpha": sample_image(24, 32, 1, alpha=True),
        "16-bit": sample_image(24, 32, depth="uint16"),
        "float32": sample_image(24, 32, depth="float32"),
        "1x1": sample_image(1, 1),
        "7x5": sample_image(7, 5),
        "37x53": sample_image(37, 53),
        "metadata": sample_image(24, 32, metadata=METADATA),
        "black": Image(np.zeros((16, 16, 3), np.uint8)),
        "white": Image(np.full((16, 16, 3), 255, np.uint8)),
    }
    return {
        key: Image(i.pixels, i.alpha, i.depth, i.metadata, name=key) for key, i in found.items()
    }


def sample_image(
    height: int,
    width: int,
    channels: int = 3,
    *,
    depth: Depth = "uint8",
    alpha: bool = False,
    metadata: Metadata | None = None,
    seed: int = 0,
) -> Image:
    """An image of smooth shapes with some texture, different in each channel.

    Args:
        height: in pixels.
        width: in pixels.
        channels: 1 gray, 3 RGB.
        depth: of pixels and alpha; whatever it is, the picture is the same.
        alpha: whether it has some: clear at the left, opaque at the right.
        metadata: none when left out.
        seed: another one makes another picture.
    """
    values = _picture(height, width, channels, seed)
    clear = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), (height, width))
    return Image(
        pixels_from_float(values, depth),
        pixels_from_float(np.ascontiguousarray(clear), depth) if alpha else None,
        depth,
        metadata or Metadata(),
        name="sample",
    )


def _picture(height: int, width: int, channels: int, seed: int) -> Float:
    """(H, W, C) float32 in [0, 1]."""
    random = np.random.default_rng(seed)
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    columns = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    phase, speed = random.uniform(0, 6, (2, channels)).astype(np.float32)
    waves = 0.5 + 0.35 * np.sin(4 * rows * speed + phase) * np.cos(5 * columns * speed - phase)
    texture = random.normal(0, 0.03, (height, width, channels))
    picture: Float = np.clip(waves + texture, 0, 1).astype(np.float32)
    return picture
