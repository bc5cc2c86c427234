"""Image to bytes: the one door out to OpenCV's codecs.

OpenCV is not trusted: it reports success for pictures it ruined (16 bits to JPEG, floats to PNG)
and forgets metadata. So depth and alpha are converted here, and every answer is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from imgfx import exif
from imgfx.colour import colour_notes
from imgfx.decoding import rgb_from_bgr
from imgfx.errors import EncodeError
from imgfx.formats import Format, bmp, jpeg, png, pnm, tiff, y4m
from imgfx.image import NO_NAME, Image, Metadata, Pixels, float_from_pixels, peak, pixels_from_float
from imgfx.texts import COMMENT, named
from imgfx.xmp import with_provenance, with_size

_BAND = 256
"""Rows whose channels are swapped at a time."""


def _swap_red_and_blue(samples: npt.NDArray[Any]) -> None:
    """In place."""
    for top in range(0, len(samples), _BAND):
        samples[top : top + _BAND] = rgb_from_bgr(samples[top : top + _BAND])


def encode(
    image: Image,
    target: Format,
    *,
    quality: int | None = None,
    origin: str = "",
    stream: bool = False,
    rate: Fraction | None = None,
    ending: str = "",
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
        ending: of the target's name; one that stands for gray, .pgm, makes the image gray.

    Raises:
        EncodeError: too large for the format, or the codec fails.
    """
    notes: list[str] = []
    if max(image.height, image.width) > target.largest_side:
        raise EncodeError(
            f"{origin}: {image.width}x{image.height} is too large for {target.name} "
            f"(at most {target.largest_side} a side); choose another format"
        )
    if target.name == "ppm" and ending.lower() == ".pgm" and not image.is_gray:
        notes.append("a .pgm holds gray alone; the colours are left out")
        image = _gray(image)
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
            samples = rgb_from_bgr(samples)
        else:  # ours to change, and large enough not to be held twice
            _swap_red_and_blue(samples)
        data = _encode_pixels(samples, target, metadata, quality, stream, origin)
    if target.name == "png":
        data = png.attach(data, metadata, _name_of(image) if stream else None)
    elif target.name == "jpeg":
        data, more = jpeg.attach(data, metadata)
        notes += more
    elif target.name == "tiff":
        data = tiff.attach(data, metadata, alpha=samples.shape[2] == 4)
    elif target.name == "bmp":
        data = bmp.attach(data, metadata.dpi)
    return data, tuple(notes)


def _name_of(image: Image) -> str | None:
    """The name that goes along; None for an image that was given none."""
    return None if image.name == NO_NAME and image.source is None else image.name


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


def _gray(image: Image) -> Image:
    """With the luma of its colours. Source: ITU-R BT.601."""
    luma = image.floats @ np.array([[0.299], [0.587], [0.114]], np.float32)
    return image.with_pixels(np.clip(luma, 0.0, 1.0))


def _needs_rgba(alpha: Pixels | None, target: Format) -> bool:
    """Gray with alpha is written as such in PNG and PAM, as RGBA elsewhere."""
    return alpha is not None and target.name not in ("png", "pam")


def _over_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    share = float_from_pixels(alpha)[..., None]
    return np.asarray(float_from_pixels(pixels) * share + (1 - share), dtype=np.float32)


def _storable_metadata(image: Image, target: Format, channels: int, notes: list[str]) -> Metadata:
    kept = image.metadata
    if target.name != "png":
        notes += colour_notes(kept, target.name)
    if kept.iptc and target.name not in ("jpeg", "tiff"):
        notes.append(f"{target.name} carries no IPTC; left out")
    notes += _text_notes(kept, target)
    if not target.metadata:
        if kept.exif or kept.icc or kept.xmp:
            notes.append(f"{target.name} carries no EXIF, XMP or ICC; left out")
        return Metadata(dpi=kept.dpi) if target.name == "bmp" else Metadata()
    if target.name == "tiff" and exif.has_maker_notes(kept.exif):
        notes.append(tiff.MAKER_NOTES)
    if kept.dpi and target.name in ("webp", "avif"):
        kept = replace(kept, exif=exif.with_resolution(kept.exif, kept.dpi))
    if kept.icc and kept.icc[16:20] == b"GRAY" and channels > 2:
        notes.append("a profile for gray does not fit RGB pixels; left out")
        kept = replace(kept, icc=None)
    if kept.exif:
        kept = replace(kept, exif=exif.normalised(kept.exif, image.width, image.height))
    if kept.xmp:
        kept = replace(kept, xmp=with_size(kept.xmp, image.width, image.height))
    if kept.provenance and target.name != "png":
        packet = with_provenance(kept.xmp, kept.provenance, target.largest_xmp)
        if packet is None:
            notes.append(f"the XMP in {target.name} has no room for how it was made; left out")
        kept = replace(kept, xmp=packet or kept.xmp)
    return kept


def _text_notes(kept: Metadata, target: Format) -> list[str]:
    """PNG has a place for all texts, JPEG for comments."""
    lost = [keyword for keyword, _ in kept.texts if (target.name, keyword) != ("jpeg", COMMENT)]
    if target.name == "png" or not lost:
        return []
    return [f"{target.name} carries no texts ({named(lost)}); left out"]


def _encode_pixels(
    samples: npt.NDArray[Any],
    target: Format,
    metadata: Metadata,
    quality: int | None,
    stream: bool,
    origin: str,
) -> bytes:
    from imgfx.opencv import cv2

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
    from imgfx.opencv import cv2

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
    from imgfx.opencv import cv2

    value = target.quality if quality is None else quality
    if target.name == "png":
        return [cv2.IMWRITE_PNG_COMPRESSION, 1 if stream else 4]
    if target.name == "jpeg":
        sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        return [cv2.IMWRITE_JPEG_QUALITY, value or 95, *sampling]
    if target.name == "webp":
        # Of pixels that nobody sees, too: whoever takes the alpha off later sees them.
        exact, lossy = cv2.IMWRITE_WEBP_LOSSLESS_PRESERVE_COLOR, cv2.IMWRITE_WEBP_LOSSLESS_OFF
        lossless = exact if value == 100 else lossy
        return [cv2.IMWRITE_WEBP_QUALITY, value or 95, cv2.IMWRITE_WEBP_LOSSLESS_MODE, lossless]
    if target.name == "avif":
        bits = 12 if samples.dtype == np.uint16 else 8
        return [cv2.IMWRITE_AVIF_QUALITY, value or 90, cv2.IMWRITE_AVIF_DEPTH, bits]
    if target.name == "tiff":
        return [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_ADOBE_DEFLATE]
    return []


def jpeg_round_trip(image: npt.NDArray[np.float32], quality: int) -> npt.NDArray[np.float32]:
    """(H, W, 3) in [0, 1] through a JPEG of this quality, 4:2:0, as most cameras write."""
    from imgfx.opencv import cv2

    samples = pixels_from_float(image, "uint8")
    done, data = cv2.imencode(".jpg", rgb_from_bgr(samples), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, "an 8-bit RGB image can always be written as JPEG"
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None, "what OpenCV has just written it can read"
    return float_from_pixels(rgb_from_bgr(decoded))
