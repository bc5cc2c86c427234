"""Small sound files of every format, which `fuzz.py` damages."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imgfx.files import encode
from imgfx.formats import format_from_name
from imgfx.image import Image, Metadata
from imgfx.opencv import cv2  # which says nothing of its own


@dataclass(frozen=True)
class File:
    """A file that is to be read."""

    suffix: str
    data: bytes


def seeds() -> list[File]:
    """Sound files of every format and of most of their kinds."""
    return [*_opencv_files(), *_own_files(), *_hand_made_files()]


def _picture(channels: int, dtype: str) -> npt.NDArray[Any]:
    """(23, 31, C): slopes with some noise."""
    rows, columns = np.mgrid[0:23, 0:31]
    slopes = np.stack([rows * (c + 1) * 5 + columns * 3 for c in range(channels)], axis=2) % 256
    noise = np.random.default_rng(channels).integers(0, 20, slopes.shape)
    values = np.minimum(slopes + noise, 255)
    if dtype == "float32":
        return (values / 255).astype(np.float32)
    return (values * (257 if dtype == "uint16" else 1)).astype(dtype)


def _opencv_files() -> Iterator[File]:
    kinds: list[tuple[str, int, str, list[int]]] = [
        (".jpg", 3, "uint8", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        (".jpg", 3, "uint8", [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]),
        (".jpg", 1, "uint8", []),
        (".webp", 3, "uint8", [cv2.IMWRITE_WEBP_QUALITY, 101]),
        (".avif", 1, "uint8", []),
        (".bmp", 1, "uint8", []),
        (".bmp", 3, "uint8", []),
        (".bmp", 4, "uint8", []),
        (".pbm", 1, "uint8", [cv2.IMWRITE_PXM_BINARY, 1]),
        (".pgm", 1, "uint8", [cv2.IMWRITE_PXM_BINARY, 0]),
        (".ppm", 3, "uint8", [cv2.IMWRITE_PXM_BINARY, 0]),
        (".ppm", 3, "uint16", [cv2.IMWRITE_PXM_BINARY, 1]),
    ]
    for compression in (1, 5, 8, 32773, 32946):
        for dtype, channels in (("uint8", 3), ("uint8", 1), ("uint16", 4), ("float32", 3)):
            options = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 7]
            kinds.append((".tif", channels, dtype, options))
    for suffix, channels, dtype, options in kinds:
        done, data = cv2.imencode(suffix, _picture(channels, dtype), options)
        assert done, (suffix, channels, dtype)
        yield File(suffix, data.tobytes())


def _own_files() -> Iterator[File]:
    """With metadata and alpha, as imgfx writes them."""
    exif = b"II*\0\x08\0\0\0\x02\0\x12\1\3\0\1\0\0\0\6\0\0\0\x69\x87\4\0\1\0\0\0\x26\0\0\0\0\0\0\0"
    exif += b"\1\0\2\xa0\4\0\1\0\0\0\x1f\0\0\0\0\0\0\0"
    profile = b"\0\0\0\x80" + bytes(12) + b"RGB XYZ " + bytes(104)
    everything = Metadata(
        exif, b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/></x:xmpmeta>", profile, (72, 72)
    )
    for name in ("png", "jpeg", "webp", "tiff", "avif", "bmp", "ppm", "pam", "y4m"):
        known = format_from_name(name)
        assert known is not None
        for depth in known.depths:
            for alpha in (False, True) if known.alpha else (False,):
                samples = _picture(4, depth)
                image = Image(
                    samples[..., :3], samples[..., 3] if alpha else None, depth, everything
                )
                data, _ = encode(image, known, quality=80 if known.quality else None)
                yield File(known.suffixes[0], data)


def _hand_made_files() -> Iterator[File]:
    """Kinds that neither OpenCV nor imgfx writes."""
    rows = [bytes([0]) + bytes((7 * y + x) % 16 for x in range(31)) for y in range(23)]
    palette = b"".join(bytes([16 * c, 255 - 16 * c, c]) for c in range(16))
    yield File(".png", _png(31, 23, 8, 3, rows, (b"PLTE", palette), (b"tRNS", bytes(range(16)))))
    bits = [bytes([0]) + bytes(4) for _ in range(23)]
    yield File(".png", _png(31, 23, 1, 0, bits, (b"tRNS", b"\0\1")))
    passes = [(4, 3), (4, 3), (8, 3), (8, 6), (16, 6), (15, 12), (31, 11)]
    laced = [bytes([0]) + bytes(3 * w) for w, h in passes for _ in range(h)]
    yield File(".png", _png(31, 23, 8, 2, laced, interlace=1))
    run = b"".join(bytes([31, y]) + b"\0\0" for y in range(23)) + b"\0\1"
    colours = b"".join(bytes([c, 255 - c, c, 0]) for c in range(256))
    head = struct.pack("<IiiHHIIiiII", 40, 31, 23, 1, 8, 1, len(run), 0, 0, 256, 0)
    where = 14 + 40 + len(colours)
    beginning = b"BM" + struct.pack("<IHHI", where + len(run), 0, 0, where)
    yield File(".bmp", beginning + head + colours + run)
    yield File(".tif", _tiled_tiff())
    yield File(".pbm", b"P1\n# words\n5 3\n10101 01010\n1 1 1 1 1\n")


def _chunk(kind: bytes, payload: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + payload))
    return struct.pack(">I", len(payload)) + kind + payload + checksum


def _png(
    width: int,
    height: int,
    depth: int,
    colour: int,
    rows: Sequence[bytes],
    *more: tuple[bytes, bytes],
    interlace: int = 0,
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    pixels = zlib.compress(b"".join(rows))
    chunks = [(b"IHDR", header), *more, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _tiled_tiff() -> bytes:
    """Gray, of four tiles of 16x16."""
    tiles = [zlib.compress(bytes(range(256))) for _ in range(4)]
    starts = [8 + sum(len(tile) for tile in tiles[:n]) for n in range(4)]
    data = b"".join(tiles)
    places = 8 + len(data) + len(data) % 2
    fields = [
        (256, 4, 1, 31), (257, 4, 1, 23), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1),
        (277, 3, 1, 1), (322, 3, 1, 16), (323, 3, 1, 16), (324, 4, 4, places),
        (325, 4, 4, places + 16),
    ]  # fmt: skip
    directory = struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHII", *f) for f in fields)
    tables = struct.pack("<4I", *starts) + struct.pack("<4I", *map(len, tiles))
    head = b"II*\0" + struct.pack("<I", places + 32)
    return head + data + b"\0" * (len(data) % 2) + tables + directory + bytes(4)
