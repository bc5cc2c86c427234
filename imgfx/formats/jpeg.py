"""JPEG segments: integrity, metadata in and out.

Sources: ITU-T T.81 annex B; Exif 2.32 section 4.5.4; XMP part 3 section 1.1.3; ICC.1 annex B.4;
Adobe Photoshop File Formats Specification, 'Image Resource Blocks'.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from imgfx.errors import printable
from imgfx.formats._common import CMYK, CREDENTIALS, DamagedError, Inspection, note_on_shape
from imgfx.formats._jpeg_scans import GRAY, SHORT, Scans
from imgfx.formats.phone import Riders, unread
from imgfx.image import Metadata
from imgfx.texts import COMMENT, bytes_of

_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_ICC = b"ICC_PROFILE\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_BOXES, _C2PA = b"JP", b"c2pa"
_RECORD = 0x0404
"""Photoshop's number for an IPTC-IIM record."""
_SAID_ELSEWHERE = frozenset((_RECORD, 1005, 1033, 1036, 1039, 1058, 1059, 1060, 1061))
"""Its numbers for that, and for what has a place of its own, such as the resolution and the EXIF,
or is of the picture before, such as a thumbnail."""
_PATHS = range(2000, 3000)
_EXTENDED = b"xmpNote:HasExtendedXMP="
_EXTENSION = re.compile(_EXTENDED + rb"(\"[^\"]*\"|'[^']*')\s*")
_LARGEST_SEGMENT = 65533
LARGEST_XMP = _LARGEST_SEGMENT - len(_XMP)
_MOST_PROFILE_SEGMENTS = 255
_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LS = 0xF7
# In entropy-coded data FF is followed by 00, a restart marker, or another FF (fill).
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_COMMENT, _END = 0xFE, 0xD9
_LONGEST_QUOTE = 40
"""Letters of a comment that a note repeats."""
_HUFFMAN_CODED = frozenset((0xC0, 0xC1, 0xC2))
_MOST_PIXELS_A_BYTE = 512
"""With Huffman codes each 8x8 block of the finest component takes at least one bit."""
_MOST_SCANS = 500
"""Each makes the decoder go over all blocks, and may be a few bytes; hence libjpeg-turbo's limit
for untrusted files. Encoders write some ten."""


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """(marker, payload, where it begins) up to the end of the image, which must be there."""
    position = 2
    while True:
        match = MARKER.search(data, position)
        if match is None:
            raise DamagedError("truncated JPEG")
        marker, position = data[match.end() - 1], match.end()
        if marker == _END:
            yield marker, b"", position
            return
        if marker == 0x01 or marker == 0xD8:
            continue
        if marker < 0xC0:
            # None is in use: coded samples are damaged here, and the decoder would stop with half
            # a picture.
            raise DamagedError("damaged JPEG: a marker that does not exist")
        if position + 2 > len(data):
            raise DamagedError("truncated JPEG")
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2 or position + length > len(data):
            raise DamagedError("truncated JPEG")
        yield marker, data[position + 2 : position + length], position + 2
        position += length


def frame_size(marker: int, payload: bytes) -> tuple[int, int] | None:
    """(width, height) of a segment that declares them."""
    if marker not in _SIZES or len(payload) < 5:
        return None
    height, width = struct.unpack_from(">HH", payload, 1)
    return width, height


def size(head: bytes) -> tuple[int, int] | None:
    """(width, height) as declared by the first frame, where the bytes reach as far."""
    try:
        found = (frame_size(marker, payload) for marker, payload, _ in _segments(head))
        return next((pair for pair in found if pair is not None), None)
    except DamagedError:
        return None


