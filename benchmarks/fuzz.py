"""Damaged files through the real program, by folders and by pipes.

    python benchmarks/fuzz.py [--count 5000] [--seed 0] [--jobs 2] [--keep fuzz-failures]

Makes small files of every format, damages them, and gives many at a time to `imgfx open FOLDER
save OUT` and, one behind the other, to `imgfx save -`. A run fails if the program is ended by a
signal, takes longer than 10 s, prints a traceback, an error that it did not foresee or control
characters, runs out of an address space of 2 GiB (RLIMIT_AS; Linux does not heed a limit of
resident memory), ends with another code than 0, 1 or 3, leaves an input without an output and
without one line that names it, or leaves a file that is not whole. What fails is narrowed down by
halves and kept. The same seed makes the same files.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from imgfx.errors import DecodeError
from imgfx.files import decode, encode
from imgfx.formats import format_from_name
from imgfx.image import Image, Metadata
from imgfx.streams import split

MEMORY = 2 << 30
SECONDS = 10
MEGAPIXELS = 4
"""The limit given to the program; damaged sizes below it cost time, not memory."""
_BATCH = 50
_TARGETS = ("png", "tiff", "jpeg", "pam", "webp", "bmp")
_EXTREMES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000,
             0xFFFFFFFF, 0xFFFFFFF0, 0x40000000)  # fmt: skip
_ENDLESS = (".tif", ".avif", ".pbm", ".bmp")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_UNFORESEEN = re.compile(r"Traceback|\(\w+\.py:\d+\)|MemoryError|too little memory")


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


def _imgfx(words: Sequence[str], stdin: bytes, seconds: float) -> tuple[int, bytes, str]:
    """Exit code, stdout and stderr; a code of 124 where it took too long."""
    limited = ["/bin/sh", "-c", f'ulimit -v {MEMORY >> 10}; ulimit -c 0; exec "$@"', "sh"]
    line = [*limited, sys.executable, "-m", "imgfx", "--max-pixels", str(MEGAPIXELS), *words]
    try:
        ended = subprocess.run(line, input=stdin, capture_output=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return 124, b"", ""
    return ended.returncode, ended.stdout, ended.stderr.decode("utf-8", "replace")


def _ending(code: int, errors: str) -> str | None:
    """What is wrong with how a process ended."""
    if code == 124:
        return f"took longer than {SECONDS} s"
    if code not in (0, 1, 3):
        return f"ended with {code}: {errors[-300:]}"
    found = _UNFORESEEN.search(errors)
    if found is not None:
        line = errors.count("\n", 0, found.start())
        return f"did not foresee: {errors.splitlines()[line][:300]}"
    if _CONTROL.search(errors) is not None:
        return f"sends control characters to the terminal: {errors[:300]!r}"
    if errors and "imgfx: " not in errors:
        return f"has not one line of its own: {errors[:300]}"
    return None


def try_folder(files: Sequence[File], target: str, seconds: float = SECONDS) -> str | None:
    """What is wrong when these files are read from a folder; None where all is right."""
    with tempfile.TemporaryDirectory(prefix="imgfx-fuzz-") as name:
        folder, out = Path(name, "in"), Path(name, "out")
        folder.mkdir()
        for number, file in enumerate(files):
            (folder / f"{number:04d}{file.suffix}").write_bytes(file.data)
        words = ["open", str(folder), "save", f"{out}/", "--format", target]
        code, _, errors = _imgfx(words, b"", seconds)
        return _ending(code, errors) or _left(folder, out, errors)


def _left(folder: Path, out: Path, errors: str) -> str | None:
    """What is wrong with what lies in the output folder."""
    written = {path.stem: path for path in out.iterdir()} if out.is_dir() else {}
    journal = [stem for stem in written if stem.startswith(".imgfx-journal")]
    for stem in journal:
        del written[stem]
    for path in sorted(folder.iterdir()):
        # Of a video each frame is an image, which may be written or not.
        frames = path.suffix == ".y4m"
        stems = [s for s in written if s == path.stem or (frames and s.startswith(f"{path.stem}_"))]
        lines = re.findall(rf"imgfx: error: {re.escape(str(path))}\b", errors)
        if len(stems) + len(lines) != 1 and not (frames and (stems or lines)):
            return f"{path.name}: {len(lines)} errors, and its outputs are {stems}"
        for stem in stems:
            result = written.pop(stem)
            try:
                decode(result.read_bytes(), result.name)
            except DecodeError as error:
                return f"is not whole: {error.format_message()}"
    return f"left behind: {sorted(written)}" if written else None


def try_stream(files: Sequence[File], seconds: float = SECONDS) -> str | None:
    """What is wrong when these files come through a pipe; None where all is right."""
    # The last one reaches to the end of the stream; what may be followed goes first.
    ordered = sorted(files, key=lambda file: file.suffix in _ENDLESS)
    stream = b"".join(file.data for file in ordered)
    code, images, errors = _imgfx(["save", "-"], stream, seconds)
    wrong = _ending(code, errors)
    if wrong is not None:
        return wrong
    with tempfile.TemporaryFile() as file:
        file.write(images)
        file.seek(0)
        try:
            for number, data in enumerate(split(file)):
                decode(data, f"output #{number}")
        except DecodeError as error:
            return f"is not whole: {error.format_message()}"
    return None


Try = Callable[[Sequence[File]], str | None]


def narrowed(files: Sequence[File], attempt: Try) -> tuple[Sequence[File], str] | None:
    """The fewest files, by halves, that something is wrong with; None where it does not recur.

    Many files may take longer than one may, so halves are tried again for that, too; and a busy
    machine may stand still for seconds, so the last one is tried once more.
    """
    wrong = attempt(files)
    if wrong is not None and wrong.startswith("took") and len(files) == 1:
        wrong = attempt(files)
    if wrong is None or len(files) == 1:
        return None if wrong is None else (files, wrong)
    middle = len(files) // 2
    for half in (files[:middle], files[middle:]):
        found = narrowed(half, attempt)
        if found is not None:
            return found
    return None if wrong.startswith("took") else (files, wrong)


@dataclass(frozen=True)
class Finding:
    """Files that the program does not bear."""

    words: str
    """What to give them to."""
    files: Sequence[File]
    wrong: str


def try_batch(numbers: Sequence[int], seed: int, everything: Sequence[File]) -> list[Finding]:
    """What is wrong with the files of these numbers."""
    files = [mutated(number, seed, everything) for number in numbers]
    target = _TARGETS[numbers[0] // max(1, len(numbers)) % len(_TARGETS)]
    ways: list[tuple[str, Try]] = [
        (f"open FOLDER save OUT/ --format {target}", partial(try_folder, target=target)),
        ("save -", try_stream),
    ]
    found = [(words, narrowed(files, attempt)) for words, attempt in ways]
    return [Finding(words, *result) for words, result in found if result is not None]


def fuzz(count: int, seed: int, jobs: int, keep: Path) -> list[Finding]:
    """All findings, kept in a folder and told as they come."""
    everything = seeds()
    batches = [range(start, min(start + _BATCH, count)) for start in range(0, count, _BATCH)]
    findings: list[Finding] = []
    with ThreadPoolExecutor(jobs) as pool:
        attempts = pool.map(lambda numbers: try_batch(numbers, seed, everything), batches)
        for numbers, more in zip(batches, attempts, strict=True):
            for finding in more:
                findings.append(finding)
                _keep(finding, keep / f"{seed}-{len(findings):03d}")
            print(f"{numbers[-1] + 1} files, {len(findings)} findings", end="\r", flush=True)
    return findings


def _keep(finding: Finding, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, file in enumerate(finding.files):
        (folder / f"{number:04d}{file.suffix}").write_bytes(file.data)
    limits = f"(ulimit -v {MEMORY >> 10}; "
    words = f"imgfx --max-pixels {MEGAPIXELS} {finding.words}".replace("FOLDER", str(folder))
    line = f"cat {folder}/* | {words} > out" if finding.words == "save -" else words
    print(f"\n{finding.wrong}\n    {limits}{line})")


def main() -> int:
    """1 where there are findings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    options = parser.parse_args()
    findings = fuzz(options.count, options.seed, options.jobs, options.keep)
    print(f"\n{options.count} files of {len(seeds())} kinds, {len(findings)} findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
