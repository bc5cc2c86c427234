"""What has been read of a stream of images, and how far its first file may reach."""

from __future__ import annotations

import re
import select
import sys
from dataclasses import dataclass
from typing import BinaryIO

from imgfx.errors import DecodeError
from imgfx.files import MOST_PIXELS, most_bytes
from imgfx.stdout import wait_for

BLOCK = 1 << 16
BEGINNING = re.compile(
    rb"\x89PNG\r\n\x1a\n|RIFF....WEBP|\xff\xd8\xff[\xc0-\xfe]|P[56]\n[#1-9]|P7\n[#A-Z]"
    rb"|YUV4MPEG2 [A-Z]",
    re.DOTALL,
)
"""Where a file may begin; not BMP and AVIF, whose few first bytes are found anywhere."""
CERTAIN_BEGINNING = re.compile(rb"\x89PNG\r\n\x1a\n|RIFF....WEBP|YUV4MPEG2 [A-Z]", re.DOTALL)
"""What does not occur by chance, nor in a thumbnail."""
AMID_VIDEO = re.compile(CERTAIN_BEGINNING.pattern + rb"|FRAME[ \n]", re.DOTALL)
"""What may follow a damaged frame of a Y4M."""
LONGEST_BEGINNING = 12


class LostError(Exception):
    """The file at the start cannot be delimited."""

    def __init__(self, position: int = 1, beginning: re.Pattern[bytes] = BEGINNING) -> None:
        super().__init__(position)
        self.position = position
        """Up to here it was sound; behind it the next file may begin."""
        self.beginning = beginning
        """What the next file begins with."""


class LargeError(Exception):
    """The file at the start declares more pixels than are allowed."""

    def __init__(self, head: int, length: int | None = None) -> None:
        super().__init__(head)
        self.head = head
        """In so many bytes it says so."""
        self.length = length
        """Its bytes, where the header tells; it is passed over without being kept."""


@dataclass
class Buffer:
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

    @property
    def most(self) -> int:
        """Bytes that any file may have."""
        return sys.maxsize if self.most_pixels is None else most_bytes(self.most_pixels)

    def limit(self, width: int, height: int, head: int, length: int | None = None) -> None:
        """Sets what the file at the start may have, by the size it declares.

        Args:
            width: in pixels.
            height: in pixels.
            head: bytes that declare it.
            length: bytes of the whole file, where that is known.

        Raises:
            LargeError: it is larger than allowed.
        """
        if self.most_pixels is not None:
            if width * height > self.most_pixels:
                raise LargeError(head, length)
            self.allowed = most_bytes(max(0, width * height))

    def pass_over(self, count: int) -> None:
        """Removes the first `count` bytes, not all of which need to have been read."""
        while count and self.have(1):
            gone = min(count, len(self.data))
            del self.data[:gone]
            count -= gone

    def drain(self) -> None:
        """Removes everything to the end, of which nothing is kept."""
        while self.have(1):
            self.data.clear()

    def have(self, count: int) -> bool:
        """Reads until `count` bytes are there; False when the file ends before."""
        while len(self.data) < count and not self.ended:
            block = self._read(max(BLOCK, min(count - len(self.data), 1 << 24)))
            self.ended = not block
            self.data += block
        return len(self.data) >= count

    def _read(self, most: int) -> bytes:
        # One read of what is there: an image is passed on before the next one has come.
        read = getattr(self.file, "read1", self.file.read)
        return bytes(read(most) or self._when_there(most))

    def _when_there(self, most: int) -> bytes:
        """What comes next where nothing is buffered; empty at the end alone.

        To `read1` a pipe that does not block and has nothing yet looks like one that has ended.
        """
        raw = getattr(self.file, "raw", None)
        if raw is None:
            return b""
        while (block := raw.read(most)) is None:
            wait_for(self.file.fileno(), select.POLLIN)
        return bytes(block)

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
        while self.more():
            if len(self.data) > self.most:
                raise DecodeError(
                    f"stdin: an image of more than {self.most >> 20} MiB; --max-pixels raises the "
                    "limit"
                )
        return self.take(len(self.data))
