"""BMP's runs: pictures of 4 and 8 bits a pixel whose rows are compressed.

Some programs pad the rows, so that the last run of each reaches past its end. OpenCV goes on with
the rest in the next row, where all others leave it out.

Source: Microsoft, Bitmap Compression.
"""

from __future__ import annotations

import struct

from imgfx.formats._common import DamagedError

_KINDS = {(8, 1): 8, (4, 2): 4}
"""Bits a pixel, by those that the header states and its compression."""
_WIDTH, _BITS, _COLOURS = 18, 28, 46
_END_OF_ROW, _END, _STEP = 0, 1, 2


def unpacked(data: bytes) -> bytes:
    """The same picture without runs, 8 bits a pixel; of a file without any the file itself.

    Args:
        data: a file whose header has at least 40 bytes.

    Raises:
        DamagedError: it ends before its last row, or its pixels begin within its header.
    """
    bits = _KINDS.get(struct.unpack_from("<HI", data, _BITS))
    if bits is None or len(data) < _COLOURS + 4:
        return data
    (start,) = struct.unpack_from("<I", data, 10)
    width, height = struct.unpack_from("<ii", data, _WIDTH)
    head = bytearray(data[:start])
    if len(head) < _COLOURS + 4:
        raise DamagedError("damaged BMP: its pixels begin within its header")
    (colours,) = struct.unpack_from("<I", data, _COLOURS)
    struct.pack_into("<HII", head, _BITS, 8, 0, 0)
    struct.pack_into("<I", head, _COLOURS, colours or 1 << bits)
    return bytes(head) + _rows(data, start, width, abs(height), bits)


def _rows(data: bytes, position: int, width: int, height: int, bits: int) -> bytearray:
    """Rows of a byte a pixel, as a file has them; what is left out is of the first colour."""
    stride = (width + 3) // 4 * 4
    rows = bytearray(stride * height)
    x = y = 0
    while y < height and not (y == height - 1 and x >= width):
        if position + 2 > len(data):
            raise DamagedError("truncated BMP")
        count, value = data[position], data[position + 1]
        position += 2
        if count:
            run = _pixels(bytes([value]), bits) * count
        elif value == _END:
            break
        elif value == _END_OF_ROW:
            x, y = 0, y + 1
            continue
        elif value == _STEP:
            across, up = data[position : position + 2].ljust(2, b"\0")
            x, y, position = x + across, y + up, position + 2
            continue
        else:
            count, size = value, (value * bits + 7) // 8
            run = _pixels(data[position : position + size], bits).ljust(count, b"\0")
            position += size + size % 2
        shown = min(count, width - x)
        if shown > 0:
            rows[y * stride + x : y * stride + x + shown] = run[:shown]
        x += count
    return rows


def _pixels(packed: bytes, bits: int) -> bytes:
    """A byte for each pixel."""
    return packed if bits == 8 else bytes(n for byte in packed for n in (byte >> 4, byte & 15))
