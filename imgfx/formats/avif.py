"""AVIF: what OpenCV does not hand out, and does not recognise.

Source: ISO/IEC 14496-12 section 4.2; 23008-12 sections 6.5.3 and 12.1.5; AV1-ISOBMFF 2.3.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from imgfx.colour import is_usual
from imgfx.formats._av1 import largest_frame
from imgfx.formats._avif_boxes import (
    Box,
    boxes,
    chunk_fields,
    moved_by,
    stored_items,
    without_links,
)
from imgfx.formats._avif_items import Items, items_of
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
_BEGINNING = 4096
"""Bytes of a chunk of a sequence in which its first picture has its header."""
_SNIFFED, _HEAD = 500, 32
"""Bytes by which OpenCV recognises an AVIF, and those of a box's head that are read at once."""
_ADDED = 512
_NO_EXIF = "its EXIF is damaged; left out"


def size(head: bytes) -> tuple[int, int] | None:
    """(width, height) of the largest picture that the properties declare, as far as they go."""
    largest = (0, 0)
    try:
        for kind, start, stop in boxes(head, 0, len(head)):
            if kind == b"ispe" and stop - start >= 12:
                declared: tuple[int, int] = struct.unpack_from(">II", head, start + 4)
                largest = max(largest, declared, key=lambda pair: pair[0] * pair[1])
    except DamagedError:
        pass  # which is `inspect`'s to say
    return largest if all(largest) else None


def inspect(data: bytes) -> Inspection:
    """Reads size, bits a sample, rotation, pictures, ICC profile, EXIF and XMP.

    Raises:
        DamagedError: a box reaches beyond the end of the file, or its items make no sense.
    """
    icc = None
    told: tuple[int, ...] = ()  # by the first, which is the shown picture's
    coded = 0
    bits = 8
    items = items_of(data)
    frames = items.pictures()
    angle, mirror = 0, None
    skipped = items.of_others()
    for kind, start, stop in boxes(data, 0, len(data)):
        if kind in (b"iloc", b"stco", b"co64"):
            # The decoder makes room for what the coded picture says, whatever the boxes say.
            coded = max(
                coded, *(largest_frame(part) for part in _coded(data, items, (kind, start, stop)))
            )
        elif kind == b"hvcC" and data[8:12] in _EITHER:
            raise DamagedError(
                "a HEIC image, which is not supported; convert it to PNG or TIFF first"
            )
        elif start in skipped:
            continue
        elif kind == b"colr" and data[start : start + 4] in (b"prof", b"rICC"):
            icc = icc or data[start + 4 : stop]
        elif kind == b"colr" and data[start : start + 4] == b"nclx" and stop - start >= 8:
            told = told or struct.unpack_from(">HH", data, start + 4)
        elif kind == b"av1C" and stop - start >= 4:
            high, twelve = data[start + 2] & 0x40, data[start + 2] & 0x20
            bits = 12 if high and twelve else 10 if high else 8
        elif kind == b"irot" and stop > start:
            angle = data[start] & 3
        elif kind == b"imir" and stop > start:
            mirror = data[start] & 1
        elif kind == b"stsz" and stop - start >= 12:
            frames = max(frames, *struct.unpack_from(">I", data, start + 8))
    colour = _told(*told) if told and not icc else ()
    exif, damaged = items.exif(data)
    xmp = items.packet(data) or (None if items.has_packet else _packet(data))
    metadata = Metadata(exif, xmp, icc, colour=colour)
    width, height = _shown_size(data, items)
    turn = _ORIENTATIONS[angle, mirror]
    return Inspection(
        width, height, metadata, frames, items.others(data), turn,
        bits=bits, largest_part=coded, notes=(_NO_EXIF,) if damaged else (),
    )  # fmt: skip


def _shown_size(data: bytes, items: Items) -> tuple[int, int]:
    """(width, height) of the shown picture, before it is turned; (0, 0) where it is not told."""
    box = items.property_of_shown(b"ispe")
    if box is not None and box[2] - box[1] >= 12:
        width, height = struct.unpack_from(">II", data, box[1] + 4)
        return width, height
    return size(data) or (0, 0)


def recognisable(data: bytes) -> bytes:
    """The same file for OpenCV, which takes what it does not recognise for no AVIF.

    It gives libavif the first 500 bytes alone, and goes on where that finds a box cut off. Where
    all boxes are whole and only what they point to is missing, it gives up. So the first box is
    made longer than those bytes. EXIF, for which libavif would refuse a picture, is read here.

    Raises:
        DamagedError: a box reaches beyond the end of the file.
    """
    bare = without_links(data, b"cdsc")
    for kind, start, stop in boxes(data, 0, len(data), flat=True):
        if kind == b"meta" and start <= _SNIFFED - _HEAD and stop > _SNIFFED:
            return bare
    (first,) = struct.unpack_from(">I", data)
    return moved_by(bare, _ADDED) if 16 <= first <= len(data) else bare


def _told(primaries: int, transfer: int) -> tuple[tuple[str, bytes], ...]:
    """As PNG's cICP says it, of RGB samples in full range; nothing where that is the usual."""
    if is_usual(primaries, transfer) or max(primaries, transfer) > 255:
        return ()
    return (("cICP", bytes([primaries, transfer, 0, 1])),)


def _coded(data: bytes, items: Items, box: Box) -> Iterator[bytes]:
    """The items or chunks that a box of places points to, and an empty one.

    Of each item the pieces are put together; not of those that lie in other files or items.

    Raises:
        DamagedError: all together are longer than the file, so that some share their bytes.
    """
    yield b""
    kind, start, stop = box
    if kind != b"iloc":
        for place in chunk_fields(data, kind, start, stop):
            yield data[place.value : place.value + _BEGINNING]
        return
    room = 2 * len(data)
    for stored in stored_items(data, start, stop):
        pieces = []
        for piece in stored.pieces(data, *((0, len(data)) if stored.in_file else items.inside)):
            room -= len(piece)
            if room < 0:
                raise DamagedError("damaged AVIF: its pieces overlap")
            pieces.append(piece)
        if stored.in_file or stored.in_meta:
            yield b"".join(pieces)


def _packet(data: bytes) -> bytes | None:
    """The XMP packet of no item, found by scanning, as the XMP specification allows (part 3, 1)."""
    start = data.find(b"<x:xmpmeta")
    end = data.find(b"</x:xmpmeta>", start)
    return data[start : end + len(b"</x:xmpmeta>")] if 0 <= start < end else None
