"""The file formats: what each can hold, and how its container is recognised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from imgfx.formats import avif, bmp, jpeg, png, pnm, tiff, webp, y4m
from imgfx.formats._common import DamagedError, Inspection
from imgfx.image import Depth

__all__ = [
    "FORMATS",
    "READABLE_SUFFIXES",
    "DamagedError",
    "Format",
    "Inspection",
    "declared_size",
    "format_from_name",
    "format_from_suffix",
    "sniff",
]


@dataclass(frozen=True)
class Format:
    """One file format and its limits."""

    name: str
    """As given to `--format`."""
    suffixes: tuple[str, ...]
    """Lower case, with the dot; the first is used for new files."""
    recognise: Callable[[bytes], bool]
    """Whether a file that starts with these (at least 16, if it has them) bytes is of it."""
    depths: tuple[Depth, ...] = ("uint8",)
    """What it can store, smallest first."""
    alpha: bool = False
    gray: bool = True
    metadata: bool = False
    """Whether it carries EXIF, XMP and ICC."""
    largest_xmp: int | None = None
    """Bytes of an XMP packet; None where there is no limit."""
    largest_side: int = 2**31 - 1
    quality: int | None = None
    """Default of `--quality` for lossy formats."""


def _starts(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic)


def _is_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _is_avif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis", b"mif1", b"msf1")


def _is_pnm(kinds: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:1] == b"P" and head[1:2] in tuple(map(bytes, zip(kinds))) and (
        head[2:3] in (b" ", b"\n", b"\t", b"\r", b"#")
    )  # fmt: skip


FORMATS: tuple[Format, ...] = (
    # A single damaged byte of the signature must still be called a PNG, so that the message says
    # what is wrong; hence three letters and not all eight bytes.
    Format(
        "png", (".png",), lambda head: head[1:4] == b"PNG",
        ("uint8", "uint16"), alpha=True, metadata=True,
    ),
    Format(
        "jpeg", (".jpg", ".jpeg", ".jpe", ".jfif"), _starts(b"\xff\xd8\xff"),
        metadata=True, largest_xmp=jpeg.LARGEST_XMP, largest_side=65500, quality=95,
    ),
    Format(
        "webp", (".webp",), _is_webp,
        alpha=True, gray=False, metadata=True, largest_side=16383, quality=95,
    ),
    Format(
        "tiff", (".tif", ".tiff"), _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        ("uint8", "uint16", "float32"), alpha=True, metadata=True,
    ),
    Format(
        "avif", (".avif",), _is_avif,
        ("uint8", "uint16"), alpha=True, metadata=True, largest_side=65536, quality=90,
    ),
    Format("bmp", (".bmp", ".dib"), _starts(b"BM"), alpha=True, largest_side=2**20),
    Format("ppm", (".ppm", ".pgm", ".pbm", ".pnm"), _is_pnm(b"123456"), ("uint8", "uint16")),
    Format("pam", (".pam",), _is_pnm(b"7"), ("uint8", "uint16"), alpha=True),
    Format("y4m", (".y4m",), _starts(y4m.MAGIC + b" ")),
)  # fmt: skip

READABLE_SUFFIXES = frozenset(suffix for known in FORMATS for suffix in known.suffixes)
"""File name endings that `open FOLDER` looks for."""

INSPECTORS: dict[str, Callable[[bytes], Inspection]] = {
    "png": png.inspect,
    "jpeg": jpeg.inspect,
    "webp": webp.inspect,
    "tiff": tiff.inspect,
    "avif": avif.inspect,
    "bmp": bmp.inspect,
    "ppm": pnm.inspect,
    "pam": pnm.inspect,
    "y4m": y4m.inspect,
}

SIZES: dict[str, Callable[[bytes], tuple[int, int] | None]] = {
    "png": png.size,
    "jpeg": jpeg.size,
    "webp": webp.size,
    "tiff": tiff.size,
    "avif": avif.size,
    "bmp": bmp.size,
    "ppm": pnm.size,
    "pam": pnm.size,
    "y4m": y4m.size,
}


def sniff(data: bytes) -> Format | None:
    """The format of a file by its first bytes; None when it is no known one."""
    head = data[:16]
    return next((known for known in FORMATS if known.recognise(head)), None)


def declared_size(known: Format, data: bytes) -> tuple[int, int] | None:
    """(width, height) by a file's beginning; None where it does not tell or makes no sense.

    The beginning may be all there is. What it says is checked by the inspector.
    """
    measure = SIZES.get(known.name)
    return measure(data) if measure is not None else None


_BY_SUFFIX = {suffix: known for known in reversed(FORMATS) for suffix in known.suffixes}


def format_from_suffix(suffix: str) -> Format | None:
    """The format of a file name's ending, dot included; None when there is none."""
    return _BY_SUFFIX.get(suffix.lower())


def format_from_name(name: str) -> Format | None:
    """The format that `--format` names; None when there is none."""
    aliases = {"jpg": "jpeg", "tif": "tiff", "pgm": "ppm", "pnm": "ppm"}
    wanted = aliases.get(name.lower(), name.lower())
    return next((f for f in FORMATS if f.name == wanted), None)
