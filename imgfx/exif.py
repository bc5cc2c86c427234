"""EXIF blobs and TIFF directories: read, normalised after a rotation, carried between files.

A blob is a TIFF structure: byte order, 42, offset of the first directory. Nothing in it is
trusted; whatever points outside is left out.

Source: Exif 2.32 (CIPA DC-008-2019) section 4.6; TIFF 6.0 section 2.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

ORIENTATION = 0x0112
PIXEL_WIDTH, PIXEL_HEIGHT = 0xA002, 0xA003
_EXIF, _MAKER_NOTES = 0x8769, 0x927C
SUB_DIRECTORIES = (_EXIF, 0x8825, 0xA005)
"""Tags that point to a directory: Exif, GPS, Interoperability."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
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


def _raw_entries(blob: bytes, order: str, offset: int) -> list[tuple[int, int, int, int]]:
    """(tag, kind, count, position of the value field) of a directory, as far as it is readable."""
    if offset < 8 or offset + 2 > len(blob):
        return []
    (number,) = struct.unpack_from(order + "H", blob, offset)
    last = min(number, _MOST_ENTRIES, (len(blob) - offset - 2) // 12)
    starts = [offset + 2 + 12 * i for i in range(last)]
    return [(*struct.unpack_from(order + "HHI", blob, p), p + 8) for p in starts]


def _value(blob: bytes, order: str, kind: int, count: int, position: int) -> bytes | None:
    size = _SIZES.get(kind, 0) * count
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
    for tag, kind, count, position in _raw_entries(blob, order, offset):
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


def take_maker_notes(directory: Directory) -> bool:
    """Removes a camera's own notes, and answers whether there were some.

    Many say where in the file their parts are, in ways of each maker's: moved, they are garbage.
    """
    exif = directory.children.get(_EXIF)
    return exif is not None and exif.entries.pop(_MAKER_NOTES, None) is not None


def has_maker_notes(blob: bytes | None) -> bool:
    """Whether an EXIF blob has a camera's own notes."""
    order = byte_order(blob or b"")
    if blob is None or order is None:
        return False
    return take_maker_notes(read_directory(blob, order, first_offset(blob, order)))


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


def orientation(blob: bytes | None) -> int:
    """The orientation, 1 to 8; 1 where there is none or it makes no sense."""
    order = byte_order(blob) if blob else None
    if blob is None or order is None:
        return 1
    directory = read_directory(blob, order, first_offset(blob, order))
    value = number(directory.entries.get(ORIENTATION), order)
    return value if value is not None and 1 <= value <= 8 else 1


def normalised(blob: bytes, width: int, height: int) -> bytes:
    """The blob for pixels that stand upright and have this size.

    Sets the orientation to 1 and the pixel dimensions, where present, to the image's, and cuts
    off the thumbnail, which shows the picture before.
    """
    order = byte_order(blob)
    if order is None:
        return blob
    patched = bytearray(blob)
    first = first_offset(blob, order)
    values = {PIXEL_WIDTH: width, PIXEL_HEIGHT: height}
    entries = _raw_entries(blob, order, first)
    for tag, _, _, position in list(entries):
        if tag == 0x8769:
            (offset,) = struct.unpack_from(order + "I", blob, position)
            entries += _raw_entries(blob, order, offset)
    for tag, kind, count, position in entries:
        code = {3: "H", 4: "I"}.get(kind)
        if tag == ORIENTATION:
            _reset(patched, order, kind, count, position)
        elif tag in values and code and count == 1:
            limit = 0xFFFF if code == "H" else 0xFFFFFFFF
            struct.pack_into(order + code, patched, position, min(values[tag], limit))
    link = first + 2 + 12 * len(_raw_entries(blob, order, first))
    if link + 4 <= len(patched):
        struct.pack_into(order + "I", patched, link, 0)
    return bytes(patched)


def _reset(blob: bytearray, order: str, kind: int, count: int, position: int) -> None:
    """Sets an orientation to 1, of whatever kind `number` reads: it would be turned by again."""
    if kind not in INTEGERS or not count:
        return
    if _SIZES[kind] * count > 4:
        (position,) = struct.unpack_from(order + "I", blob, position)
    if 8 <= position <= len(blob) - _SIZES[kind] * count:
        struct.pack_into(order + INTEGERS[kind], blob, position, 1)


_ACROSS, _DOWN, _UNIT = 0x011A, 0x011B, 0x0128
_A_UNIT = {2: 1.0, 3: 2.54}
"""Inches and centimetres: dots an inch of one dot each."""


def resolution(blob: bytes | None) -> tuple[float, float] | None:
    """Pixels an inch, horizontally and vertically; None where the blob does not tell."""
    order = byte_order(blob) if blob else None
    if blob is None or order is None:
        return None
    return resolution_of(read_directory(blob, order, first_offset(blob, order)).entries, order)


def resolution_of(entries: Mapping[int, Entry], order: str) -> tuple[float, float] | None:
    """The same of a directory."""
    factor = _A_UNIT.get(number(entries.get(_UNIT), order) or 2, 0.0)
    values = []
    for tag in (_ACROSS, _DOWN):
        entry = entries.get(tag)
        if entry is None or entry.kind != 5 or len(entry.value) < 8:
            return None
        over, under = struct.unpack_from(order + "II", entry.value)
        values.append(over / under * factor if under else 0.0)
    return (values[0], values[1]) if all(values) else None


def resolution_entries(dpi: tuple[float, float], order: str) -> dict[int, Entry]:
    """What says so many pixels an inch."""
    found = {_UNIT: Entry(3, 1, struct.pack(order + "H", 2))}
    for tag, value in zip((_ACROSS, _DOWN), dpi, strict=True):
        thousandths = min(0xFFFFFFFF, max(1, round(value * 1000)))
        found[tag] = Entry(5, 1, struct.pack(order + "II", thousandths, 1000))
    return found


def with_resolution(blob: bytes | None, dpi: tuple[float, float]) -> bytes:
    """The blob, or a new one, with the resolution; as it is where it says that already.

    What is there is changed in its place: a maker's note counts from the blob's beginning, and
    would be unreadable elsewhere.
    """
    if blob and byte_order(blob) is None:
        return blob
    known = resolution(blob)
    if (
        blob
        and known
        and all(math.isclose(a, b, rel_tol=1e-3) for a, b in zip(known, dpi, strict=True))
    ):
        return blob
    order = (byte_order(blob) if blob else None) or "<"
    wanted = resolution_entries(dpi, order)
    if not blob:
        return blob_from_directory(Directory(wanted), order)
    return _patched(blob, order, wanted) if known else _with_first(blob, order, wanted)


def _patched(blob: bytes, order: str, wanted: Mapping[int, Entry]) -> bytes:
    """The blob with values of the same size in place of its own, where it has such."""
    patched = bytearray(blob)
    for tag, kind, count, position in _raw_entries(blob, order, first_offset(blob, order)):
        entry = wanted.get(tag)
        if entry is None or (entry.kind, entry.count) != (kind, count):
            continue
        place = position
        if len(entry.value) > 4:
            (place,) = struct.unpack_from(order + "I", blob, position)
        patched[place : place + len(entry.value)] = entry.value
    return bytes(patched)


def _with_first(blob: bytes, order: str, wanted: Mapping[int, Entry]) -> bytes:
    """The blob with another first directory at its end, which has these entries too."""
    first = first_offset(blob, order)
    directory = read_directory(blob, order, first)
    kept = {
        tag: blob[position - 8 : position + 4]
        for tag, _, _, position in _raw_entries(blob, order, first)
        if tag in directory.entries or tag in directory.children
    }
    base = len(blob) + len(blob) % 2
    rows = sorted([*kept, *wanted])
    place = base + 2 + 12 * len(rows) + 4
    head, tail = struct.pack(order + "H", len(rows)), b""
    for tag in rows:
        entry = wanted.get(tag)
        if entry is None:
            head += kept[tag]
            continue
        value = entry.value.ljust(4, b"\0")
        if len(entry.value) > 4:
            value = struct.pack(order + "I", place + len(tail))
            tail += entry.value
        head += struct.pack(order + "HHI", tag, entry.kind, entry.count) + value
    moved = blob[:4] + struct.pack(order + "I", base) + blob[8:] + b"\0" * (len(blob) % 2)
    return moved + head + bytes(4) + tail


_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]")


def normalised_xmp(packet: bytes) -> bytes:
    """An XMP packet whose tiff:Orientation, where present, is 1."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)
