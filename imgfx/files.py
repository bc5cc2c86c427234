"""Files of images: read, looked into, and written whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from imgfx import exif
from imgfx.atomic import write_whole
from imgfx.decoding import MOST_PIXELS, check_size, decode, megapixels, told_apart
from imgfx.encoding import encode, jpeg_round_trip
from imgfx.errors import DecodeError, EncodeError, ImgfxError, ReaderGoneError
from imgfx.formats import (
    INSPECTORS,
    DamagedError,
    Inspection,
    declared_size,
    format_from_suffix,
    sniff,
)
from imgfx.image import Image
from imgfx.stdout import true_stdout, write_all

__all__ = [
    "MOST_PIXELS",
    "Outline",
    "decode",
    "descriptor_of",
    "encode",
    "jpeg_round_trip",
    "most_bytes",
    "outline_of",
    "read_image",
    "read_only",
    "read_provenance",
    "write_file",
    "write_image",
]


def read_image(path: Path, most_pixels: int | None = MOST_PIXELS) -> Image:
    """The image of a file, upright, with its metadata.

    Args:
        path: the file.
        most_pixels: a larger image is refused; None reads any.

    Raises:
        DecodeError: missing, unreadable, damaged or of an unknown format.
    """
    try:
        data = _whole_file(path, most_pixels)
    except OSError as error:
        raise DecodeError(f"{path}: cannot read: {error.strerror}") from error
    except DamagedError as error:
        raise DecodeError(f"{path}: {error}") from error
    return replace(decode(data, str(path), most_pixels=most_pixels), name=path.stem, source=path)


_HEAD = 1 << 16
_MOST_BYTES_A_PIXEL = 16
"""Of RGBA in 32 bits each; plain-text PNM may need some more, and damaged compression."""
_MOST_RIDERS = 1 << 26
"""Bytes of metadata, and of what else is no pixel."""


def most_bytes(pixels: int) -> int:
    """That a file with so many pixels may reasonably have; more are not read."""
    return pixels * _MOST_BYTES_A_PIXEL + _MOST_RIDERS


def _whole_file(path: Path, most_pixels: int | None) -> bytes:
    """A file's bytes, or only the first ones where these show that it is refused.

    Raises:
        OSError: it cannot be read.
        DamagedError: it is larger than any image that is allowed.
    """
    with io.BufferedReader(path.open("rb", buffering=0), _HEAD) as file:
        state = os.fstat(file.fileno())
        size = state.st_size
        if most_pixels is not None and size > _HEAD:
            head = file.peek()
            known = sniff(head)
            width, height = (declared_size(known, head) if known else None) or (0, 0)
            if known is None or width * height > most_pixels:
                return head
            if size > most_bytes(most_pixels) and known.name != "y4m":  # of many frames
                raise DamagedError(
                    f"{size >> 20} MiB, more than the limit for an image of "
                    f"{megapixels(most_pixels)} megapixels; --max-pixels raises it"
                )
        if stat.S_ISREG(state.st_mode) or most_pixels is None:
            return file.read()
        return _bounded(file, most_pixels)


def _bounded(file: BinaryIO, most_pixels: int) -> bytes:
    """All of what does not say how long it is, as a pipe or a device.

    Raises:
        DamagedError: it is longer than any image that is allowed.
    """
    most = most_bytes(most_pixels)
    data = bytearray()
    while block := file.read(_HEAD):
        data += block
        if len(data) == len(block) == _HEAD and sniff(block) is None:
            break  # which decoding says
        if len(data) > most:
            raise DamagedError(
                f"more than {most >> 20} MiB, the limit for an image of {megapixels(most_pixels)} "
                "megapixels; --max-pixels raises it"
            )
    return bytes(data)


@dataclass(frozen=True)
class Outline:
    """What a file's headers say of its image."""

    size: tuple[int, int]
    """Width and height, upright."""
    unread: tuple[str, ...]
    """See `Image.unread`."""


def outline_of(path: Path, most_pixels: int | None = None) -> Outline:
    """Of a file's image, without decoding it.

    Args:
        path: the file.
        most_pixels: a larger image is refused; None takes any.

    Raises:
        DecodeError: missing, unreadable, damaged where the headers are, too large, or of an unknown
            format.
    """
    found = _inspected(path, most_pixels)
    turned = (found.turn or exif.orientation(found.metadata.exif)) >= 5
    size = (found.height, found.width) if turned else (found.width, found.height)
    return Outline(size, found.unread)


