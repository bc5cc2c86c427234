"""EXIF structures: read as far as they are sound, normalised, and written again."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from reference import exif_blob, image_of, known, passed_through, pillow_file, pillow_pixels, suite
from support import pixels

from imgfx import directories, exif
from imgfx.files import decode, encode, read_image
from imgfx.image import Metadata

EXIF, WIDTH, HEIGHT = 0x8769, 0xA002, 0xA003
# 24x40 in quarters of one colour each: no turn but the right one answers the same picture.
QUARTERS = np.kron(
    np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8),
    np.ones((12, 20, 1), np.uint8),
)


def tags_with(orientation):
    """For Pillow's writers."""
    tags = Pillow.Exif()
    tags[exif.ORIENTATION] = orientation
    return tags


def blob_of(entries, order="<", link=0):
    """A structure of one directory of (tag, kind, count, value or offset) entries."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    rows = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return head + struct.pack(order + "H", len(entries)) + rows + struct.pack(order + "I", link)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("JPEG", {"quality": 95, "subsampling": 0}, 6),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("AVIF", {"quality": 95}, 12),
    ],
)
def test_pictures_are_turned_upright(kind, options, tolerance, orientation):
    data = pillow_file(QUARTERS, kind, exif=tags_with(orientation), **options)
    image = decode(data, "turned")
    expected = pillow_pixels(data, "RGB", upright=True)
    assert image.pixels.shape == expected.shape == ((24, 40, 3) if orientation < 5 else (40, 24, 3))
    assert np.abs(image.pixels.astype(int) - expected).max() <= tolerance
    assert exif.orientation(image.metadata.exif) == 1


@pytest.mark.parametrize("name", ["png", "jpeg", "webp", "tiff"])
def test_a_turned_picture_is_written_upright(name):
    image = decode(pillow_file(QUARTERS, "PNG", exif=tags_with(6)), "turned.png")
    data, notes = encode(image, known(name), quality=100)
    assert not notes
    assert Pillow.open(io.BytesIO(data)).getexif()[exif.ORIENTATION] == 1
    written = pillow_pixels(data, "RGB", upright=True)
    assert written.shape == (40, 24, 3)
    assert np.abs(written.astype(int) - image.pixels).max() <= (8 if name == "jpeg" else 0)


@pytest.mark.parametrize("first", [0, 2, 7])
def test_a_directory_that_would_lie_in_the_head_leaves_the_head_alone(first):
    blob = b"II*\0" + first.to_bytes(4, "little") + bytes(40)
    assert exif.normalised(blob, 10, 20, 6) == blob


FACES = b"<mwg-rs:Regions><rdf:li>Ada</rdf:li></mwg-rs:Regions>"
PACKET = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>%s</rdf:RDF></x:xmpmeta>' % FACES


@pytest.mark.parametrize("orientation", [1, 6])
def test_places_of_faces_are_left_out_where_a_picture_is_turned(orientation):
    data = pillow_file(QUARTERS, "JPEG", exif=tags_with(orientation), xmp=PACKET)
    image = decode(data, "a.jpg")
    note = "it was turned upright; the places of faces in its XMP are left out"
    assert (note in image.notes) == (orientation != 1)
    assert (FACES in image.metadata.xmp) == (orientation == 1)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_makes_no_sense_turns_nothing(orientation):
    image = decode(pillow_file(QUARTERS, "PNG", exif=tags_with(orientation)), "odd.png")
    np.testing.assert_array_equal(image.pixels, QUARTERS)


def test_alpha_is_turned_with_the_pixels():
    samples = pixels(5, 8, 4)
    image = decode(pillow_file(samples, "PNG", exif=tags_with(8)), "turned.png")
    np.testing.assert_array_equal(image.pixels, np.rot90(samples[..., :3]))
    np.testing.assert_array_equal(image.alpha, np.rot90(samples[..., 3]))


def test_every_example_photograph_is_upright(data):
    folder = data / "robust" / "exif-orientation"
    paths = sorted(folder.glob("*.jpg"))
    assert len(paths) == 18
    for path in paths:
        image = read_image(path)
        expected = pillow_pixels(path.read_bytes(), "RGB", upright=True)
        assert image.pixels.shape == expected.shape, path.name
        assert np.abs(image.pixels.astype(int) - expected).max() <= 2, path.name
        assert exif.orientation(image.metadata.exif) == 1, path.name


def test_the_exif_of_pngsuite_is_read(data):
    path = next(path for path in suite(data) if path.name == "exif2c08.png")
    found = Pillow.Exif()
    found.load(read_image(path).metadata.exif)
    assert found[0x8298] == "2017 Willem van Schaik"


def test_the_size_in_exif_becomes_the_upright_one():
    tags = tags_with(6)
    tags.get_ifd(EXIF).update({WIDTH: 40, HEIGHT: 24})
    image = decode(pillow_file(QUARTERS, "PNG", exif=tags), "turned.png")
    found = Pillow.Exif()
    found.load(image.metadata.exif)
    assert found.get_ifd(EXIF) == {WIDTH: 24, HEIGHT: 40}


def test_the_size_in_exif_follows_the_written_image():
    tags = tags_with(1)
    tags.get_ifd(EXIF).update({WIDTH: 40, HEIGHT: 24})
    image = image_of(pixels(48, 80), metadata=Metadata(exif=tags.tobytes()[6:]))
    written = Pillow.open(io.BytesIO(encode(image, known("png"))[0]))
    assert written.getexif().get_ifd(EXIF) == {WIDTH: 80, HEIGHT: 48}


def test_the_thumbnail_is_cut_off():
    blob = blob_of([(exif.ORIENTATION, 3, 1, 6)], link=26) + blob_of([(0x0201, 4, 1, 99)])[8:]
    assert directories.next_offset(blob, "<", 8) == 26
    assert directories.next_offset(exif.normalised(blob, 4, 3), "<", 8) == 0


@pytest.mark.parametrize("order", ["<", ">"])
def test_normalising_changes_only_what_it_must(order):
    magic = b"II*\0" if order == "<" else b"MM\0*"
    short = struct.pack(order + "H", 6) + b"\0\0"
    directory = directories.Directory(
        {
            exif.ORIENTATION: directories.Entry(3, 1, short[:2]),
            0x010F: directories.Entry(2, 6, b"Maker\0"),
        },
        {
            EXIF: directories.Directory(
                {WIDTH: directories.Entry(4, 1, struct.pack(order + "I", 7))}
            )
        },
    )
    blob = directories.blob_from_directory(directory, order)
    assert blob.startswith(magic)
    assert exif.orientation(blob) == 6
    found = directories.read_directory(exif.normalised(blob, 30, 20), order, 8)
    assert directories.number(found.entries[exif.ORIENTATION], order) == 1
    assert found.entries[0x010F] == directories.Entry(2, 6, b"Maker\0")
    assert directories.number(found.children[EXIF].entries[WIDTH], order) == 30


@pytest.mark.parametrize(("kind", "count"), [(1, 1), (1, 4), (3, 2), (3, 3), (4, 1), (8, 1)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_picture_with_an_odd_orientation_is_turned_once(kind, count, order):
    code = {1: "B", 3: "H", 4: "I", 8: "h"}[kind]
    value = struct.pack(f"{order}{count}{code}", 6, *[0] * (count - 1))
    entry = directories.Entry(kind, count, value)
    blob = directories.blob_from_directory(directories.Directory({exif.ORIENTATION: entry}), order)
    image = decode(pillow_file(QUARTERS, "JPEG", exif=b"Exif\0\0" + blob), "odd.jpg")
    assert image.pixels.shape == (40, 24, 3)
    again, _ = passed_through(image, "jpeg", quality=95)
    assert again.pixels.shape == (40, 24, 3)
    assert exif.orientation(image.metadata.exif) == 1


def test_an_orientation_that_lies_outside_breaks_nothing():
    blob = blob_of([(exif.ORIENTATION, 3, 3, 0)])
    assert directories.byte_order(exif.normalised(blob, 4, 3)) == "<"


def test_a_size_too_large_for_its_field_is_capped():
    blob = blob_of([(WIDTH, 3, 1, 5)])
    found = directories.read_directory(exif.normalised(blob, 100_000, 1), "<", 8)
    assert directories.number(found.entries[WIDTH], "<") == 0xFFFF


@pytest.mark.parametrize(
    "blob", [b"", b"II", b"II*\0", b"II*\0\xff\xff\xff\xff", b"Exif\0\0II*\0", b"\0" * 40]
)
def test_what_is_no_structure_has_no_orientation_and_is_kept(blob):
    assert exif.orientation(blob) == 1
    assert exif.normalised(blob, 4, 3) == blob


def test_entries_that_point_outside_are_left_out():
    blob = blob_of([(0x010F, 2, 100, 4000), (exif.ORIENTATION, 3, 1, 8)])
    assert list(directories.read_directory(blob, "<", 8).entries) == [exif.ORIENTATION]


def test_a_directory_of_links_to_itself_ends():
    blob = blob_of([(EXIF, 4, 1, 8)] * 4000)
    started = time.monotonic()
    assert exif.orientation(blob) == 1
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("order", ["<", ">"])
def test_directories_survive_writing(order):
    inner = directories.Directory({0xA001: directories.Entry(3, 1, b"\0\1")})
    outer = directories.Directory(
        {0x010F: directories.Entry(2, 3, b"ab\0"), 0x9C9B: directories.Entry(1, 7, b"1234567")},
        {EXIF: inner},
    )
    blob = directories.blob_from_directory(outer, order)
    found = directories.read_directory(blob, order, directories.first_offset(blob, order))
    assert found.entries == outer.entries
    assert found.children[EXIF].entries == inner.entries


def test_pillow_reads_what_is_written():
    blob = exif_blob(3)
    order = directories.byte_order(blob)
    again = directories.blob_from_directory(directories.read_directory(blob, order, 8), order)
    found = Pillow.Exif()
    found.load(again)
    assert (found[0x010F], found[exif.ORIENTATION]) == ("imgfx tests", 3)
    assert found.get_ifd(EXIF) == {0x9003: "2024:01:02 03:04:05"}


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([b"II*\0", b"MM\0*"]), st.binary(max_size=120))
def test_no_bytes_are_too_bad(magic, rest):
    blob = magic + rest
    assert 1 <= exif.orientation(blob) <= 8
    assert len(exif.normalised(blob, 4, 3)) == len(blob)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_no_damage_is_too_bad(data):
    blob = bytearray(exif_blob(6))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(8, len(blob) - 1))] = data.draw(st.integers(0, 255))
    order = directories.byte_order(bytes(blob))
    again = directories.blob_from_directory(
        directories.read_directory(bytes(blob), order, 8), order
    )
    assert directories.byte_order(again) == order
    assert len(exif.normalised(bytes(blob), 4, 3)) == len(blob)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'<a tiff:Orientation="6"/>', b'<a tiff:Orientation="1"/>'),
        (b"<a tiff:Orientation='8'/>", b"<a tiff:Orientation='1'/>"),
        (b"<tiff:Orientation> 3</tiff:Orientation>", b"<tiff:Orientation> 1</tiff:Orientation>"),
        (b'<a tiff:Orientation="1" exif:X="6"/>', b'<a tiff:Orientation="1" exif:X="6"/>'),
        (b"<a/>", b"<a/>"),
    ],
)
def test_the_orientation_in_xmp_is_reset(before, after):
    assert exif.normalised_xmp(before) == after


def test_xmp_is_reset_only_when_something_was_turned():
    packet = b'<x:xmpmeta tiff:Orientation="6"/>'
    plain = image_of(QUARTERS, metadata=Metadata(xmp=packet))
    kept, _ = passed_through(plain, "png")
    assert kept.metadata.xmp == packet
    tags = tags_with(6).tobytes()[6:]
    data = encode(plain, known("png"))[0]
    turned = data[:33] + struct.pack(">I", len(tags)) + b"eXIf" + tags
    turned += struct.pack(">I", zlib.crc32(b"eXIf" + tags)) + data[33:]
    assert decode(turned, "turned.png").metadata.xmp == packet.replace(b"6", b"1")


def test_entries_that_share_their_bytes_do_not_grow_without_bound():
    """A small blob whose every entry spans all of it: copied out, they would be gigabytes."""
    number = 4000
    size = 10 + 12 * number + 4
    entries = b"".join(struct.pack("<HHII", tag, 7, size, 0) for tag in range(number))
    blob = struct.pack("<2sHIH", b"II", 42, 8, number) + entries + bytes(4)
    found = directories.read_directory(blob, "<", 8)
    assert sum(len(entry.value) for entry in found.entries.values()) <= 2 * len(blob)


def with_maker_notes():
    """A camera's EXIF: a maker, an exposure and notes of its own."""
    notes = directories.Entry(7, 8, b"\1\2\3\4\5\6\7\x08")
    exposure = directories.Entry(5, 1, struct.pack("<II", 1, 60))
    own = directories.Directory({0x829A: exposure, 0x927C: notes})
    return directories.blob_from_directory(
        directories.Directory({0x010F: directories.Entry(2, 6, b"Maker\0")}, {0x8769: own}), "<"
    )


