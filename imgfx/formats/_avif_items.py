"""The items of an AVIF: which picture is shown, what else is in the file, its EXIF and XMP.

Sources: ISO/IEC 14496-12, sections 8.11.4, 8.11.6 and 8.11.12; ISO/IEC 23008-12, sections 6.4,
6.5.8 and 9.3; ISO 21496-1, annex C; XMP part 3, section 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from imgfx.formats._avif_boxes import Box, Numbers, Stored, boxes, stored_items
from imgfx.formats._common import DamagedError

_PICTURES = (b"av01", b"grid", b"iden", b"iovl", b"hvc1", b"avc1", b"vvc1", b"jpeg", b"unci")
_TONE_MAPPED = b"tmap"
"""A picture for bright screens, which is made of the shown one and a gain map."""
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_GAIN_MAP = "its gain map for bright (HDR) screens is not read"
_DEPTH_MAP = "its depth map is not read"
_AUXILIARY = "a picture that goes with its first one (an auxiliary one) is not read"
_XMP = b"application/rdf+xml"
_EXIF = re.compile(rb"II\*\0|MM\0\*")
_LONGEST_PREFIX = 16


@dataclass
class Items:
    """What the file's box `meta` says of its items."""

    kinds: dict[int, bytes] = field(default_factory=dict)
    types: dict[int, bytes] = field(default_factory=dict)
    """Of those that are of some MIME type."""
    hidden: set[int] = field(default_factory=set)
    primary: int | None = None
    """The shown picture."""
    links: list[tuple[bytes, int, tuple[int, ...]]] = field(default_factory=list)
    """(kind, from an item, to others)."""
    properties: dict[int, list[Box]] = field(default_factory=dict)
    """By item."""
    places: Box | None = None
    """The box that says where their bytes are."""
    inside: tuple[int, int] = (0, 0)
    """(start, end) of those that lie in the box `meta` itself."""

    def _shown(self) -> set[int]:
        """The shown picture, and those that it is put together from."""
        parts: dict[int, list[int]] = {}
        for kind, item, to in self.links:
            if kind == b"dimg":
                parts.setdefault(item, []).extend(to)
        found: set[int] = set()
        new = [self.primary] if self.primary is not None else []
        while new:
            item = new.pop()
            if item not in found:
                found.add(item)
                new += parts.get(item, ())
        return found

    def of_others(self) -> set[int]:
        """Where the properties start that are only of other pictures than the shown one."""
        shown = self._shown()
        if not shown:
            return set()
        ours = {box[1] for item in shown for box in self.properties.get(item, ())}
        return {box[1] for found in self.properties.values() for box in found} - ours

    def property_of_shown(self, kind: bytes) -> Box | None:
        """The shown picture's own property of a kind."""
        found = self.properties.get(self.primary, ()) if self.primary is not None else ()
        return next((box for box in found if box[0] == kind), None)

    def pictures(self) -> int:
        """Those that stand for themselves: no thumbnail, no part of one, no mask."""
        aside = {item for kind, item, _ in self.links if kind in (b"thmb", b"auxl")}
        aside |= {item for kind, _, to in self.links if kind == b"dimg" for item in to}
        aside |= self.hidden
        others = {item for item, kind in self.kinds.items() if kind in _PICTURES} - aside
        return len(others - {self.primary}) + 1

    def others(self, data: bytes) -> tuple[str, ...]:
        """A note on each other thing that belongs to the picture and is not read."""
        notes = [_GAIN_MAP] if _TONE_MAPPED in self.kinds.values() else []
        aside = {item for kind, item, _ in self.links if kind == b"auxl"}
        # Once each: thousands of items may share a long property.
        owned = {box for item in aside for box in self.properties.get(item, ())}
        for _, start, stop in sorted(box for box in owned if box[0] == b"auxC"):
            name = data[start + 4 : stop].partition(b"\0")[0]
            if name not in _ALPHA:
                notes.append(_note_on(name))
        return tuple(dict.fromkeys(notes))

    @property
    def has_packet(self) -> bool:
        """Whether there is XMP, if only of another picture."""
        return _XMP in self.types.values()

    def packet(self, data: bytes) -> bytes | None:
        """The XMP packet of the shown picture, as it is stored."""
        wanted = (item for item, kind in self.types.items() if kind == _XMP)
        content = self._content(data, wanted)
        return content.strip(b"\0") or None if content else None

    def exif(self, data: bytes) -> tuple[bytes | None, bool]:
        """(the EXIF structure of the shown picture, whether there is one that cannot be read)."""
        content = self._content(data, (i for i, kind in self.kinds.items() if kind == b"Exif"))
        if not content:
            return None, False
        # A number before it says where it starts, and is wrong in files of some writers.
        place = _EXIF.search(content, 0, 4 + _LONGEST_PREFIX)
        return (content[place.start() :], False) if place else (None, True)

    def _content(self, data: bytes, items: Iterable[int]) -> bytes | None:
        """The bytes of the first of some items that describes the shown picture."""
        wanted = set(items)
        for kind, item, to in self.links:
            if kind == b"cdsc" and self.primary not in to:
                wanted.discard(item)
        if self.places is None or not wanted:
            return None
        for stored in stored_items(data, *self.places[1:]):
            if stored.item in wanted and (stored.in_file or stored.in_meta):
                return _joined(stored, data, (0, len(data)) if stored.in_file else self.inside)
        return None


