"""Damage to files: bits, fields, cuts, splices, and chunks out of place."""

from __future__ import annotations

import random
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise

from fuzz_files import File

_EXTREMES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000,
             0xFFFFFFFF, 0xFFFFFFF0, 0x40000000)  # fmt: skip

Mutation = Callable[[random.Random, bytearray, Sequence[File]], None]


def _place(rng: random.Random, data: bytearray) -> int:
    """Headers, and directories at the end, are hit more often than what lies between."""
    reach = min(len(data), rng.choice((40, 120, 400, len(data))))
    at_end = data.startswith((b"II", b"MM")) and rng.random() < 0.8
    return rng.randrange(len(data) - reach, len(data)) if at_end else rng.randrange(reach)


def _flip(rng: random.Random, data: bytearray, _all: Sequence[File]) -> None:
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _change(rng: random.Random, data: bytearray, _all: Sequence[File]) -> None:
    for _ in range(rng.choice((1, 1, 4, 16))):
        data[_place(rng, data)] = rng.choice((0, 0xFF, rng.randrange(256)))


def _truncate(rng: random.Random, data: bytearray, _all: Sequence[File]) -> None:
    del data[rng.randrange(1, len(data) + 1) :]


def _remove(rng: random.Random, data: bytearray, _all: Sequence[File]) -> None:
    start = _place(rng, data)
    del data[max(1, start) : start + rng.choice((1, 2, 4, 12, 64))]


def _repeat(rng: random.Random, data: bytearray, _all: Sequence[File]) -> None:
    start = _place(rng, data)
    part = data[start : start + rng.choice((1, 4, 12, 64, 256))]
    data[start:start] = part * rng.choice((1, 1, 3, 200))


def _splice(rng: random.Random, data: bytearray, everything: Sequence[File]) -> None:
    other = rng.choice(everything).data
    data[rng.randrange(1, len(data) + 1) :] = other[rng.randrange(len(other)) :]


def _overwrite(rng: random.Random, data: bytearray, _all: Sequence[File]) -> None:
    size, order = rng.choice((1, 2, 4, 4)), rng.choice(("little", "big"))
    value = rng.choice(_EXTREMES) & ((1 << 8 * size) - 1)
    start = _place(rng, data)
    data[start : start + size] = value.to_bytes(size, "little" if order == "little" else "big")


def _shuffle(rng: random.Random, data: bytearray, _all: Sequence[File]) -> None:
    """Segments of the container change places, or one is there twice."""
    cuts = [0, *_cuts(bytes(data)), len(data)]
    parts = [bytes(data[a:b]) for a, b in pairwise(cuts) if b > a]
    if len(parts) < 3:
        return
    first, second = rng.sample(range(1, len(parts)), 2)
    if rng.random() < 0.3:
        parts.insert(first, parts[second])
    else:
        parts[first], parts[second] = parts[second], parts[first]
    data[:] = b"".join(parts)


def _cuts(data: bytes) -> list[int]:
    """Where segments begin, by rules of thumb."""
    if data[1:4] == b"PNG":
        return [
            m.start() - 4 for m in re.finditer(rb"IHDR|PLTE|tRNS|IDAT|IEND|iCCP|eXIf|iTXt", data)
        ]
    if data[:2] == b"\xff\xd8":
        return [m.start() for m in re.finditer(rb"\xff[\xc0-\xcf\xd9-\xef]", data)]
    if data[:4] == b"RIFF":
        return [m.start() for m in re.finditer(rb"VP8[ LX]|ICCP|EXIF|XMP ", data)]
    if data[4:8] == b"ftyp":
        return [
            m.start() - 4 for m in re.finditer(rb"meta|hdlr|pitm|iloc|iinf|iprp|ispe|mdat", data)
        ]
    return list(range(8, len(data), 12))


_MUTATIONS: tuple[Mutation, ...] = (
    _flip, _flip, _change, _change, _truncate, _remove, _repeat, _splice, _overwrite, _overwrite,
    _overwrite, _overwrite, _shuffle,
)  # fmt: skip


def mutated(number: int, seed: int, everything: Sequence[File]) -> File:
    """The damaged file of a number; the same for the same seed."""
    rng = random.Random(f"{seed}-{number}")
    chosen = everything[number % len(everything)]
    data = bytearray(chosen.data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if data:
            rng.choice(_MUTATIONS)(rng, data, everything)
    if rng.random() < 0.7:
        _mend(data)
    return File(chosen.suffix, bytes(data))


def _mend(data: bytearray) -> None:
    """Makes checksums and lengths right, without which damage is found before it can harm."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        position = 8
        while position + 12 <= len(data):
            (size,) = struct.unpack_from(">I", data, position)
            end = position + 12 + size
            if end > len(data):
                return
            struct.pack_into(">I", data, end - 4, zlib.crc32(data[position + 4 : end - 4]))
            position = end
    elif data[:4] == b"RIFF" and len(data) > 8:
        struct.pack_into("<I", data, 4, len(data) - 8)