def test_maker_notes_are_left_out_where_they_would_be_moved():
    blob = with_maker_notes()
    assert exif.has_maker_notes(blob)
    assert not exif.has_maker_notes(None)
    image = image_of(pixels(8, 9), metadata=Metadata(blob))
    data, notes = encode(image, known("tiff"))
    line = "the camera's own notes, which say where in the file they are, are left out"
    assert notes == (line,)
    found = decode(data, "a.tif")
    assert not exif.has_maker_notes(found.metadata.exif)
    assert b"Maker" in found.metadata.exif
    assert struct.pack("<II", 1, 60) in found.metadata.exif
    data, notes = encode(image, known("jpeg"))
    assert notes == ()
    assert exif.has_maker_notes(decode(data, "a.jpg").metadata.exif)


SUBJECT, SUBJECT_PLACE = 0x9214, 0xA214


def shorts(*values):
    """An entry of such numbers."""
    return directories.Entry(3, len(values), struct.pack(f"<{len(values)}H", *values))


def camera_blob(orientation=1, size=(40, 24), **more):
    """Of a photograph of this stored size: `own` are more entries of the Exif directory."""
    wide, high = (directories.Entry(4, 1, struct.pack("<I", value)) for value in size)
    inner = directories.Directory({WIDTH: wide, HEIGHT: high, **more.get("own", {})})
    first = {exif.ORIENTATION: shorts(orientation), 0x0100: wide, 0x0101: high}
    return directories.blob_from_directory(
        directories.Directory({**first, **more.get("first", {})}, {EXIF: inner}), "<"
    )


