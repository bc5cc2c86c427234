"""BMP's headers: size, and whether all rows are there.

Source: Microsoft, Bitmap Storage; BITMAPINFOHEADER.
"""

from __future__ import annotations

import struct

from imgfx.formats._common import DamagedError, Inspection

_UNCOMPRESSED = (0, 3, 6)


_CORE_HEADER, _SMALLEST_HEADER = 12, 36
"""Bytes of OS/2's header, and of the shortest other one that the decoder takes."""


def size(head: bytes) -> tuple[int, int] | None:
    """(width, height) as declared by a file's first 26 bytes."""
    if len(head) < 26:
        return None
    if struct.unpack_from("<I", head, 14)[0] < _SMALLEST_HEADER:
        return struct.unpack_from("<HH", head, 18)
    width, height = struct.unpack_from("<ii", head, 18)
    return width, abs(height)


def inspect(data: bytes) -> Inspection:
    """Reads the size.

    Raises:
        DamagedError: truncated, or without a size.
    """
    declared = size(data)
    if declared is None or len(data) < 34:
        raise DamagedError("truncated BMP")
    width, height = declared
    pixels, header = struct.unpack_from("<II", data, 10)
    if header == _CORE_HEADER:
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
    return Inspection(width, height)
