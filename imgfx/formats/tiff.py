"""TIFF directories: metadata in and out, and what the pixel decoder must not or does not heed.

OpenCV's decoder rotates some TIFFs, refuses others, multiplies 8-bit colours by alpha, forgets
that white may be zero, and keeps no metadata. So the orientation and the kind of alpha are hidden
from it, its samples are mended, what it gets wrong is refused, and the metadata is read and
written here.

Source: TIFF 6.0 sections 2, 8 and 18; ICC.1 annex B.3; XMP part 3 section 3.4.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from imgfx.directories import (
    INTEGERS,
    SUB_DIRECTORIES,
    Directory,
    Entry,
    blob_from_directory,
    byte_order,
    first_offset,
    next_offset,
    number,
    read_directory,
    write_directory,
)
from imgfx.exif import ORIENTATION, resolution_entries, resolution_of, take_maker_notes
from imgfx.formats._common import CMYK, DamagedError, Inspection, note_on_shape
from imgfx.formats._tiff_layout import (
    EXTRA_SAMPLES,
    FLOAT,
    PREMULTIPLIED,
    ROWS,
    SEPARATED,
    SIZE,
    STRAIGHT,
    TILE,
    UNSPECIFIED,
    WHITE_IS_ZERO,
    first_directory,
    layout_of,
    numbers_of,
)
from imgfx.formats._tiff_parts import check_compression, without_tiles
from imgfx.image import Metadata
from imgfx.texts import named

_XMP, _ICC, _IPTC = 700, 34675, 33723
_NAMES = {269, 270, 271, 272, 285, 305, 306, 315, 316, 33432}
_RATINGS = {18246, 18249}
_WINDOWS = set(range(40091, 40096))
"""Title, comment, author, keywords and subject, as Windows writes them."""
_DESCRIPTIVE = {*_NAMES, *_RATINGS, *_WINDOWS, ORIENTATION}
"""Tags of the first directory that describe the picture, not its storage."""
_RESOLUTION, _UNIT, _NO_UNIT = (282, 283), 296, 1
_SUBFILE, _REDUCED = 254, 1
_BRANCHES = 330
_NO_BRANCHES = "the pictures below its first one (SubIFDs) are not read"
_LAYERS = 37724
_NO_LAYERS = "the layers that Photoshop keeps in it are not read"
_DNG = 50706
"""The tag that makes a file one of Adobe's raw files."""
_CANON, _CANON_OFFSET = b"CR", 16
"""What stands behind the header of Canon's, and where their first directory is."""
MAKER_NOTES = "the camera's own notes, which say where in the file they are, are left out"
_MOST_FRAMES = 100_000
_STORAGE = {
    254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282,
    283, 284, 288, 289, 290, 291, 292, 293, 296, 297, 317, 320, 321, 322, 323, 324, 325, 330, 332,
    334, 336, 338, 339, 340, 341, 347, *range(512, 522), 529, 530, 531, 532, 32781, 59932,
}  # fmt: skip
"""Tags on how and where samples are stored, which are another's when the picture is written."""
_OWNERS = {
    **dict.fromkeys((33550, 33922, 34264, 34735, 34736, 34737), "GeoTIFF"),
    **dict.fromkeys((42112, 42113), "GDAL"),
    34377: "Photoshop",
    **dict.fromkeys((50838, 50839), "ImageJ"),
    **dict.fromkeys((301, 318, 319), "colour"),
}
"""What notes call the tags of others."""


def size(head: bytes) -> tuple[int, int] | None:
    """(width, height) as declared by the first directory, where the bytes reach as far."""
    try:
        order, _, directory = first_directory(head)
    except DamagedError:
        return None
    width, height = (number(directory.entries.get(tag), order) or 0 for tag in SIZE)
    return (width, height) if width and height else None