def inner_values(blob, tag):
    """What an entry of the Exif directory holds; None where there is none."""
    entry = directories.read_directory(blob, "<", 8).children[EXIF].entries.get(tag)
    return entry and struct.unpack(f"<{entry.count}H", entry.value)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_subject_stays_where_it_is_in_the_picture(orientation):
    samples = np.zeros((24, 40, 3), np.uint8)
    samples[5, 31] = 255
    own = {SUBJECT: shorts(31, 5, 8, 2), SUBJECT_PLACE: shorts(31, 5)}
    blob = camera_blob(orientation, own=own)
    image = decode(pillow_file(samples, "PNG", exif=b"Exif\0\0" + blob), "a.png")
    ((y, x),) = np.argwhere(image.pixels[..., 0])
    extent = (8, 2) if orientation < 5 else (2, 8)
    assert inner_values(image.metadata.exif, SUBJECT) == (x, y, *extent)
    assert inner_values(image.metadata.exif, SUBJECT_PLACE) == (x, y)


def test_the_subject_s_place_grows_with_the_picture():
    blob = camera_blob(own={SUBJECT: shorts(31, 5, 8), SUBJECT_PLACE: shorts(31, 5)})
    found = exif.normalised(blob, 120, 72)
    assert inner_values(found, SUBJECT) == (93, 15, 24)
    assert inner_values(found, SUBJECT_PLACE) == (93, 15)


