"""BMP's headers: size, resolution, alpha, and whether all rows are there.

Source: Microsoft, Bitmap Storage; BITMAPINFOHEADER, BITMAPV4HEADER.
"""

from __future__ import annotations

import struct

from imgfx.formats._bmp_pixels import CORE_HEADER, decode, usual
from imgfx.formats._common import BEHIND, DamagedError, Inspection, picture_behind
from imgfx.image import Metadata

__all__ = ["attach", "decode", "inspect", "size", "usual"]

_UNCOMPRESSED = (0, 3, 6)
_SMALLEST_HEADER = 36
"""Bytes of the shortest header, but for OS/2's, that the decoder takes."""
_HEADER = 14
"""Where the header begins, from which places are counted."""
_RESOLUTION = 38
_PROFILE_HEADER, _KIND, _PROFILE = 124, 70, 126
"""Bytes of the header that may have a profile, and where in a file its kind and its place are."""
_EMBEDDED = b"DEBM"
_INCH = 0.0254


def size(head: bytes) -> tuple[int, int] | None:
    """(width, height) as declared by a file's first 26 bytes."""
    if len(head) < 26:
        return None
    if struct.unpack_from("<I", head, 14)[0] < _SMALLEST_HEADER:
        return struct.unpack_from("<HH", head, 18)
    width, height = struct.unpack_from("<ii", head, 18)
    return width, abs(height)


def inspect(data: bytes) -> Inspection:
    """Reads size and resolution.

    Raises:
        DamagedError: truncated, or without a size.
    """
    declared = size(data)
    if declared is None or len(data) < 34:
        raise DamagedError("truncated BMP")
    width, height = declared
    pixels, header = struct.unpack_from("<II", data, 10)
    if header == CORE_HEADER:
        (bits,), compression = struct.unpack_from("<H", data, 24), 0
    elif header >= _SMALLEST_HEADER:
        bits, compression = struct.unpack_from("<HI", data, 28)
    else:
        raise DamagedError(f"a BMP with a header of {header} bytes is not supported")
    if width < 1 or height < 1:
        raise DamagedError("invalid size in the BMP header")
    row = (width * bits + 31) // 32 * 4
    if compression in _UNCOMPRESSED and pixels + row * height > len(data):
        raise DamagedError("truncated BMP")
    dpi = _dpi(data) if header >= _SMALLEST_HEADER else None
    (length,) = struct.unpack_from("<I", data, 2)
    followed = length > pixels and picture_behind(data, length) is not None
    others = (BEHIND,) if followed else ()
    return Inspection(width, height, Metadata(dpi=dpi, icc=_profile(data, header)), others=others)


def _profile(data: bytes, header: int) -> bytes | None:
    """The ICC profile within the file; a link to one in another is not followed."""
    if header < _PROFILE_HEADER or data[_KIND : _KIND + 4] != _EMBEDDED:
        return None
    start, length = struct.unpack_from("<II", data.ljust(_PROFILE + 8, b"\0"), _PROFILE)
    profile = data[_HEADER + start : _HEADER + start + length]
    return profile if length and len(profile) == length else None


def _dpi(data: bytes) -> tuple[float, float] | None:
    if len(data) < _RESOLUTION + 8:
        return None
    across, down = struct.unpack_from("<ii", data, _RESOLUTION)
    return (across * _INCH, down * _INCH) if across > 0 and down > 0 else None


def attach(data: bytes, dpi: tuple[float, float] | None) -> bytes:
    """A BMP, as OpenCV wrote it, with the resolution in its header."""
    if dpi is None:
        return data
    across, down = (min(2**31 - 1, max(1, round(value / _INCH))) for value in dpi)
    head = data[:_RESOLUTION] + struct.pack("<ii", across, down)
    return head + data[_RESOLUTION + 8 :]
