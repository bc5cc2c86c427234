"""BMP's pixels of two and four bytes, whose colours are where masks say; and OS/2's old header.

OpenCV does not heed the masks, keeps white of five bits below white, and reads OS/2's files as
gray.

Source: Microsoft, Bitmap Storage; BITMAPCOREHEADER, BITMAPV4HEADER.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from imgfx.formats._bmp_runs import unpacked
from imgfx.formats._common import DamagedError

_FILE_HEADER, CORE_HEADER, _INFO_HEADER = 14, 12, 40
_MASKED = (3, 6)
"""Compressions that say where in a pixel each colour is; the second one has alpha."""
_FIVE_BITS = (0x7C00, 0x3E0, 0x1F, 0)
"""Where they are in two bytes unless the file says otherwise."""
_MASKS = 54
"""Where in a file they are."""
_WITH_ALPHA = 56
"""Bytes of the shortest header with a mask for alpha."""


def decode(data: bytes, width: int, height: int) -> npt.NDArray[np.uint8] | None:
    """(H, W, 3) RGB or (H, W, 4) RGBA of pixels that masks take apart; None of any others.

    Args:
        data: a file that has all its rows.
        width: of the image.
        height: of the image.

    Raises:
        DamagedError: a mask makes no sense.
    """
    start, header = struct.unpack_from("<II", data, 10)
    if header < _INFO_HEADER:
        return None
    (rows,) = struct.unpack_from("<i", data, 22)
    bits, compression = struct.unpack_from("<HI", data, 28)
    if compression not in _MASKED and (bits, compression) != (16, 0):
        return None
    if bits not in (16, 32):
        raise DamagedError(f"a BMP with masks and {bits} bits a pixel is not supported")
    kind = np.dtype("<u2" if bits == 16 else "<u4")
    row = (width * bits + 31) // 32 * 4 // kind.itemsize
    packed = np.frombuffer(data, kind, row * height, start).reshape(height, row)[:, :width]
    upright = packed[::-1] if rows > 0 else packed
    masks = _masks(data, header, compression)
    wanted = masks if masks[3] else masks[:3]
    return np.stack([_channel(upright, mask) for mask in wanted], axis=2)


def _masks(data: bytes, header: int, compression: int) -> tuple[int, ...]:
    if compression not in _MASKED:
        return _FIVE_BITS
    alpha = header >= _WITH_ALPHA or compression == _MASKED[1]
    masks = struct.unpack_from("<4I", data.ljust(_MASKS + 16, b"\0"), _MASKS)
    return masks if alpha else (*masks[:3], 0)


def _channel(packed: npt.NDArray[np.unsignedinteger], mask: int) -> npt.NDArray[np.uint8]:
    """(H, W) of a mask's bits, scaled such that all of them set is white."""
    if not mask:
        return np.zeros(packed.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    peak = mask >> shift
    if peak & (peak + 1) or mask >> 8 * packed.itemsize:
        raise DamagedError(f"damaged BMP: a mask of {mask:#x}")
    values = (packed & packed.dtype.type(mask)) >> packed.dtype.type(shift)
    return np.asarray(np.rint(values * (255 / peak)), np.uint8)


def usual(data: bytes) -> bytes:
    """The same picture as OpenCV reads it: of OS/2's files with a newer header, without runs.

    Raises:
        DamagedError: the runs end too early.
    """
    start, header = struct.unpack_from("<II", data, 10)
    if header != CORE_HEADER:
        return unpacked(data) if header >= _INFO_HEADER else data
    width, height, planes, bits = struct.unpack_from("<HHHH", data, 18)
    behind = _FILE_HEADER + CORE_HEADER
    colours = min(2**bits, max(0, start - behind) // 3) if bits <= 8 else 0
    triples = data[behind : behind + 3 * colours]
    palette = b"".join(triples[k : k + 3] + b"\0" for k in range(0, len(triples), 3))
    place = _FILE_HEADER + _INFO_HEADER + len(palette)
    about = struct.pack(
        "<IiiHHIIiiII", _INFO_HEADER, width, height, planes, bits, 0, 0, 0, 0, colours, 0
    )
    size = place + len(data) - start
    head = data[:2] + struct.pack("<IHHI", size, 0, 0, place)
    return head + about + palette + data[start:]
