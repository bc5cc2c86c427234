"""EXIF blobs: read, normalised after a rotation, carried between files.

Source: Exif 2.32 (CIPA DC-008-2019) section 4.6.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence

from imgfx.directories import (
    EXIF,
    INTEGERS,
    SIZES,
    Directory,
    Entry,
    blob_from_directory,
    byte_order,
    first_offset,
    next_offset,
    number,
    raw_entries,
    read_directory,
)
from imgfx.xmp import without_regions

ORIENTATION = 0x0112
PIXEL_WIDTH, PIXEL_HEIGHT = 0xA002, 0xA003
_IMAGE_WIDTH, _IMAGE_HEIGHT = 0x0100, 0x0101
_SUBJECT = (0x9214, 0xA214)
"""Where the subject is, in pixels: its area, and its middle."""
_THUMBNAIL = ((0x0201, 0x0202), (0x0111, 0x0117))
"""Where a thumbnail is and how long: of a JPEG, of strips."""
_MAKER_NOTES = 0x927C


def take_maker_notes(directory: Directory) -> bool:
    """Removes a camera's own notes, and answers whether there were some.

    Many say where in the file their parts are, in ways of each maker's: moved, they are garbage.
    """
    exif = directory.children.get(EXIF)
    return exif is not None and exif.entries.pop(_MAKER_NOTES, None) is not None


def has_maker_notes(blob: bytes | None) -> bool:
    """Whether an EXIF blob has a camera's own notes."""
    order = byte_order(blob or b"")
    if blob is None or order is None:
        return False
    return take_maker_notes(read_directory(blob, order, first_offset(blob, order)))


def orientation(blob: bytes | None) -> int:
    """The orientation, 1 to 8; 1 where there is none or it makes no sense."""
    order = byte_order(blob) if blob else None
    if blob is None or order is None:
        return 1
    directory = read_directory(blob, order, first_offset(blob, order))
    value = number(directory.entries.get(ORIENTATION), order)
    return value if value is not None and 1 <= value <= 8 else 1


def normalised(blob: bytes, width: int, height: int, turn: int | None = None) -> bytes:
    """The blob for pixels that stand upright and have this size.

    Sets the orientation to 1 and the sizes, where present, to the image's. The resolution and the
    place of the subject go along; a place that cannot is left out. The thumbnail, which shows the
    picture before, is wiped. Nothing else moves: a maker's notes count from the blob's beginning.

    Args:
        blob: an EXIF structure.
        width: of the upright image.
        height: of the upright image.
        turn: the orientation that the pixels had; None takes the blob's own.
    """
    order = byte_order(blob)
    if order is None:
        return blob
    turn = orientation(blob) if turn is None else turn
    patched = bytearray(blob)
    first = first_offset(blob, order)
    values = dict.fromkeys((PIXEL_WIDTH, _IMAGE_WIDTH), width)
    values.update((tag, height) for tag in (PIXEL_HEIGHT, _IMAGE_HEIGHT))
    entries = raw_entries(blob, order, first)
    if turn >= 5:
        _exchange_resolutions(patched, order, entries)
    links = [position for tag, _, _, position in entries if tag == EXIF]
    (inner,) = struct.unpack_from(order + "I", blob, links[0]) if links else (0,)
    lost = _move_subject(patched, order, inner, turn, (width, height))
    for tag, kind, count, position in entries + raw_entries(blob, order, inner):
        code = {3: "H", 4: "I"}.get(kind)
        if tag == ORIENTATION:
            _reset(patched, order, kind, count, position)
        elif tag in values and code and count == 1:
            limit = 0xFFFF if code == "H" else 0xFFFFFFFF
            struct.pack_into(order + code, patched, position, min(values[tag], limit))
    _wipe_thumbnail(patched, order, first)
    for tag in dict.fromkeys(lost):
        _remove(patched, order, inner, tag)
    return bytes(patched)


def _place(blob: bytes | bytearray, order: str, size: int, position: int) -> int | None:
    """Where a value of so many bytes is; None where that is outside."""
    if size > 4:
        (position,) = struct.unpack_from(order + "I", blob, position)
    return position if 8 <= position <= len(blob) - size else None


def _exchange_resolutions(
    blob: bytearray, order: str, entries: Sequence[tuple[int, int, int, int]]
) -> None:
    """Rows have become columns."""
    places = [
        _place(blob, order, 8, position)
        for tag, kind, count, position in entries
        if tag in (_ACROSS, _DOWN) and (kind, count) == (5, 1)
    ]
    if len(places) == 2 and places[0] is not None and places[1] is not None:
        one, other = places[0], places[1]
        blob[one : one + 8], blob[other : other + 8] = (
            blob[other : other + 8],
            blob[one : one + 8],
        )