@pytest.mark.parametrize("size", [(40, 20), (24, 40)])
def test_a_subject_of_a_picture_of_another_shape_is_left_out_and_nothing_moves(size):
    notes = directories.Entry(7, 8, b"\1\2\3\4\5\6\7\x08")
    own = {SUBJECT: shorts(31, 5, 8, 2), 0x927C: notes, SUBJECT_PLACE: shorts(31, 5)}
    blob = camera_blob(own={**own, 0xA420: directories.Entry(2, 5, b"name\0")})
    found = exif.normalised(blob, *size)
    assert found.index(notes.value) == blob.index(notes.value)
    inner = directories.read_directory(found, "<", 8).children[EXIF].entries
    assert sorted(inner) == [0x927C, WIDTH, HEIGHT, 0xA420]
    assert inner[0xA420].value == b"name\0"
    assert directories.number(inner[WIDTH], "<") == size[0]


def test_a_turn_that_the_container_states_goes_for_that_of_the_blob():
    found = exif.normalised(camera_blob(own={SUBJECT_PLACE: shorts(31, 5)}), 24, 40, turn=6)
    assert inner_values(found, SUBJECT_PLACE) == (18, 31)
    assert exif.orientation(found) == 1


def test_a_subject_without_the_picture_s_size_is_left_out():
    inner = directories.Directory({SUBJECT_PLACE: shorts(31, 5)})
    blob = directories.blob_from_directory(directories.Directory(children={EXIF: inner}), "<")
    assert inner_values(exif.normalised(blob, 40, 24), SUBJECT_PLACE) is None


