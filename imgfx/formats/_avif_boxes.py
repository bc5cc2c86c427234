"""The boxes of an AVIF, the numbers in them, and where its items lie.

Source: ISO/IEC 14496-12, sections 4.2, 8.7.5 and 8.11.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from imgfx.formats._common import DamagedError

_NESTED = {
    b"meta": 4, b"iprp": 0, b"ipco": 0, b"iref": 4,
    b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0,
}  # fmt: skip
"""Boxes to look into, with the bytes before their children."""
_DEEPEST = 8
_IN_FILE, _IN_META = 0, 1
"""What the offsets of an item count from: the file's beginning, or that of the box `idat`."""

Box = tuple[bytes, int, int]
"""(type, start, end of payload)."""


def boxes(
    data: bytes, start: int, end: int, depth: int = 0, *, flat: bool = False
) -> Iterator[Box]:
    """The boxes between two places.

    Args:
        data: the file.
        start: of the first box.
        end: of the last one.
        depth: how deep they lie already.
        flat: leaves out the children of boxes that have some.

    Raises:
        DamagedError: one reaches beyond the end.
    """
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        stop = end if size == 0 else start + size
        if stop > end or stop < start + head:
            raise DamagedError("truncated AVIF")
        yield kind, start + head, stop
        if kind in _NESTED and depth < _DEEPEST and not flat:
            yield from boxes(data, start + head + _NESTED[kind], stop, depth + 1)
        start = stop


@dataclass
class Numbers:
    """Numbers of any size, the high byte first, one after the other."""

    data: bytes
    position: int
    end: int

    def take(self, size: int) -> int:
        """The next number.

        Raises:
            DamagedError: there is none.
        """
        start, self.position = self.position, self.position + size
        if self.position > self.end:
            raise DamagedError("truncated AVIF")
        return int.from_bytes(self.data[start : self.position], "big")


@dataclass(frozen=True)
class Field:
    """A number, and where it stands."""

    value: int
    place: int
    size: int
    """Its bytes; 0 where there is none, and the value 0."""


@dataclass(frozen=True)
class Stored:
    """Where an item's bytes are."""

    item: int
    in_file: bool
    """Its offsets count from the file's beginning."""
    in_meta: bool
    """They count from that of the box `idat`."""
    base: Field
    extents: tuple[tuple[Field, int], ...]
    """(offset, length) of each piece; a length of 0 reaches to the end."""

    def pieces(self, data: bytes, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of each piece, of offsets that count from the start."""
        end = len(data) if end is None else end
        for offset, length in self.extents:
            place = start + self.base.value + offset.value
            yield data[place : min(end, place + length) if length else end]


def stored_items(data: bytes, start: int, stop: int) -> Iterator[Stored]:
    """What a box `iloc` says.

    Raises:
        DamagedError: it is cut off, or has pieces without a place.
    """
    numbers = Numbers(data, start, stop)

    def field(size: int) -> Field:
        place = numbers.position
        return Field(numbers.take(size), place, size)

    version = numbers.take(4) >> 24
    sizes = numbers.take(2)
    offset_size, length_size, base_size, index_size = (sizes >> s & 15 for s in (12, 8, 4, 0))
    for _ in range(numbers.take(4 if version == 2 else 2)):
        item = numbers.take(4 if version == 2 else 2)
        method = numbers.take(2) & 15 if version else _IN_FILE
        numbers.take(2)
        base = field(base_size)
        extents = []
        pieces = numbers.take(2)
        if pieces > 1 and not (offset_size or length_size or (version and index_size)):
            # They would cost no bytes, and so be any number.
            raise DamagedError("damaged AVIF: pieces without a place")
        for _ in range(pieces):
            numbers.take(index_size if version else 0)
            offset = field(offset_size)
            extents.append((offset, numbers.take(length_size)))
        yield Stored(item, method == _IN_FILE, method == _IN_META, base, tuple(extents))


def chunk_fields(data: bytes, kind: bytes, start: int, stop: int) -> Iterator[Field]:
    """The places of a sequence's chunks, as a box `stco` or `co64` lists them.

    Raises:
        DamagedError: it is cut off.
    """
    size = 4 if kind == b"stco" else 8
    numbers = Numbers(data, start + 4, stop)
    for _ in range(numbers.take(4)):
        place = numbers.position
        yield Field(numbers.take(size), place, size)


def without_links(data: bytes, unwanted: bytes) -> bytes:
    """The file whose items are not linked in a way; their bytes stay where they are.

    Raises:
        DamagedError: a box is cut off.
    """
    found = [start for kind, start, _ in boxes(data, 0, len(data)) if kind == unwanted]
    if not found:
        return data
    patched = bytearray(data)
    for start in found:
        if patched[start - 4 : start] == unwanted:  # elsewhere its length is in between
            patched[start - 4 : start] = b"free"
    return bytes(patched)


def moved_by(data: bytes, added: int) -> bytes:
    """The file with as many more bytes in its first box, and all places in it told anew.

    Args:
        data: a file that begins with `ftyp`, of a plain length.
        added: bytes, a multiple of four; they say once more what kind of file it is.

    Raises:
        DamagedError: a box is cut off, or a place is no place in a file.
    """
    (first,) = struct.unpack_from(">I", data)
    moved = bytearray(data)
    for kind, start, stop in boxes(data, 0, len(data)):
        if kind == b"iloc":
            told = [
                field
                for stored in stored_items(data, start, stop)
                if stored.in_file
                for field in _to_move(stored)
            ]
        elif kind in (b"stco", b"co64"):
            told = list(chunk_fields(data, kind, start, stop))
        else:
            continue
        for field in told:
            if field.value + added >= 256**field.size:
                raise DamagedError("truncated AVIF")
            end = field.place + field.size
            moved[field.place : end] = (field.value + added).to_bytes(field.size, "big")
    more = (data[8:12] * (added // 4))[:added]
    return struct.pack(">I", first + added) + bytes(moved[4:first]) + more + bytes(moved[first:])


def _to_move(stored: Stored) -> list[Field]:
    """The fields of an item that its bytes move with: its base, or else each of its offsets."""
    if stored.base.size >= 4:
        return [stored.base]
    return [offset for offset, _ in stored.extents if offset.size]