@dataclass
class _Found:
    """What rides along, as far as the segments have been seen."""

    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    shape: tuple[int, int] = (1, 1)
    """Pixels across and down in a length that is not told."""
    profile: dict[int, bytes] = field(default_factory=dict)
    resources: list[bytes] = field(default_factory=list)
    comments: list[bytes] = field(default_factory=list)
    credentials: bool = False

    def see(self, marker: int, payload: bytes) -> None:
        """A segment."""
        if marker == 0xE0 and payload[:5] == b"JFIF\0":
            self.dpi = _dpi(payload)
            self.shape = _shape(payload)
        elif marker == 0xE1 and payload.startswith(_EXIF):
            self.exif = self.exif or payload[len(_EXIF) :]
        elif marker == 0xE1 and payload.startswith(_XMP):
            self.xmp = self.xmp or payload[len(_XMP) :]
        elif marker == 0xED and payload.startswith(_PHOTOSHOP):
            self.resources.append(payload[len(_PHOTOSHOP) :])
        elif marker == 0xE2 and payload.startswith(_ICC) and len(payload) > len(_ICC) + 2:
            self.profile[payload[len(_ICC)]] = payload[len(_ICC) + 2 :]
        elif marker == 0xEB and payload.startswith(_BOXES) and _C2PA in payload:
            self.credentials = True
        elif marker == _COMMENT and payload.strip(b"\0 \r\n\t"):
            self.comments.append(payload)

    def answer(self) -> tuple[Metadata, list[str]]:
        """The metadata, and a note on each part that is left out."""
        notes = []
        texts = [_text(comment) for comment in self.comments]
        kept = tuple((COMMENT, text) for text in dict.fromkeys(texts) if "\0" not in text)
        if len(kept) < len(set(texts)):
            odd = next(text for text in texts if "\0" in text)
            notes.append(f"its comment ({_shortened(odd)}) is left out")
        if self.credentials:
            notes.append(CREDENTIALS)
        xmp = self.xmp
        if xmp and _EXTENDED in xmp:
            # What it points to is scattered over segments, and is mostly a depth map or a second
            # photo.
            xmp = _EXTENSION.sub(b"", xmp)
            notes.append("its extended XMP is left out")
        icc = b"".join(self.profile[number] for number in sorted(self.profile)) or None
        resources: dict[int, bytes] = {}
        for number, content in _resources(b"".join(self.resources)):
            resources.setdefault(number, content)
        record = resources.get(_RECORD) or None
        return Metadata(self.exif, xmp, icc, self.dpi, iptc=record, texts=kept), [
            *notes, *note_on_shape(*self.shape), *_lost(resources),
        ]  # fmt: skip


def inspect(data: bytes) -> Inspection:
    """Walks all segments and reads size and metadata.

    Raises:
        DamagedError: no image in it, the end is missing, or it would take ages.
    """
    found, riders, seen = _Found(), Riders(), Scans()
    largest = (0, 0)
    scans = end = colours = 0
    for marker, payload, start in _segments(data):
        _check_kind(marker, payload)
        found.see(marker, payload)
        riders.see(marker, payload, start)
        seen.see(marker, payload, start)
        if (declared := frame_size(marker, payload)) is not None:
            width, height = declared
            colours = payload[5] if len(payload) > 5 else 0
            largest = max(largest, declared, key=lambda pair: pair[0] * pair[1])
            if marker in _HUFFMAN_CODED and width * height > len(data) * _MOST_PIXELS_A_BYTE:
                raise DamagedError(f"truncated JPEG: too short for {width}x{height} pixels")
        scans += marker == 0xDA
        end = start
    if scans > _MOST_SCANS:
        raise DamagedError(f"a JPEG of {scans} scans is not supported")
    if 0 in largest:
        raise DamagedError("no image in the JPEG")
    seen.check_restarts(data)
    metadata, notes = found.answer()
    if colours == len("CMYK"):
        notes.append(CMYK)
    pictures, others = unread(data, end, riders)
    if seen.is_short:
        others = (*others, SHORT)
    return Inspection(*largest, metadata, pictures, others, notes=tuple(notes))


def _check_kind(marker: int, payload: bytes) -> None:
    """Refuses kinds of JPEGs that the decoder does not read, by their names."""
    bits = payload[0] if marker in _SIZES and payload else 0
    name = "a JPEG-LS image" if marker == _LS else f"a JPEG with {bits}-bit samples"
    if marker == _LS or 8 < bits <= 16:
        raise DamagedError(f"{name} is not supported; convert it to PNG or TIFF first")


def check_end(data: bytes, samples: npt.NDArray[Any]) -> None:
    """Whether a picture is whole whose container is.

    Args:
        data: the file.
        samples: (H, W, C) as decoded.

    Raises:
        DamagedError: its data end before it does.
    """
    if samples.size and (samples[-1, -1] == GRAY).all():
        seen = Scans()
        for marker, payload, start in _segments(data):
            seen.see(marker, payload, start)
        seen.check_end(data, samples)