def inspect(data: bytes) -> Inspection:
    """Reads size, metadata and the number of pages.

    Raises:
        DamagedError: no readable directory, or one that the decoder might read otherwise.
    """
    order, offset, directory = first_directory(data)
    entries = directory.entries
    _check_no_raw(data, order, offset, entries)
    _check_once(data, order, offset)
    declared = size(data)
    if declared is None:
        raise DamagedError("invalid size in the TIFF directory")
    width, height = declared
    _check_extent(data, order, entries)
    check_compression(entries, order)
    layout = layout_of(entries, order)
    if layout.unsupported:
        raise DamagedError(f"a TIFF {layout.unsupported} is not supported")
    seen = {0}
    while offset not in seen and len(seen) <= _MOST_FRAMES:  # a chain may run in a circle
        seen.add(offset)
        offset = next_offset(data, order, offset)
    described = Directory(
        {tag: entry for tag, entry in entries.items() if tag in _DESCRIPTIVE}, directory.children
    )
    moved = take_maker_notes(described)
    wanted = bool(described.children) or bool(described.entries)
    notes = (CMYK,) if layout.photometric == SEPARATED else ()
    notes = (*notes, *_lost(entries), *((MAKER_NOTES,) if moved else ()), *_shape(entries, order))
    return Inspection(
        width,
        height,
        Metadata(
            exif=blob_from_directory(described, order) if wanted else None,
            xmp=entries[_XMP].value if _XMP in entries else None,
            icc=entries[_ICC].value if _ICC in entries else None,
            dpi=resolution_of(entries, order),
            iptc=entries[_IPTC].value if _IPTC in entries else None,
        ),
        frames=len(seen) - 1,
        # The decoder turns CMYK to RGB with a fourth channel.
        opaque=layout.photometric == SEPARATED or layout.extra == UNSPECIFIED,
        others=(
            *layout.unread,
            *((_NO_BRANCHES,) if _BRANCHES in entries else ()),
            *((_NO_LAYERS,) if _LAYERS in entries else ()),
        ),
        notes=notes,
        largest_part=_tile(entries, order),
    )


def _lost(entries: dict[int, Entry]) -> tuple[str, ...]:
    """A note that names the tags which are left out."""
    known = {*_DESCRIPTIVE, *_STORAGE, *SUB_DIRECTORIES, _XMP, _ICC, _IPTC, _LAYERS}
    tags = sorted(tag for tag in entries if tag not in known)
    names = named(_OWNERS.get(tag, str(tag)) for tag in tags)
    return (f"its tags ({names}) are left out",) if tags else ()


def _shape(entries: dict[int, Entry], order: str) -> tuple[str, ...]:
    """A note on pixels that are not square, where no length is told."""
    if number(entries.get(_UNIT), order) != _NO_UNIT:
        return ()
    told = [entries.get(tag) for tag in _RESOLUTION]
    if any(entry is None or entry.kind != 5 or len(entry.value) < 8 for entry in told):
        return ()
    (across, per), (down, per_other) = (
        struct.unpack_from(order + "II", entry.value) for entry in told if entry is not None
    )
    return note_on_shape(across * per_other, down * per)


def _check_no_raw(data: bytes, order: str, offset: int, entries: dict[int, Entry]) -> None:
    """Refuses a camera's raw file, whose first picture is but a small one to look at."""
    # Elsewhere the same letters may be the first two pixels.
    if _DNG in entries or (offset == _CANON_OFFSET and data[8:10] == _CANON):
        raise DamagedError("a raw file of a camera is not supported")
    if (number(entries.get(_SUBFILE), order) or 0) & _REDUCED:
        raise DamagedError(
            "its first picture is a reduced one, as in raw files of cameras, which are not "
            "supported"
        )


def _check_once(data: bytes, order: str, offset: int) -> None:
    """Refuses a directory that states a size twice: whoever reads it may take the other one."""
    (count,) = struct.unpack_from(order + "H", data, offset)
    places = range(offset + 2, min(offset + 2 + 12 * count, len(data) - 1), 12)
    tags = [struct.unpack_from(order + "H", data, place)[0] for place in places]
    if any(tags.count(tag) > 1 for tag in (*SIZE, *TILE, ROWS)):
        raise DamagedError("damaged TIFF: its directory states a size twice")


def _tile(entries: dict[int, Entry], order: str) -> int:
    """Pixels of a tile; 0 where there is none."""
    if not any(tag in entries for tag in TILE):
        return 0
    across, down = (number(entries.get(tag), order) for tag in TILE)
    if not across or not down:
        raise DamagedError("invalid size of the TIFF's tiles")
    return across * down


def _check_extent(data: bytes, order: str, entries: dict[int, Entry]) -> None:
    """Refuses a file whose strips or tiles reach beyond its end."""
    for starts, lengths in ((273, 279), (324, 325)):
        if starts in entries and lengths in entries:
            pairs = zip(
                numbers_of(entries[starts], order),
                numbers_of(entries[lengths], order),
                strict=False,
            )
            if any(start + length > len(data) for start, length in pairs):
                raise DamagedError("truncated TIFF")


