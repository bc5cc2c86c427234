"""TIFF directories, of which EXIF is made: read as far as they are sound, and written.

A blob is a TIFF structure: byte order, 42, offset of the first directory. Nothing in it is
trusted; whatever points outside is left out.

Source: TIFF 6.0 section 2; Exif 2.32 (CIPA DC-008-2019) section 4.6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

EXIF = 0x8769
SUB_DIRECTORIES = (EXIF, 0x8825, 0xA005)
"""Tags that point to a directory: Exif, GPS, Interoperability."""

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of one value, by its kind."""
INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""The kinds of whole numbers that readers take for each other, as struct has them."""
_MOST_ENTRIES = 4096
_DEEPEST = 4


@dataclass(frozen=True)
class Entry:
    """One tag's value as raw bytes in the structure's byte order."""

    kind: int
    count: int
    value: bytes


@dataclass
class Directory:
    """The entries of one directory and the directories it points to, by tag."""

    entries: dict[int, Entry] = field(default_factory=dict)
    children: dict[int, Directory] = field(default_factory=dict)


def byte_order(blob: bytes) -> str | None:
    """The struct prefix, < or >, of a TIFF structure; None when it is none."""
    if blob[:4] == b"II*\0":
        return "<"
    return ">" if blob[:4] == b"MM\0*" else None


def first_offset(blob: bytes, order: str) -> int:
    """Where the first directory lies; 0 when the blob is too short."""
    return int(struct.unpack_from(order + "I", blob, 4)[0]) if len(blob) >= 8 else 0


def raw_entries(
    blob: bytes | bytearray, order: str, offset: int
) -> list[tuple[int, int, int, int]]:
    """(tag, kind, count, position of the value field) of a directory, as far as it is readable."""
    if offset < 8 or offset + 2 > len(blob):
        return []
    (number,) = struct.unpack_from(order + "H", blob, offset)
    last = min(number, _MOST_ENTRIES, (len(blob) - offset - 2) // 12)
    starts = [offset + 2 + 12 * i for i in range(last)]
    return [(*struct.unpack_from(order + "HHI", blob, p), p + 8) for p in starts]


def _value(blob: bytes, order: str, kind: int, count: int, position: int) -> bytes | None:
    size = SIZES.get(kind, 0) * count
    if size > 4:
        (position,) = struct.unpack_from(order + "I", blob, position)
    return blob[position : position + size] if 0 < size <= len(blob) - position else None


def read_directory(blob: bytes, order: str, offset: int) -> Directory:
    """A directory and those below it; unreadable entries are left out.

    All values together may be twice the blob's size: entries that share bytes could otherwise
    make gigabytes of a small file.
    """
    return _read_directory(blob, order, offset, 0, [2 * len(blob)])


def _read_directory(blob: bytes, order: str, offset: int, depth: int, room: list[int]) -> Directory:
    directory = Directory()
    for tag, kind, count, position in raw_entries(blob, order, offset):
        value = _value(blob, order, kind, count, position)
        room[0] -= len(value or b"")
        if value is None or room[0] < 0:
            continue
        if tag in SUB_DIRECTORIES and len(value) == 4 and depth < _DEEPEST:
            # Only the first of a tag: a directory full of links to itself would take forever.
            if tag not in directory.children:
                (target,) = struct.unpack(order + "I", value)
                directory.children[tag] = _read_directory(blob, order, target, depth + 1, room)
        else:
            directory.entries[tag] = Entry(kind, count, value)
    return directory


def next_offset(blob: bytes, order: str, offset: int) -> int:
    """Where the directory after this one lies; 0 for none."""
    if offset < 8 or offset + 2 > len(blob):
        return 0
    (entries,) = struct.unpack_from(order + "H", blob, offset)
    link = offset + 2 + 12 * entries
    if not entries or link + 4 > len(blob):
        return 0
    return int(struct.unpack_from(order + "I", blob, link)[0])


def write_directory(directory: Directory, order: str, base: int, link: int = 0) -> bytes:
    """The directory as it stands at offset `base` of a file, its values and children behind it."""
    tags = sorted([*directory.entries, *directory.children])
    position = base + 2 + 12 * len(tags) + 4
    head, tail = [struct.pack(order + "H", len(tags))], b""
    for tag in tags:
        child = directory.children.get(tag)
        if child is not None:
            part = write_directory(child, order, position)
            head.append(struct.pack(order + "HHII", tag, 4, 1, position))
        else:
            entry = directory.entries[tag]
            part = entry.value if len(entry.value) > 4 else b""
            field_ = struct.pack(order + "I", position) if part else entry.value.ljust(4, b"\0")
            head.append(struct.pack(order + "HHI", tag, entry.kind, entry.count) + field_)
        part += b"\0" * (len(part) % 2)
        tail += part
        position += len(part)
    return b"".join(head) + struct.pack(order + "I", link) + tail


def blob_from_directory(directory: Directory, order: str) -> bytes:
    """A whole EXIF blob."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "I", 8) + write_directory(directory, order, 8)


def number(entry: Entry | None, order: str) -> int | None:
    """The first value of an entry of whole numbers; None where it is negative."""
    if entry is None or entry.kind not in INTEGERS:
        return None
    value = int(struct.unpack_from(order + INTEGERS[entry.kind], entry.value)[0])
    return value if value >= 0 else None
