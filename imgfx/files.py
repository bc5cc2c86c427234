"""Bytes to Image and back: the only door to OpenCV's codecs.

OpenCV is not trusted: it reports success for pictures it ruined (16 bits to JPEG, floats to PNG),
half-decodes truncated files, and forgets metadata. So the container is checked before decoding,
depth and alpha are converted here, and every answer is checked.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from imgfx import exif
from imgfx.atomic import write_whole
from imgfx.errors import DecodeError, EncodeError
from imgfx.formats import (
    INSPECTORS,
    DamagedError,
    Format,
    Inspection,
    declared_size,
    format_from_suffix,
    jpeg,
    png,
    pnm,
    sniff,
    tiff,
    y4m,
)
from imgfx.image import Depth, Image, Metadata, Pixels, float_from_pixels, peak, pixels_from_float
from imgfx.provenance import LONGEST
from imgfx.settings import MEGAPIXELS
from imgfx.xmp import with_provenance, without_provenance

MOST_PIXELS = round(MEGAPIXELS * 1_000_000)
"""Larger images are refused before anything is allocated for them, unless more is allowed."""

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it names no file; we do


def read_image(path: Path, most_pixels: int | None = MOST_PIXELS) -> Image:
    """The image of a file, upright, with its metadata.

    Args:
        path: the file.
        most_pixels: a larger image is refused; None reads any.

    Raises:
        DecodeError: missing, unreadable, damaged or of an unknown format.
    """
    try:
        data = _whole_file(path, most_pixels)
    except OSError as error:
        raise DecodeError(f"{path}: cannot read: {error.strerror}") from error
    except DamagedError as error:
        raise DecodeError(f"{path}: {error}") from error
    return replace(decode(data, str(path), most_pixels=most_pixels), name=path.stem, source=path)


_HEAD = 1 << 16
_MOST_BYTES_A_PIXEL = 16
"""Of RGBA in 32 bits each; plain-text PNM may need some more, and damaged compression."""
_MOST_RIDERS = 1 << 26
"""Bytes of metadata, and of what else is no pixel."""


def most_bytes(pixels: int) -> int:
    """That a file with so many pixels may reasonably have; more are not read."""
    return pixels * _MOST_BYTES_A_PIXEL + _MOST_RIDERS


def _whole_file(path: Path, most_pixels: int | None) -> bytes:
    """A file's bytes, or only the first ones where these show that it is refused.

    Raises:
        OSError: it cannot be read.
        DamagedError: it is larger than any image that is allowed.
    """
    with io.BufferedReader(path.open("rb", buffering=0), _HEAD) as file:
        size = os.fstat(file.fileno()).st_size
        if most_pixels is not None and size > _HEAD:
            head = file.peek()
            known = sniff(head)
            width, height = (declared_size(known, head) if known else None) or (0, 0)
            if known is None or width * height > most_pixels:
                return head
            if size > most_bytes(most_pixels):
                raise DamagedError(
                    f"{size >> 20} MiB, more than the limit for an image of "
                    f"{_megapixels(most_pixels)} megapixels; --max-pixels raises it"
                )
        return file.read()


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of a file's image, upright, from its headers alone.

    Raises:
        DecodeError: missing, unreadable, damaged where the headers are, or of an unknown format.
    """
    found = _inspected(path)
    turned = (found.turn or exif.orientation(found.metadata.exif)) >= 5
    return (found.height, found.width) if turned else (found.width, found.height)


def read_provenance(path: Path) -> str | None:
    """The provenance that a file's image carries; no pixel is decoded.

    Raises:
        DecodeError: as `image_size`.
    """
    return _told_apart(_inspected(path).metadata).provenance


def _inspected(path: Path) -> Inspection:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DecodeError(f"{path}: cannot read: {error.strerror}") from error
    known = sniff(data)
    if known is None:
        raise DecodeError(f"{path}: not an image of a known format")
    try:
        return INSPECTORS[known.name](data)
    except DamagedError as error:
        raise DecodeError(f"{path}: {error}") from error


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
        raise DecodeError(f"{origin}: not an image of a known format")
    try:
        width, height = declared_size(known, data) or (0, 0)
        _check_size(width, height, width * height, most_pixels)
        inspection = INSPECTORS[known.name](data)
        _check_size(inspection.width, inspection.height, inspection.pixels, most_pixels)
        samples, inspection = _samples(data, known, inspection)
        return _image_from_samples(samples, inspection, inspection.name or name)
    except DamagedError as error:
        raise DecodeError(f"{origin}: {error}") from error
    except MemoryError as error:
        raise DecodeError(f"{origin}: too little memory to decode it") from error


