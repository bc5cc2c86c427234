"""How a TIFF's samples are stored, and which of its many kinds OpenCV reads as they are meant."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from imgfx.directories import Directory, Entry, byte_order, first_offset, number, read_directory
from imgfx.formats._common import DamagedError

WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, SEPARATED: 4, YCBCR: 3}
"""Samples a pixel, without extra ones, by PhotometricInterpretation; the others, CIELab and
LogLuv, the decoder turns to colours of its own."""
UNSIGNED, FLOAT, _VOID = 1, 3, 4
_BITS = {UNSIGNED: (1, 8, 10, 12, 14, 16), _VOID: (1, 8, 10, 12, 14, 16), FLOAT: (32, 64)}
UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2
_MOST_SAMPLES = 4
"""A pixel, of which the decoder makes an image."""
SIZE, TILE, ROWS, COMPRESSION, EXTRA_SAMPLES = (256, 257), (322, 323), 278, 259, 338
"""Tags of a directory."""
_NO_GRAY_ALPHA = "the alpha or other channels of a gray TIFF cannot be read; left out"
_NO_ALPHA = "its fourth channel is not marked as alpha; left out"


@dataclass(frozen=True)
class Layout:
    """How the samples of the first picture are stored."""

    photometric: int | None
    kind: int
    bits: int
    samples: int
    separate: bool
    """Each channel is stored for itself."""
    extra: int
    """What the first extra sample is; straight alpha where the file does not say."""

    @property
    def extras(self) -> int:
        """Samples a pixel that are no colour."""
        return self.samples - _COLOURS.get(self.photometric or 0, self.samples)

    @property
    def is_gray(self) -> bool:
        return self.photometric in (WHITE_IS_ZERO, _BLACK_IS_ZERO)

    @property
    def unsupported(self) -> str | None:
        """What the decoder cannot read, or reads as something else."""
        if self.photometric not in _COLOURS:
            return f"of photometric interpretation {self.photometric}"
        if self.bits not in _BITS.get(self.kind, ()):
            kind = {UNSIGNED: "integer", FLOAT: "float"}.get(self.kind, "signed or complex")
            return f"with {self.bits}-bit {kind} samples"
        if self.extras < 0:
            return f"of photometric interpretation {self.photometric} with {self.samples} channels"
        if self.samples > _MOST_SAMPLES:
            return f"with {self.samples} channels, {self.extras} of which are no colours,"
        if self.separate and self.samples > 1 and self.bits > 8:
            return f"with {self.bits}-bit channels stored apart"
        if self.is_gray and self.extras and self.bits > 8:
            return f"with {self.bits}-bit gray and further channels"
        if self.photometric in (_PALETTE, SEPARATED, YCBCR) and self.bits > 8:
            names = {_PALETTE: "palette", SEPARATED: "CMYK", YCBCR: "YCbCr"}
            return f"of {names[self.photometric]} with {self.bits} bits"
        return None

    @property
    def unread(self) -> tuple[str, ...]:
        """A note on the channels of the picture that are left out."""
        if self.is_gray and self.extras:
            return (_NO_GRAY_ALPHA,)
        return (_NO_ALPHA,) if self.photometric == _RGB and self.extra == UNSPECIFIED else ()


def _order(data: bytes) -> str:
    order = byte_order(data)
    if order is None or len(data) < 8:
        raise DamagedError("not a classic TIFF (BigTIFF is not supported)")
    return order


def first_directory(data: bytes) -> tuple[str, int, Directory]:
    """(byte order, place, entries) of the first picture's directory.

    Raises:
        DamagedError: there is none.
    """
    order = _order(data)
    offset = first_offset(data, order)
    directory = read_directory(data, order, offset)
    if not directory.entries:
        raise DamagedError("truncated TIFF: its directory is missing")
    return order, offset, directory


def layout_of(entries: dict[int, Entry], order: str) -> Layout:
    """How the samples are stored of the picture that a directory describes."""

    def value(tag: int, default: int) -> int:
        found = number(entries.get(tag), order)
        return default if found is None else found

    bits = numbers_of(entries[258], order) if 258 in entries else (1,)
    return Layout(
        photometric=number(entries.get(262), order),
        kind=value(339, UNSIGNED),
        bits=bits[0] if len(set(bits)) == 1 else 0,
        samples=value(277, 1),
        separate=value(284, 1) == 2,
        extra=value(EXTRA_SAMPLES, STRAIGHT),
    )


def numbers_of(entry: Entry, order: str) -> tuple[int, ...]:
    """All of an entry's values; none of a kind that no place or size has."""
    code = {3: "H", 4: "I"}.get(entry.kind)
    return struct.unpack(f"{order}{entry.count}{code}", entry.value) if code else ()