def test_the_sizes_of_the_first_directory_follow_the_picture():
    found = directories.read_directory(exif.normalised(camera_blob(6), 24, 40), "<", 8)
    assert [directories.number(found.entries[tag], "<") for tag in (0x0100, 0x0101)] == [24, 40]


@pytest.mark.parametrize("name", ["png", "jpeg", "webp", "tiff", "avif"])
@pytest.mark.parametrize(("orientation", "dpi"), [(3, (300, 150)), (6, (150, 300))])
def test_a_resolution_of_two_numbers_is_turned_everywhere(name, orientation, dpi):
    """EXIF, and what a container says itself, tell the same."""
    ratios = [directories.Entry(5, 1, struct.pack("<II", value, 1)) for value in (300, 150)]
    first = {0x011A: ratios[0], 0x011B: ratios[1], 0x0128: shorts(2)}
    file = pillow_file(QUARTERS, "JPEG", exif=b"Exif\0\0" + camera_blob(orientation, first=first))
    image = decode(file, "a.jpg")
    assert image.metadata.dpi == dpi
    data, _ = encode(image, known(name))
    again = decode(data, "again").metadata
    assert again.dpi == pytest.approx(dpi, abs=0.1)
    if name != "tiff":  # whose own directory has it
        assert exif.resolution(again.exif) == pytest.approx(dpi, abs=0.1)