def _check_size(width: int, height: int, pixels: int, most_pixels: int | None) -> None:
    """Refuses more pixels than are allowed, which may lie in a part that is larger than all."""
    if most_pixels is not None and pixels > most_pixels:
        part = "" if pixels <= width * height else " in parts that need more room"
        raise DamagedError(
            f"{width}x{height} pixels{part}, more than the limit: {_megapixels(pixels)} megapixels "
            f"where {_megapixels(most_pixels)} are allowed; --max-pixels raises it"
        )


def _megapixels(pixels: int) -> str:
    """Exact, and without zeros at its end."""
    return f"{pixels / 1_000_000:.6f}".rstrip("0").rstrip(".")


def _samples(
    data: bytes, known: Format, inspection: Inspection
) -> tuple[npt.NDArray[Any], Inspection]:
    """(H, W, C) as stored, in RGB or RGBA order, and what the decoder says of the metadata."""
    if known.name in ("ppm", "pam"):
        return pnm.decode(data), inspection
    if known.name == "y4m":
        return y4m.decode(data), inspection
    shown = data
    if known.name == "tiff":
        shown = tiff.neutral(data)
    elif known.name == "png":
        shown = png.essential(data)
    try:
        # Metadata is asked for because without it the decoder refuses some rotated TIFFs.
        decoded: Any = cv2.imdecodeWithMetadata(
            np.frombuffer(shown, np.uint8), cv2.IMREAD_UNCHANGED
        )
    except cv2.error as error:
        raise _reason(error, known.name) from error
    samples, kinds, parts = decoded
    if samples is None or samples.size == 0:
        raise DamagedError(f"damaged {known.name}, or of an unusual kind: it cannot be decoded")
    # Before the colours are ordered, which OpenCV does for these depths only.
    samples = _known_depth(samples if samples.ndim == 3 else samples[..., None], inspection.bits)
    if known.name == "tiff":
        samples = tiff.mended(samples, data)
    elif known.name == "avif":
        found = dict(zip(kinds, (bytes(part.ravel()) for part in parts), strict=True))
        blob = found.get(cv2.IMAGE_METADATA_EXIF, b"").removeprefix(b"Exif\0\0") or None
        inspection = replace(inspection, metadata=replace(inspection.metadata, exif=blob))
    return _rgb_from_bgr(samples), inspection


def _reason(error: cv2.error, name: str) -> DamagedError:
    if error.code == cv2.Error.STS_NO_MEM:
        return DamagedError("too little memory to decode it")
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


