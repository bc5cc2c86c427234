"""YUV4MPEG2 (Y4M): uncompressed video, the raw wire between video programs.

A file is a header line, and frames: a line FRAME, then the planes of Y, Cb and Cr. Here a picture
is a file of one frame; what is longer is cut into such files when it is read.

Colours are those of BT.601 in its limited range (16 to 235) unless the header says
XCOLORRANGE=FULL; fields of interlaced video are read as one picture.

Source: yuv4mpeg(5) of MJPEGtools; the high bit depths and XCOLORRANGE as FFmpeg writes them. The
matrix is that of ITU-R BT.601-7, 2.5.1, the range that of 2.5.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from imgfx.formats._common import DamagedError, Inspection
from imgfx.image import Metadata

Float = npt.NDArray[np.float32]

MAGIC = b"YUV4MPEG2"
LONGEST_LINE = 1024
_MOST_FRAME = 1 << 32
_DEFAULT_VIDEO = "F25:1 Ip A1:1"
_FRAME_LINE = re.compile(rb"FRAME(?: [^\n]*)?\n")
_RATIO = r"\d{1,10}:\d{1,10}"
_FIELDS = {"W": r"[1-9]\d{0,8}", "H": r"[1-9]\d{0,8}", "F": _RATIO, "I": "[ptbm?]", "A": _RATIO}
_COLOUR = re.compile(r"(420jpeg|420mpeg2|420paldv|42[02]|411|444|mono)(?:p?(9|1[0-6]))?")
_RED, _GREEN, _BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)


@dataclass(frozen=True)
class _Chroma:
    """How the planes of Cb and Cr lie under that of Y."""

    across: int
    """Columns of Y for one of theirs."""
    down: int
    left: bool
    """Whether theirs lies on the first of these columns, not in their middle."""
    top: bool


_CHROMA = {
    "420jpeg": _Chroma(2, 2, left=False, top=False),
    "420mpeg2": _Chroma(2, 2, left=True, top=False),
    "420paldv": _Chroma(2, 2, left=True, top=True),
    "422": _Chroma(2, 1, left=True, top=False),
    "411": _Chroma(4, 1, left=True, top=False),
    "444": _Chroma(1, 1, left=False, top=False),
    "mono": _Chroma(1, 1, left=False, top=False),
}


@dataclass(frozen=True)
class Header:
    """What a file's first line says of all its frames."""

    width: int
    height: int
    colour: str
    """A key of the table of chroma layouts."""
    bits: int
    """Of a sample, 8 to 16; more than 8 are stored in two bytes, the lower one first."""
    full: bool
    """Whether samples have the full range; else Y has 16 to 235 of 255."""
    video: str
    """Rate, interlacing and pixel aspect as a header has them: F25:1 Ip A1:1."""
    length: int
    """Bytes of the line; the first frame follows."""

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of each plane of a frame."""
        chroma, whole = _CHROMA[self.colour], (self.height, self.width)
        part = (-(-self.height // chroma.down), -(-self.width // chroma.across))
        return (whole,) if self.colour == "mono" else (whole, part, part)

    @property
    def payload(self) -> int:
        """Bytes of samples behind a frame's line."""
        samples = sum(rows * columns for rows, columns in self.shapes)
        return samples * (2 if self.bits > 8 else 1)


def parse_header(data: bytes) -> Header | None:
    """The header at the start of the data; None when more bytes are needed to tell.

    Raises:
        DamagedError: no valid header, frames beyond 4 GiB, or a colour space that is not supported.
    """
    end = data.find(b"\n", 0, LONGEST_LINE)
    if end < 0 and len(data) < LONGEST_LINE:
        return None
    magic, *words = data[: max(end, 0)].decode("ascii", "replace").split(" ")
    if magic.encode() != MAGIC:
        raise DamagedError("no valid Y4M header")
    fields = {word[:1]: word[1:] for word in words if word[:1] not in ("X", "")}
    for key, pattern in _FIELDS.items():
        value = fields.get(key, "")
        if not re.fullmatch(pattern, value) and (key in fields or key in "WH"):
            raise DamagedError(f"damaged Y4M header: {key}{value}")
    colour, bits = _colour(fields.get("C", "420jpeg"))
    full = "XCOLORRANGE=FULL" in words
    width, height = int(fields["W"]), int(fields["H"])
    header = Header(width, height, colour, bits, full, _video(fields), end + 1)
    if header.payload > _MOST_FRAME:
        raise DamagedError(f"a Y4M of {width}x{height} pixels; a frame of more than 4 GiB")
    return header