def read_provenance(path: Path) -> str | None:
    """The provenance that a file's image carries; no pixel is decoded.

    Raises:
        DecodeError: as `outline_of`.
    """
    return told_apart(_inspected(path).metadata).provenance


def _inspected(path: Path, most_pixels: int | None = None) -> Inspection:
    try:
        data = _whole_file(path, most_pixels)
        known = sniff(data)
        if known is None:
            from imgfx.formats.foreign import unknown

            raise DecodeError(f"{path}: {unknown(data)}")
        check_size(*(declared_size(known, data) or (0, 0)), most_pixels)
        found = INSPECTORS[known.name](data)
        check_size(found.width, found.height, most_pixels, found.pixels)
    except OSError as error:
        raise DecodeError(f"{path}: cannot read: {error.strerror}") from error
    except DamagedError as error:
        raise DecodeError(f"{path}: {error}") from error
    return found


_NO_ROOM = {
    getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE")
} - {None}
"""What is wrong with a whole disk, not with one file."""


_MOST_LINKS = 40
"""To be followed, as of Linux."""


def descriptor_of(path: Path) -> int | None:
    """The number of our open file that a path leads to, such as /dev/stdout; None of others.

    The links of /proc lead on to that file's name, where a rename would replace the file and leave
    who holds it open with the old one.
    """
    ours = re.compile(rf"(/proc/{os.getpid()}(/task/\d+)?|/dev)/fd/\d+")
    try:
        for _ in range(_MOST_LINKS):
            aim = path.readlink()
            folder = Path(os.path.realpath(path.parent))
            if ours.fullmatch(f"{folder}/{path.name}"):
                return int(path.name)
            path = folder / aim
    except OSError:  # of what is no link
        return None
    return None


def read_only(path: Path) -> str | None:
    """Why a file that is there must not be replaced; None where it may be, or where none is.

    A rename does not ask the file, and root may write any: so its mode is looked at.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if not stat.S_ISREG(mode) or mode & 0o222:
        return None
    return f"{path}: is read-only; chmod u+w it, or choose another target"


def write_file(
    path: Path, data: bytes, before: Callable[[os.stat_result], None] = lambda _found: None
) -> None:
    """Writes a file by a temporary one beside it and a rename: whole, or not at all.

    To what is open already, as /dev/stdout, it is written where that stands.

    Args:
        path: the file.
        data: its content.
        before: called just before the rename, with what the file's size and time will be.

    Raises:
        EncodeError: it cannot be written, or is read-only; nothing is left behind.
        ImgfxError: the same, and nor can any other file there be.
        ReaderGoneError: who reads stdout has gone.
    """
    descriptor: int | None = None
    try:
        if not os.path.lexists(path):
            write_whole(path, data, before)
        elif (descriptor := descriptor_of(path)) is not None:
            write_all(true_stdout() if descriptor == 1 else descriptor, data)
        elif path.exists() and not (path.is_file() or path.is_dir()):
            path.write_bytes(data)  # a device or a named pipe, which a rename would replace
        else:
            # A link stays one, and what it leads to is written.
            if (reason := read_only(path)) is not None:
                raise EncodeError(reason)
            real = Path(os.path.realpath(path)) if path.is_symlink() else path
            write_whole(real, data, before)
    except OSError as error:
        if descriptor == 1 and isinstance(error, ReaderGoneError):
            raise
        kind = ImgfxError if error.errno in _NO_ROOM else EncodeError
        raise kind(f"{path}: cannot write: {error.strerror}") from error


def write_image(path: Path, image: Image, quality: int | None = None) -> tuple[str, ...]:
    """Writes an image in the format of the path's ending; answers notes on what was lost.

    Raises:
        EncodeError: an ending that is unknown or not written, or it cannot be written.
    """
    target = format_from_suffix(path.suffix)
    if target is None:
        raise EncodeError(f"{path}: unknown format {path.suffix!r}")
    if path.suffix.lower() == ".pbm":
        raise EncodeError(f"{path}: black and white alone is not written; choose .pgm or .png")
    data, notes = encode(image, target, quality=quality, origin=str(path), ending=path.suffix)
    write_file(path, data)
    return notes
