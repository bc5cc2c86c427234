"""AVIF: colours within error, depths, alpha, metadata, turns and damage."""

import io
import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from reference import (
    SRGB,
    XMP,
    decoded_or_refused,
    exif_blob,
    image_of,
    known,
    passed_through,
    pillow_file,
    pillow_pixels,
    samples_of,
)
from support import pixels
from support_avif import Item, avif_file, box, coded, full

from imgfx.errors import DecodeError, EncodeError
from imgfx.files import decode, encode
from imgfx.formats._avif_boxes import Field, Stored, stored_items
from imgfx.formats._avif_items import _joined
from imgfx.formats._common import DamagedError
from imgfx.formats.avif import inspect
from imgfx.image import Image, Metadata

AVIF = known("avif")
SMALL = pillow_file(pixels(12, 17, 4), "AVIF", quality=80)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_pillows_files_are_read_as_it_reads_them(channels, subsampling):
    samples = pixels(34, 48, channels)
    source = samples if channels > 1 else samples[..., 0]
    data = pillow_file(source, "AVIF", quality=90, subsampling=subsampling)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    found = samples_of(decode(data, "a.avif"))
    assert np.abs(found.astype(int) - pillow_pixels(data, mode)).max() <= 3


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_writing_changes_no_more_than_pillow_does(channels):
    samples = pixels(34, 48, channels)
    data, notes = encode(image_of(samples), AVIF)
    found = samples_of(decode(data, "again.avif"))
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    assert np.abs(pillow_pixels(data, mode).astype(int) - found).max() <= 3
    source = samples if channels > 1 else samples[..., 0]
    theirs = pillow_pixels(pillow_file(source, "AVIF", quality=90, subsampling="4:2:0"), mode)
    error, limit = (np.abs(a.astype(int) - samples).mean() for a in (found, theirs))
    assert error < limit + 1
    assert not notes


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_12_of_16_bits_come_through_at_quality_100(channels):
    samples = pixels(34, 48, channels, "uint16")
    again, notes = passed_through(image_of(samples), "avif", quality=100)
    assert again.depth == "uint16"
    assert np.abs(samples_of(again).astype(int) - samples).max() <= 65535 / 4095
    assert notes == ("avif holds 12 of 16 bits",)


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_samples_are_scaled_to_16_bits(bits):
    top = 2**bits - 1
    stored = np.linspace(0, top, 64 * 3).astype(np.uint16).reshape(8, 8, 3)
    options = [cv2.IMWRITE_AVIF_DEPTH, bits, cv2.IMWRITE_AVIF_QUALITY, 100]
    done, data = cv2.imencode(".avif", stored[..., ::-1], options)
    assert done
    image = decode(data.tobytes(), "deep.avif")
    assert image.depth == "uint16"
    assert np.abs(image.pixels - stored * (65535 / top)).max() <= 65535 / top


def test_gray_with_alpha_becomes_rgba():
    samples = pixels(16, 16, 2)
    again, _ = passed_through(image_of(samples), "avif", quality=100)
    assert again.pixels.shape == (16, 16, 3)
    assert np.abs(again.pixels.astype(int) - samples[..., :1]).max() <= 2
    assert np.abs(again.alpha.astype(int) - samples[..., 1]).max() <= 2


def test_metadata_comes_through():
    metadata = Metadata(exif_blob(), XMP, SRGB)
    data, notes = encode(image_of(pixels(16, 18), metadata=metadata), AVIF)
    assert decode(data, "again.avif").metadata == metadata
    image = Pillow.open(io.BytesIO(data))
    assert image.getexif()[0x010F] == "imgfx tests"
    assert image.info["icc_profile"] == SRGB
    assert image.info["xmp"] == XMP
    assert not notes


def test_pillows_metadata_is_read():
    data = pillow_file(pixels(16, 18), "AVIF", icc_profile=SRGB, exif=exif_blob(), xmp=XMP)
    metadata = decode(data, "a.avif").metadata
    assert (metadata.icc, metadata.xmp) == (SRGB, XMP)
    assert b"imgfx tests" in metadata.exif


def test_the_containers_turn_goes_before_that_of_exif():
    """EXIF's orientation is only information there: ISO/IEC 23008-12 section 6.5.10."""
    upright = image_of(pixels(16, 24), metadata=Metadata(exif_blob(1)))
    data, _ = encode(upright, AVIF, quality=100)
    place = data.find(exif_blob(1))
    assert place > 0
    turned = data.replace(exif_blob(1), exif_blob(6))
    assert turned != data
    assert decode(turned, "a.avif").pixels.shape == (16, 24, 3)


@pytest.mark.parametrize("mirror", [0, 1])
@pytest.mark.parametrize("angle", [0, 1, 2, 3])
def test_each_turn_with_each_mirror_is_heeded(angle, mirror):
    data = bytearray(pillow_file(pixels(16, 24), "AVIF", exif=exif_blob(5)))
    for kind, value in ((b"irot", angle), (b"imir", mirror)):
        assert data.count(kind) == 1
        data[data.index(kind) + 4] = value
    expected = pillow_pixels(bytes(data), "RGB", upright=True)
    np.testing.assert_array_equal(decode(bytes(data), "a.avif").pixels, expected)


