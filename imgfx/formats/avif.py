"""AVIF's boxes: the ICC profile, which OpenCV does not hand out, and the size.

Source: ISO/IEC 14496-12 section 4.2; 23008-12 sections 6.5.3 and 12.1.5; AV1-ISOBMFF 2.3.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from imgfx.colour import is_usual
from imgfx.formats._av1 import largest_frame
from imgfx.formats._common import DamagedError, Inspection
from imgfx.image import Metadata

_ORIENTATIONS = {
    (0, None): 1, (1, None): 8, (2, None): 3, (3, None): 6,
    (0, 0): 4, (1, 0): 5, (2, 0): 2, (3, 0): 7,
    (0, 1): 2, (1, 1): 7, (2, 1): 4, (3, 1): 5,
}  # fmt: skip
"""EXIF orientation by (quarter turns anticlockwise, mirror: 0 top-bottom, 1 left-right)."""
_EITHER = (b"mif1", b"msf1")
"""Kinds of files that do not tell by what their pictures are coded: AV1, or HEVC as in HEIC."""
_NESTED = {
    b"meta": 4, b"iprp": 0, b"ipco": 0,
    b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0,
}  # fmt: skip
"""Boxes to look into, with the bytes before their children."""
_DEEPEST = 8
_BEGINNING = 4096
"""Bytes of a chunk of a sequence in which its first picture has its header."""


def _boxes(data: bytes, start: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end of payload), children of the property boxes included."""
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
        if kind in _NESTED and depth < _DEEPEST:
            yield from _boxes(data, start + head + _NESTED[kind], stop, depth + 1)
        start = stop


def size(head: bytes) -> tuple[int, int] | None:
    """(width, height) of the largest picture that the properties declare, as far as they go."""
    largest = (0, 0)
    try:
        for kind, start, stop in _boxes(head, 0, len(head)):
            if kind == b"ispe" and stop - start >= 12:
                declared: tuple[int, int] = struct.unpack_from(">II", head, start + 4)
                largest = max(largest, declared, key=lambda pair: pair[0] * pair[1])
    except DamagedError:
        pass  # which is `inspect`'s to say
    return largest if all(largest) else None


def inspect(data: bytes) -> Inspection:
    """Reads size, bits a sample, rotation, frames, ICC profile and XMP; not EXIF.

    Raises:
        DamagedError: a box reaches beyond the end of the file.
    """
    icc = None
    told: tuple[int, ...] = ()  # by the first, which is the shown picture's
    coded = 0
    bits = 8
    frames = 1
    angle, mirror = 0, None
    for kind, start, stop in _boxes(data, 0, len(data)):
        if kind == b"colr" and data[start : start + 4] in (b"prof", b"rICC"):
            icc = icc or data[start + 4 : stop]
        elif kind == b"colr" and data[start : start + 4] == b"nclx" and stop - start >= 8:
            told = told or struct.unpack_from(">HH", data, start + 4)
        elif kind == b"hvcC" and data[8:12] in _EITHER:
            raise DamagedError(
                "a HEIC image, which is not supported; convert it to PNG or TIFF first"
            )
        elif kind == b"av1C" and stop - start >= 4:
            high, twelve = data[start + 2] & 0x40, data[start + 2] & 0x20
            bits = 12 if high and twelve else 10 if high else 8
        elif kind in (b"iloc", b"stco", b"co64"):
            # The decoder makes room for what the coded picture says, whatever the boxes say.
            coded = max(coded, *(largest_frame(part) for part in _coded(data, kind, start, stop)))
        elif kind == b"irot" and stop > start:
            angle = data[start] & 3
        elif kind == b"imir" and stop > start:
            mirror = data[start] & 1
        elif kind == b"stsz" and stop - start >= 12:
            frames = max(frames, *struct.unpack_from(">I", data, start + 8))
    colour = _told(*told) if told and not icc else ()
    metadata = Metadata(icc=icc, xmp=_packet(data), colour=colour)
    width, height = size(data) or (0, 0)
    turn = _ORIENTATIONS[angle, mirror]
    return Inspection(
        width, height, metadata, frames=frames, bits=bits, turn=turn, largest_part=coded
    )


def _told(primaries: int, transfer: int) -> tuple[tuple[str, bytes], ...]:
    """As PNG's cICP says it, of RGB samples in full range; nothing where that is the usual."""
    if is_usual(primaries, transfer) or max(primaries, transfer) > 255:
        return ()
    return (("cICP", bytes([primaries, transfer, 0, 1])),)


def _coded(data: bytes, kind: bytes, start: int, stop: int) -> list[bytes]:
    """The items or chunks that a box of places points to, and an empty one."""
    try:
        if kind == b"iloc":
            return [b"", *_items(data, _Numbers(data, start, stop))]
        size = 4 if kind == b"stco" else 8
        numbers = _Numbers(data, start + 4, stop)
        places = (numbers.take(size) for _ in range(numbers.take(4)))
        return [b"", *(data[place : place + _BEGINNING] for place in places)]
    except EOFError:
        raise DamagedError("truncated AVIF") from None


@dataclass
class _Numbers:
    """Numbers of any size, the high byte first, one after the other."""

    data: bytes
    position: int
    end: int

    def take(self, size: int) -> int:
        """The next number.

        Raises:
            EOFError: there is none.
        """
        start, self.position = self.position, self.position + size
        if self.position > self.end:
            raise EOFError
        return int.from_bytes(self.data[start : self.position], "big")


def _items(data: bytes, numbers: _Numbers) -> Iterator[bytes]:
    """Of each item the bytes, its pieces put together; only of those that lie in the file itself.

    Raises:
        DamagedError: all together are longer than the file, so that some share their bytes.
    """
    version = numbers.take(4) >> 24
    sizes = numbers.take(2)
    offset_size, length_size, base_size, index_size = (sizes >> s & 15 for s in (12, 8, 4, 0))
    room = 2 * len(data)
    for _ in range(numbers.take(4 if version == 2 else 2)):
        numbers.take(4 if version == 2 else 2)
        method = numbers.take(2) & 15 if version else 0
        numbers.take(2)
        base = numbers.take(base_size)
        pieces = []
        for _ in range(numbers.take(2)):
            numbers.take(index_size if version else 0)
            place, length = base + numbers.take(offset_size), numbers.take(length_size)
            pieces.append(data[place : place + length] if length else data[place:])
            room -= len(pieces[-1])
            if room < 0:
                raise DamagedError("damaged AVIF: its pieces overlap")
        if method == 0:
            yield b"".join(pieces)


def _packet(data: bytes) -> bytes | None:
    """The XMP packet, found by scanning, as the XMP specification allows (part 3, section 1)."""
    start = data.find(b"<x:xmpmeta")
    end = data.find(b"</x:xmpmeta>", start)
    return data[start : end + len(b"</x:xmpmeta>")] if 0 <= start < end else None
