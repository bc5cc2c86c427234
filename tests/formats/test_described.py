"""What files say besides pixels, profile, EXIF and XMP: light, resolution, captions, ratings."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import IptcImagePlugin, TiffImagePlugin
from reference import SRGB, image_of, known, pillow_file
from support import pixels

from imgfx import directories, exif
from imgfx.files import decode, encode
from imgfx.formats import avif
from imgfx.image import Metadata

LINEAR = ("gAMA", struct.pack(">I", 100_000))
USUAL = ("gAMA", struct.pack(">I", 45_455))
WIDE = ("cICP", bytes([9, 16, 0, 1]))
PRIMARIES = ("cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
CAPTION = b"\x1c\x02\x78\x00\x05Dunes"
WITH_METADATA = ["png", "jpeg", "webp", "tiff", "avif"]


def through(image, name):
    """An image written and read again, and the notes of the writing."""
    data, notes = encode(image, known(name))
    return decode(data, "again"), notes


def with_chunks(data, *chunks):
    """A PNG with these chunks behind its header."""
    parts = b"".join(
        struct.pack(">I", len(body)) + kind.encode() + body
        + struct.pack(">I", zlib.crc32(kind.encode() + body))
        for kind, body in chunks
    )  # fmt: skip
    return data[:33] + parts + data[33:]


@pytest.mark.parametrize("colour", [(LINEAR,), (LINEAR, PRIMARIES), (WIDE,), (LINEAR, WIDE)])
def test_png_keeps_how_samples_stand_for_light(colour):
    source = decode(with_chunks(pillow_file(pixels(5, 6), "PNG"), *colour), "a.png")
    again, notes = through(source, "png")
    assert again.metadata.colour == colour
    assert notes == ()


@pytest.mark.parametrize("chunk", [("gAMA", b"\0\1"), ("cICP", b"12345"), ("cHRM", b"")])
def test_a_chunk_of_the_wrong_length_is_none(chunk):
    assert decode(with_chunks(pillow_file(pixels(5, 6), "PNG"), chunk), "a").metadata.colour == ()


@pytest.mark.parametrize(
    ("colour", "what"),
    [
        ((LINEAR,), "gamma 1"),
        ((LINEAR, WIDE), "primaries 9 and transfer 16 of H.273"),
        ((USUAL,), None),
        ((LINEAR, ("sRGB", b"\0")), None),
        ((("cICP", bytes([1, 13, 0, 1])),), None),
    ],
)
@pytest.mark.parametrize("name", ["jpeg", "tiff", "bmp", "ppm", "webp"])
def test_other_formats_warn_where_the_picture_would_look_different(colour, what, name):
    _, notes = through(image_of(pixels(5, 6), metadata=Metadata(colour=colour)), name)
    said = f"its samples are of {what}, which {name} is not told; it may look different"
    assert notes == ((said,) if what else ())


def test_a_profile_goes_before_gamma_and_not_before_wide_gamuts():
    for colour, count in (((LINEAR,), 0), ((WIDE,), 1)):
        metadata = Metadata(icc=SRGB, colour=colour)
        assert len(through(image_of(pixels(5, 6), metadata=metadata), "jpeg")[1]) == count


def test_what_avif_says_of_its_colours_reaches_png():
    data = encode(image_of(pixels(16, 16)), known("avif"))[0]
    place = data.index(b"nclx") + 4
    wide = data[:place] + struct.pack(">HH", 9, 16) + data[place + 4 :]
    assert avif.inspect(data).metadata.colour == ()
    source = decode(wide, "a.avif")
    assert source.metadata.colour == (WIDE,)
    assert through(source, "png")[0].metadata.colour == (WIDE,)
    assert "primaries 9 and transfer 16" in through(source, "avif")[1][0]


@pytest.mark.parametrize("name", WITH_METADATA)
def test_the_resolution_stays_in_every_format(name):
    again, notes = through(image_of(pixels(9, 8), metadata=Metadata(dpi=(300.0, 150.0))), name)
    assert again.metadata.dpi == pytest.approx((300, 150), abs=0.02)
    assert notes == ()


@pytest.mark.parametrize("name", WITH_METADATA)
def test_a_resolution_that_only_exif_has_counts(name):
    blob = exif.with_resolution(None, (240.0, 240.0))
    source = decode(pillow_file(pixels(9, 8), "WEBP", exif=b"Exif\0\0" + blob), "a.webp")
    assert source.metadata.dpi == pytest.approx((240, 240))
    assert through(source, name)[0].metadata.dpi == pytest.approx((240, 240), abs=0.02)


@pytest.mark.parametrize("order", "<>")
def test_a_blob_keeps_its_order_and_entries_when_it_gets_a_resolution(order):
    directory = directories.Directory({0x010F: directories.Entry(2, 8, b"a maker\0")})
    blob = directories.blob_from_directory(directory, order)
    changed = exif.with_resolution(blob, (72.0, 96.0))
    assert directories.byte_order(changed) == order
    assert exif.resolution(changed) == (72, 96)
    assert directories.read_directory(changed, order, 8).entries[0x010F].value == b"a maker\0"
    assert exif.with_resolution(changed, (72.0, 96.0)) is changed


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("known", [None, (72.0, 72.0)])
def test_what_a_maker_has_written_stays_where_it_was(order, known):
    note = directories.Entry(7, 40, b"offsets count from the blob's beginning!"[:40])
    inner = directories.Directory({0x927C: note})
    first = directories.Directory({0x010F: directories.Entry(2, 8, b"a maker\0")}, {0x8769: inner})
    if known:
        first.entries |= exif.resolution_entries(known, order)
    blob = directories.blob_from_directory(first, order)
    changed = exif.with_resolution(blob, (300.0, 200.0))
    assert changed.index(note.value) == blob.index(note.value)
    assert exif.resolution(changed) == (300, 200)
    found = directories.read_directory(changed, order, directories.first_offset(changed, order))
    assert found.entries[0x010F].value == b"a maker\0"
    assert found.children[0x8769].entries[0x927C] == note


def test_a_blob_that_is_none_is_left_alone():
    assert exif.with_resolution(b"no TIFF structure", (72.0, 72.0)) == b"no TIFF structure"


def test_the_first_picture_s_colours_count():
    data = encode(image_of(pixels(16, 16)), known("avif"))[0]
    place = data.index(b"nclx") - 8
    usual = data[place : place + int.from_bytes(data[place : place + 4], "big")]
    wide = usual[:12] + struct.pack(">HH", 9, 16) + usual[16:]
    box = usual + wide
    meta = struct.pack(">I", 12 + len(box) + 8) + b"meta" + bytes(4)
    properties = struct.pack(">I", 8 + len(box)) + b"ipco" + box
    assert avif.inspect(data + meta + properties).metadata.colour == ()


def jpeg_with_caption(record=CAPTION):
    """A JPEG whose Photoshop segment has another resource before the record."""
    other = b"8BIM" + struct.pack(">H", 0x03ED) + b"\3abc" + struct.pack(">I", 3) + b"xyz\0"
    ours = (
        b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(record)) + record + b"\0" * (len(record) % 2)
    )
    body = b"Photoshop 3.0\0" + other + ours
    data = pillow_file(pixels(16, 16), "JPEG")
    return data[:2] + struct.pack(">HH", 0xFFED, len(body) + 2) + body + data[2:]


@pytest.mark.parametrize("name", ["jpeg", "tiff"])
def test_captions_stay(name):
    source = decode(jpeg_with_caption(), "a.jpg")
    assert source.metadata.iptc == CAPTION
    data, notes = encode(source, known(name))
    assert notes == ()
    assert decode(data, "b").metadata.iptc == CAPTION
    with Pillow.open(io.BytesIO(data)) as opened:
        assert IptcImagePlugin.getiptcinfo(opened)[2, 120] == b"Dunes"


@pytest.mark.parametrize("name", ["png", "webp", "avif", "bmp"])
def test_captions_that_a_format_cannot_hold_are_told_of(name):
    _, notes = through(decode(jpeg_with_caption(), "a.jpg"), name)
    assert f"{name} carries no IPTC; left out" in notes


def test_captions_that_are_too_long_for_a_jpeg_are_told_of():
    image = image_of(pixels(9, 8), metadata=Metadata(iptc=bytes(70_000)))
    assert through(image, "jpeg")[1] == ("IPTC of 70000 bytes does not fit in a JPEG; left out",)


@pytest.mark.parametrize("end", range(14, 60))
def test_a_photoshop_segment_may_be_cut_anywhere(end):
    body = jpeg_with_caption()
    start = body.index(b"Photoshop")
    cut = body[start : start + end]
    data = pillow_file(pixels(16, 16), "JPEG")
    image = decode(data[:2] + struct.pack(">HH", 0xFFED, len(cut) + 2) + cut + data[2:], "a.jpg")
    assert image.metadata.iptc is None or CAPTION.startswith(image.metadata.iptc)


def test_an_xmp_that_points_to_segments_left_out_does_so_no_more():
    packet = b'<x:xmpmeta><rdf:Description xmpNote:HasExtendedXMP="AB" a="b"/></x:xmpmeta>'
    source = decode(pillow_file(pixels(16, 16), "JPEG", xmp=packet), "a.jpg")
    assert source.metadata.xmp == b'<x:xmpmeta><rdf:Description a="b"/></x:xmpmeta>'
    assert source.notes == ("its extended XMP is left out",)


def test_what_describes_a_tiff_stays():
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[269], tags[285], tags[18246], tags[40092] = "a scan", "page 3", 4, b"x\0y\0\0\0"
    source = decode(pillow_file(pixels(9, 8), "TIFF", tiffinfo=tags), "a.tif")
    for name in ("tiff", "jpeg"):
        with Pillow.open(io.BytesIO(encode(source, known(name))[0])) as opened:
            found = opened.tag_v2 if name == "tiff" else opened.getexif()
            assert (found[269], found[285], found[18246]) == ("a scan", "page 3", 4)
            assert bytes(found[40092]) == b"x\0y\0\0\0"
            np.testing.assert_array_equal(np.asarray(opened).shape, (9, 8, 3))
