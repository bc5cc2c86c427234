"""AVIFs put together box by box, as phones and converters write them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from reference import pillow_file

from imgfx.formats._avif_boxes import boxes, stored_items

_ESSENTIAL = (b"av1C", b"irot", b"imir")


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of a type, with its length."""
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box with a version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


@dataclass(frozen=True)
class Item:
    """What is in the file under a number of its own, which is its place in the list, from 1."""

    kind: bytes
    content: bytes
    properties: tuple[bytes, ...] = ()
    links: tuple[tuple[bytes, tuple[int, ...]], ...] = ()
    """(kind, to others)."""
    hidden: bool = False
    mime: bytes = b""
    inside: bool = False
    """Its bytes are in the box `idat`, and not behind all boxes."""


def coded(samples: np.ndarray, *more: bytes, **options: object) -> Item:
    """A picture that Pillow has coded, with its properties and some more."""
    data = pillow_file(samples, "AVIF", **options)
    found = [(k, data[start - 8 : stop]) for k, start, stop in boxes(data, 0, len(data))]
    kept = tuple(whole for k, whole in found if k in (b"ispe", b"pixi", b"av1C", b"colr"))
    places = next(b for b in boxes(data, 0, len(data)) if b[0] == b"iloc")
    (content,) = next(stored_items(data, *places[1:])).pieces(data)
    return Item(b"av01", content, (*kept, *more))


def avif_file(*items: Item, primary: int = 1, brand: bytes = b"avif") -> bytes:
    """A file of items, whose bytes lie behind all boxes, one after the other."""
    listed = list(dict.fromkeys(p for item in items for p in item.properties))
    kinds = [
        full(
            b"infe", 2, item.hidden, struct.pack(">HH4s", number, 0, item.kind), b"\0",
            item.mime + b"\0" if item.mime else b"",
        )
        for number, item in enumerate(items, 1)
    ]  # fmt: skip
    links = [
        box(kind, struct.pack(f">HH{len(to)}H", number, len(to), *to))
        for number, item in enumerate(items, 1)
        for kind, to in item.links
    ]
    owned = [
        struct.pack(">HB", number, len(item.properties))
        + bytes(1 + listed.index(p) | (128 if p[4:8] in _ESSENTIAL else 0) for p in item.properties)
        for number, item in enumerate(items, 1)
    ]
    before = box(b"ftyp", brand, bytes(4), b"avifmif1miaf")

    def meta(start: int) -> bytes:
        places, inner = [], b""
        for number, item in enumerate(items, 1):
            place = len(inner) if item.inside else start
            places.append(
                struct.pack(">HHHHII", number, item.inside, 0, 1, place, len(item.content))
            )
            inner += item.content if item.inside else b""
            start += 0 if item.inside else len(item.content)
        return full(
            b"meta", 0, 0,
            full(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
            full(b"pitm", 0, 0, struct.pack(">H", primary)),
            full(b"iloc", 1, 0, struct.pack(">HH", 0x4400, len(items)), *places),
            full(b"iinf", 0, 0, struct.pack(">H", len(items)), *kinds),
            box(b"iprp", box(b"ipco", *listed), full(
                b"ipma", 0, 0, struct.pack(">I", len(items)), *owned)),
            full(b"iref", 0, 0, *links) if links else b"",
            box(b"idat", inner) if inner else b"",
        )  # fmt: skip

    start = len(before) + len(meta(0)) + 8
    stored = b"".join(item.content for item in items if not item.inside)
    return before + meta(start) + box(b"mdat", stored)
