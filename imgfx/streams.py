"""Many images through one pipe: split them at their true boundaries; guard stdout.

A stream is a concatenation of PNG, JPEG, WebP, BMP, PGM, PPM, PAM or Y4M files; each frame of a
Y4M is a file of its own. Other formats, and plain-text PNM, do not say where they end and are read
to the end of the stream.
"""

from __future__ import annotations

import os
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from imgfx.errors import DecodeError
from imgfx.files import MOST_PIXELS, most_bytes
from imgfx.formats import DamagedError, Format, declared_size, pnm, sniff, y4m
from imgfx.formats.jpeg import MARKER, frame_size
from imgfx.formats.png import SIGNATURE

DELIMITED = frozenset(("png", "jpeg", "webp", "bmp", "ppm", "pam", "y4m"))
"""Names of the formats that say where a file ends, so that another may follow it."""

_BLOCK = 1 << 16
_KEPT = 1 << 24
"""Bytes kept of a file that is damaged, while its end is looked for."""
_HEADS = {"png": 24, "webp": 25, "bmp": 26}
"""Bytes in which these formats declare their size; none of their files is shorter."""
_BETWEEN = b"\n\r\t \0"
"""Bytes that programs leave between images."""
_BEGINNING = re.compile(
    rb"\x89PNG\r\n\x1a\n|RIFF....WEBP|\xff\xd8\xff[\xc0-\xfe]|P[56]\n[#1-9]|P7\n[#A-Z]"
    rb"|YUV4MPEG2 [A-Z]",
    re.DOTALL,
)
"""Where a file may begin; not BMP and AVIF, whose few first bytes are found anywhere."""
_CERTAIN_BEGINNING = re.compile(rb"\x89PNG\r\n\x1a\n|RIFF....WEBP|YUV4MPEG2 [A-Z]", re.DOTALL)
"""What does not occur by chance, nor in a thumbnail."""
_AMID_VIDEO = re.compile(_CERTAIN_BEGINNING.pattern + rb"|FRAME[ \n]", re.DOTALL)
"""What may follow a damaged frame of a Y4M."""
_LONGEST_BEGINNING = 12
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


class _LostError(Exception):
    """The file at the start cannot be delimited."""

    def __init__(self, position: int = 1, beginning: re.Pattern[bytes] = _BEGINNING) -> None:
        super().__init__(position)
        self.position = position
        """Up to here it was sound; behind it the next file may begin."""
        self.beginning = beginning
        """What the next file begins with."""


class _LargeError(Exception):
    """The file at the start declares more pixels than are allowed."""

    def __init__(self, head: int, length: int | None = None) -> None:
        super().__init__(head)
        self.head = head
        """In so many bytes it says so."""
        self.length = length
        """Its bytes, where the header tells; it is passed over without being kept."""


@dataclass
class _Buffer:
    """Bytes read ahead from a file."""

    file: BinaryIO
    data: bytearray
    ended: bool = False
    header: bytes = b""
    """Of the Y4M whose frames are being read."""
    most_pixels: int | None = MOST_PIXELS
    """Of an image; None for any number."""
    allowed: int = 0
    """Bytes that the file at the start may have."""

    def limit(self, width: int, height: int, head: int, length: int | None = None) -> None:
        """Sets what the file at the start may have, by the size it declares.

        Args:
            width: in pixels.
            height: in pixels.
            head: bytes that declare it.
            length: bytes of the whole file, where that is known.

        Raises:
            _LargeError: it is larger than allowed.
        """
        if self.most_pixels is not None:
            if width * height > self.most_pixels:
                raise _LargeError(head, length)
            self.allowed = most_bytes(max(0, width * height))

    def pass_over(self, count: int) -> None:
        """Removes the first `count` bytes, not all of which need to have been read."""
        while count and self.have(1):
            gone = min(count, len(self.data))
            del self.data[:gone]
            count -= gone

    def have(self, count: int) -> bool:
        """Reads until `count` bytes are there; False when the file ends before."""
        while len(self.data) < count and not self.ended:
            block = self._read(max(_BLOCK, min(count - len(self.data), 1 << 24)))
            self.ended = not block
            self.data += block
        return len(self.data) >= count

    def _read(self, most: int) -> bytes:
        # One read of what is there: an image is passed on before the next one has come.
        read = getattr(self.file, "read1", self.file.read)
        return bytes(read(most) or b"")

    def more(self) -> bool:
        """Reads another block; False at the end."""
        return self.have(len(self.data) + 1)

    def take(self, count: int) -> bytes:
        """Removes and answers the first `count` bytes."""
        taken = bytes(self.data[:count])
        del self.data[:count]
        return taken

    def end_at(self, count: int) -> None:
        """Takes the first `count` bytes for all there is; the file is read no further."""
        del self.data[count:]
        self.ended = True

    def rest(self) -> bytes:
        """Everything to the end.

        Raises:
            DecodeError: it is more than any image that is allowed.
        """
        most = sys.maxsize if self.most_pixels is None else most_bytes(self.most_pixels)
        while self.more():
            if len(self.data) > most:
                raise DecodeError(
                    f"stdin: an image of more than {most >> 20} MiB; --max-pixels raises the limit"
                )
        return self.take(len(self.data))


