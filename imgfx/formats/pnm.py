"""PBM, PGM, PPM and PAM: the raw wire between programs, read and written without OpenCV.

Values are scaled from the file's maximum to the full range of 8 or 16 bits.

Source: Netpbm's pbm(5), pgm(5), ppm(5), pam(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imgfx.formats._common import BEHIND, DamagedError, Inspection, picture_behind

_SPACE = rb"(?:[ \t\r\n\v\f]|#[^\n]*\n)"
_HEADERS = {
    True: re.compile(rb"P[14]" + 2 * (_SPACE + rb"+(\d{1,9})") + rb"[ \t\r\n\v\f]"),
    False: re.compile(rb"P[2356]" + 3 * (_SPACE + rb"+(\d{1,9})") + rb"[ \t\r\n\v\f]"),
}
_PAM_END = re.compile(rb"\nENDHDR[^\n]*\n")
_PLAIN_BEHIND = re.compile(rb"[ \t\r\n]P[1-6][ \t\r\n]")
LONGEST_HEADER = 4096


@dataclass(frozen=True)
class Header:
    """Size and layout of one image of the family."""

    kind: int
    """The digit of the magic number, 1 to 7."""
    width: int
    height: int
    channels: int
    maximum: int
    length: int
    """Bytes of the header; the samples follow."""

    @property
    def payload(self) -> int:
        """Bytes of samples behind the header; -1 for the plain-text kinds 1 to 3."""
        if self.kind <= 3:
            return -1
        if self.kind == 4:
            return (self.width + 7) // 8 * self.height
        return self.width * self.height * self.channels * (2 if self.maximum > 255 else 1)


def parse_header(data: bytes) -> Header | None:
    """The header at the start of the data; None when more bytes are needed to tell.

    Raises:
        DamagedError: no valid header.
    """
    kind = data[1] - ord("0") if len(data) > 1 else 0
    header = _parse_pam(data) if kind == 7 else _parse_plain(data, kind)
    if header is None and len(data) >= LONGEST_HEADER:
        raise DamagedError("no valid PNM header")
    if header is not None and (
        min(header.width, header.height, header.maximum) < 1
        or header.maximum > 65535
        or header.channels not in (1, 2, 3, 4)
    ):
        raise DamagedError("invalid size, depth or maximum in the PNM header")
    return header


def size(head: bytes) -> tuple[int, int] | None:
    """(width, height) as declared by a file's header, where there is a valid one."""
    try:
        header = parse_header(head)
    except DamagedError:
        return None
    return None if header is None else (header.width, header.height)


def inspect(data: bytes) -> Inspection:
    """The size, and whether other pictures follow, of a binary kind or of the same.

    Raises:
        DamagedError: truncated, or no valid header.
    """
    header = parse_header(data)
    if header is None:
        raise DamagedError("truncated PNM")
    if header.payload < 0:
        followed = _PLAIN_BEHIND.search(data, header.length) is not None
    else:
        followed = picture_behind(data, header.length + header.payload) is not None
    return Inspection(header.width, header.height, others=(BEHIND,) if followed else ())


def _parse_plain(data: bytes, kind: int) -> Header | None:
    match = _HEADERS[kind in (1, 4)].match(data[:LONGEST_HEADER])
    if match is None:
        return None
    width, height, *rest = (int(value) for value in match.groups())
    channels = 3 if kind in (3, 6) else 1
    return Header(kind, width, height, channels, rest[0] if rest else 1, match.end())


def _parse_pam(data: bytes) -> Header | None:
    end = _PAM_END.search(data[:LONGEST_HEADER])
    if end is None:
        return None
    fields: dict[bytes, int] = {}
    for line in data[: end.start()].splitlines()[1:]:
        key, _, value = line.strip().partition(b" ")
        if key == b"TUPLTYPE" and value.strip().startswith(b"CMYK"):
            raise DamagedError("a PAM of CMYK pixels is not supported")
        if key in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL") and value.strip().isdigit():
            fields[key] = int(value)
    if len(fields) != 4:
        raise DamagedError("incomplete PAM header")
    size = (fields[b"WIDTH"], fields[b"HEIGHT"])
    return Header(7, *size, fields[b"DEPTH"], fields[b"MAXVAL"], end.end())


def decode(data: bytes) -> npt.NDArray[Any]:
    """(H, W, C) uint8 or uint16, C = 1 to 4 with alpha last, in RGB order.

    Raises:
        DamagedError: truncated, or no valid header.
    """
    header = parse_header(data)
    if header is None:
        raise DamagedError("truncated PNM")
    body = data[header.length :]
    if header.payload > len(body):
        raise DamagedError("truncated PNM")
    if header.kind == 4:
        rows = np.frombuffer(body, np.uint8, header.payload).reshape(header.height, -1)
        samples = 1 - np.unpackbits(rows, axis=1)[:, : header.width]
    elif header.kind <= 3:
        samples = _plain_samples(body, header)
    else:
        dtype = np.dtype(">u2" if header.maximum > 255 else "u1")
        samples = np.frombuffer(body, dtype, header.payload // dtype.itemsize)
    shaped = samples.reshape(header.height, header.width, header.channels)
    return _to_full_range(shaped, header.maximum)


def _plain_samples(body: bytes, header: Header) -> npt.NDArray[Any]:
    count = header.width * header.height * header.channels
    text = re.sub(rb"#[^\n]*", b"", body)
    # In plain PBM the digits may stand together.
    words = re.findall(rb"[01]", text) if header.kind == 1 else text.split()
    if len(words) < count:
        raise DamagedError("truncated PNM")
    try:
        numbers = [int(word) for word in words[:count]]
    except ValueError as error:
        raise DamagedError("damaged PNM: a sample is no number") from error
    if min(numbers) < 0 or max(numbers) > header.maximum:
        raise DamagedError("damaged PNM: a sample beyond the maximum")
    samples = np.array(numbers)
    return 1 - samples if header.kind == 1 else samples


def _to_full_range(samples: npt.NDArray[Any], maximum: int) -> npt.NDArray[Any]:
    peak, dtype = (65535, np.uint16) if maximum > 255 else (255, np.uint8)
    if maximum == peak:
        return samples.astype(dtype)
    scaled = np.minimum(samples, maximum).astype(np.float64) * peak / maximum
    return np.asarray(np.rint(scaled), dtype=dtype)


_TUPLES = {1: "GRAYSCALE", 2: "GRAYSCALE_ALPHA", 3: "RGB", 4: "RGB_ALPHA"}


def encode(samples: npt.NDArray[Any], *, pam: bool) -> bytes:
    """PAM, or PGM or PPM by the number of channels; (H, W, C) uint8 or uint16.

    Raises:
        ValueError: alpha without PAM.
    """
    height, width, channels = samples.shape
    if not pam and channels not in (1, 3):
        raise ValueError(f"PNM holds 1 or 3 channels, not {channels}")
    maximum = 65535 if samples.dtype == np.uint16 else 255
    if pam:
        header = (
            f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {channels}\nMAXVAL {maximum}\n"
            f"TUPLTYPE {_TUPLES[channels]}\nENDHDR\n"
        )
    else:
        header = f"P{5 if channels == 1 else 6}\n{width} {height}\n{maximum}\n"
    return header.encode() + samples.astype(samples.dtype.newbyteorder(">"), copy=False).tobytes()