def _colour(name: str) -> tuple[str, int]:
    match = _COLOUR.fullmatch(name)
    if match is None or (match[2] and match[1] not in ("420", "422", "444", "mono")):
        raise DamagedError(
            f"a Y4M of colour space C{name} is not supported; make one of C420jpeg, C422, C444 or "
            "Cmono (ffmpeg: -pix_fmt yuv444p)"
        )
    # C420 is C420jpeg by definition. With more bits nothing says where the chroma lies, but they
    # are used by codecs that have it at the left.
    named = {"420": "420mpeg2" if match[2] else "420jpeg"}.get(match[1], match[1])
    return named, int(match[2] or 8)


def _video(fields: dict[str, str]) -> str:
    """A rate of 0 is one that is not known."""
    known = all(int(part) for part in fields.get("F", "0:0").split(":"))
    rate = "F" + fields["F"] if known else _DEFAULT_VIDEO.split()[0]
    return " ".join([rate, *(key + fields[key] for key in "IA" if key in fields)])


def frame_line(data: bytes) -> int | None:
    """Bytes of the line FRAME at the start of the data; None when more are needed to tell.

    Raises:
        DamagedError: no frame begins here.
    """
    match = _FRAME_LINE.match(data[:LONGEST_LINE])
    if match is not None:
        return match.end()
    unfinished = b"FRAME ".startswith(data[:6]) and len(data) < LONGEST_LINE
    if not unfinished:
        raise DamagedError("damaged Y4M: no FRAME where a frame should begin")
    return None