def neutral(data: bytes) -> bytes:
    """The same file for a decoder that must not rotate, nor multiply colours by alpha.

    Nor make room for a strip of more rows than there are, which is how some writers say 'all'.
    """
    data = without_tiles(data)
    order, offset, directory = first_directory(data)
    height = number(directory.entries.get(SIZE[1]), order) or 0
    (count,) = struct.unpack_from(order + "H", data, offset)
    patched = bytearray(data)
    for position in range(offset + 2, offset + 2 + 12 * count, 12):
        if position + 12 > len(data):
            break
        tag, kind, many = struct.unpack_from(order + "HHI", data, position)
        if tag == ORIENTATION and kind in INTEGERS:  # longer lists the decoder does not heed
            struct.pack_into(order + INTEGERS[kind], patched, position + 8, 1)
        elif tag == EXTRA_SAMPLES and kind == 3 and many <= 2:
            struct.pack_into(order + "HH", patched, position + 8, UNSPECIFIED, UNSPECIFIED)
        elif tag == ROWS and kind in (3, 4) and many == 1:
            code = "H" if kind == 3 else "I"
            (rows,) = struct.unpack_from(order + code, data, position + 8)
            struct.pack_into(order + code, patched, position + 8, min(rows, height))
    return bytes(patched)


def mended(samples: npt.NDArray[Any], data: bytes) -> npt.NDArray[Any]:
    """The decoder's (H, W, C) samples as the file means them.

    Raises:
        DamagedError: the decoder has cut off half of their bits.
    """
    order, _, directory = first_directory(data)
    layout = layout_of(directory.entries, order)
    if layout.bits > 8 and samples.dtype == np.uint8:
        raise DamagedError(f"a TIFF with {layout.bits}-bit samples of this kind is not supported")
    if samples.dtype == np.uint16 and 8 < layout.bits < 16:
        samples = samples | samples >> layout.bits  # shifted up only, white would not be white
    if layout.photometric == WHITE_IS_ZERO and layout.bits > 8:
        samples = (1 if layout.kind == FLOAT else np.iinfo(samples.dtype).max) - samples
    if layout.extra == PREMULTIPLIED and samples.shape[2] == 4:
        samples = _divided_by_alpha(samples)
    return samples


def _divided_by_alpha(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    whole = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max)
    alpha = samples[..., 3:].astype(np.float32) / whole
    colours = samples[..., :3] / np.where(alpha > 0, alpha, 1)
    if samples.dtype.kind != "f":
        colours = np.rint(np.minimum(colours, whole))
    return np.concatenate([colours.astype(samples.dtype), samples[..., 3:]], axis=2)


def attach(data: bytes, metadata: Metadata, *, alpha: bool) -> bytes:
    """A TIFF whose first directory, moved to the end of the file, has the metadata too.

    Args:
        data: as OpenCV wrote it.
        metadata: what rides along.
        alpha: the last channel is straight alpha, which OpenCV does not say.
    """
    order, _, directory = first_directory(data)
    entries = directory.entries
    if alpha:
        entries[EXTRA_SAMPLES] = Entry(3, 1, struct.pack(order + "H", STRAIGHT))
    if metadata.exif:
        _merge_exif(directory, metadata.exif, order)
    if metadata.xmp:
        entries[_XMP] = Entry(1, len(metadata.xmp), metadata.xmp)
    if metadata.icc:
        entries[_ICC] = Entry(7, len(metadata.icc), metadata.icc)
    if metadata.dpi:
        entries.update(resolution_entries(metadata.dpi, order))
    if metadata.iptc:
        entries[_IPTC] = Entry(7, len(metadata.iptc), metadata.iptc)
    base = len(data) + len(data) % 2
    moved = data[:4] + struct.pack(order + "I", base) + data[8:] + b"\0" * (len(data) % 2)
    return moved + write_directory(directory, order, base)


def _merge_exif(directory: Directory, exif: bytes, order: str) -> None:
    """Adds what an EXIF blob says, its numbers turned to the file's byte order."""
    source = byte_order(exif)
    if source is None:
        return
    found = read_directory(exif, source, first_offset(exif, source))
    found = found if source == order else _swapped(found)
    take_maker_notes(found)
    for tag, entry in found.entries.items():
        if tag in _DESCRIPTIVE:
            directory.entries[tag] = entry
    for tag in SUB_DIRECTORIES:
        if tag in found.children:
            directory.children[tag] = found.children[tag]


_UNIT_SIZES = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8}


def _swapped(directory: Directory) -> Directory:
    """The directory in the other byte order."""
    entries = {}
    for tag, entry in directory.entries.items():
        size = _UNIT_SIZES.get(entry.kind, 1)
        units = [entry.value[p : p + size][::-1] for p in range(0, len(entry.value), size)]
        entries[tag] = Entry(entry.kind, entry.count, b"".join(units))
    return Directory(entries, {tag: _swapped(child) for tag, child in directory.children.items()})
