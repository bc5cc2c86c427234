"""Where a file at the start of a stream ends: by its format, never by what may follow it."""

from __future__ import annotations

import struct
import zlib

from imgfx.formats import DamagedError, Format, declared_size, phone, pnm, sniff, y4m
from imgfx.formats.jpeg import MARKER, frame_size
from imgfx.formats.png import SIGNATURE
from imgfx.stream_buffer import (
    AMID_VIDEO,
    BEGINNING,
    BLOCK,
    CERTAIN_BEGINNING,
    LONGEST_BEGINNING,
    Buffer,
    LostError,
)

_HEADS = {"png": 24, "webp": 25, "bmp": 26}
"""Bytes in which these formats declare their size; none of their files is shorter."""
_PADDING = 1 << 16
"""Between the pictures of a file of several."""
_MOST_BEHIND = 1 << 28
"""Bytes of a motion photo's video, of a few seconds."""
_BOXES = (b"ftyp", b"meta", b"mdat", b"moov", b"moof", b"free", b"skip", b"uuid", b"sidx", b"mfra")
"""Of an AVIF, at its top."""
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def length_of_first(buffer: Buffer) -> int | None:
    """Bytes of the first file; None when it reaches to the end of the stream."""
    known = sniff(bytes(buffer.data[:16]))
    if known is None:
        raise LostError(1, AMID_VIDEO if buffer.header else BEGINNING)
    if known.name != "y4m":
        buffer.header = b""
    buffer.allowed = buffer.most
    _limit_by_head(buffer, known)
    measure = {
        "png": _png, "jpeg": _jpeg, "webp": _webp, "bmp": _bmp, "ppm": _pnm, "pam": _pnm,
        "y4m": _y4m, "avif": _avif,
    }  # fmt: skip
    return measure[known.name](buffer) if known.name in measure else None


def _limit_by_head(buffer: Buffer, known: Format) -> None:
    head = _HEADS.get(known.name, 0)
    if known.name == "webp" and buffer.data[12:16] != b"VP8L":
        head = 30
    if not buffer.have(head):
        return
    # Of a JPEG, a PNM or a Y4M the size is looked at when it is reached.
    if head or known.name in ("tiff", "avif"):
        start = bytes(buffer.data[:BLOCK])
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


def _whole(buffer: Buffer, length: int) -> int:
    """The length, once that many bytes are there."""
    if length > buffer.allowed or not buffer.have(length):
        raise LostError
    return length


def _png(buffer: Buffer) -> int:
    if bytes(buffer.data[:8]) != SIGNATURE:
        raise LostError
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


def _lost_png(data: bytearray) -> LostError:
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
    return LostError(position, BEGINNING if harmless else CERTAIN_BEGINNING)


def _jpeg(buffer: Buffer) -> int:
    riders = phone.Riders()
    end = _end_of_jpeg(buffer, 0, riders)
    return _behind_jpeg(buffer, end, riders)


def _end_of_jpeg(buffer: Buffer, start: int, riders: phone.Riders) -> int:
    """Where the picture ends that begins there; what follows it is told to the riders."""
    position = segment = start + 2
    while True:
        match = MARKER.search(buffer.data, position)
        end = match.start() if match else len(buffer.data)
        # What lies between two segments is coded samples, or the segment has led astray. A sound
        # segment may hold another file, a thumbnail, but there nothing lies behind it.
        other = CERTAIN_BEGINNING.search(buffer.data, segment, end) if end > position else None
        if other is not None:
            return other.start()
        if match is None:
            # What is searched for may be cut by the end of what has been read.
            position = segment = max(position, end - LONGEST_BEGINNING)
            if position > buffer.allowed:
                raise LostError(position)
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
            other = CERTAIN_BEGINNING.search(buffer.data, segment)
            return other.start() if other else len(buffer.data)
        payload = bytes(buffer.data[segment + 2 : position])
        riders.see(marker, payload, segment + 2)
        size = frame_size(marker, payload)
        if size is not None:
            buffer.limit(*size, position)


def _behind_jpeg(buffer: Buffer, end: int, riders: phone.Riders) -> int:
    """Where the file ends whose first picture ends there: behind what is announced and is there."""
    most = min(buffer.allowed, end + _MOST_BEHIND)
    for first in riders.pictures:
        there = 0 <= first - end <= _PADDING and buffer.have(first + 3)
        if not there or buffer.data[first : first + 3] != b"\xff\xd8\xff":
            break  # a program has cut it off, and left the list
        end = _end_of_jpeg(buffer, first, phone.Riders())
    while riders.motion and buffer.have(end + 16):
        length = phone.box_length(bytes(buffer.data[end : end + 16]))
        if length is None or end + length > most or not buffer.have(end + length):
            break
        end += length
    return end


def _webp(buffer: Buffer) -> int:
    size = int(struct.unpack_from("<I", buffer.data, 4)[0])
    return _whole(buffer, 8 + size + size % 2)


def _avif(buffer: Buffer) -> int | None:
    """Behind the last of its boxes, the first of which names the kind of file."""
    position = 0
    while buffer.have(position + 8):
        size, kind = struct.unpack_from(">I4s", buffer.data, position)
        if kind not in _BOXES or (kind == b"ftyp") != (position == 0):
            break
        if size == 1 and buffer.have(position + 16):
            (size,) = struct.unpack_from(">Q", buffer.data, position + 8)
        if size < 8:  # 0: to the end of the stream
            return None
        buffer.allowed = buffer.most  # a sequence has more than its pictures' pixels need
        position = _whole(buffer, position + size)
    return position or None


def _bmp(buffer: Buffer) -> int | None:
    if not buffer.have(6):
        return None
    size = int(struct.unpack_from("<I", buffer.data, 2)[0])
    return _whole(buffer, size) if size > 26 else None


def _pnm(buffer: Buffer) -> int | None:
    header = None
    while header is None:
        try:
            header = pnm.parse_header(bytes(buffer.data[: pnm.LONGEST_HEADER]))
        except DamagedError as error:
            raise LostError from error
        if header is None and not buffer.more():
            return len(buffer.data)
    length = None if header.payload < 0 else header.length + header.payload
    buffer.limit(header.width, header.height, header.length, length)
    return None if length is None else _whole(buffer, length)


def _y4m(buffer: Buffer) -> int:
    """Of the header and the first frame."""
    header, line = None, None
    while header is None or line is None:
        try:
            header = header or _y4m_header(buffer)
            if header is not None:
                begin = header.length
                line = y4m.frame_line(bytes(buffer.data[begin : begin + y4m.LONGEST_LINE]))
        except DamagedError as error:
            raise LostError(len(buffer.header) + 1, AMID_VIDEO) from error
        if line is None and not buffer.more():
            return len(buffer.data)
    begin = header.length + line
    buffer.limit(header.width, header.height, begin, begin + header.payload)
    if buffer.have(begin + header.payload):
        # A video that was cut off may have swallowed the beginning of another one.
        other = buffer.data.find(y4m.MAGIC + b" W", begin, begin + header.payload)
        return begin + header.payload if other < 0 else other
    raise LostError(begin, AMID_VIDEO)


def _y4m_header(buffer: Buffer) -> y4m.Header | None:
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
