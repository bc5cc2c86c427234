"""PNG's texts: tEXt, zTXt and iTXt, in and out.

Source: PNG Specification, third edition (W3C, 2025), section 11.3.3.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from imgfx.texts import bytes_of, is_utf_8, is_writers_own, named

KINDS = (b"tEXt", b"zTXt", b"iTXt")
XMP, NAME, PROVENANCE = "XML:com.adobe.xmp", "imgfx:name", "imgfx:provenance"
_RIDERS = (XMP, NAME, PROVENANCE)
_RAW_PROFILE = "Raw profile type "
"""EXIF and the like in hexadecimal, as ImageMagick writes them beside the real ones: what is in
them, such as the orientation, would be wrong of what we write."""
_LONGEST_KEYWORD = 79
LARGEST = 16 << 20
"""Bytes of all texts of a picture, and of a profile."""
MOST_INFLATION = 1032
"""Bytes that a byte of deflate can become: 258 of two bits."""
_WORTH_COMPRESSING = 1024


def chunk(kind: bytes, payload: bytes) -> bytes:
    """A chunk of any kind, with its length and checksum."""
    checksum = zlib.crc32(payload, zlib.crc32(kind))
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", checksum)


def inflated(data: bytes, most: int = LARGEST) -> bytes | None:
    """None when it is damaged or too large: what rides along is no reason to refuse an image."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, max(1, most))
    except zlib.error:
        return None
    return plain if stream.eof else None


class Texts:
    """The texts of a file, as far as its chunks have been seen."""

    def __init__(self) -> None:
        self.riders: dict[str, bytes] = {}
        """What has a place of its own in the metadata, UTF-8, by keyword."""
        self._kept: dict[tuple[str, str], None] = {}
        self._lost: list[str] = []
        self._room = LARGEST

    @property
    def kept(self) -> tuple[tuple[str, str], ...]:
        """(keyword, text) of all others."""
        return tuple(self._kept)

    def notes(self) -> tuple[str, ...]:
        """A note that names the texts which are left out."""
        return (f"its text ({named(self._lost)}) is left out",) if self._lost else ()

    def see(self, kind: bytes, payload: bytes) -> None:
        """A chunk of one of KINDS."""
        head, _, rest = payload.partition(b"\0")
        keyword = head[:_LONGEST_KEYWORD].decode("latin-1")
        if keyword in _RIDERS:
            if kind == b"iTXt" and keyword not in self.riders:
                content = _content(kind, rest, LARGEST)
                self.riders[keyword] = content or b""
                if content is None:
                    self._lost.append("XMP" if keyword == XMP else keyword)
        elif keyword and not is_writers_own(keyword):
            is_whole = keyword.isprintable() and len(head) <= _LONGEST_KEYWORD
            self._keep(keyword, kind, rest, is_whole=is_whole)

    def _keep(self, keyword: str, kind: bytes, rest: bytes, *, is_whole: bool) -> None:
        wanted = is_whole and not keyword.startswith(_RAW_PROFILE)
        plain = _content(kind, rest, self._room) if wanted else None
        text = None if plain is None else _decoded(plain, "utf-8" if kind == b"iTXt" else "latin-1")
        if text is None:
            self._lost.append(keyword)
        else:
            self._kept[keyword, text] = None
        # Whatever became of it: small chunks may inflate to much, one after the other.
        if wanted:
            most = len(rest) * MOST_INFLATION
            self._room -= len(plain) if plain is not None else min(self._room, most)


def _content(kind: bytes, rest: bytes, most: int) -> bytes | None:
    """What stands behind the keyword, of at most so many bytes; None where that is damaged."""
    if kind == b"tEXt":
        return rest if len(rest) <= most else None
    if kind == b"zTXt":
        return inflated(rest[1:], most) if rest[:1] == b"\0" else None
    text = rest[2:].split(b"\0", 2)[-1]  # behind the language and the keyword in it
    if rest[:1] == b"\1":
        return inflated(text, most)
    return text if len(text) <= most else None


def _decoded(plain: bytes, encoding: str) -> str | None:
    try:
        text = plain.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def international(keyword: str, text: bytes, *, compressed: bool = False) -> bytes:
    """An iTXt chunk of UTF-8 text, of no language."""
    head = keyword.encode("latin-1") + b"\0" + bytes([compressed]) + b"\0\0\0"
    return chunk(b"iTXt", head + (zlib.compress(text) if compressed else text))


def chunks_of(texts: Iterable[tuple[str, str]]) -> bytes:
    """All of them, each in the plainest kind of chunk that holds it.

    Of a keyword that PNG does not allow, what can be kept is.
    """
    return b"".join(_chunk_of(keyword, text.replace("\0", " ")) for keyword, text in texts)


def _chunk_of(keyword: str, text: str) -> bytes:
    plain = keyword.encode("latin-1", "replace").replace(b"\0", b" ")[:_LONGEST_KEYWORD]
    compressed = len(text) > _WORTH_COMPRESSING
    content = bytes_of(text)
    if text.isascii() or not is_utf_8(content):
        pass  # as it is: what is of no known encoding is most likely Latin-1
    elif all(ord(letter) < 256 for letter in text):
        content = text.encode("latin-1")
    else:
        return international(plain.decode("latin-1"), content, compressed=compressed)
    if compressed:
        return chunk(b"zTXt", plain + b"\0\0" + zlib.compress(content))
    return chunk(b"tEXt", plain + b"\0" + content)
