"""Many images through one pipe: split them at their true boundaries.

A stream is a concatenation of PNG, JPEG, WebP, BMP, PGM, PPM, PAM or Y4M files; each frame of a
Y4M is a file of its own. AVIF is told by its boxes. TIFF and plain-text PNM do not say where they
end and are read to the end of the stream.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from imgfx.delimiters import length_of_first
from imgfx.files import MOST_PIXELS
from imgfx.formats import sniff
from imgfx.formats.png import SIGNATURE
from imgfx.stream_buffer import LONGEST_BEGINNING, Buffer, LargeError, LostError

DELIMITED = frozenset(("png", "jpeg", "webp", "bmp", "ppm", "pam", "y4m"))
"""Names of the formats that say where a file ends, so that another may follow it."""

_KEPT = 1 << 24
"""Bytes kept of a file that is damaged, while its end is looked for."""
_BETWEEN = b"\n\r\t \0"
"""Bytes that programs leave between images."""


def split(file: BinaryIO, most_pixels: int | None = MOST_PIXELS) -> Iterator[bytes]:
    """The files of a concatenated stream, one at a time.

    What cannot be delimited is answered as far as it goes, so that decoding reports it, and
    reading goes on at the next beginning of a PNG, JPEG, WebP, binary PNM or Y4M. Of an image with
    more than `most_pixels` only the beginning is answered, which decoding refuses.

    Raises:
        DecodeError: an image does not end where the largest one would.
    """
    buffer = Buffer(file, bytearray(), most_pixels=most_pixels)
    while True:
        _skip_filling(buffer)
        if not buffer.have(1):
            return
        buffer.have(16)
        _complete_frame(buffer)
        try:
            length = length_of_first(buffer)
        except LostError as lost:
            length = _next_beginning(buffer, lost)
        except LargeError as large:
            yield bytes(buffer.data[: large.head])
            _pass_over(buffer, large)
            continue
        if length is None:
            yield buffer.rest()
            return
        yield buffer.take(length)


def reaches_to_the_end(data: bytes) -> bool:
    """Whether a file is of a kind that takes the rest of a stream: TIFF, and plain-text PNM."""
    known = sniff(data)
    return known is not None and (known.name == "tiff" or data[:2] in (b"P1", b"P2", b"P3"))


def _skip_filling(buffer: Buffer) -> None:
    """Removes the bytes between images; the zeros that an AVIF begins with are none of them."""
    while buffer.have(8) or buffer.data:
        kept = len(buffer.data.lstrip(_BETWEEN))
        start = len(buffer.data) - kept
        if kept and not buffer.have(start + 8):
            pass  # the stream ends: what is there is all there is
        box = buffer.data.find(b"ftyp", start, start + 8)
        if box >= 4:
            start = min(start, box - 4)
        del buffer.data[:start]
        if kept:
            return
        if not buffer.more():
            return


def _complete_frame(buffer: Buffer) -> None:
    """Puts a copy of its video's header before a frame, which makes it a file."""
    if buffer.header and buffer.data.startswith((b"FRAME\n", b"FRAME ")):
        buffer.data[:0] = buffer.header


def _pass_over(buffer: Buffer, large: LargeError) -> None:
    """Leads to the next file, behind one that is too large."""
    if large.length is not None:
        buffer.pass_over(large.length)
        return
    if buffer.data.startswith(SIGNATURE):
        buffer.pass_over(len(SIGNATURE))
        while buffer.have(12):
            size, kind = struct.unpack_from(">I4s", buffer.data)
            if not kind.isalpha():
                break
            buffer.pass_over(12 + size)
            if kind == b"IEND":
                return
    if reaches_to_the_end(bytes(buffer.data[:16])):
        buffer.drain()  # what is found in it are pictures of its own
        return
    found = _next_beginning(buffer, LostError())
    buffer.pass_over(len(buffer.data) if found is None else found)


def _next_beginning(buffer: Buffer, lost: LostError) -> int | None:
    """Where the next file may begin, behind the damaged one at the start; None for nowhere."""
    position = lost.position
    while True:
        found = lost.beginning.search(buffer.data, position)
        if found is not None:
            return found.start()
        position = max(position, len(buffer.data) - LONGEST_BEGINNING)
        if position > _KEPT:
            del buffer.data[_KEPT:position]
            position = _KEPT
        if not buffer.more():
            return None
