"""JPEGs of phones: with further pictures, or a video, behind the picture's end.

A file of the Multi-Picture Format lists its pictures: a preview, the second lens, a gain map. A
motion photo says in its XMP that a video follows. Both are one file, of which the first picture is
read, and in a stream must not be taken for several.

Sources: CIPA DC-007-2009, Multi-Picture Format, section 5.2; Android, Motion Photo format 1.0;
ISO/IEC 14496-12, section 4.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from imgfx.exif import byte_order, first_offset, read_directory

_LIST = b"MPF\0"
_ENTRIES = 0xB002
_ENTRY = 16
_MOTION = (b"MotionPhoto", b"MicroVideo")
_STILLS = (b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix")
_BOXES = (
    b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"uuid", b"meta", b"moof", b"mfra",
    b"mpvd",
)  # fmt: skip


@dataclass
class Riders:
    """What the segments of a JPEG say is behind its first picture."""

    pictures: list[int] = field(default_factory=list)
    """Their first bytes in the file, in order; what the list says of their lengths may be wrong."""
    motion: bool = False
    """A video."""

    def see(self, marker: int, payload: bytes, start: int) -> None:
        """A segment, whose payload begins there in the file."""
        if marker == 0xE2 and payload.startswith(_LIST):
            self.pictures = sorted(_pictures(payload, start))
        elif marker == 0xE1:
            self.motion = self.motion or any(word in payload for word in _MOTION)


def _pictures(payload: bytes, start: int) -> Iterator[int]:
    listed = payload[len(_LIST) :]
    order = byte_order(listed)
    if order is None:
        return
    entry = read_directory(listed, order, first_offset(listed, order)).entries.get(_ENTRIES)
    value = entry.value if entry is not None else b""
    for place in range(0, len(value) - _ENTRY + 1, _ENTRY):
        (offset,) = struct.unpack_from(order + "I", value, place + 8)
        if offset:  # of the first picture it is none
            yield start + len(_LIST) + offset


def box_length(head: bytes) -> int | None:
    """Bytes of the video's box that begins with these 16; None where it is none."""
    if len(head) < 16 or head[4:8] not in _BOXES:
        return None
    if head[4:8] == b"ftyp" and head[8:12] in _STILLS:
        return None
    (size,) = struct.unpack_from(">I", head)
    if size == 1:
        (size,) = struct.unpack_from(">Q", head, 8)
    return size if size >= 8 else None
