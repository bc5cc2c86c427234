"""Image: pixels, alpha, metadata and a name; immutable, and known to no codec."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import PurePath
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]
"""(H, W, C) array; C is 1 (gray) or 3 (RGB); uint8, uint16, or float32 in [0, 1]."""

NO_NAME = "image"
"""The name of an image that was given none."""

Depth = Literal["uint8", "uint16", "float32"]

_BAND = 1 << 22
"""Values that are rounded at a time, so that a large image is not held once more as float32."""
_PEAK = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}


@dataclass(frozen=True)
class Metadata:
    """What rides along with the pixels; raw payloads without their container's framing."""

    exif: bytes | None = None
    """A TIFF structure (starts with II or MM), orientation already reset to 1."""
    xmp: bytes | None = None
    """An XMP packet, UTF-8."""
    icc: bytes | None = None
    """An ICC profile of the pixels' colour space."""
    dpi: tuple[float, float] | None = None
    """Horizontal and vertical resolution in pixels per inch."""
    colour: tuple[tuple[str, bytes], ...] = ()
    """How samples stand for light where no profile says it: PNG's chunks gAMA, cHRM, sRGB, cICP."""
    iptc: bytes | None = None
    """Captions, keywords and the like: an IPTC-IIM record."""
    texts: tuple[tuple[str, str], ...] = ()
    """(keyword, text): title, author and the like of a PNG; a JPEG's comment, as "Comment".

    Bytes of a JPEG's that are no UTF-8 stand there as lone surrogates (`surrogateescape`).
    """
    video: str | None = None
    """Of a video's frame: its rate, interlacing and pixel aspect as in Y4M, "F25:1 Ip A1:1"."""
    provenance: str | None = None
    """How it was made, as the text that `imgfx.provenance` reads; of a file, as it stands there."""

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class Image:
    """One image on its way through a chain.

    Raises:
        ValueError: pixels or alpha have another shape or dtype than stated.
        TypeError: something is of another type than stated.
    """

    pixels: Pixels
    """(H, W, C), C = 1 or 3 in RGB order; uint8, uint16, or float32 in [0, 1]."""
    alpha: Pixels | None = None
    """(H, W) straight (not premultiplied) alpha of the same kinds of dtype; None is opaque."""
    depth: Depth = "uint8"
    """The depth to round to when the image is written; pixels may be float32 meanwhile."""
    metadata: Metadata = field(default_factory=Metadata)
    name: str = NO_NAME
    """The stem of the output's name."""
    source: PurePath | None = None
    """Where it was read from, for messages; None when it came from a pipe or a generator."""
    folder: PurePath = field(default_factory=PurePath)
    """The folder relative to the opened one, kept when written into a folder."""

    notes: tuple[str, ...] = ()
    """Warnings on what was lost or converted on the way; shown once, and kept in the report."""
    unread: tuple[str, ...] = ()
    """Of `notes`, those on what else is in the file that it was read from."""

    def __post_init__(self) -> None:
        _check_pixels(self.pixels)
        if self.alpha is not None:
            _check_alpha(self.alpha, self.pixels)
        if self.depth not in _PEAK:
            raise ValueError(f"depth is {self.depth!r}, expected one of {', '.join(_PEAK)}")
        _check_kinds(self)
        for name in ("pixels", "alpha"):  # other byte orders, as files of raw samples have them
            array = getattr(self, name)
            if array is not None and not array.dtype.isnative:
                object.__setattr__(self, name, array.astype(array.dtype.newbyteorder("=")))

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def is_gray(self) -> bool:
        """True for one colour channel."""
        return bool(self.pixels.shape[2] == 1)

    @property
    def floats(self) -> npt.NDArray[np.float32]:
        """The pixels as float32 in [0, 1]; not to be written to."""
        return float_from_pixels(self.pixels)

    def with_pixels(self, pixels: Pixels, alpha: Pixels | Literal["keep"] | None = "keep") -> Image:
        """The same image with other pixels, and other alpha unless it is to be kept."""
        kept = self.alpha if isinstance(alpha, str) else alpha
        return replace(self, pixels=pixels, alpha=kept)


def _check_pixels(pixels: Pixels) -> None:
    if not isinstance(pixels, np.ndarray):
        raise TypeError(f"pixels are of type {type(pixels).__name__}, expected a NumPy array")
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise ValueError(f"pixels have shape {pixels.shape}, expected (H, W, 1) or (H, W, 3)")
    if pixels.dtype.name not in _PEAK:
        raise ValueError(f"pixels are {pixels.dtype}, expected uint8, uint16 or float32")


def _check_alpha(alpha: Pixels, pixels: Pixels) -> None:
    if not isinstance(alpha, np.ndarray):
        raise TypeError(f"alpha is of type {type(alpha).__name__}, expected a NumPy array")
    if alpha.shape != pixels.shape[:2]:
        raise ValueError(f"alpha is {alpha.shape}, pixels are {pixels.shape}")
    if alpha.dtype.name not in _PEAK:
        raise ValueError(f"alpha is {alpha.dtype}, expected uint8, uint16 or float32")


def _check_kinds(image: Image) -> None:
    """What plugins mistake for another kind, and would break far from where it was made."""
    if not isinstance(image.metadata, Metadata):
        raise TypeError(f"metadata is of type {type(image.metadata).__name__}, expected Metadata")
    for name in ("notes", "unread"):
        if not isinstance(getattr(image, name), tuple):
            kind = type(getattr(image, name)).__name__
            raise TypeError(f"{name} is of type {kind}, expected a tuple of texts")


def sealed(image: Image) -> Image:
    """The image, whose arrays nobody can write to any more.

    What made it may have kept them, and would change the image while it is being encoded.
    """
    for array in (image.pixels, image.alpha):
        while isinstance(array, np.ndarray):  # a view's flag alone would not keep its base
            array.flags.writeable = False
            array = array.base
    return image


def peak(dtype: np.dtype[Any] | str) -> float:
    """The value of white for a dtype: 255, 65535 or 1.0."""
    return _PEAK[np.dtype(dtype).name]


def float_from_pixels(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Pixels or alpha of any depth as float32 in [0, 1]; float32 input is returned as it is."""
    if pixels.dtype == np.float32:
        return pixels
    return np.multiply(pixels, np.float32(1.0 / peak(pixels.dtype)), dtype=np.float32)


def pixels_from_float(values: Pixels, depth: Depth) -> Pixels:
    """Values in [0, 1] rounded to a depth; integers are clipped, float32 is kept as it is.

    An array that already has the depth is returned unchanged, so integers pass exactly.
    """
    if values.dtype == np.dtype(depth):  # byte order included
        return values
    if depth == "float32":
        return float_from_pixels(values)
    result = np.empty(values.shape, depth)
    rows = max(1, _BAND // max(1, values[:1].size))
    for top in range(0, len(values), rows):
        scaled = float_from_pixels(values[top : top + rows]) * np.float32(_PEAK[depth])
        np.rint(np.clip(scaled, 0.0, _PEAK[depth], out=scaled), out=scaled)
        result[top : top + rows] = scaled
    return result