def inspect(data: bytes) -> Inspection:
    """Size, number of frames, and what a video's header says of its timing."""
    header = parse_header(data)
    if header is None:
        raise DamagedError("truncated Y4M")
    # Their lines may differ, so that of several the number is only almost certain.
    frames = max(1, (len(data) - header.length) // (header.payload + len(b"FRAME\n")))
    return Inspection(
        header.width, header.height, metadata=Metadata(video=header.video), frames=frames
    )


def size(data: bytes) -> tuple[int, int] | None:
    """(width, height) by a file's beginning; None where it does not tell."""
    try:
        header = parse_header(data)
    except DamagedError:
        return None
    return None if header is None else (header.width, header.height)


_Answer = TypeVar("_Answer")


def _whole(answer: _Answer | None) -> _Answer:
    if answer is None:
        raise DamagedError("truncated Y4M")
    return answer


def places(file: BinaryIO) -> tuple[bytes, list[tuple[int, int]]]:
    """A file's header line, and where each frame lies: its first byte and its length.

    The last frame may be truncated; what follows a damaged one is its own part.

    Raises:
        DamagedError: no valid header, or no frame.
    """
    start = file.read(LONGEST_LINE)
    header = _whole(parse_header(start))
    position, size = header.length, file.seek(0, 2)
    found: list[tuple[int, int]] = []
    while position < size:
        file.seek(position)
        try:
            length = (frame_line(file.read(LONGEST_LINE)) or size) + header.payload
        except DamagedError:
            length = size
        found.append((position, min(length, size - position)))
        position += length
    if not found:
        raise DamagedError("the Y4M holds no frame")
    return start[: header.length], found


def decode(data: bytes) -> npt.NDArray[Any]:
    """The first frame: (H, W, 1 or 3) uint8, or uint16 where samples have more than 8 bits.

    Chroma of fewer samples is interpolated linearly from where the colour space has it.

    Raises:
        DamagedError: truncated, or no valid header.
    """
    header = _whole(parse_header(data))
    if len(data) == header.length:
        raise DamagedError("the Y4M holds no frame")
    start = header.length + _whole(frame_line(data[header.length : header.length + LONGEST_LINE]))
    if len(data) < start + header.payload:
        raise DamagedError("truncated Y4M")
    return _pictured(_planes(data, start, header), header)


def _planes(data: bytes, start: int, header: Header) -> list[npt.NDArray[Any]]:
    """As stored, (rows, columns) each."""
    dtype = np.dtype("<u2" if header.bits > 8 else "u1")
    planes = []
    for rows, columns in header.shapes:
        plane = np.frombuffer(data, dtype, rows * columns, start)
        planes.append(plane.reshape(rows, columns))
        start += plane.nbytes
    return planes


def _pictured(planes: list[npt.NDArray[Any]], header: Header) -> npt.NDArray[Any]:
    """(H, W, C) integers of the planes."""
    scale = np.float32(1 << (header.bits - 8))
    peak = np.float32((1 << header.bits) - 1)
    black, luma_span, chroma_span = (
        (np.float32(0), peak, peak) if header.full else (16 * scale, 219 * scale, 224 * scale)
    )
    luma = (planes[0] - black) / luma_span
    if header.colour == "mono":
        return _rounded([luma], header)
    difference_blue, difference_red = (
        (_enlarged(plane, header) - 128 * scale) / chroma_span for plane in planes[1:]
    )
    red = luma + 2 * (1 - _RED) * difference_red
    blue = luma + 2 * (1 - _BLUE) * difference_blue
    green = np.asarray((luma - _RED * red - _BLUE * blue) / _GREEN, dtype=np.float32)
    return _rounded([red, green, blue], header)


def _rounded(channels: list[Float], header: Header) -> npt.NDArray[Any]:
    """Channels in [0, 1] as (H, W, C) of the full range of 8 or 16 bits."""
    dtype, peak = (np.uint16, 65535) if header.bits > 8 else (np.uint8, 255)
    samples = np.empty((header.height, header.width, len(channels)), dtype)
    for number, channel in enumerate(channels):
        samples[..., number] = np.rint(np.clip(channel, 0, 1) * np.float32(peak))
    return samples


def _enlarged(plane: npt.NDArray[Any], header: Header) -> Float:
    """A plane of chroma, (rows, columns), as (H, W) float32 of the same values."""
    chroma = _CHROMA[header.colour]
    down = _interpolated(plane.astype(np.float32), header.height, chroma.down, chroma.top)
    return _interpolated(down.T, header.width, chroma.across, chroma.left).T


def _interpolated(values: Float, size: int, factor: int, first: bool) -> Float:
    """(n, m) to (size, m), linearly; each of n lies on the first, or amid, `factor` new rows."""
    if factor == 1:
        return values
    begin = 0.0 if first else (factor - 1) / 2
    place = np.clip((np.arange(size) - begin) / factor, 0, len(values) - 1)
    low = place.astype(np.intp)
    share = (place - low).astype(np.float32)[:, None]
    high = np.minimum(low + 1, len(values) - 1)
    return values[low] * (1 - share) + values[high] * share


def encode(samples: npt.NDArray[Any], video: str | None, rate: Fraction | None = None) -> bytes:
    """A file of one frame: gray as Cmono of the full range, RGB as C444 of the limited range.

    Args:
        samples: (H, W, 1 or 3) uint8.
        video: rate, interlacing and pixel aspect, as `Header.video`; None is 25 frames a second.
        rate: frames a second, in place of that of `video`.
    """
    height, width, channels = samples.shape
    # FFmpeg takes gray for full, whatever the header says.
    colours = "C444 XYSCSS=444 XCOLORRANGE=LIMITED"
    colours = "Cmono XCOLORRANGE=FULL" if channels == 1 else colours
    header = f"YUV4MPEG2 W{width} H{height} {_timing(video, rate)} {colours}\nFRAME\n"
    body = samples if channels == 1 else _limited(samples)
    return header.encode() + body.tobytes()


def _timing(video: str | None, rate: Fraction | None) -> str:
    words = (video or _DEFAULT_VIDEO).split()
    if rate is not None:
        words = [f"F{rate.numerator}:{rate.denominator}", *(w for w in words if w[0] != "F")]
    return " ".join(words)


_BAND = 256
"""Rows that are converted at a time, as floats."""


def _limited(samples: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) RGB uint8 as (3, H, W): Y, Cb, Cr in the limited range."""
    planes = np.empty((3, *samples.shape[:2]), np.uint8)
    for top in range(0, len(samples), _BAND):
        red, green, blue = np.moveaxis(samples[top : top + _BAND] / np.float32(255), 2, 0)
        luma = _RED * red + _GREEN * green + _BLUE * blue
        parts = (
            16 + 219 * luma,
            128 + 112 / (1 - _BLUE) * (blue - luma),
            128 + 112 / (1 - _RED) * (red - luma),
        )
        for plane, part in zip(planes, parts, strict=True):
            plane[top : top + _BAND] = np.rint(part)
    return planes


def next_frame(first: Header, data: bytes) -> bytes:
    """A file of one frame, as `encode` makes it, without its header: to follow other frames.

    Args:
        first: the header of the stream, which holds for all frames.
        data: the file.

    Raises:
        ValueError: the frame does not fit the header; says why.
    """
    header = _whole(parse_header(data))
    if (header.width, header.height) != (first.width, first.height):
        raise ValueError(
            f"{header.width}x{header.height} pixels do not fit into a y4m stream of "
            f"{first.width}x{first.height}; all frames of one have the same size"
        )
    if header.colour != first.colour:
        if first.colour == "mono":
            raise ValueError("a y4m stream that begins with a gray frame holds no colours")
        data = encode(np.repeat(decode(data), 3, axis=2), first.video)
        header = _whole(parse_header(data))
    return data[header.length :]
