"""Whether a JPEG's scans hold its whole picture, which decoders do not say.

Where coded samples end early, libjpeg makes the rest of the picture gray and warns on stderr, where
OpenCV leaves it. It is told here by restart markers that are missing, by the precision that a
progressive picture's scans reach, and by gray at the end that is not in the data.

Source: ITU-T T.81, sections A.2, B.2, C, E.1.4 and G.1.2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from imgfx.formats._common import DamagedError

SHORT = "its last scans are missing: it is coarser than it was"
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
GRAY = 128
"""What all coefficients at zero stand for."""
_MOST_BLOCKS = 4
"""Of a component in a unit, across and down."""
_UNSENT = 15
"""Bits that are still to come where none has; more than there are."""
_BLUR = 2
"""Pixels at the sides of a unit into which its neighbours' colours reach."""
_FEWEST, _MOST = 3, 256
"""Units of gray at the end that are looked at."""
_SHARE = 0.3
"""Of the units that must be in the data; of other data far fewer look like one by chance."""


@dataclass
class _Scan:
    """A run of coded samples."""

    parts: tuple[tuple[int, int, int], ...]
    """(component, table of DC codes, table of AC codes)."""
    start: int
    interval: int
    """Units between two restart markers; 0 without."""
    end: int = 0


@dataclass
class Scans:
    """What the segments of a JPEG say of its scans."""

    size: tuple[int, int] = (0, 0)
    kind: int = 0
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Blocks across and down in a unit, by component."""
    scans: list[_Scan] = field(default_factory=list)
    _left: dict[int, list[int]] = field(default_factory=dict)
    """By component, of each coefficient the bits that are still to come."""
    _interval: int = 0
    _tables: list[bytes] = field(default_factory=list)

    def see(self, marker: int, payload: bytes, start: int) -> None:
        """A segment, whose payload begins there.

        Raises:
            DamagedError: it says less than it must.
        """
        if self.scans and not self.scans[-1].end:
            self.scans[-1].end = start - (2 if marker == 0xD9 else 4)
        try:
            if marker in (*_SEQUENTIAL, _PROGRESSIVE):
                self._see_frame(marker, payload)
            elif marker == 0xC4:
                self._tables.append(payload)
            elif marker == 0xDD:
                (self._interval,) = struct.unpack_from(">H", payload)
            elif marker == 0xDA and self.kind:
                self._see_scan(payload, start + len(payload))
        except (struct.error, IndexError, KeyError) as error:
            raise DamagedError("damaged JPEG: a segment makes no sense") from error

    def _see_frame(self, marker: int, payload: bytes) -> None:
        height, width, count = struct.unpack_from(">HHB", payload, 1)
        self.kind, self.size, self.sampling = marker, (width, height), {}
        for place in range(6, 6 + 3 * count, 3):
            across, down = payload[place + 1] >> 4, payload[place + 1] & 15
            if not (1 <= across <= _MOST_BLOCKS and 1 <= down <= _MOST_BLOCKS):
                raise DamagedError("damaged JPEG: its components have no size")
            self.sampling[payload[place]] = (across, down)
            self._left[payload[place]] = 64 * [_UNSENT]

    def _see_scan(self, payload: bytes, start: int) -> None:
        count = payload[0]
        parts = tuple(
            (payload[place], payload[place + 1] >> 4, payload[place + 1] & 15)
            for place in range(1, 1 + 2 * count, 2)
        )
        if any(component not in self.sampling for component, _, _ in parts) or not parts:
            raise DamagedError("damaged JPEG: a scan of components that do not exist")
        self.scans.append(_Scan(parts, start, self._interval))
        if self.kind == _PROGRESSIVE:
            first, last, bits = payload[1 + 2 * count : 4 + 2 * count]
            for component, _, _ in parts:
                left = self._left[component]
                left[first : last + 1] = [bits & 15] * len(left[first : last + 1])

    @property
    def is_short(self) -> bool:
        """Whether scans of a progressive picture are missing."""
        if self.kind != _PROGRESSIVE:
            return False
        return any(bits != 0 for left in self._left.values() for bits in left)

    @property
    def _most(self) -> tuple[int, int]:
        """Blocks across and down that a unit has of the finest component."""
        pairs = self.sampling.values()
        return max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)

    def _units(self, scan: _Scan) -> tuple[int, int]:
        """Across and down, of a scan."""
        width, height = self.size
        most = self._most
        own = self.sampling[scan.parts[0][0]]
        scale = (1, 1) if len(scan.parts) > 1 else own
        # Alone, a component's unit is one block of its own samples.
        return (
            -(-width * scale[0] // (8 * most[0])),
            -(-height * scale[1] // (8 * most[1])),
        )

    def check_restarts(self, data: bytes) -> None:
        """Whether as many parts are there as there must be.

        Raises:
            DamagedError: there are fewer or more.
        """
        for scan in self.scans:
            if scan.interval:
                across, down = self._units(scan)
                expected = max(0, -(-across * down // scan.interval) - 1)
                if len(_RESTART.findall(data, scan.start, scan.end)) != expected:
                    raise DamagedError("damaged JPEG: parts of its picture are missing")

    def check_end(self, data: bytes, samples: npt.NDArray[Any]) -> None:
        """Whether gray at a picture's end is in the data, and not the decoder's.

        Args:
            data: the file.
            samples: (H, W, C) as decoded.

        Raises:
            DamagedError: it is not.
        """
        if self.kind not in _SEQUENTIAL or len(self.scans) != 1 or samples.dtype != np.uint8:
            return
        (scan,) = self.scans
        if len(scan.parts) != len(self.sampling) or (samples[-1, -1] != GRAY).any():
            return
        gray = self._gray_units(scan, samples)
        unit = self._gray_unit(scan)
        if gray < _FEWEST or not unit:
            return
        wanted = min(gray, _MOST)
        bits = _last_bits(data, scan, wanted * len(unit))
        wanted = min(wanted, len(bits) // len(unit))
        if bits.count(unit) < _SHARE * wanted or not wanted:
            raise DamagedError("truncated JPEG: its data end before its picture does")

    def _gray_units(self, scan: _Scan, samples: npt.NDArray[Any]) -> int:
        """Units at the end, row by row, that are nothing but gray."""
        across, down = self._units(scan)
        most = self._most if len(scan.parts) > 1 else (1, 1)
        width, height = 8 * most[0], 8 * most[1]
        count = 0
        for row in reversed(range(down)):
            line = samples[row * height : (row + 1) * height]
            line = line[_BLUR:-_BLUR] if len(line) > 2 * _BLUR else line
            plain = (line == GRAY).all(axis=(0, 2))
            for column in reversed(range(across)):
                part = plain[column * width : (column + 1) * width]
                part = part[_BLUR:-_BLUR] if len(part) > 2 * _BLUR else part
                if not part.all():
                    return count
                count += 1
        return count

    def _gray_unit(self, scan: _Scan) -> str:
        """A unit's code where each block is as the one before, and flat; empty if there is none."""
        codes: list[str] = []
        zeros = dict(_codes_of_zero(b"".join(self._tables)))
        for component, dc, ac in scan.parts:
            across, down = self.sampling[component] if len(scan.parts) > 1 else (1, 1)
            same, flat = zeros.get((0, dc)), zeros.get((1, ac))
            if same is None or flat is None:
                return ""
            codes += across * down * [same + flat]
        return "".join(codes)


def _codes_of_zero(tables: bytes) -> Iterator[tuple[tuple[int, int], str]]:
    """By the class and the number of each table the code of its symbol 0, in letters 0 and 1."""
    place = 0
    while place + 17 <= len(tables):
        name = (tables[place] >> 4, tables[place] & 15)
        counts = tables[place + 1 : place + 17]
        place += 17
        code = 0
        for length, count in enumerate(counts, start=1):
            found = tables.find(b"\0", place, place + count)
            if found >= 0:
                yield name, f"{code + found - place:0{length}b}"
            code = (code + count) << 1
            place += count


def _last_bits(data: bytes, scan: _Scan, count: int) -> str:
    """The last bits of a scan, behind its last restart marker."""
    start = max(scan.start, scan.end - count // 4 - 16)  # each FF has a 00 behind it
    part = _RESTART.split(data[start : scan.end])[-1].replace(b"\xff\x00", b"\xff")
    if not part:
        return ""
    bits = f"{int.from_bytes(part, 'big'):0{8 * len(part)}b}"
    return bits[-count - 8 :]
