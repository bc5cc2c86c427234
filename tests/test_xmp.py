"""Our property goes into any XMP packet and comes out of it; nothing else in it changes."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import XMP

from imgfx.xmp import (
    with_provenance,
    with_size,
    without_provenance,
    without_regions,
    without_riders,
)

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
ADOBE = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 5.6">\n'
    b' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
    b"  <rdf:Description rdf:about='uuid:1' xmlns:dc=\"http://purl.org/dc/elements/1.1/\">\n"
    b"   <dc:creator><rdf:Seq><rdf:li>J\xc3\xb6rg &amp; Co</rdf:li></rdf:Seq></dc:creator>\n"
    b"  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n" + b" " * 2000 + b'\n<?xpacket end="w"?>'
)
TEXT = '{"a":"<&>\\"\'","b":[1,2]}'
printable = st.text(st.characters(min_codepoint=32, max_codepoint=0x10FFFF, exclude_categories="C"))


@pytest.mark.parametrize("packet", [None, XMP, ADOBE], ids=["none", "bare", "adobe"])
@given(text=printable.filter(bool))
def test_what_is_put_in_comes_out_and_the_packet_is_as_before(packet, text):
    merged = with_provenance(packet, text)
    assert without_provenance(merged) == (packet, text)


def test_the_packet_stays_xml_that_others_read():
    from xml.etree import ElementTree

    for packet in (None, ADOBE):
        merged = with_provenance(packet, TEXT)
        root = ElementTree.fromstring(merged.decode("utf-8-sig").strip())
        (found,) = root.iter("{urn:imgfx:xmp#}provenance")
        assert found.text == TEXT
        abouts = {e.get(f"{{{RDF}}}about") for e in root.iter(f"{{{RDF}}}Description")}
        assert len(abouts) == 1  # all descriptions of a packet are of one thing


@pytest.mark.parametrize(
    "body",
    [
        b"<own:provenance>{&quot;a&quot;:1}</own:provenance>",
        b'<own:provenance xml:lang="x">{&#34;a&#34;:1}</own:provenance >',
    ],
)
def test_an_element_that_another_program_has_written_is_found(body):
    packet = b'<x:xmpmeta><r:RDF><r:D xmlns:own="urn:imgfx:xmp#">' + body + b"</r:D></r:RDF>"
    left, text = without_provenance(packet)
    assert text == '{"a":1}'
    assert left == b'<x:xmpmeta><r:RDF><r:D xmlns:own="urn:imgfx:xmp#"></r:D></r:RDF>'


@pytest.mark.parametrize("quote", [b"'", b'"'])
def test_an_attribute_is_found(quote):
    value = b"p:provenance=" + quote + b"{&quot;a&quot;:1}" + quote
    packet = b'<r:D xmlns:p="urn:imgfx:xmp#" ' + value + b" q='1'/>"
    assert without_provenance(packet) == (b"<r:D xmlns:p=\"urn:imgfx:xmp#\" q='1'/>", '{"a":1}')


@pytest.mark.parametrize("packet", [b"", XMP, b"urn:imgfx:xmp#", b'xmlns:a="urn:imgfx:xmp#"'])
def test_where_there_is_none_the_packet_is_left_alone(packet):
    assert without_provenance(packet) == (packet, None)


@pytest.mark.parametrize("packet", [b"<x:xmpmeta/>", "<a></rdf:RDF>".encode("utf-16")])
def test_a_packet_without_rdf_cannot_be_added_to(packet):
    assert with_provenance(packet, TEXT) is None


def test_padding_is_given_up_before_the_provenance():
    full = len(with_provenance(ADOBE, TEXT))
    tight = with_provenance(ADOBE, TEXT, full - 1000)
    assert len(tight) < full - 1900
    assert without_provenance(tight)[1] == TEXT
    assert with_provenance(ADOBE, TEXT, full - 2100) is None


def test_a_long_packet_takes_no_time():
    for part in (b" ", b"</", b"rdf:about=", b"xmlns:", b"<p:provenance "):
        packet = b'xmlns:p="urn:imgfx:xmp#"' + part * (1 << 16)
        without_provenance(packet)
        with_provenance(packet + b"</rdf:RDF>", TEXT, 10)


def riders(packet):
    """The packet without, checked to be XML that others read."""
    from xml.etree import ElementTree

    left = without_riders(packet)
    ElementTree.fromstring(left.decode("utf-8-sig").strip())
    return left


CLAIMS = (
    b' xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'
    b' xmlns:Container="http://ns.google.com/photos/1.0/container/"'
    b' xmlns:Item="http://ns.google.com/photos/1.0/container/item/"'
    b' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
)
LIST = (
    b'<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource">'
    b'<Container:Item Item:Mime="video/mp4" Item:Length="9"/></rdf:li></rdf:Seq>'
    b"</Container:Directory>"
)


def claiming(attributes, elements):
    """Adobe's packet with namespaces, attributes and elements of phones."""
    head, _, rest = ADOBE.partition(b"<rdf:Description")
    start, end = rest.split(b">", 1)
    return head + b"<rdf:Description" + start + CLAIMS + attributes + b">" + elements + end


