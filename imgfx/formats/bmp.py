"""BMP's headers: size, resolution, alpha, and whether all rows are there.

Source: Microsoft, Bitmap Storage; BITMAPINFOHEADER, BITMAPV4HEADER.
"""

from __future__ import annotations

import struct

from imgfx.formats._common import BEHIND, DamagedError, Inspection, picture_behind
from imgfx.image import Metadata

_UNCOMPRESSED = (0, 3, 6)
_MASKS = 3
"""The compression that says where in a pixel each colour is."""
_CORE_HEADER, _SMALLEST_HEADER = 12, 36
"""Bytes of OS/2's header, and of the shortest other one that the decoder takes."""
_ALPHA_HEADER, _ALPHA_MASK = 56, 66
"""Bytes of the shortest header with a mask for alpha, and where in a file that is."""
_RESOLUTION = 38
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
    dpi = _dpi(data) if header >= _SMALLEST_HEADER else None
    opaque = compression == _MASKS and not _has_alpha_mask(data, header)
    (length,) = struct.unpack_from("<I", data, 2)
    followed = length > pixels and picture_behind(data, length) is not None
    others = (BEHIND,) if followed else ()
    return Inspection(width, height, Metadata(dpi=dpi), opaque=opaque, others=others)


def _has_alpha_mask(data: bytes, header: int) -> bool:
    """Without one the fourth byte is mostly 0, which the decoder takes for an invisible picture."""
    return header >= _ALPHA_HEADER and any(data[_ALPHA_MASK : _ALPHA_MASK + 4])


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
