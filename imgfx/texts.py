"""Texts that ride along with a picture: title, author, comment and the like, by keyword."""

from __future__ import annotations

import re
from collections.abc import Iterable

from imgfx.errors import printable

COMMENT = "Comment"
"""The keyword of a text without one, as PNG's specification has it."""
_WRITERS_OWN = re.compile(r"Software$|date:|Thumb::")
"""Keywords of what says nothing of the picture, but of the file and who wrote it."""
_MOST_NAMED = 5


def is_writers_own(keyword: str) -> bool:
    """Whether a text under it is not the picture's, and goes without a word."""
    return _WRITERS_OWN.match(keyword) is not None


def bytes_of(text: str) -> bytes:
    """UTF-8, with the bytes that lone surrogates stand for as they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates of another origin
        return text.encode("utf-8", "replace")


def is_utf_8(content: bytes) -> bool:
    """Whether it can be read as such."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def named(keywords: Iterable[str]) -> str:
    """The first few, once each, as a note names them."""
    names = list(dict.fromkeys(printable(keyword) for keyword in keywords))
    return ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