def test_only_the_first_picture_of_a_sequence_is_read_and_that_is_said():
    frames = [Pillow.fromarray(pixels(16, 18) // n) for n in (1, 2, 4)]
    data = pillow_file(frames[0], "AVIF", save_all=True, append_images=frames[1:], quality=95)
    image = decode(data, "sequence.avif")
    assert np.abs(image.pixels.astype(int) - pillow_pixels(data, "RGB")).max() <= 3
    assert image.notes == ("only the first of 3 pictures in the file is read",)


def described_by(kind, content, *, mime=b"", to=1, **options):
    return Item(kind, content, links=((b"cdsc", (to,)),), mime=mime, **options)


def auxiliary(samples, name, *, to=1):
    item = coded(samples, full(b"auxC", 0, 0, name + b"\0"))
    return replace(item, links=((b"auxl", (to,)),))


SHOWN, SECOND = coded(pixels(16, 24)), coded(pixels(16, 24) // 2)
ALPHA = auxiliary(pixels(16, 24, 1)[..., 0], b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha")
GAIN_MAP = "its gain map for bright (HDR) screens is not read"
EXIF = struct.pack(">I", 6) + b"Exif\0\0" + exif_blob()
PACKETS = [
    XMP,
    b"<?xpacket begin=''?><x:xapmeta xmlns:x='adobe:ns:meta/'><rdf:RDF/></x:xapmeta><?xpacket?>",
    b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/>",
]


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("prefix", [6, 0, 99])
def test_metadata_behind_the_picture_hides_it_not(colour, prefix):
    """As libheif writes it; OpenCV recognises such a file as no AVIF."""
    kept = tuple(p for p in SHOWN.properties if colour or p[4:8] != b"colr")
    exif = struct.pack(">I", prefix) + EXIF[4:]
    data = avif_file(replace(SHOWN, properties=kept), described_by(b"Exif", exif))
    image = decode(data, "a.avif")
    assert np.abs(image.pixels.astype(int) - pixels(16, 24)).mean() < 25
    assert b"imgfx tests" in image.metadata.exif
    assert not image.notes


def test_exif_that_cannot_be_read_is_told_of():
    image = decode(avif_file(SHOWN, described_by(b"Exif", bytes(99))), "a.avif")
    assert image.metadata.exif is None
    assert image.notes == ("its EXIF is damaged; left out",)


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("packet", PACKETS)
def test_xmp_of_every_wrapper_is_read(packet, inside):
    item = described_by(b"mime", packet, mime=b"application/rdf+xml", inside=inside)
    assert decode(avif_file(SHOWN, item), "a.avif").metadata.xmp == packet


def test_provenance_in_a_bare_packet_is_read():
    data, _ = encode(image_of(pixels(16, 24), metadata=Metadata(provenance="imgfx 1")), AVIF)
    packet = inspect(data).metadata.xmp
    bare = packet[packet.index(b"<rdf:RDF") : packet.index(b"</x:xmpmeta>")].strip()
    item = described_by(b"mime", bare, mime=b"application/rdf+xml")
    assert decode(avif_file(SHOWN, item), "a.avif").metadata.provenance == "imgfx 1"


def test_metadata_of_another_picture_is_not_taken():
    items = SHOWN, SECOND, described_by(b"mime", PACKETS[2], mime=b"application/rdf+xml", to=2)
    image = decode(avif_file(*items, described_by(b"Exif", EXIF, to=2)), "a.avif")
    assert image.metadata.exif is image.metadata.xmp is None


def test_further_pictures_are_told_of_and_their_turns_not_heeded():
    turned = coded(pixels(48, 16), box(b"irot", b"\1"))
    image = decode(avif_file(SHOWN, turned, SECOND), "a.avif")
    assert image.pixels.shape == (16, 24, 3)
    assert image.unread == ("only the first of 3 pictures in the file is read",)


def grid_of(*tiles):
    shape = struct.pack(">BBBBHH", 0, 0, 0, len(tiles) - 1, 64 * len(tiles), 64)
    size = full(b"ispe", 0, 0, struct.pack(">II", 64 * len(tiles), 64))
    others = tuple(p for p in tiles[0].properties if p[4:8] in (b"pixi", b"colr"))
    to = tuple(range(2, 2 + len(tiles)))
    return Item(b"grid", shape, (size, *others), ((b"dimg", to),))


@pytest.mark.parametrize("hidden", [True, False])
def test_parts_masks_and_thumbnails_are_no_further_pictures(hidden):
    tiles = [replace(coded(pixels(64, 64) // n), hidden=hidden) for n in (1, 2)]
    small = replace(coded(pixels(8, 8)), links=((b"thmb", (1,)),))
    image = decode(avif_file(grid_of(*tiles), *tiles, small), "grid.avif")
    assert image.pixels.shape == (64, 128, 3)
    assert not image.notes
    with_alpha = decode(avif_file(SHOWN, ALPHA), "alpha.avif")
    assert with_alpha.alpha is not None
    assert not with_alpha.notes


@pytest.mark.parametrize(
    ("name", "note"),
    [
        (b"urn:com:apple:photo:2020:aux:hdrgainmap", GAIN_MAP),
        (b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth", "its depth map is not read"),
        (b"urn:mpeg:hevc:2015:auxid:2", "its depth map is not read"),
        (b"urn:x", "a picture that goes with its first one (an auxiliary one) is not read"),
    ],
)
def test_what_goes_with_the_picture_is_told_of(name, note):
    image = decode(avif_file(SHOWN, auxiliary(pixels(8, 12, 1)[..., 0], name)), "a.avif")
    assert image.unread == (note,)


def test_a_gain_map_is_told_of():
    mapped = Item(b"tmap", bytes(62), SHOWN.properties, ((b"dimg", (1, 2)),))
    hidden = replace(coded(pixels(8, 12)), hidden=True)
    assert decode(avif_file(SHOWN, hidden, mapped), "a.avif").unread == (GAIN_MAP,)


@pytest.mark.parametrize("inside", [True, False])
def test_what_a_picture_itself_says_of_its_size_counts(inside):
    item = replace(coded(pixels(64, 96)), inside=inside)
    small = full(b"ispe", 0, 0, struct.pack(">II", 8, 8))
    kept = (small, *(p for p in item.properties if p[4:8] != b"ispe"))
    assert inspect(avif_file(replace(item, properties=kept))).pixels == 64 * 96


def test_pictures_made_of_one_another_end():
    chain = [Item(b"iden", b"", links=((b"dimg", (number + 2,)),)) for number in range(20_000)]
    circle = Item(b"iden", b"", links=((b"dimg", (1,)),))
    found = inspect(avif_file(*chain, circle))
    assert found.frames == 1


@pytest.mark.parametrize("index", [0, 1, 2])
def test_lists_of_items_that_make_no_sense_are_refused_or_still_a_picture(index):
    data = avif_file(SHOWN, SECOND, described_by(b"Exif", EXIF))
    place = data.index((b"iref", b"iinf", b"ipma")[index])
    for byte in range(place + 4, place + 40):
        for value in (0, 1, 127, 255):
            decoded_or_refused(data[:byte] + bytes([value]) + data[byte + 1 :], "odd.avif")


@pytest.mark.parametrize("shape", [(65537, 1), (1, 70000)])
def test_too_large_a_side_is_refused(shape):
    with pytest.raises(EncodeError, match=r"^out\.avif: .* too large for avif"):
        encode(Image(np.zeros((*shape, 1), np.uint8)), AVIF, origin="out.avif")


def test_no_truncated_file_is_read():
    decode(SMALL, "whole.avif")
    for length in range(len(SMALL)):
        with pytest.raises(DecodeError, match=r"^cut\.avif: "):
            decode(SMALL[:length], "cut.avif")


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damage_is_refused_or_still_a_picture(data):
    damaged = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(12, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    image = decoded_or_refused(bytes(damaged), "damaged.avif")
    assert image is None or image.pixels.dtype in (np.uint8, np.uint16)


def test_an_impossible_size_is_refused():
    data = bytearray(SMALL)
    struct.pack_into(">II", data, data.find(b"ispe") + 8, 60000, 60000)
    with pytest.raises(DecodeError, match="more than the limit"):
        decode(bytes(data), "huge.avif")


@pytest.mark.parametrize("data", [b"\0\0\0\x0cftypavif", b"\0\0\0\0ftypavis", SMALL[:32]])
def test_a_file_without_a_picture_is_refused(data):
    with pytest.raises(DecodeError, match=r"^bare\.avif: "):
        decode(data, "bare.avif")


def test_pieces_are_joined_and_refused_where_they_share_bytes():
    def stored(*extents):
        places = tuple((Field(offset, 0, 4), length) for offset, length in extents)
        return Stored(1, in_file=True, in_meta=False, base=Field(0, 0, 4), extents=places)

    data = b"0123456789"
    assert _joined(stored((2, 2), (6, 2)), data, (0, 10)) == b"2367"
    with pytest.raises(DamagedError, match="overlap"):
        _joined(stored(*20 * [(2, 8)]), data, (0, 10))


def test_pieces_that_cost_no_bytes_are_refused():
    listed = struct.pack(">IHHHHH", 0, 0, 1, 1, 0, 65535)
    with pytest.raises(DamagedError, match="pieces without a place"):
        list(stored_items(listed, 0, len(listed)))


def test_the_xmp_of_another_picture_is_not_the_shown_ones():
    picture = coded(pixels(16, 24))
    other = Item(b"av01", picture.content, picture.properties)
    packet = b"<x:xmpmeta>of the other</x:xmpmeta>"
    links, mime = ((b"cdsc", (2,)),), b"application/rdf+xml"
    data = avif_file(picture, other, Item(b"mime", packet, links=links, mime=mime))
    assert decode(data, "a.avif").metadata.xmp is None
