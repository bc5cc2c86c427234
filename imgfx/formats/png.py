"""PNG chunks: integrity, metadata in and out.

Source: PNG Specification, third edition (W3C, 2025), sections 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imgfx.formats._common import (
    BEHIND,
    CREDENTIALS,
    DamagedError,
    Inspection,
    note_on_shape,
    picture_behind,
)
from imgfx.formats._png_text import (
    KINDS,
    MOST_INFLATION,
    NAME,
    PROVENANCE,
    XMP,
    Texts,
    chunk,
    chunks_of,
    inflated,
    international,
)
from imgfx.image import Metadata

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_COLOUR = {"gAMA": 4, "cHRM": 32, "sRGB": 1, "cICP": 4}
"""Chunks that say how samples stand for light, with their length."""
_NEEDED = (b"tRNS", b"acTL")
"""Ancillary chunks without which the picture would be another one, or all the file's."""
_RIDERS = {
    **dict.fromkeys(KINDS, "text"),
    b"eXIf": "EXIF",
    b"iCCP": "ICC profile",
    b"pHYs": "resolution",
    **{kind.encode(): f"colour ({kind})" for kind in _COLOUR},
}
"""What notes call the other ones that are read."""
_SCREENS = (b"mDCV", b"cLLI", b"mDCv", b"cLLi")
"""How bright the picture and the screen it was made on are; the latter two of drafts."""
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_INCH = 0.0254


@dataclass(frozen=True)
class _Chunk:
    kind: bytes
    payload: bytes
    """Empty of image data, which are many and looked at by the decoder alone."""
    length: int
    sound: bool
    """Its checksum is right; of an ancillary chunk only it may be wrong."""
    end: int
    """Where the next one begins."""


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """All up to IEND."""
    if data[:8] != SIGNATURE:
        raise DamagedError("the PNG signature is damaged")
    view = memoryview(data)
    for kind, start, end in _spans(data):
        payload = b"" if kind == b"IDAT" else data[start + 8 : end - 4]
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        sound = zlib.crc32(view[start + 4 : end - 4]) == checksum
        if not sound and (kind[:1].isupper() or kind in _NEEDED):
            where = kind.decode() if kind.isalpha() else "a chunk without a name"
            raise DamagedError(f"damaged PNG: wrong checksum in {where}")
        yield _Chunk(kind, payload, end - start - 12, sound, end)


