"""The strips and tiles of a TIFF: whether each holds all that it must.

OpenCV reads samples of up to eight bits in libtiff's way for showing pictures, where what cannot be
decompressed is black and no error. So deflated parts are inflated here, with their checksums, and
others are given to OpenCV once more, as samples of sixteen bits, where it does tell.

Source: TIFF 6.0, sections 3, 9, 13 and 15; Adobe Photoshop TIFF Technical Notes (2002), 'ZIP'.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from imgfx.directories import Entry, number, write_directory
from imgfx.formats._common import DamagedError
from imgfx.formats._tiff_layout import (
    COMPRESSION,
    ROWS,
    SIZE,
    TILE,
    YCBCR,
    first_directory,
    layout_of,
    numbers_of,
)

_PLAIN = 1
_DEFLATED = (8, 32946)
_PROBED = (5, 32773)
"""LZW and PackBits."""
_CODECS = (
    *range(1, 9), 32766, 32771, 32773, 32809, 32909, 32946, 34661, 34676, 34677, 34887, 34925,
    50000, 50001,
)  # fmt: skip
"""Compressions that libtiff knows of, and says so where it was built without. Of samples of any
other it makes black pictures, in its way for showing them."""
_NAMES = {
    6: "JPEG of the old kind", 9: "JBIG", 10: "JBIG", 34661: "JBIG", 34712: "JPEG 2000",
    33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG",
    34925: "LZMA", 34934: "JPEG XR", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL",
    52546: "JPEG XL",
}  # fmt: skip
_WHOLE = 1024
"""Of whose multiples libtiff wants the bytes of a tile that is not compressed, in its way for
showing pictures."""
_MOST = 1 << 24
"""Bytes of samples that are probed at once."""
_STEP = 1 << 20


def _is_checked(compression: int) -> bool:
    """Whether parts that are compressed so can be looked at."""
    return compression in (_PLAIN, *_DEFLATED, *_PROBED)


@dataclass(frozen=True)
class Part:
    """A strip, or a tile."""

    data: memoryview
    """Of the file, which is not copied."""
    rows: int
    row: int
    """Bytes of a row of its samples."""


@dataclass(frozen=True)
class Shape:
    """How samples are cut into parts."""

    size: tuple[int, int]
    """Width and height of the picture."""
    part: tuple[int, int]
    """The same of a part; of strips the height alone counts."""
    tiled: bool
    planes: int
    """Pictures of one channel each, one stored after the other; 1 where all are together."""
    bits: int
    """Of a pixel in one plane."""
    depth: int
    """Bits of a sample."""

    def rows_and_bytes(self) -> Iterator[tuple[int, int]]:
        """(rows, bytes a row) of each part."""
        width, height = self.size
        across = self.part[0] if self.tiled else width
        row = (across * self.bits + 7) // 8
        columns = -(-width // across)
        for _ in range(self.planes):
            for top in range(0, height, self.part[1]):
                rows = self.part[1] if self.tiled else min(self.part[1], height - top)
                for _ in range(columns):
                    yield rows, row


def _placed(data: bytes, places: list[tuple[int, int]], shape: Shape) -> list[Part]:
    """The parts, as they are stored.

    Raises:
        DamagedError: some are missing.
    """
    # No more than there may be: of a damaged file the shape alone could fill the memory.
    wanted = list(islice(shape.rows_and_bytes(), len(places) + 1))
    if len(places) < len(wanted):
        raise DamagedError("truncated TIFF: some of its strips or tiles are missing")
    view = memoryview(data)
    return [
        Part(view[start : start + length], rows, row)
        for (start, length), (rows, row) in zip(places, wanted, strict=False)
    ]


def parts_of(data: bytes) -> tuple[int, list[Part]]:
    """(compression, strips or tiles) of the first picture; none where they are not looked at.

    Raises:
        DamagedError: some are missing.
    """
    order, _, directory = first_directory(data)
    entries = directory.entries
    compression = number(entries.get(COMPRESSION), order) or _PLAIN
    if not _is_checked(compression) or layout_of(entries, order).photometric == YCBCR:
        return compression, []
    shape = _cut(entries, order)
    starts, lengths = (324, 325) if shape.tiled else (273, 279)
    if starts not in entries or lengths not in entries:
        return compression, []
    found = (numbers_of(entries[tag], order) for tag in (starts, lengths))
    return compression, _placed(data, list(zip(*found, strict=False)), shape)


def _cut(entries: dict[int, Entry], order: str) -> Shape:
    """How the samples are cut into parts."""
    layout = layout_of(entries, order)
    width, height = (number(entries.get(tag), order) or 0 for tag in SIZE)
    across, down = (number(entries.get(tag), order) or 0 for tag in TILE)
    tiled = any(tag in entries for tag in TILE)
    return Shape(
        size=(width, height),
        part=(across, down) if tiled else (width, number(entries.get(ROWS), order) or height),
        tiled=tiled,
        planes=layout.samples if layout.separate else 1,
        bits=layout.bits * (1 if layout.separate else layout.samples),
        depth=layout.bits,
    )


def check_compression(entries: dict[int, Entry], order: str) -> None:
    """Refuses a compression of which no decoder makes a picture.

    Raises:
        DamagedError: the directory names one.
    """
    compression = number(entries.get(COMPRESSION), order) or _PLAIN
    if compression not in _CODECS:
        raise DamagedError(_unread(_NAMES.get(compression, f"number {compression}")))


def unread_compression(data: bytes) -> str | None:
    """Why the first picture cannot be read, where the decoder mostly lacks its compression."""
    order, _, directory = first_directory(data)
    name = _NAMES.get(number(directory.entries.get(COMPRESSION), order) or _PLAIN)
    return _unread(name) if name is not None else None


def _unread(name: str) -> str:
    return f"a TIFF with compression {name} is not supported; save it with Deflate or LZW first"


def without_tiles(data: bytes) -> bytes:
    """The same file in one strip a plane, where the decoder cannot read its tiles.

    Raises:
        DamagedError: some are missing.
    """
    order, _, directory = first_directory(data)
    entries = directory.entries
    if not any(tag in entries for tag in TILE):
        return data
    compression, listed = parts_of(data)
    planes = _joined(compression, listed, _cut(entries, order), len(data))
    if not planes:
        return data
    for tag in (*TILE, 324, 325):
        entries.pop(tag, None)
    starts = [8 + sum(map(len, planes[:index])) for index in range(len(planes))]
    values = {273: starts, 279: list(map(len, planes)), ROWS: [number(entries[257], order) or 0]}
    for tag, numbers in values.items():
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        entries[tag] = Entry(4, len(numbers), packed)
    end = starts[-1] + len(planes[-1])
    base = end + end % 2
    pixels = b"".join(planes).ljust(base - 8, b"\0")
    head = data[:4] + struct.pack(order + "I", base)
    return head + pixels + write_directory(directory, order, base)


def _joined(compression: int, parts: list[Part], shape: Shape, most: int) -> list[bytes]:
    """The samples of each plane, row by row, of tiles that the decoder cannot read; else none.

    Args:
        compression: of the tiles.
        parts: all of them.
        shape: how they are cut.
        most: bytes of all together; more would share some.
    """
    if compression != _PLAIN or not shape.tiled or not parts or shape.depth > 8:
        return []
    size = parts[0].rows * parts[0].row
    if size % _WHOLE == 0 or shape.part[0] * shape.bits % 8:
        return []
    if any(len(part.data) < size for part in parts) or size * len(parts) > most:
        return []  # of which the decoder, or `check_lengths`, says what is wrong
    (width, height), (across, down) = shape.size, shape.part
    columns, rows = -(-width // across), -(-height // down)
    planes = []
    for first in range(0, shape.planes * columns * rows, columns * rows):
        found = parts[first : first + columns * rows]
        tiles = np.stack([np.frombuffer(part.data, np.uint8, size) for part in found])
        tiles = tiles.reshape(rows, columns, down, -1).swapaxes(1, 2).reshape(rows * down, -1)
        planes.append(tiles[:height, : (width * shape.bits + 7) // 8].tobytes())
    return planes


def check_lengths(compression: int, parts: list[Part]) -> None:
    """Inflates deflated parts, and measures those that are not compressed.

    Raises:
        DamagedError: one is too short, or its checksum is wrong.
    """
    # Of a length of zero, as some writers leave it, libtiff makes one.
    if compression == _PLAIN and any(0 < len(p.data) < p.rows * p.row for p in parts):
        raise DamagedError("truncated TIFF: a strip or tile is too short")
    if compression in _DEFLATED and not all(map(_inflates, parts)):
        raise DamagedError("damaged TIFF: a strip or tile cannot be decompressed")


def _inflates(part: Part) -> bool:
    inflating, most = zlib.decompressobj(), part.rows * part.row
    left: bytes | memoryview = part.data
    done = 0
    try:
        while left and not inflating.eof and done <= most:
            done += len(inflating.decompress(left, _STEP))
            left = inflating.unconsumed_tail
    except zlib.error:
        return False
    return done >= most


def probes(compression: int, parts: list[Part]) -> Iterator[bytes]:
    """Gray TIFFs of sixteen bits that can be decoded if the parts can; none of other kinds."""
    if compression not in _PROBED:
        return
    group: list[Part] = []
    for part in parts:
        if part.row < 2:
            return
        if group and (
            part.rows > group[0].rows
            or group[-1].rows < group[0].rows
            or len(group) * group[0].rows * part.row > _MOST
        ):
            yield _probe(compression, group)
            group = []
        group.append(part)
    if group:
        yield _probe(compression, group)


def _probe(compression: int, group: list[Part]) -> bytes:
    """A TIFF of parts below one another; of an odd number of bytes a row's last is left out."""
    height = sum(part.rows for part in group)
    places, position = [], 8
    for part in group:
        places.append(position)
        position += len(part.data)
    lengths = [len(part.data) for part in group]
    position += position % 2
    entries = {
        256: [group[0].row // 2], 257: [height], 258: [16], 259: [compression], 262: [1],
        273: places, 277: [1], 278: [group[0].rows], 279: lengths,
    }  # fmt: skip
    lists = position + 2 + 12 * len(entries) + 4
    directory, behind = struct.pack("<H", len(entries)), b""
    for tag, values in entries.items():
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            packed, behind = struct.pack("<I", lists + len(behind)), behind + packed
        directory += struct.pack("<HHI", tag, 4, len(values)) + packed
    head = struct.pack("<2sHI", b"II", 42, position)
    body = b"".join(part.data for part in group)
    return (head + body).ljust(position, b"\0") + directory + bytes(4) + behind
