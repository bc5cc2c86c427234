"""Our property goes into any XMP packet and comes out of it; nothing else in it changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import XMP

from imgfx.xmp import with_provenance, without_provenance

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
