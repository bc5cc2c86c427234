"""The compressed strips and tiles of a TIFF: whether each holds all that it must.

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

from imgfx.formats._common import DamagedError

_PLAIN = 1
_DEFLATED = (8, 32946)
_PROBED = (5, 32773)
"""LZW and PackBits."""
_MOST = 1 << 24
"""Bytes of samples that are probed at once."""
_STEP = 1 << 20


def is_checked(compression: int) -> bool:
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


def parts_of(data: bytes, places: list[tuple[int, int]], shape: Shape) -> list[Part]:
    """The parts, as they are stored.

    Raises:
        DamagedError: some are missing.
    """
    wanted = list(shape.rows_and_bytes())
    if len(places) < len(wanted):
        raise DamagedError("truncated TIFF: some of its strips or tiles are missing")
    view = memoryview(data)
    return [
        Part(view[start : start + length], rows, row)
        for (start, length), (rows, row) in zip(places, wanted, strict=False)
    ]


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
