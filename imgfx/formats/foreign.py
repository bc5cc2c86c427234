"""What a file is that imgfx does not read, by its first bytes; for its message alone."""

from __future__ import annotations

import re
from collections.abc import Callable

_HEAD = 512
_CONVERT = "convert it to PNG or TIFF first"
_DEVELOP = "develop it to TIFF first"
_FRAMES = "let ffmpeg pipe its frames: -f image2pipe -c:v ppm -"
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
"""Those that may be AVIF as well are told from it by what is in them."""


def _starts(*beginnings: bytes) -> Callable[[bytes], object]:
    return lambda head: head.startswith(beginnings)


def _branded(*brands: bytes) -> Callable[[bytes], object]:
    """Of the boxes of ISO 14496-12: the kind of the file, any if none is given."""
    return lambda head: head[4:8] == b"ftyp" and (not brands or head[8:12] in brands)


def _matches(pattern: bytes) -> Callable[[bytes], object]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL).match


_KINDS: tuple[tuple[str, Callable[[bytes], object], str], ...] = (
    ("a HEIC image", _branded(*_HEIC), _CONVERT),
    ("a raw file of a camera", _branded(b"crx "), _DEVELOP),
    (
        "a raw file of a camera",
        _starts(b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0"),
        _DEVELOP,
    ),
    ("a GIF", _starts(b"GIF87a", b"GIF89a"), _CONVERT),
    ("a JPEG XL image", _starts(b"\xff\x0a", b"\0\0\0\x0cJXL "), _CONVERT),
    ("a JPEG 2000 image", _starts(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), _CONVERT),
    ("a Photoshop document", _starts(b"8BPS"), _CONVERT),
    ("a GIMP image", _starts(b"gimp xcf"), _CONVERT),
    ("an OpenEXR image", _starts(b"\x76\x2f\x31\x01"), _CONVERT),
    ("a Radiance image", _starts(b"#?RADIANCE", b"#?RGBE"), _CONVERT),
    ("an icon", _starts(b"\0\0\1\0"), _CONVERT),
    ("a QOI image", _starts(b"qoif"), _CONVERT),
    ("an SVG drawing", _matches(rb"\s*(<\?xml.*)?<svg[\s>]"), _CONVERT),
    ("a PDF document", _starts(b"%PDF"), "take its images out first, as pdfimages does"),
    ("a PostScript document", _starts(b"%!PS"), _CONVERT),
    ("a web page", _matches(rb"\s*<(!doctype html|html)[\s>]"), "a download has gone wrong"),
    ("a pointer of Git LFS", _starts(b"version https://git-lfs"), "get the file: git lfs pull"),
    ("a ZIP archive", _starts(b"PK\3\4"), "unpack it first"),
    ("compressed with gzip", _starts(b"\x1f\x8b"), "unpack it first"),
    ("a video", _starts(b"\x1a\x45\xdf\xa3"), _FRAMES),
    ("a video", lambda head: head[:4] == b"RIFF" and head[8:12] == b"AVI ", _FRAMES),
    ("a video", _branded(), _FRAMES),
)


def unknown(data: bytes) -> str:
    """Of bytes of no format that is read: what they are, as far as that is known, and what to do.

    Args:
        data: of a file, at least the beginning.
    """
    head = data[:_HEAD]
    for what, recognise, advice in _KINDS:
        if recognise(head):
            return f"{what}, which is not supported; {advice}"
    return "not an image of a known format"
