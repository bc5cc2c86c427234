"""The size that an AV1 stream itself declares, which its container may understate.

Source: AV1 Bitstream & Decoding Process Specification, sections 4.10.5, 5.3 and 5.5.
"""

from __future__ import annotations

from collections.abc import Iterator

_SEQUENCE_HEADER = 1
_LONGEST_HEADER = 256


class _Bits:
    """Bits of a few bytes, the highest first; zeros behind their end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """The next bits as a number."""
        self._left -= count
        shifted = self._value >> self._left if self._left >= 0 else 0
        return shifted & ((1 << count) - 1)

    def skip_exponential(self) -> None:
        """Past a uvlc()."""
        zeros = 0
        while zeros < 32 and not self.take(1):
            zeros += 1
        self.take(zeros if zeros < 32 else 0)


def _units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, beginning of the payload) of each open bitstream unit."""
    position = 0
    while position < len(data):
        header = data[position]
        position += 2 if header & 4 else 1
        length = len(data) - position
        if header & 2:
            length, position = _leb128(data, position)
        yield header >> 3 & 15, data[position : position + min(length, _LONGEST_HEADER)]
        position += length


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    """(number, position behind it)."""
    value = 0
    for shift in range(0, 56, 7):
        byte = data[position] if position < len(data) else 0
        value |= (byte & 127) << shift
        position += 1
        if not byte & 128:
            break
    return value, position


def _frame_size(header: bytes) -> tuple[int, int]:
    bits = _Bits(header)
    bits.take(3 + 1)
    if bits.take(1):  # the header of a single picture
        bits.take(5)
    else:
        _skip_operating_points(bits)
    across, down = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(across) + 1, bits.take(down) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(32 + 32)
        if bits.take(1):
            bits.skip_exponential()
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(32 + 5 + 5)
    display_delays = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if display_delays and bits.take(1):
            bits.take(4)


def largest_frame(data: bytes) -> int:
    """Pixels of the largest frame that the stream's headers allow for; 0 where there is none."""
    sizes = (_frame_size(unit) for kind, unit in _units(data) if kind == _SEQUENCE_HEADER)
    return max((width * height for width, height in sizes), default=0)
