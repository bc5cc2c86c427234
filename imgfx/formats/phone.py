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
from itertools import pairwise

from imgfx.directories import byte_order, first_offset, read_directory
from imgfx.formats._common import BEHIND, picture_behind

_LIST = b"MPF\0"
_ENTRIES = 0xB002
_ENTRY = 16
_PREVIEWS = (0x010001, 0x010002)
"""Types of pictures that show the first one, smaller."""
_GAIN_MAPS = (b"hdr-gain-map", b"hdrgainmap", b"urn:iso:std:iso:ts:21496:-1")
"""What the head of a gain map says, by Adobe and Google, Apple, and ISO."""
_LONGEST_HEAD = 1 << 16
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
    previews: set[int] = field(default_factory=set)
    """Those of them that only show the first picture smaller."""
    motion: bool = False
    """A video."""

    def see(self, marker: int, payload: bytes, start: int) -> None:
        """A segment, whose payload begins there in the file."""
        if marker == 0xE2 and payload.startswith(_LIST):
            listed = dict(_pictures(payload, start))
            self.pictures = sorted(listed)
            self.previews = {place for place, kind in listed.items() if kind in _PREVIEWS}
        elif marker == 0xE1:
            self.motion = self.motion or any(word in payload for word in _MOTION)


def _pictures(payload: bytes, start: int) -> Iterator[tuple[int, int]]:
    """(first byte in the file, type) of each but the first."""
    listed = payload[len(_LIST) :]
    order = byte_order(listed)
    if order is None:
        return
    entry = read_directory(listed, order, first_offset(listed, order)).entries.get(_ENTRIES)
    value = entry.value if entry is not None else b""
    for place in range(0, len(value) - _ENTRY + 1, _ENTRY):
        attributes, _, offset = struct.unpack_from(order + "III", value, place)
        if offset:  # of the first picture it is none
            yield start + len(_LIST) + offset, attributes & 0xFFFFFF


def unread(data: bytes, end: int, riders: Riders) -> tuple[int, tuple[str, ...]]:
    """(pictures with one of their own, a note on each other thing) of a JPEG that ends there.

    Only what is there counts: lists and claims often outlive it.
    """
    places = [p for p in riders.pictures if p >= end and data.startswith(b"\xff\xd8", p)]
    maps = {p for p, after in pairwise([*places, len(data)]) if _is_gain_map(data, p, after)}
    notes = ["its gain map for bright (HDR) screens is not read"] if maps else []
    if picture_behind(data, end) not in (None, *riders.pictures):
        notes.append(BEHIND)
    if _holds_video(data, end):
        notes.append("the video behind the picture is not read")
    return len(set(places) - maps - riders.previews) + 1, tuple(notes)


def _is_gain_map(data: bytes, start: int, end: int) -> bool:
    end = min(end, start + _LONGEST_HEAD)
    return any(data.find(word, start, end) >= 0 for word in _GAIN_MAPS)


def _holds_video(data: bytes, start: int) -> bool:
    """Whether a video's first box is behind that; some makers put words of their own before it."""
    place = data.find(b"ftyp", start + 4)
    while place >= 0:
        if box_length(data[place - 4 : place + 12]):
            return True
        place = data.find(b"ftyp", place + 4)
    return False


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