def _spans(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of each chunk up to IEND."""
    position = 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        yield kind, position, end
        if kind == b"IEND":
            return
        position = end
    raise DamagedError("truncated PNG")


def _size(header: bytes) -> tuple[int, int]:
    if len(header) != 13:
        raise DamagedError("damaged PNG: IHDR has the wrong length")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(
        ">IIBBBBB", header
    )
    if depth not in _DEPTHS.get(colour, ()):
        raise DamagedError(f"invalid PNG: colour type {colour} with bit depth {depth}")
    if 0 in (width, height) or compression or filtering or interlace > 1:
        raise DamagedError("invalid PNG header")
    return width, height


def size(head: bytes) -> tuple[int, int] | None:
    """(width, height) as declared by a file's first 24 bytes."""
    return (
        struct.unpack_from(">II", head, 16) if head[12:16] == b"IHDR" and len(head) > 23 else None
    )


def _check_length(header: bytes, compressed: int) -> None:
    """Refuses what would not even fill its rows with zeros, before there is room made for them."""
    width, height = _size(header)
    bits = width * height * header[8] * _CHANNELS[header[9]]
    if bits // 8 > compressed * MOST_INFLATION:
        raise DamagedError(f"damaged PNG: too short for {width}x{height} pixels")


def _profile(payload: bytes) -> bytes | None:
    _, _, rest = payload.partition(b"\0")
    return inflated(rest[1:])


def inspect(data: bytes) -> Inspection:
    """Checks the chunks and reads size, metadata and name.

    Raises:
        DamagedError: a missing or damaged critical chunk, or an invalid header.
    """
    found: dict[bytes, bytes] = {}
    texts = Texts()
    compressed = 0
    apart = False
    damaged: dict[str, None] = {}
    end = 0
    for part in _chunks(data):
        kind, payload, end = part.kind, part.payload, part.end
        if not found and kind != b"IHDR":
            raise DamagedError("damaged PNG: IHDR does not come first")
        if kind == b"IDAT":
            compressed += part.length
            apart = apart or b"fcTL" not in found
        if not part.sound:
            damaged.update({_RIDERS[kind]: None} if kind in _RIDERS else {})
        elif kind in KINDS:
            texts.see(kind, payload)
        else:
            found.setdefault(kind, payload)
    if b"IDAT" not in found:
        raise DamagedError("damaged PNG: no image data")
    width, height = _size(found[b"IHDR"])
    _check_length(found[b"IHDR"], compressed)
    profile = _profile(found[b"iCCP"]) if b"iCCP" in found else None
    if b"iCCP" in found and profile is None:
        damaged[_RIDERS[b"iCCP"]] = None
    name = texts.riders.get(NAME)
    return Inspection(
        width,
        height,
        Metadata(
            # Some writers leave JPEG's prefix before the structure.
            exif=found.get(b"eXIf", b"").removeprefix(b"Exif\0\0") or None,
            xmp=texts.riders.get(XMP) or None,
            icc=profile,
            dpi=_dpi(found.get(b"pHYs")),
            colour=_colour(found),
            texts=texts.kept,
            provenance=texts.riders.get(PROVENANCE, b"").decode("utf-8", "replace") or None,
        ),
        frames=_frames(found.get(b"acTL"), apart=apart),
        gray=found[b"IHDR"][9] in (0, 4),
        transparent=_transparent_gray(found[b"IHDR"], found.get(b"tRNS")),
        name=name.decode("utf-8", "replace") if name else None,
        others=(BEHIND,) if picture_behind(data, end) is not None else (),
        notes=(
            *(f"its {what} is damaged; left out" for what in damaged),
            *texts.notes(),
            *_lost(found),
        ),
    )


def _colour(found: dict[bytes, bytes]) -> tuple[tuple[str, bytes], ...]:
    """The chunks that say what the samples mean, of those that have their length."""
    return tuple(
        (name, found[name.encode()])
        for name, length in _COLOUR.items()
        if len(found.get(name.encode(), b"")) == length
    )


def _lost(found: dict[bytes, bytes]) -> tuple[str, ...]:
    """A note on each thing that other chunks say, and that is left out."""
    notes = (CREDENTIALS,) if b"caBX" in found else ()
    screens = sorted(kind.decode() for kind in _SCREENS if kind in found)
    if screens:
        notes = (*notes, f"its brightness for HDR screens ({', '.join(screens)}) is left out")
    shape = found.get(b"pHYs", b"")
    if len(shape) == 9 and shape[8] != 1:
        notes = (*notes, *note_on_shape(*struct.unpack_from(">II", shape)))
    return notes


def _frames(control: bytes | None, *, apart: bool) -> int:
    """Pictures of the file; the one that is shown may stand apart from those of an animation."""
    if control is None:
        return 1
    return max(1, int.from_bytes(control[:4], "big") + apart)


def _transparent_gray(header: bytes, payload: bytes | None) -> int | None:
    """The transparent value of a gray PNG, scaled as its samples are; OpenCV ignores it."""
    depth, colour = header[8], header[9]
    if colour != 0 or payload is None or len(payload) < 2:
        return None
    value = int.from_bytes(payload[:2], "big") & ((1 << depth) - 1)
    return value if depth >= 8 else value * 255 // (2**depth - 1)


_ESSENTIAL = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def essential(data: bytes) -> bytes:
    """The PNG with only the chunks that make its pixels, which `inspect` has checked.

    The decoder then has nothing to warn of: profiles and the like are read here.
    """
    runs = [(0, len(SIGNATURE))]
    for kind, start, end in _spans(data):
        if kind in _ESSENTIAL:
            # One behind the other, as image data are, they are copied at once.
            runs[-1:] = [(runs[-1][0], end)] if runs[-1][1] == start else [runs[-1], (start, end)]
    view = memoryview(data)
    return data if runs == [(0, len(data))] else b"".join(view[a:b] for a, b in runs)


def _dpi(payload: bytes | None) -> tuple[float, float] | None:
    if payload is None or len(payload) != 9 or payload[8] != 1:
        return None
    across, down = struct.unpack_from(">II", payload)
    return (across * _INCH, down * _INCH) if across and down else None


def attach(data: bytes, metadata: Metadata, name: str | None = None) -> bytes:
    """A PNG with the metadata, and the name for the next process, behind its header."""
    added = b""
    if metadata.icc:
        added += chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc, 6))
    for kind, payload in metadata.colour:
        added += chunk(kind.encode(), payload)
    if metadata.dpi:
        across, down = (min(0x7FFFFFFF, max(1, round(v / _INCH))) for v in metadata.dpi)
        added += chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    if metadata.exif:
        added += chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        added += international(XMP, metadata.xmp)
    added += chunks_of(metadata.texts)
    if metadata.provenance:
        added += international(PROVENANCE, metadata.provenance.encode())
    if name is not None:
        added += international(NAME, name.encode("utf-8", "replace"))
    header_end = 8 + 12 + 13
    return data[:header_end] + added + data[header_end:]


def encode_gray_alpha(samples: npt.NDArray[Any]) -> bytes:
    """A PNG of (H, W, 2) uint8 or uint16 gray and alpha, which OpenCV cannot write."""
    height, width, _ = samples.shape
    depth = 8 * samples.dtype.itemsize
    rows = samples.astype(samples.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2  # filter 'Up': the difference to the row above
    filtered[:, 1:] = rows
    filtered[1:, 1:] -= rows[:-1]
    header = struct.pack(">IIBBBBB", width, height, depth, 4, 0, 0, 0)
    pixels = zlib.compress(filtered.tobytes(), 3)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