def _rgb_from_bgr(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if samples.shape[2] == 3:
        return np.asarray(cv2.cvtColor(samples, cv2.COLOR_BGR2RGB))
    if samples.shape[2] == 4:
        return np.asarray(cv2.cvtColor(samples, cv2.COLOR_BGRA2RGBA))
    return samples


_BAND = 256
"""Rows whose channels are swapped at a time."""


def _swap_red_and_blue(samples: npt.NDArray[Any]) -> None:
    """In place."""
    for top in range(0, len(samples), _BAND):
        samples[top : top + _BAND] = _rgb_from_bgr(samples[top : top + _BAND])


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
    notes = list(inspection.notes)
    if inspection.frames > 1:
        notes.append(f"only the first of {inspection.frames} pictures in the file is read")
    if samples.dtype == np.float32 and (samples.min() < 0 or samples.max() > 1):
        notes.append(
            f"its values reach from {samples.min():g} to {samples.max():g}; "
            "0 is taken for black and 1 for white"
        )
    turned = turn != 1 or inspection.turn is not None
    metadata = _upright_metadata(stored, turned, samples.shape[1], samples.shape[0])
    if turn >= 5 and metadata.dpi:
        metadata = replace(metadata, dpi=metadata.dpi[::-1])  # rows have become columns
    if metadata.icc and metadata.icc[16:20] not in (b"RGB ", b"GRAY"):
        notes.append("its ICC profile is not for RGB or gray pixels; left out")
        metadata = replace(metadata, icc=None)
    depth: Depth = samples.dtype.name  # type: ignore[assignment]
    return Image(pixels, alpha, depth, metadata, name=name, notes=tuple(notes))


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


def _upright_metadata(stored: Metadata, turned: bool, width: int, height: int) -> Metadata:
    blob = exif.normalised(stored.exif, width, height) if stored.exif else None
    # Where nothing was turned, XMP that disagrees is as right or wrong as it was.
    xmp = exif.normalised_xmp(stored.xmp) if stored.xmp and turned else stored.xmp
    return _told_apart(replace(stored, exif=blob, xmp=xmp))


def _told_apart(stored: Metadata) -> Metadata:
    """The metadata whose XMP, as a file holds it, has no provenance of ours in it any more."""
    packet, found = without_provenance(stored.xmp) if stored.xmp else (None, None)
    text = (stored.provenance or found or "").strip()
    honest = text.isprintable() and len(text) <= LONGEST
    return replace(stored, xmp=packet, provenance=text if text and honest else None)


def encode(
    image: Image,
    target: Format,
    *,
    quality: int | None = None,
    origin: str = "",
    stream: bool = False,
    rate: Fraction | None = None,
) -> tuple[bytes, tuple[str, ...]]:
    """A file's bytes, and a note on each thing that the format cannot hold.

    Args:
        image: rounded to its depth here, nowhere before.
        target: the format.
        quality: 1 to 100 for lossy formats, 100 is lossless where the format can; None is the
            format's own default.
        origin: the target's name, for messages.
        stream: cheap compression, and the image's name goes along (PNG).
        rate: frames a second (Y4M); None is that of the video it comes from, else 25.

    Raises:
        EncodeError: too large for the format, or the codec fails.
    """
    notes: list[str] = []
    if max(image.height, image.width) > target.largest_side:
        raise EncodeError(
            f"{origin}: {image.width}x{image.height} is too large for {target.name} "
            f"(at most {target.largest_side} a side); choose another format"
        )
    samples = _storable_samples(image, target, notes)
    metadata = _storable_metadata(image, target, samples.shape[2], notes)
    if target.name in ("ppm", "pam"):
        return pnm.encode(samples, pam=target.name == "pam"), tuple(notes)
    if target.name == "y4m":
        return y4m.encode(samples, image.metadata.video, rate), tuple(notes)
    if target.name == "png" and samples.shape[2] == 2:
        data = png.encode_gray_alpha(samples)
    else:
        if np.may_share_memory(samples, image.pixels):
            samples = _rgb_from_bgr(samples)
        else:  # ours to change, and large enough not to be held twice
            _swap_red_and_blue(samples)
        data = _encode_pixels(samples, target, metadata, quality, stream, origin)
    if target.name == "png":
        data = png.attach(data, metadata, image.name if stream else None)
    elif target.name == "jpeg":
        data, more = jpeg.attach(data, metadata)
        notes += more
    elif target.name == "tiff":
        data = tiff.attach(data, metadata, alpha=samples.shape[2] == 4)
    return data, tuple(notes)


def _storable_samples(image: Image, target: Format, notes: list[str]) -> npt.NDArray[Any]:
    """(H, W, C) of a depth and a number of channels that the format holds."""
    depth = image.depth
    if depth not in target.depths:
        depth = target.depths[-1]
        notes.append(f"{target.name} cannot hold {image.depth} samples; written as {depth}")
    elif depth == "uint16" and target.name == "avif":
        notes.append("avif holds 12 of 16 bits")
    pixels, alpha = image.pixels, image.alpha
    if alpha is not None and not target.alpha:
        if (alpha < peak(alpha.dtype)).any():
            notes.append(f"{target.name} cannot hold alpha; laid over white")
            pixels = _over_white(pixels, alpha)
        alpha = None
    samples = pixels_from_float(pixels, depth)
    if samples.shape[2] == 1 and (not target.gray or _needs_rgba(alpha, target)):
        samples = np.repeat(samples, 3, axis=2)
    if alpha is None:
        return samples
    return np.concatenate([samples, pixels_from_float(alpha, depth)[..., None]], axis=2)


def _needs_rgba(alpha: Pixels | None, target: Format) -> bool:
    """Gray with alpha is written as such in PNG and PAM, as RGBA elsewhere."""
    return alpha is not None and target.name not in ("png", "pam")


def _over_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    share = float_from_pixels(alpha)[..., None]
    return np.asarray(float_from_pixels(pixels) * share + (1 - share), dtype=np.float32)


def _storable_metadata(image: Image, target: Format, channels: int, notes: list[str]) -> Metadata:
    kept = image.metadata
    if not target.metadata:
        if kept.exif or kept.icc or kept.xmp:
            notes.append(f"{target.name} carries no EXIF, XMP or ICC; left out")
        return Metadata()
    if kept.icc and kept.icc[16:20] == b"GRAY" and channels > 2:
        notes.append("a profile for gray does not fit RGB pixels; left out")
        kept = replace(kept, icc=None)
    if kept.exif:
        kept = replace(kept, exif=exif.normalised(kept.exif, image.width, image.height))
    if kept.provenance and target.name != "png":
        packet = with_provenance(kept.xmp, kept.provenance, target.largest_xmp)
        if packet is None:
            notes.append(f"the XMP in {target.name} has no room for how it was made; left out")
        kept = replace(kept, xmp=packet or kept.xmp)
    return kept


def _encode_pixels(
    samples: npt.NDArray[Any],
    target: Format,
    metadata: Metadata,
    quality: int | None,
    stream: bool,
    origin: str,
) -> bytes:
    if target.name == "avif" and samples.dtype == np.uint16:
        samples = np.rint(samples.astype(np.float32) * (4095 / 65535)).astype(np.uint16)
    kinds, parts = _for_codec(metadata) if target.name in ("webp", "avif") else ([], [])
    parameters = _parameters(target, samples, quality, stream)
    try:
        done, data = cv2.imencodeWithMetadata(target.suffixes[0], samples, kinds, parts, parameters)
    except cv2.error as error:
        raise EncodeError(f"{origin}: cannot write {target.name}: {error.err}") from error
    if not done:
        raise EncodeError(f"{origin}: OpenCV cannot write this image as {target.name}")
    return bytes(data.tobytes())


def _for_codec(metadata: Metadata) -> tuple[list[int], list[npt.NDArray[np.uint8]]]:
    found = {
        cv2.IMAGE_METADATA_EXIF: metadata.exif,
        cv2.IMAGE_METADATA_XMP: metadata.xmp,
        cv2.IMAGE_METADATA_ICCP: metadata.icc,
    }
    present = {kind: part for kind, part in found.items() if part}
    return list(present), [np.frombuffer(part, np.uint8) for part in present.values()]


def _parameters(
    target: Format, samples: npt.NDArray[Any], quality: int | None, stream: bool
) -> Sequence[int]:
    value = target.quality if quality is None else quality
    if target.name == "png":
        return [cv2.IMWRITE_PNG_COMPRESSION, 1 if stream else 4]
    if target.name == "jpeg":
        sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        return [cv2.IMWRITE_JPEG_QUALITY, value or 95, *sampling]
    if target.name == "webp":
        lossless = cv2.IMWRITE_WEBP_LOSSLESS_ON if value == 100 else cv2.IMWRITE_WEBP_LOSSLESS_OFF
        return [cv2.IMWRITE_WEBP_QUALITY, value or 95, cv2.IMWRITE_WEBP_LOSSLESS_MODE, lossless]
    if target.name == "avif":
        bits = 12 if samples.dtype == np.uint16 else 8
        return [cv2.IMWRITE_AVIF_QUALITY, value or 90, cv2.IMWRITE_AVIF_DEPTH, bits]
    if target.name == "tiff":
        return [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_ADOBE_DEFLATE]
    return []


def write_file(
    path: Path, data: bytes, before: Callable[[os.stat_result], None] = lambda _found: None
) -> None:
    """Writes a file by a temporary one beside it and a rename: whole, or not at all.

    Args:
        path: the file.
        data: its content.
        before: called just before the rename, with what the file's size and time will be.

    Raises:
        EncodeError: it cannot be written; nothing is left behind.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            path.write_bytes(data)  # a device or a named pipe, which a rename would replace
        else:
            # A link stays one, and what it leads to is written.
            real = Path(os.path.realpath(path)) if path.is_symlink() else path
            write_whole(real, data, before)
    except OSError as error:
        raise EncodeError(f"{path}: cannot write: {error.strerror}") from error


def jpeg_round_trip(image: npt.NDArray[np.float32], quality: int) -> npt.NDArray[np.float32]:
    """(H, W, 3) in [0, 1] through a JPEG of this quality, 4:2:0, as most cameras write."""
    samples = pixels_from_float(image, "uint8")
    done, data = cv2.imencode(".jpg", _rgb_from_bgr(samples), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, "an 8-bit RGB image can always be written as JPEG"
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None, "what OpenCV has just written it can read"
    return float_from_pixels(_rgb_from_bgr(decoded))


def write_image(path: Path, image: Image, quality: int | None = None) -> tuple[str, ...]:
    """Writes an image in the format of the path's ending; answers notes on what was lost.

    Raises:
        EncodeError: unknown ending, or it cannot be written.
    """
    target = format_from_suffix(path.suffix)
    if target is None:
        raise EncodeError(f"{path}: unknown format {path.suffix!r}")
    data, notes = encode(image, target, quality=quality, origin=str(path))
    write_file(path, data)
    return notes
