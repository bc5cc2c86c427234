"""What every container reader answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import gcd

from imgfx.errors import printable
from imgfx.image import Metadata

CMYK = "its CMYK pixels are turned to RGB"
BEHIND = "the pictures behind its first one are not read"
CREDENTIALS = "its content credentials (C2PA), which are of other pixels, are left out"
_NEXT = re.compile(
    rb"[\n\r\t \0]*(\x89PNG\r\n\x1a\n|\xff\xd8\xff|P[1-7][ \n\t\r#]|RIFF.{4}WEBP|BM.{4}\0{4})",
    re.DOTALL,
)
"""How pictures begin that formats allow behind one another, or streams of ours have so."""


def note_on_shape(across: int, down: int) -> tuple[str, ...]:
    """A note on pixels that are not square, by how many there are of a length that is not known."""
    if across == down or not across or not down:
        return ()
    shared = gcd(across, down)
    shape = f"{down // shared}:{across // shared}"
    return (f"its pixels are not square ({shape}), which is not kept",)


def picture_behind(data: bytes, end: int) -> int | None:
    """Where another picture begins directly behind one that ends there; None where none does."""
    found = _NEXT.match(data, end)
    return None if found is None else found.start(1)


class DamagedError(ValueError):
    """The bytes break the format's rules; the message says which, without the file's name.

    Words of a damaged file may stand in it, but none of the characters that steer a terminal.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


@dataclass(frozen=True)
class Inspection:
    """What the container says before any pixel is decoded."""

    width: int = 0
    """Stored columns, before any rotation; 0 when not known."""
    height: int = 0
    """Stored rows."""
    metadata: Metadata = field(default_factory=Metadata)
    """As stored: the orientation is not yet reset."""
    frames: int = 1
    """Pictures in the file; only the first is read."""
    others: tuple[str, ...] = ()
    """A note on whatever else is in the file, and is not read."""
    turn: int | None = None
    """The orientation where the container states it itself; None leaves it to EXIF."""
    gray: bool = False
    """The file stores gray, whatever number of channels the decoder answers."""
    opaque: bool = False
    """The decoder's fourth channel, if any, is no alpha."""
    transparent: int | None = None
    """The one gray value that is fully transparent, at the decoded depth."""
    bits: int = 0
    """Bits a sample, where the decoder does not scale them to a whole type; 0 elsewhere."""
    notes: tuple[str, ...] = ()
    """What of the picture cannot be kept."""
    name: str | None = None
    """The image's name, when an imgfx process wrote it into a stream."""
    largest_part: int = 0
    """Pixels of the largest tile or strip, each of which the decoder holds whole."""

    @property
    def unread(self) -> tuple[str, ...]:
        """A note on each thing beside the picture that would be lost if it replaced the file."""
        if self.frames <= 1:
            return self.others
        return (f"only the first of {self.frames} pictures in the file is read", *self.others)

    @property
    def pixels(self) -> int:
        """What the decoder makes room for."""
        return max(self.width * self.height, self.largest_part)