def split(file: BinaryIO, most_pixels: int | None = MOST_PIXELS) -> Iterator[bytes]:
    """The files of a concatenated stream, one at a time.

    What cannot be delimited is answered as far as it goes, so that decoding reports it, and
    reading goes on at the next beginning of a PNG, JPEG, WebP, binary PNM or Y4M. Of an image with
    more than `most_pixels` only the beginning is answered, which decoding refuses.

    Raises:
        DecodeError: an image does not end where the largest one would.
    """
    buffer = _Buffer(file, bytearray(), most_pixels=most_pixels)
    while True:
        _skip_filling(buffer)
        if not buffer.have(1):
            return
        buffer.have(16)
        _complete_frame(buffer)
        try:
            length = _length(buffer)
        except _LostError as lost:
            length = _next_beginning(buffer, lost)
        except _LargeError as large:
            yield bytes(buffer.data[: large.head])
            _pass_over(buffer, large)
            continue
        if length is None:
            yield buffer.rest()
            return
        yield buffer.take(length)


def _skip_filling(buffer: _Buffer) -> None:
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


def _complete_frame(buffer: _Buffer) -> None:
    """Puts a copy of its video's header before a frame, which makes it a file."""
    if buffer.header and buffer.data.startswith((b"FRAME\n", b"FRAME ")):
        buffer.data[:0] = buffer.header


def _length(buffer: _Buffer) -> int | None:
    """Bytes of the first file; None when it reaches to the end of the stream."""
    known = sniff(bytes(buffer.data[:16]))
    if known is None:
        raise _LostError(1, _AMID_VIDEO if buffer.header else _BEGINNING)
    if known.name != "y4m":
        buffer.header = b""
    buffer.allowed = sys.maxsize
    _limit_by_head(buffer, known)
    measure = {
        "png": _png, "jpeg": _jpeg, "webp": _webp, "bmp": _bmp, "ppm": _pnm, "pam": _pnm,
        "y4m": _y4m,
    }  # fmt: skip
    return measure[known.name](buffer) if known.name in measure else None


def _limit_by_head(buffer: _Buffer, known: Format) -> None:
    head = _HEADS.get(known.name, 0)
    if known.name == "webp" and buffer.data[12:16] != b"VP8L":
        head = 30
    if not buffer.have(head):
        return
    # Of a JPEG, a PNM or a Y4M the size is looked at when it is reached.
    if head or known.name in ("tiff", "avif"):
        start = bytes(buffer.data[:_BLOCK])
        width, height = declared_size(known, start) or (0, 0)
        buffer.limit(width, height, len(start), _length_by_head(start, known))


def _length_by_head(start: bytes, known: Format) -> int | None:
    if known.name == "webp":
        size = int(struct.unpack_from("<I", start, 4)[0])
        return 8 + size + size % 2
    if known.name == "bmp":
        size = int(struct.unpack_from("<I", start, 2)[0])
        return size if size > 26 else None
    return None


def _pass_over(buffer: _Buffer, large: _LargeError) -> None:
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
    found = _next_beginning(buffer, _LostError())
    buffer.pass_over(len(buffer.data) if found is None else found)


def _whole(buffer: _Buffer, length: int) -> int:
    """The length, once that many bytes are there."""
    if length > buffer.allowed or not buffer.have(length):
        raise _LostError
    return length


def _png(buffer: _Buffer) -> int:
    if bytes(buffer.data[:8]) != SIGNATURE:
        raise _LostError
    position: int = 8
    while position <= buffer.allowed and buffer.have(position + 8):
        size, kind = struct.unpack_from(">I4s", buffer.data, position)
        another = kind == b"IHDR" and position > 8  # a cut chunk may end behind a signature
        wrong = size > (0 if kind == b"IEND" else 0x7FFFFFFF)
        if another or wrong or not kind.isalpha():
            break
        position += 12 + size
        if kind == b"IEND" and buffer.have(position):
            if buffer.data[position - 12 : position] == _PNG_END:
                return position
            break
    raise _lost_png(buffer.data)


def _lost_png(data: bytearray) -> _LostError:
    """Lost from the first chunk that is not sound, for its length may have led anywhere."""
    position = 8
    while position + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, position)
        end = position + 12 + size
        if end > len(data) or zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(
            data[end - 4 : end], "big"
        ):
            break
        position = end
    # Another chunk may hold a thumbnail, which is no next file.
    harmless = bytes(data[position + 4 : position + 8]) in (b"IDAT", b"IEND")
    return _LostError(position, _BEGINNING if harmless else _CERTAIN_BEGINNING)


