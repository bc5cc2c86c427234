"""WebP's RIFF chunks: integrity and metadata.

OpenCV writes WebP metadata faithfully, so nothing is attached here.

Source: RFC 9649, WebP Image Format, section 2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from imgfx.formats._common import BEHIND, DamagedError, Inspection, picture_behind
from imgfx.image import Metadata


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    (size,) = struct.unpack_from("<I", data, 4)
    end = 8 + size
    if end > len(data):
        raise DamagedError("truncated WebP")
    position = 12
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        if position + 8 + length > end:
            raise DamagedError("truncated WebP")
        yield kind, data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2


def _size(kind: bytes, payload: bytes) -> tuple[int, int]:
    if kind == b"VP8X" and len(payload) >= 10:
        width, height = (int.from_bytes(payload[p : p + 3], "little") + 1 for p in (4, 7))
        return width, height
    if kind == b"VP8 " and payload[3:6] == b"\x9d\x01\x2a" and len(payload) >= 10:
        width, height = struct.unpack_from("<HH", payload, 6)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and len(payload) >= 5:
        bits = int.from_bytes(payload[1:5], "little")
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    return 0, 0


def size(head: bytes) -> tuple[int, int] | None:
    """(width, height) as declared by the first chunk, in a file's first 30 bytes."""
    declared = _size(head[12:16], head[20:30])
    return declared if all(declared) else None


def inspect(data: bytes) -> Inspection:
    """Checks the chunk sizes and reads size, metadata and the number of frames.

    Raises:
        DamagedError: truncated, or without an image.
    """
    if len(data) < 12:
        raise DamagedError("truncated WebP")
    found: dict[bytes, bytes] = {}
    frames = 0
    largest = (0, 0)
    for kind, payload in _chunks(data):
        found.setdefault(kind, payload)
        frames += kind == b"ANMF"
        # A picture larger than its canvas is the decoder's to refuse, but not to make room for.
        largest = max(largest, _size(kind, payload), key=lambda pair: pair[0] * pair[1])
    if 0 in largest:
        raise DamagedError("no image in the WebP")
    exif = found.get(b"EXIF")
    if exif is not None and exif[:6] == b"Exif\0\0":
        exif = exif[6:]
    metadata = Metadata(exif=exif, xmp=found.get(b"XMP "), icc=found.get(b"ICCP"))
    (length,) = struct.unpack_from("<I", data, 4)
    followed = picture_behind(data, 8 + length + length % 2) is not None
    others = (BEHIND,) if followed else ()
    return Inspection(*largest, metadata, frames=max(1, frames), others=others)
