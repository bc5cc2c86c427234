"""Bytes to Image: the one door in to OpenCV's codecs.

OpenCV is not trusted: it half-decodes truncated files and forgets metadata. So the container is
checked before decoding, and every answer is checked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imgfx import exif
from imgfx.errors import DecodeError
from imgfx.formats import (
    INSPECTORS,
    DamagedError,
    Format,
    Inspection,
    avif,
    bmp,
    declared_size,
    jpeg,
    png,
    pnm,
    sniff,
    tiff,
    y4m,
)
from imgfx.formats._tiff_parts import check_lengths, parts_of, probes, unread_compression
from imgfx.image import Depth, Image, Metadata, Pixels
from imgfx.provenance import LONGEST
from imgfx.settings import MEGAPIXELS
from imgfx.xmp import without_provenance, without_regions, without_riders

if TYPE_CHECKING:
    from imgfx.opencv import cv2

MOST_PIXELS = round(MEGAPIXELS * 1_000_000)
"""Larger images are refused before anything is allocated for them, unless more is allowed."""


def decode(
    data: bytes, origin: str, name: str = "image", most_pixels: int | None = MOST_PIXELS
) -> Image:
    """The first image of a file's bytes, upright, with its metadata and original depth.

    Args:
        data: a whole file.
        origin: its name, for messages.
        name: the image's, unless an imgfx process has written one into a stream.
        most_pixels: a larger image is refused by its header, whatever follows; None reads any.

    Raises:
        DecodeError: damaged, too large, or of an unknown format.
    """
    known = sniff(data)
    if not data:
        raise DecodeError(f"{origin}: the file is empty")
    if known is None:
        from imgfx.formats.foreign import unknown

        raise DecodeError(f"{origin}: {unknown(data)}")
    try:
        width, height = declared_size(known, data) or (0, 0)
        check_size(width, height, most_pixels)
        inspection = INSPECTORS[known.name](data)
        check_size(inspection.width, inspection.height, most_pixels, inspection.pixels)
        samples, inspection = _samples(data, known, inspection)
        return _image_from_samples(samples, inspection, inspection.name or name)
    except DamagedError as error:
        raise DecodeError(f"{origin}: {error}") from error
    except MemoryError as error:
        raise DecodeError(f"{origin}: too little memory to decode it") from error


def check_size(width: int, height: int, most_pixels: int | None, pixels: int = 0) -> None:
    """Refuses more pixels than are allowed.

    Args:
        width: of the image.
        height: of the image.
        most_pixels: what is allowed; None allows any.
        pixels: that the decoder makes room for, where a part of the image needs more than all.

    Raises:
        DamagedError: there are more.
    """
    pixels = max(pixels, width * height)
    if most_pixels is not None and pixels > most_pixels:
        part = "" if pixels <= width * height else " in parts that need more room"
        raise DamagedError(
            f"{width}x{height} pixels{part}, more than the limit: {megapixels(pixels)} megapixels "
            f"where {megapixels(most_pixels)} are allowed; --max-pixels raises it"
        )


def megapixels(pixels: int) -> str:
    """Exact, and without zeros at its end."""
    return f"{pixels / 1_000_000:.6f}".rstrip("0").rstrip(".")


_RETOLD = {
    "bmp": bmp.usual,
    "tiff": tiff.neutral,
    "png": png.essential,
    "avif": avif.recognisable,
}
"""What a decoder that would refuse, turn or mistake a file is given in its place."""


def _samples(
    data: bytes, known: Format, inspection: Inspection
) -> tuple[npt.NDArray[Any], Inspection]:
    """(H, W, C) as stored, in RGB or RGBA order, and what the decoder says of the metadata."""
    from imgfx.opencv import cv2

    if known.name in ("ppm", "pam"):
        return pnm.decode(data), inspection
    if known.name == "y4m":
        return y4m.decode(data), inspection
    if known.name == "bmp":
        made = bmp.decode(data, inspection.width, inspection.height)
        if made is not None:
            return made, inspection
    shown = _RETOLD[known.name](data) if known.name in _RETOLD else data
    try:
        # Metadata is asked for because without it the decoder refuses some rotated TIFFs.
        decoded: Any = cv2.imdecodeWithMetadata(
            np.frombuffer(shown, np.uint8), cv2.IMREAD_UNCHANGED
        )
    except cv2.error as error:
        raise _reason(error, known.name) from error
    samples, kinds, parts = decoded
    if samples is None or samples.size == 0:
        raise DamagedError(_unread(data, known))
    # Before the colours are ordered, which OpenCV does for these depths only.
    samples = _known_depth(samples if samples.ndim == 3 else samples[..., None], inspection.bits)
    if known.name == "tiff":
        _check_parts(data, deep=samples.dtype != np.uint8)
        samples = tiff.mended(samples, data)
    elif known.name == "jpeg":
        jpeg.check_end(data, samples)
    elif known.name == "avif" and inspection.metadata.exif is None:
        found = dict(zip(kinds, (bytes(part.ravel()) for part in parts), strict=True))
        blob = found.get(cv2.IMAGE_METADATA_EXIF, b"").removeprefix(b"Exif\0\0") or None
        inspection = replace(inspection, metadata=replace(inspection.metadata, exif=blob))
    return rgb_from_bgr(samples), inspection


def _check_parts(data: bytes, *, deep: bool) -> None:
    """Whether a TIFF's strips and tiles are whole; of deep samples the decoder mostly says it.

    Raises:
        DamagedError: one is not.
    """
    from imgfx.opencv import cv2

    compression, parts = parts_of(data)
    check_lengths(compression, parts)
    for probe in () if deep else probes(compression, parts):
        try:
            found = cv2.imdecode(np.frombuffer(probe, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error as error:
            raise _reason(error, "tiff") from error
        if found is None:
            raise DamagedError("damaged TIFF: a strip or tile cannot be decompressed")


def _unread(data: bytes, known: Format) -> str:
    """Why the decoder has nothing to say, as far as the file tells."""
    reason = unread_compression(data) if known.name == "tiff" else None
    return reason or f"damaged {known.name}, or of an unusual kind: it cannot be decoded"


def _reason(error: cv2.error, name: str) -> DamagedError | MemoryError:
    from imgfx.opencv import cv2

    if error.code == cv2.Error.STS_NO_MEM:
        return MemoryError()
    if "CV_IO_MAX_IMAGE" in error.err:
        return DamagedError(
            "larger than OpenCV decodes; OPENCV_IO_MAX_IMAGE_PIXELS, _WIDTH and _HEIGHT in the "
            "environment raise its limits"
        )
    return DamagedError(f"damaged {name}: {error.err}")


def _known_depth(samples: npt.NDArray[Any], bits: int) -> npt.NDArray[Any]:
    if samples.dtype == np.uint16 and 8 < bits < 16:
        scaled = samples.astype(np.float32) * (65535 / (2**bits - 1))
        return np.asarray(np.rint(scaled), dtype=np.uint16)
    if samples.dtype == np.float64:
        with np.errstate(over="ignore"):  # what becomes infinite is refused below
            samples = samples.astype(np.float32)
    if samples.dtype.name not in ("uint8", "uint16", "float32"):
        raise DamagedError(f"{samples.dtype} samples are not supported")
    if samples.dtype == np.float32 and not np.isfinite(samples).all():
        raise DamagedError("holds values that are not numbers")
    return samples


def rgb_from_bgr(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(H, W, C) with red and blue exchanged, so that it works both ways; gray as it is."""
    from imgfx.opencv import cv2

    if samples.shape[2] == 3:
        return np.asarray(cv2.cvtColor(samples, cv2.COLOR_BGR2RGB))
    if samples.shape[2] == 4:
        return np.asarray(cv2.cvtColor(samples, cv2.COLOR_BGRA2RGBA))
    return samples


_UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.swapaxes(a, 0, 1)[:, ::-1],
    7: lambda a: np.swapaxes(a, 0, 1)[::-1, ::-1],
    8: lambda a: np.swapaxes(a, 0, 1)[::-1],
}
"""By EXIF orientation: what turns stored pixels upright."""


def _image_from_samples(samples: npt.NDArray[Any], inspection: Inspection, name: str) -> Image:
    stored = inspection.metadata
    turn = inspection.turn or exif.orientation(stored.exif)
    if turn in _UPRIGHT:
        samples = np.ascontiguousarray(_UPRIGHT[turn](samples))
    pixels, alpha = _split_alpha(samples, inspection)
    notes = [*inspection.notes, *inspection.unread]
    if samples.dtype == np.float32 and (samples.min() < 0 or samples.max() > 1):
        notes.append(
            f"its values reach from {samples.min():g} to {samples.max():g}; "
            "0 is taken for black and 1 for white"
        )
    turned = turn != 1 or inspection.turn is not None
    if stored.dpi is None:
        stored = replace(stored, dpi=exif.resolution(stored.exif))
    metadata = _upright_metadata(stored, turn, turned, samples.shape[1], samples.shape[0])
    if turn != 1 and stored.xmp and without_regions(stored.xmp) != stored.xmp:
        notes.append("it was turned upright; the places of faces in its XMP are left out")
    if turn >= 5 and metadata.dpi:
        metadata = replace(metadata, dpi=metadata.dpi[::-1])  # rows have become columns
    if metadata.icc and metadata.icc[16:20] not in (b"RGB ", b"GRAY"):
        notes.append("its ICC profile is not for RGB or gray pixels; left out")
        metadata = replace(metadata, icc=None)
    depth: Depth = samples.dtype.name  # type: ignore[assignment]
    return Image(pixels, alpha, depth, metadata, name, notes=tuple(notes), unread=inspection.unread)


def _split_alpha(samples: npt.NDArray[Any], inspection: Inspection) -> tuple[Pixels, Pixels | None]:
    channels = samples.shape[2]
    has_alpha = channels in (2, 4)
    alpha = np.ascontiguousarray(samples[..., -1]) if has_alpha else None
    colours = samples[..., : channels - has_alpha]
    if inspection.gray:
        colours = colours[..., :1]
    if inspection.transparent is not None and alpha is None:
        white = np.iinfo(samples.dtype).max
        alpha = np.where(colours[..., 0] == inspection.transparent, 0, white)
        alpha = alpha.astype(samples.dtype)
    return np.ascontiguousarray(colours), None if inspection.opaque else alpha


def _upright_metadata(
    stored: Metadata, turn: int, turned: bool, width: int, height: int
) -> Metadata:
    blob = exif.normalised(stored.exif, width, height, turn) if stored.exif else None
    # Where nothing was turned, XMP that disagrees is as right or wrong as it was.
    xmp = exif.normalised_xmp(stored.xmp, turn) if stored.xmp and turned else stored.xmp
    return told_apart(replace(stored, exif=blob, xmp=without_riders(xmp) if xmp else xmp))


def told_apart(stored: Metadata) -> Metadata:
    """The metadata whose XMP, as a file holds it, has no provenance of ours in it any more."""
    packet, found = without_provenance(stored.xmp) if stored.xmp else (None, None)
    text = (stored.provenance or found or "").strip()
    honest = text.isprintable() and len(text) <= LONGEST
    return replace(stored, xmp=packet, provenance=text if text and honest else None)