def _joined(stored: Stored, data: bytes, span: tuple[int, int]) -> bytes:
    """The pieces of an item, one behind the other.

    Raises:
        DamagedError: they share bytes, and would be gigabytes.
    """
    parts, room = [], len(data)
    for part in stored.pieces(data, *span):
        room -= len(part)
        if room < 0:
            raise DamagedError("damaged AVIF: its pieces overlap")
        parts.append(part)
    return b"".join(parts)


def _note_on(name: bytes) -> str:
    """Of an auxiliary picture, by what it calls itself."""
    word = name.lower()
    if b"gainmap" in word:
        return _GAIN_MAP
    return _DEPTH_MAP if b"depth" in word or word.endswith(b":auxid:2") else _AUXILIARY


def items_of(data: bytes) -> Items:
    """The items of a file; none where it has no box `meta`.

    Raises:
        DamagedError: a box is cut off.
    """
    found = Items()
    top = next((box for box in boxes(data, 0, len(data), flat=True) if box[0] == b"meta"), None)
    if top is None:
        return found
    inner = list(boxes(data, top[1] + 4, top[2], flat=True))
    listed: list[Box] = []
    for box in inner:
        kind, start, stop = box
        if kind == b"pitm":
            numbers = Numbers(data, start, stop)
            found.primary = numbers.take(4 if numbers.take(4) >> 24 else 2)
        elif kind == b"iinf":
            _see_kinds(data, box, found)
        elif kind == b"iref":
            found.links += _links(data, box)
        elif kind == b"iloc":
            found.places = box
        elif kind == b"idat":
            found.inside = (start, stop)
        elif kind == b"iprp":
            listed += boxes(data, start, stop, flat=True)
    _see_properties(data, listed, found)
    return found


def _see_kinds(data: bytes, box: Box, found: Items) -> None:
    """What each item is."""
    _, start, stop = box
    head = 6 if data[start : start + 1] == b"\0" else 8
    for kind, place, end in boxes(data, start + head, stop, flat=True):
        numbers = Numbers(data, place, end)
        told = numbers.take(4)
        if kind != b"infe" or told >> 24 not in (2, 3):  # older ones are of files, not of pictures
            continue
        item = numbers.take(2 if told >> 24 == 2 else 4)
        numbers.take(2)
        found.kinds[item] = numbers.take(4).to_bytes(4, "big")
        if told & 1:
            found.hidden.add(item)
        if found.kinds[item] == b"mime":
            # Behind the name stand its type, and how it is packed, which XMP is not.
            words = [*data[numbers.position : end].split(b"\0"), b"", b""]
            if not words[2]:
                found.types[item] = words[1]


def _links(data: bytes, box: Box) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
    _, start, stop = box
    size = 2 if data[start : start + 1] == b"\0" else 4
    for kind, place, end in boxes(data, start + 4, stop, flat=True):
        numbers = Numbers(data, place, end)
        item = numbers.take(size)
        yield kind, item, tuple(numbers.take(size) for _ in range(numbers.take(2)))


def _see_properties(data: bytes, listed: list[Box], found: Items) -> None:
    """Which of the file's properties each item has."""
    (_, first, last) = next((box for box in listed if box[0] == b"ipco"), (b"", 0, 0))
    known = list(boxes(data, first, last, flat=True))
    for _, start, stop in (box for box in listed if box[0] == b"ipma"):
        numbers = Numbers(data, start, stop)
        told = numbers.take(4)
        size, is_wide = (4 if told >> 24 else 2), told & 1
        for _ in range(numbers.take(4)):
            own = found.properties.setdefault(numbers.take(size), [])
            for _ in range(numbers.take(1)):
                index = numbers.take(2) & 0x7FFF if is_wide else numbers.take(1) & 0x7F
                if index > len(known):
                    raise DamagedError("damaged AVIF: it names a property that is not there")
                if index:
                    own.append(known[index - 1])