def with_thumbnail(where, length, content=b"\xff\xd8 the picture before"):
    """A blob whose second directory says where in it a thumbnail is; 0 is behind all else."""
    blob = camera_blob(6, first={0x010F: directories.Entry(2, 6, b"Maker\0")})
    start = len(blob)
    rows = struct.pack("<HHIIHHII", 0x0201, 4, 1, where or start + 30, 0x0202, 4, 1, length)
    blob += struct.pack("<H", 2) + rows + bytes(4) + content
    link = 10 + 12 * 5
    return blob[:link] + struct.pack("<I", start) + blob[link + 4 :]


@pytest.mark.parametrize("length", [25, 100])
def test_the_thumbnail_s_bytes_are_wiped(length):
    blob = with_thumbnail(0, length)
    found = exif.normalised(blob, 24, 40)
    assert directories.next_offset(found, "<", 8) == 0
    assert b"picture before" not in found
    assert len(found) == len(blob)
    assert directories.read_directory(found, "<", 8) == directories.read_directory(
        exif.normalised(blob[: blob.index(b"\xff\xd8")], 24, 40), "<", 8
    )


def test_a_thumbnail_that_is_said_to_be_where_values_are_wipes_none():
    blob = with_thumbnail(with_thumbnail(0, 1).index(b"Maker"), 4)
    found = exif.normalised(blob, 24, 40)
    assert directories.read_directory(found, "<", 8).entries[0x010F].value == b"Maker\0"
    assert directories.next_offset(found, "<", 8) == 0


def test_no_thumbnail_stays_in_a_photograph_that_is_written():
    small = pillow_file(QUARTERS, "JPEG")
    blob = with_thumbnail(0, len(small), small)
    file = pillow_file(QUARTERS, "JPEG", exif=b"Exif\0\0" + blob)
    assert file.count(small) == 1
    for name in ("jpeg", "png", "webp", "avif"):
        data, _ = encode(decode(file, "a.jpg"), known(name))
        assert small[2:60] not in data[: -len(small)], name


REGIONS = b"<mwg-rs:Regions><a/></mwg-rs:Regions>"


def test_places_in_xmp_are_left_out_where_the_picture_is_turned():
    packet = b'<x:xmpmeta tiff:Orientation="%d">%s</x:xmpmeta>'
    for orientation, kept in ((1, REGIONS), (6, b"")):
        data = pillow_file(
            QUARTERS,
            "JPEG",
            exif=tags_with(orientation).tobytes(),
            xmp=packet % (orientation, REGIONS),
        )
        assert decode(data, "a.jpg").metadata.xmp == packet % (1, kept)


@pytest.mark.parametrize(("turn", "kept"), [(None, REGIONS), (1, REGIONS), (2, b""), (8, b"")])
def test_the_turn_of_the_pixels_says_whether_places_in_xmp_are_right(turn, kept):
    assert exif.normalised_xmp(b"<a>%s</a>" % REGIONS, turn) == b"<a>%s</a>" % kept
    stated = b'<a tiff:Orientation="3">%s</a>'
    left = kept if turn else b""
    assert exif.normalised_xmp(stated % REGIONS, turn) == b'<a tiff:Orientation="1">%s</a>' % left


def test_places_in_xmp_stay_in_an_avif_that_is_not_turned():
    image = image_of(QUARTERS, metadata=Metadata(xmp=b"<x:xmpmeta>%s</x:xmpmeta>" % REGIONS))
    again, _ = passed_through(image, "avif")
    assert REGIONS in again.metadata.xmp


def test_the_sizes_in_xmp_follow_the_written_image():
    packet = b'<x:xmpmeta tiff:ImageWidth="%d" tiff:ImageLength="%d"/>'
    image = image_of(pixels(48, 80), metadata=Metadata(xmp=packet % (40, 24)))
    for name in ("png", "jpeg", "webp", "tiff"):
        assert passed_through(image, name)[0].metadata.xmp == packet % (80, 48)