def _move_subject(
    blob: bytearray, order: str, offset: int, turn: int, size: tuple[int, int]
) -> list[int]:
    """Moves the subject's place with the pixels; answers the tags whose place is not known."""
    places = [row for row in raw_entries(blob, order, offset) if row[0] in _SUBJECT]
    if not places:
        return []
    stored = _stored_size(blob, order, offset)
    upright = stored[::-1] if turn >= 5 else stored
    lost = []
    for tag, kind, count, position in places:
        place = _place(blob, order, 2 * count, position)
        # Of another shape, it is not only that the pixels were turned and resized.
        alike = math.isclose(size[0] * upright[1], size[1] * upright[0], rel_tol=0.01)
        if kind != 3 or not 2 <= count <= 4 or place is None or not all(stored) or not alike:
            lost.append(tag)
            continue
        x, y, *extent = struct.unpack_from(f"{order}{count}H", blob, place)
        if turn >= 5:
            extent.reverse()
        moved = [*_upright_point(x, y, turn, *stored), *extent]
        scaled = (min(0xFFFF, round(value * size[0] / upright[0])) for value in moved)
        struct.pack_into(f"{order}{count}H", blob, place, *scaled)
    return lost


def _stored_size(blob: bytearray, order: str, offset: int) -> tuple[int, int]:
    """The pixels' width and height as the Exif directory has them; 0 where it does not."""
    found = read_directory(bytes(blob), order, offset).entries
    width, height = (number(found.get(tag), order) or 0 for tag in (PIXEL_WIDTH, PIXEL_HEIGHT))
    return width, height


def _upright_point(x: int, y: int, turn: int, width: int, height: int) -> tuple[int, int]:
    """A pixel of a stored picture of this size, in the upright one."""
    if turn >= 5:
        x, y, width, height = y, x, height, width
    if turn in (2, 3, 6, 7):
        x = max(0, width - 1 - x)
    if turn in (3, 4, 7, 8):
        y = max(0, height - 1 - y)
    return x, y


def _wipe_thumbnail(blob: bytearray, order: str, first: int) -> None:
    """Cuts off the directory of the thumbnail, and zeroes the thumbnail where it is on its own."""
    link = next_offset(bytes(blob), order, first)
    if link:
        before = bytes(blob)
        found = read_directory(before, order, link).entries
        for where, length in _THUMBNAIL:
            starts, sizes = (_numbers(found.get(tag), order) for tag in (where, length))
            if starts and starts[0] >= 8:
                end = min(len(blob), starts[0] + sum(sizes))
                blob[starts[0] : end] = bytes(max(0, end - starts[0]))
        if read_directory(bytes(blob), order, first) != read_directory(before, order, first):
            blob[:] = before  # it was not where it says: something else would have been lost
    place = first + 2 + 12 * len(raw_entries(blob, order, first))
    if first >= 8 and place + 4 <= len(blob):
        struct.pack_into(order + "I", blob, place, 0)


def _numbers(entry: Entry | None, order: str) -> tuple[int, ...]:
    code = {3: "H", 4: "I"}.get(entry.kind) if entry else None
    return struct.unpack(f"{order}{entry.count}{code}", entry.value) if entry and code else ()


def _remove(blob: bytearray, order: str, offset: int, tag: int) -> None:
    """Takes an entry out of a directory; those behind it move up, their values stay."""
    rows = raw_entries(blob, order, offset)
    place = next((position - 8 for each, _, _, position in rows if each == tag), None)
    if place is None:
        return
    end = min(len(blob), offset + 2 + 12 * len(rows) + 4)
    blob[place:end] = blob[place + 12 : end] + bytes(12)
    struct.pack_into(order + "H", blob, offset, len(rows) - 1)


def _reset(blob: bytearray, order: str, kind: int, count: int, position: int) -> None:
    """Sets an orientation to 1, of whatever kind `number` reads: it would be turned by again."""
    if kind not in INTEGERS or not count:
        return
    if SIZES[kind] * count > 4:
        (position,) = struct.unpack_from(order + "I", blob, position)
    if 8 <= position <= len(blob) - SIZES[kind] * count:
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
    for tag, kind, count, position in raw_entries(blob, order, first_offset(blob, order)):
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
        for tag, _, _, position in raw_entries(blob, order, first)
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


_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)([1-8])")


def normalised_xmp(packet: bytes, turn: int | None = None) -> bytes:
    """The XMP packet of a picture that stands upright now.

    Its tiff:Orientation, where present, is 1. If the picture was turned, the packet has no places
    in it any more.

    Args:
        packet: as it was stored.
        turn: the orientation that the pixels had; None takes the packet's own, where it has one.
    """
    if turn is None:
        found = _XMP_ORIENTATION.search(packet)
        turn = int(found[2]) if found else 1
    upright = _XMP_ORIENTATION.sub(rb"\g<1>1", packet)
    return upright if turn == 1 else without_regions(upright)