def _jpeg(buffer: _Buffer) -> int:
    position = segment = 2
    while True:
        match = MARKER.search(buffer.data, position)
        end = match.start() if match else len(buffer.data)
        # What lies between two segments is coded samples, or the segment has led astray. A sound
        # segment may hold another file, a thumbnail, but there nothing lies behind it.
        other = _CERTAIN_BEGINNING.search(buffer.data, segment, end) if end > position else None
        if other is not None:
            return other.start()
        if match is None:
            # What is searched for may be cut by the end of what has been read.
            position = segment = max(position, end - _LONGEST_BEGINNING)
            if position > buffer.allowed:
                raise _LostError(position)
            if not buffer.more():
                return len(buffer.data)
            continue
        marker, position = buffer.data[match.end() - 1], match.end()
        segment = position
        if marker == 0xD9:
            return position
        if marker == 0xD8:
            return match.start()  # the next image begins: this one has lost its end
        if marker >= 0xC0:  # no other has a length, and none but 01 exists
            if not buffer.have(position + 2):
                return len(buffer.data)
            position += int(struct.unpack_from(">H", buffer.data, position)[0])
        if not buffer.have(position):
            # Its own thumbnail is no next image, hence only what is certain.
            other = _CERTAIN_BEGINNING.search(buffer.data, segment)
            return other.start() if other else len(buffer.data)
        size = frame_size(marker, bytes(buffer.data[segment + 2 : position]))
        if size is not None:
            buffer.limit(*size, position)


def _webp(buffer: _Buffer) -> int:
    size = int(struct.unpack_from("<I", buffer.data, 4)[0])
    return _whole(buffer, 8 + size + size % 2)


def _bmp(buffer: _Buffer) -> int | None:
    if not buffer.have(6):
        return None
    size = int(struct.unpack_from("<I", buffer.data, 2)[0])
    return _whole(buffer, size) if size > 26 else None


def _pnm(buffer: _Buffer) -> int | None:
    header = None
    while header is None:
        try:
            header = pnm.parse_header(bytes(buffer.data[: pnm.LONGEST_HEADER]))
        except DamagedError as error:
            raise _LostError from error
        if header is None and not buffer.more():
            return len(buffer.data)
    length = None if header.payload < 0 else header.length + header.payload
    buffer.limit(header.width, header.height, header.length, length)
    return None if length is None else _whole(buffer, length)


def _y4m(buffer: _Buffer) -> int:
    """Of the header and the first frame."""
    header, line = None, None
    while header is None or line is None:
        try:
            header = header or _y4m_header(buffer)
            if header is not None:
                begin = header.length
                line = y4m.frame_line(bytes(buffer.data[begin : begin + y4m.LONGEST_LINE]))
        except DamagedError as error:
            raise _LostError(len(buffer.header) + 1, _AMID_VIDEO) from error
        if line is None and not buffer.more():
            return len(buffer.data)
    begin = header.length + line
    buffer.limit(header.width, header.height, begin, begin + header.payload)
    if buffer.have(begin + header.payload):
        # A video that was cut off may have swallowed the beginning of another one.
        other = buffer.data.find(y4m.MAGIC + b" W", begin, begin + header.payload)
        return begin + header.payload if other < 0 else other
    raise _LostError(begin, _AMID_VIDEO)


def _y4m_header(buffer: _Buffer) -> y4m.Header | None:
    """The header, which is kept for the frames that follow; None when more must be read."""
    start = bytes(buffer.data[: y4m.LONGEST_LINE])
    try:
        header = y4m.parse_header(start)
    except DamagedError:
        # Nothing says where its frames end, and of them there may be no end.
        buffer.header = b""
        buffer.end_at(start.find(b"\n") + 1 or len(start))
        return None
    if header is not None:
        buffer.header = start[: header.length]
    return header


def _next_beginning(buffer: _Buffer, lost: _LostError) -> int | None:
    """Where the next file may begin, behind the damaged one at the start; None for nowhere."""
    position = lost.position
    while True:
        found = lost.beginning.search(buffer.data, position)
        if found is not None:
            return found.start()
        position = max(position, len(buffer.data) - _LONGEST_BEGINNING)
        if position > _KEPT:
            del buffer.data[_KEPT:position]
            position = _KEPT
        if not buffer.more():
            return None


@contextmanager
def guarded_stdout() -> Iterator[int]:
    """A descriptor of the true stdout for image bytes; everything else printed goes to stderr.

    Whatever a plugin, a C library or a progress bar writes to file descriptor 1 meanwhile cannot
    corrupt the images. Works on descriptors, so it holds for child processes too.
    """
    _flush()
    closed = sys.__stdout__ is None
    images = -1 if closed else os.dup(1)
    os.dup2(2, 1)
    if closed:  # which matters only when images are written to it: that fails, as it should
        images = os.open(os.devnull, os.O_RDONLY)
    try:
        yield images
    finally:
        _flush()
        os.dup2(images, 1)
        os.close(images)


def _flush() -> None:
    if sys.stdout is not None:  # as it is when stdout is closed
        sys.stdout.flush()


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all bytes, however few the pipe takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