def _text(comment: bytes) -> str:
    """UTF-8, or of no known encoding, the bytes of which are kept as lone surrogates."""
    return comment.strip(b"\0").decode("utf-8", "surrogateescape")


def _shortened(comment: str) -> str:
    """Its first words, of what a terminal can show."""
    text = printable(" ".join(comment.split()))
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE].rstrip() + "..."


def _resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, content) of Photoshop's image resources, as far as they are sound."""
    position = 0
    while data[position : position + 4] == b"8BIM" and position + 12 <= len(data):
        (kind,) = struct.unpack_from(">H", data, position + 4)
        position += 6
        name = 1 + data[position]
        position += name + name % 2
        if position + 4 > len(data):
            return
        (size,) = struct.unpack_from(">I", data, position)
        position += 4
        yield kind, data[position : position + size]
        position += size + size % 2


def _lost(resources: Iterable[int]) -> tuple[str, ...]:
    """A note on each sort of Photoshop's resources that is left out."""
    kinds = set(resources) - _SAID_ELSEWHERE
    paths = kinds.intersection(_PATHS)
    return (
        *(("its paths, as Photoshop draws them, are left out",) if paths else ()),
        *(("what Photoshop noted for itself is left out",) if kinds - paths else ()),
    )


def _resource(record: bytes) -> bytes:
    """A record as the only image resource, without a name."""
    head = b"8BIM" + struct.pack(">HHI", _RECORD, 0, len(record))
    return _PHOTOSHOP + head + record + b"\0" * (len(record) % 2)


def _dpi(jfif: bytes) -> tuple[float, float] | None:
    if len(jfif) < 12:
        return None
    unit, across, down = struct.unpack_from(">BHH", jfif, 7)
    factor = {1: 1.0, 2: 2.54}.get(unit, 0.0)
    return (across * factor, down * factor) if factor and across and down else None


def _shape(jfif: bytes) -> tuple[int, int]:
    """Pixels across and down in a length that is not told; alike where it is."""
    unit, across, down = struct.unpack_from(">BHH", jfif, 7) if len(jfif) >= 12 else (0, 1, 1)
    return (across, down) if unit == 0 else (1, 1)


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def attach(data: bytes, metadata: Metadata) -> tuple[bytes, list[str]]:
    """A JPEG with the metadata behind its JFIF header, and a note on each part that is too big."""
    added, notes = b"", []
    for label, prefix, payload in (("EXIF", _EXIF, metadata.exif), ("XMP", _XMP, metadata.xmp)):
        if payload and len(prefix) + len(payload) > _LARGEST_SEGMENT:
            notes.append(f"{label} of {len(payload)} bytes does not fit in a JPEG; left out")
        elif payload:
            added += _segment(0xE1, prefix + payload)
    if metadata.iptc:
        resource = _resource(metadata.iptc)
        if len(resource) > _LARGEST_SEGMENT:
            notes.append(f"IPTC of {len(metadata.iptc)} bytes does not fit in a JPEG; left out")
        else:
            added += _segment(0xED, resource)
    for comment in (bytes_of(text) for keyword, text in metadata.texts if keyword == COMMENT):
        if len(comment) > _LARGEST_SEGMENT:
            notes.append(f"a comment of {len(comment)} bytes does not fit in a JPEG; left out")
        else:
            added += _segment(_COMMENT, comment)
    parts = _profile_parts(metadata.icc or b"")
    if len(parts) > _MOST_PROFILE_SEGMENTS:
        notes.append(
            f"ICC profile of {len(metadata.icc or b'')} bytes does not fit in a JPEG; left out"
        )
        parts = []
    for number, part in enumerate(parts, start=1):
        added += _segment(0xE2, _ICC + bytes([number, len(parts)]) + part)
    head = 2
    if data[2:4] == b"\xff\xe0":
        head += 2 + struct.unpack_from(">H", data, 4)[0]
    return _with_density(data[:head], metadata.dpi) + added + data[head:], notes


def _profile_parts(icc: bytes) -> list[bytes]:
    most = _LARGEST_SEGMENT - len(_ICC) - 2
    return [icc[start : start + most] for start in range(0, len(icc), most)]


def _with_density(head: bytes, dpi: tuple[float, float] | None) -> bytes:
    if dpi is None or head[6:11] != b"JFIF\0":
        return head
    density = struct.pack(">BHH", 1, *(min(65535, max(1, round(value))) for value in dpi))
    return head[:13] + density + head[18:]
