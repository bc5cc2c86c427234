"""XMP packets: a property of our own in them, and none of what is no longer true.

What else is in a packet is kept byte by byte: our property is put in as an element of its own, and
taken out again.

Source: XMP part 1 (ISO 16684-1:2019) sections 7.3 and 7.4; part 3 section 1.1.3.
"""

from __future__ import annotations

import html
import re

_NAMESPACE = b"urn:imgfx:xmp#"
_BEGIN = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
)
_END = b'</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
_BARE = (_BEGIN + _END)[_BEGIN.index(b"<x:xmpmeta") : -len(b'<?xpacket end="w"?>')]
"""As AVIF's reader finds a packet that holds nothing."""
_DESCRIPTION = (
    b'<rdf:Description xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" rdf:about=%s '
    b'xmlns:imgfx="' + _NAMESPACE + b'"><imgfx:provenance>%s</imgfx:provenance></rdf:Description>'
)
_ABOUT = re.compile(rb"rdf:about\s*=\s*(\"[^\"<]*\"|'[^'<]*')")
_LAST = re.compile(rb"</(?:[\w.-]+:)?RDF\s*>")
_OURS = re.compile(
    _DESCRIPTION.replace(b"%s", b"(?:\"[^\"<]*\"|'[^'<]*')", 1).replace(b"%s", b"([^<]*)")
)
_PREFIX = re.compile(rb"xmlns:([\w.-]+)\s*=\s*[\"']" + _NAMESPACE + rb"[\"']")
_TRAILER = b"<?xpacket end"
_CLAIM = rb"(?:[\w.-]+:(?:MotionPhoto|MicroVideo)\w*|hdrgm:\w+)"
_CLAIMS = re.compile(
    rb"\s%(name)s\s*=\s*(?:\"[^\"<]*\"|'[^'<]*')"
    rb"|<(?P<open>%(name)s)(?:\s[^<>]*)?(?:/>|>[^<]*</(?P=open)\s*>)" % {b"name": _CLAIM}
)
_LIST = re.compile(rb"<([\w.-]*Container:Directory)(?:\s[^<>]*)?(?<!/)>")
"""Opens the list of what is behind a picture in its file."""
_REGIONS = re.compile(
    rb"<(mwg-rs:Regions|MP:RegionInfo|Iptc4xmpExt:ImageRegion)(?:\s[^<>]*)?(?<!/)>"
)
"""Opens a list of places in the picture: faces and the like."""
_SIZES = re.compile(
    rb"((?:tiff:Image|exif:Pixel)(?:(Width|XDimension)|Length|YDimension)"
    rb"\s*(?:=\s*[\"']|>\s*))\d+"
)


def with_provenance(packet: bytes | None, text: str, most: int | None = None) -> bytes | None:
    """A packet that holds a provenance, too; None where it cannot.

    Args:
        packet: what there is already; it has no provenance.
        text: of the provenance.
        most: bytes of the result at most; for it, a packet's padding is given up.
    """
    packet = packet or _BEGIN + _END
    places = list(_LAST.finditer(packet))
    if not places:
        return None
    place = places[-1].start()
    about = _ABOUT.search(packet)
    value = html.escape(text, quote=False).encode("ascii", "xmlcharrefreplace")
    added = _DESCRIPTION % (about[1] if about else b'""', value)
    merged = packet[:place] + added + packet[place:]
    if most is not None and len(merged) > most:
        content, trailer, end = merged.rpartition(_TRAILER)
        merged = content.rstrip() + trailer + end
    return merged if most is None or len(merged) <= most else None


def without_provenance(packet: bytes) -> tuple[bytes | None, str | None]:
    """(the packet without our property, the provenance), each None where there is none.

    Other programs may have written the packet anew, with other prefixes and as an attribute.
    """
    if _NAMESPACE not in packet:
        return packet, None
    found = _OURS.search(packet)
    pattern = _OURS
    if found is None:
        prefix = _PREFIX.search(packet)
        pattern = _property(prefix[1] if prefix else b"imgfx")
        found = pattern.search(packet)
    if found is None:
        return packet, None
    left = pattern.sub(b"", packet)
    value = next(group for group in found.groups() if group is not None)
    text = html.unescape(value.decode("utf-8", "replace"))
    return (None if left in (_BEGIN + _END, _BARE) else left), text


def without_riders(packet: bytes) -> bytes:
    """The packet that no longer says that a video or a gain map is behind the picture.

    None is written behind one, and readers look for it.

    Sources: Android, Motion Photo format 1.0, and Ultra HDR image format 1.1.
    """
    return _CLAIMS.sub(b"", _without_elements(packet, _LIST))


def without_regions(packet: bytes) -> bytes:
    """The packet without places in the picture, as those of faces: a turn makes them wrong.

    Sources: Metadata Working Group, Guidelines 2.0, section 5.9; IPTC Photo Metadata, image region.
    """
    return _without_elements(packet, _REGIONS)


def with_size(packet: bytes, width: int, height: int) -> bytes:
    """The packet whose sizes of the picture, where present, are these."""

    def sized(found: re.Match[bytes]) -> bytes:
        return found[1] + str(width if found[2] else height).encode()

    return _SIZES.sub(sized, packet)


def _without_elements(packet: bytes, opening: re.Pattern[bytes]) -> bytes:
    """The packet without the elements that are opened so; the first group is their name."""
    kept: list[bytes] = []
    position = 0
    while opened := opening.search(packet, position):
        closing = b"</" + opened[1] + b">"
        closed = packet.find(closing, opened.end())
        if closed < 0:
            break
        kept.append(packet[position : opened.start()])
        position = closed + len(closing)
    return b"".join([*kept, packet[position:]])


def _property(prefix: bytes) -> re.Pattern[bytes]:
    """The property in any of the forms that RDF has for a text."""
    name = re.escape(prefix) + b":provenance"
    element = rb"<%s(?:\s[^<>]*)?>([^<]*)</%s\s*>" % (name, name)
    return re.compile(element + rb"|\s%s\s*=\s*(?:\"([^\"<]*)\"|'([^'<]*)')" % name)