@pytest.mark.parametrize(
    ("attributes", "elements"),
    [
        (b' GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"', b""),
        (b" GCamera:MotionPhotoPresentationTimestampUs='-1'", LIST),
        (b'\n   GCamera:MicroVideo="1"\n   GCamera:MicroVideoOffset = "12345"', b""),
        (b"", b"<GCamera:MotionPhoto>1</GCamera:MotionPhoto>" + LIST + LIST),
        (b' hdrgm:Version="1.0"', LIST),
        (b"", b"<hdrgm:Version>1.0</hdrgm:Version><GCamera:MicroVideoVersion/>"),
    ],
)
def test_claims_of_what_was_behind_the_picture_are_taken_out(attributes, elements):
    left = riders(claiming(attributes, elements))
    assert b"".join(left.split()) == b"".join(claiming(b"", b"").split())


def test_other_packets_stay_as_they_are():
    for packet in (XMP, ADOBE, claiming(b' GCamera:Portrait="1"', b"<Item:Mime>x</Item:Mime>")):
        assert without_riders(packet) == packet


@pytest.mark.parametrize("part", [b"<Container:Directory>", b" ", b"<a:MotionPhoto>", b"<a", b" a"])
def test_no_packet_takes_ages(part):
    started = time.monotonic()
    without_riders(part * 200_000)
    assert time.monotonic() - started < 5


REGIONS = (
    b'<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag><rdf:li>'
    b'<mwg-rs:Area stArea:x="0.2" stArea:y="0.3"/></rdf:li></rdf:Bag></mwg-rs:RegionList>'
    b"</mwg-rs:Regions>"
)


@pytest.mark.parametrize(
    "regions",
    [
        REGIONS,
        b"<MP:RegionInfo><rdf:Description><MPRI:Regions/></rdf:Description></MP:RegionInfo>",
        b"<Iptc4xmpExt:ImageRegion><rdf:Bag/></Iptc4xmpExt:ImageRegion>",
    ],
)
def test_places_in_the_picture_are_taken_out(regions):
    left = b"<a/><dc:title>Regions</dc:title>%s<b/>"
    assert without_regions(left % regions) == left % b""
    assert without_regions(left % (regions + b" " + regions)) == left % b" "
    assert without_regions(left % b"") == left % b""
    assert without_regions(regions[:-4]) == regions[:-4]


def test_the_sizes_of_a_packet_are_changed():
    before = (
        b"<a tiff:ImageWidth=\"60\" tiff:ImageLength='40'/><exif:PixelXDimension>60"
        b"</exif:PixelXDimension><exif:PixelYDimension> 40</exif:PixelYDimension>"
        b'<b tiff:ImageWidths="1" tiff:Orientation="6" stDim:w="60"/>'
    )
    after = (
        b"<a tiff:ImageWidth=\"7\" tiff:ImageLength='1234'/><exif:PixelXDimension>7"
        b"</exif:PixelXDimension><exif:PixelYDimension> 1234</exif:PixelYDimension>"
        b'<b tiff:ImageWidths="1" tiff:Orientation="6" stDim:w="60"/>'
    )
    assert with_size(before, 7, 1234) == after
