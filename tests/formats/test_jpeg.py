"""JPEG: its kinds, its metadata, its damage, and what it cannot hold."""

import io
import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from reference import (
    GRAY_PROFILE,
    SRGB,
    decoded_or_refused,
    exif_blob,
    image_of,
    known,
    pillow_file,
    pillow_pixels,
    samples_of,
)
from support import pixels

from imgfx import directories
from imgfx.errors import DecodeError, EncodeError
from imgfx.files import decode, encode
from imgfx.formats import jpeg
from imgfx.image import Image, Metadata

JPEG = known("jpeg")
KINDS = {
    "baseline": {"quality": 90},
    "progressive": {"quality": 90, "progressive": True},
    "restart markers": {"quality": 90, "restart_marker_blocks": 2},
    "4:2:0": {"quality": 90, "subsampling": 2},
    "stored as RGB": {"quality": 90, "keep_rgb": True},
}


def cmyk_of(samples):
    """A Pillow image of inks, black among them."""
    inks = np.dstack([255 - samples, np.full(samples.shape[:2], 60, np.uint8)])
    return Pillow.frombytes("CMYK", samples.shape[1::-1], inks.tobytes())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_as_pillow_reads_it(kind):
    data = pillow_file(pixels(37, 50), "JPEG", **KINDS[kind])
    found = decode(data, "a.jpg").pixels
    assert np.abs(found.astype(int) - pillow_pixels(data, "RGB")).max() <= 2


def test_gray_stays_gray():
    data = pillow_file(pixels(37, 50, 1)[..., 0], "JPEG", quality=90)
    found = decode(data, "gray.jpg").pixels
    assert found.shape == (37, 50, 1)
    assert np.abs(found.astype(int) - pillow_pixels(data)).max() <= 2


def test_inks_become_rgb_as_in_pillow():
    data = pillow_file(cmyk_of(pixels(37, 50)), "JPEG", quality=95)
    found = decode(data, "cmyk.jpg")
    assert found.pixels.shape == (37, 50, 3)
    assert found.alpha is None
    assert np.abs(found.pixels.astype(int) - pillow_pixels(data, "RGB")).max() <= 3


def test_inks_coded_as_luma_and_chroma_become_rgb_as_in_pillow():
    """Pillow writes CMYK only; with Adobe's transform 2 the same samples mean YCCK."""
    data = bytearray(pillow_file(cmyk_of(pixels(37, 50)), "JPEG", quality=95))
    transform = data.find(b"Adobe") + 11
    assert data[transform] == 0
    data[transform] = 2
    found = decode(bytes(data), "ycck.jpg").pixels.astype(int)
    assert np.abs(found - pillow_pixels(bytes(data), "RGB")).max() <= 4


def test_the_profile_of_inks_is_left_out_with_a_note():
    profile = GRAY_PROFILE.replace(b"GRAY", b"CMYK")
    data = pillow_file(cmyk_of(pixels(8, 8)), "JPEG", icc_profile=profile)
    image = decode(data, "cmyk.jpg")
    assert image.metadata.icc is None
    assert image.notes == (
        "its CMYK pixels are turned to RGB",
        "its ICC profile is not for RGB or gray pixels; left out",
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_writing_and_reading_changes_little(channels):
    samples = pixels(41, 57, channels)
    data, notes = encode(image_of(samples), JPEG)
    found = decode(data, "again.jpg").pixels
    assert found.shape == samples.shape
    assert np.abs(found.astype(int) - samples).mean() < 4
    assert np.abs(pillow_pixels(data).astype(int) - found).max() <= 2
    assert not notes


@pytest.mark.parametrize("seed", range(3))
def test_colours_are_not_subsampled(seed):
    rng = np.random.default_rng(seed)
    samples = np.kron(rng.integers(0, 256, (8, 8, 3), np.uint8), np.ones((2, 2, 1), np.uint8))
    data, _ = encode(image_of(samples), JPEG, quality=100)
    assert np.abs(decode(data, "a.jpg").pixels.astype(int) - samples).max() <= 8


def test_a_higher_quality_is_larger_and_nearer():
    samples = pixels(64, 64)
    files = [encode(image_of(samples), JPEG, quality=quality)[0] for quality in (1, 50, 100)]
    errors = [np.abs(decode(f, "q").pixels.astype(int) - samples).mean() for f in files]
    assert sorted(map(len, files)) == list(map(len, files))
    assert sorted(errors, reverse=True) == errors


def test_16_bits_become_8_with_a_note_and_not_white():
    samples = pixels(20, 30, 3, "uint16")
    data, notes = encode(image_of(samples), JPEG, quality=100)
    found = decode(data, "deep.jpg")
    assert np.abs(found.pixels.astype(int) - samples / 257).max() < 8
    assert notes == ("jpeg cannot hold uint16 samples; written as uint8",)


def test_floats_become_8_bits_with_a_note_and_not_black():
    samples = pixels(20, 30).astype(np.float32) / 255
    data, notes = encode(image_of(samples), JPEG, quality=100)
    assert np.abs(decode(data, "float.jpg").pixels / 255 - samples).max() < 8 / 255
    assert notes == ("jpeg cannot hold float32 samples; written as uint8",)


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_laid_over_white_with_a_note(channels):
    samples = pixels(24, 24, channels)
    samples[..., -1] = np.kron([[0, 255], [128, 255]], np.ones((12, 12), np.uint8))
    data, notes = encode(image_of(samples), JPEG, quality=100)
    assert notes == ("jpeg cannot hold alpha; laid over white",)
    share = samples[..., -1:] / 255
    expected = samples[..., :-1] * share + 255 * (1 - share)
    assert np.abs(decode(data, "over.jpg").pixels - expected).max() < 8


def test_opaque_alpha_is_left_out_without_a_note():
    samples = pixels(8, 8, 4)
    samples[..., 3] = 255
    data, notes = encode(image_of(samples), JPEG, quality=100)
    assert not notes
    assert np.abs(decode(data, "a.jpg").pixels.astype(int) - samples[..., :3]).max() < 8


@pytest.mark.parametrize("shape", [(65501, 1), (1, 70000)])
def test_too_large_a_side_is_refused(shape):
    image = Image(np.zeros((*shape, 1), np.uint8))
    with pytest.raises(EncodeError, match=r"^out\.jpg: .* too large for jpeg .*65500"):
        encode(image, JPEG, origin="out.jpg")


def test_the_largest_side_is_written():
    data, _ = encode(Image(np.full((1, 65500, 1), 77, np.uint8)), JPEG)
    assert np.abs(decode(data, "wide.jpg").pixels.astype(int) - 77).max() <= 1


def test_metadata_comes_through():
    metadata = Metadata(exif_blob(), b"<x:xmpmeta/>", SRGB, (300.0, 150.0))
    data, notes = encode(image_of(pixels(8, 9), metadata=metadata), JPEG)
    assert decode(data, "again.jpg").metadata == metadata
    image = Pillow.open(io.BytesIO(data))
    assert image.getexif()[0x010F] == "imgfx tests"
    assert image.info["icc_profile"] == SRGB
    assert image.info["xmp"] == b"<x:xmpmeta/>"
    assert image.info["dpi"] == (300, 150)
    assert not notes


def test_a_large_profile_is_divided_and_joined():
    profile = SRGB[:132] + np.random.default_rng(0).bytes(200_000)
    data, notes = encode(image_of(pixels(8, 9), metadata=Metadata(icc=profile)), JPEG)
    assert decode(data, "again.jpg").metadata.icc == profile
    assert Pillow.open(io.BytesIO(data)).info["icc_profile"] == profile
    assert not notes


@pytest.mark.parametrize(
    ("metadata", "label"),
    [
        (Metadata(exif=exif_blob() + bytes(70_000)), "EXIF"),
        (Metadata(xmp=b"<x:xmpmeta/>" + b" " * 70_000), "XMP"),
        (Metadata(icc=SRGB[:132] + bytes(17 << 20)), "ICC profile"),
    ],
)
def test_metadata_that_does_not_fit_is_left_out_with_a_note(metadata, label):
    data, notes = encode(image_of(pixels(8, 9), metadata=metadata), JPEG)
    assert decode(data, "again.jpg").metadata == Metadata(dpi=None)
    assert len(notes) == 1
    assert notes[0].startswith(f"{label} of ")


def test_a_resolution_in_centimetres_is_converted():
    data = bytearray(pillow_file(pixels(8, 8), "JPEG", dpi=(10, 20)))
    data[data.find(b"JFIF") + 7] = 2
    assert decode(bytes(data), "a.jpg").metadata.dpi == pytest.approx((25.4, 50.8))


@pytest.mark.parametrize("kind", KINDS)
def test_no_truncated_file_is_read(kind):
    data = pillow_file(pixels(20, 30), "JPEG", exif=exif_with_thumbnail(), **KINDS[kind])
    decode(data, "whole.jpg")
    for length in range(0, len(data), 3):
        with pytest.raises(DecodeError, match=r"^cut\.jpg: "):
            decode(data[:length], "cut.jpg")


def exif_with_thumbnail():
    """An EXIF structure that ends with a small, whole JPEG."""
    small = pillow_file(pixels(8, 8), "JPEG")
    assert small.startswith(b"\xff\xd8")
    assert small.endswith(b"\xff\xd9")
    return b"Exif\0\0" + exif_blob() + small


def test_a_thumbnail_is_not_taken_for_the_picture():
    data = pillow_file(pixels(20, 30), "JPEG", exif=exif_with_thumbnail())
    assert decode(data, "a.jpg").pixels.shape == (20, 30, 3)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_damage_is_refused_or_still_a_picture(data):
    damaged = bytearray(pillow_file(pixels(12, 15), "JPEG", **KINDS["restart markers"]))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(3, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    image = decoded_or_refused(bytes(damaged), "damaged.jpg")
    assert image is None or image.pixels.dtype == np.uint8


def test_a_marker_that_does_not_exist_is_damage():
    data = bytearray(pillow_file(pixels(64, 64), "JPEG", quality=95))
    middle = len(data) * 3 // 4
    data[middle : middle + 2] = b"\xff\x17"
    with pytest.raises(DecodeError, match="damaged JPEG"):
        decode(bytes(data), "damaged.jpg")


@pytest.mark.parametrize(
    ("size", "reason"),
    [((65500, 65500), "more than the limit"), ((20000, 20000), "too short"), ((0, 9), "no image")],
)
def test_an_impossible_size_is_refused(size, reason):
    data = bytearray(pillow_file(pixels(20, 30), "JPEG"))
    struct.pack_into(">HH", data, data.find(b"\xff\xc0") + 5, *size)
    with pytest.raises(DecodeError, match=reason):
        decode(bytes(data), "impossible.jpg")


@pytest.mark.parametrize("progressive", [False, True])
def test_a_large_picture_of_one_colour_is_not_taken_for_a_truncated_one(progressive):
    blank = np.full((4000, 4000), 255, np.uint8)
    options = {"quality": 1, "progressive": progressive, "optimize": True}
    data = pillow_file(blank, "JPEG", **options)
    assert decode(data, "blank.jpg").pixels.min() == 255


def test_fill_bytes_and_what_follows_the_end_are_no_damage():
    data = pillow_file(pixels(20, 30), "JPEG")
    padded = data[:2] + b"\xff\xff" + data[2:] + b"trailing"
    np.testing.assert_array_equal(
        samples_of(decode(padded, "padded.jpg")), samples_of(decode(data, "plain.jpg"))
    )


def test_no_jpeg_is_no_jpeg():
    with pytest.raises(DecodeError, match="no image"):
        decode(b"\xff\xd8\xff\xd9", "empty.jpg")
    assert jpeg.MARKER.search(b"\xff\x00\xff\xd3\xff\xff\xd9").end() == 7


@pytest.mark.parametrize("comment", ["by me", "von Jürgen\n山田"])
def test_comments_are_kept(comment):
    image = decode(pillow_file(pixels(8, 8), "JPEG", comment=comment.encode()), "a.jpg")
    assert image.metadata.texts == (("Comment", comment),)
    data, notes = encode(image, known("jpeg"))
    assert not notes
    assert Pillow.open(io.BytesIO(data)).info["comment"] == comment.encode()
    data, notes = encode(image, known("png"))
    assert not notes
    assert Pillow.open(io.BytesIO(data)).text == {"Comment": comment}


@pytest.mark.parametrize("encoding", ["latin-1", "cp1251", "shift-jis"])
def test_comments_of_another_time_are_kept_to_the_byte(encoding):
    comment = {"latin-1": "von Jürgen", "cp1251": "Фото деда", "shift-jis": "山田"}[encoding]
    written = comment.encode(encoding)
    image = decode(pillow_file(pixels(8, 8), "JPEG", comment=written), "a.jpg")
    data, notes = encode(image, known("jpeg"))
    assert (Pillow.open(io.BytesIO(data)).info["comment"], notes) == (written, ())
    data, notes = encode(image, known("png"))
    text = Pillow.open(io.BytesIO(data)).text["Comment"]
    assert (text.encode("latin-1"), notes) == (written, ())
    assert comment == text or encoding != "latin-1"


def test_surrogates_of_a_plugin_do_not_end_the_run():
    image = image_of(pixels(8, 8), metadata=Metadata(texts=(("Comment", "a\ud800"),)))
    for name in ("png", "jpeg"):
        data, notes = encode(image, known(name))
        assert not notes
        assert decode(data, "a").metadata.texts == (("Comment", "a?"),)


def test_a_comment_that_is_no_text_is_left_out_and_that_is_said():
    data = pillow_file(pixels(8, 8), "JPEG", comment=b"by\n\x1b[2J m\0e" + 60 * b"!")
    image = decode(data, "a.jpg")
    assert image.notes == (f"its comment (by ?[2J m?e{29 * '!'}...) is left out",)
    assert image.metadata == Metadata()
    blank = decode(pillow_file(pixels(8, 8), "JPEG", comment=b"\0 "), "a.jpg")
    assert not blank.notes
    assert not blank.metadata


def test_a_comment_too_long_for_a_segment_is_left_out_and_that_is_said():
    image = image_of(pixels(8, 8), metadata=Metadata(texts=(("Comment", "x" * 65534),)))
    data, notes = encode(image, known("jpeg"))
    assert notes == ("a comment of 65534 bytes does not fit in a JPEG; left out",)
    assert not decode(data, "a.jpg").metadata.texts


VIDEO = b"".join(
    struct.pack(">I", len(box) + 4) + box for box in (b"ftypmp42" + bytes(8), b"mdat" + bytes(40))
)
CLAIM = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description GCamera:MotionPhoto="1"/></x:xmpmeta>'
)
A_VIDEO = "the video behind the picture is not read"
A_GAIN_MAP = "its gain map for bright (HDR) screens is not read"
TWO = "only the first of 2 pictures in the file is read"


def with_second(xmp=b"", kind=0):
    """A JPEG with another picture behind it, of a type, which its list names."""
    seen = [Pillow.fromarray(pixels(24, 32)), Pillow.fromarray(pixels(12, 16))]
    seen[1].encoderinfo = {"xmp": xmp}
    data = bytearray(pillow_file(seen[0], "MPO", save_all=True, append_images=seen[1:]))
    listed = data.index(b"MPF\0") + 4
    order = "<" if data[listed : listed + 2] == b"II" else ">"
    entries = directories.read_directory(bytes(data[listed:]), order, 8).entries[0xB002].value
    place = data.index(entries)
    struct.pack_into(order + "I", data, place + 16, kind)
    return bytes(data)


@pytest.mark.parametrize("xmp", [b"", CLAIM], ids=["nothing said", "said in XMP"])
@pytest.mark.parametrize("before", [b"", b"MotionPhoto_Data"])
def test_the_video_of_a_motion_photo_is_not_read_and_that_is_said(xmp, before):
    data = pillow_file(pixels(24, 32), "JPEG", xmp=xmp) + before + VIDEO
    image = decode(data, "motion.jpg")
    assert image.notes == (A_VIDEO,)
    assert b"MotionPhoto" not in (image.metadata.xmp or b"")


def test_a_claim_without_a_video_is_taken_out_without_a_word():
    image = decode(pillow_file(pixels(24, 32), "JPEG", xmp=CLAIM), "still.jpg")
    assert not image.notes
    assert image.metadata.xmp == CLAIM.replace(b' GCamera:MotionPhoto="1"', b"")


def test_only_the_first_picture_is_read_and_that_is_said():
    data = with_second()
    assert decode(data, "two.jpg").notes == (TWO,)
    assert decode(data + VIDEO, "two.jpg").notes == (TWO, A_VIDEO)
    assert decode(data + VIDEO, "two.jpg").unread == (TWO, A_VIDEO)


@pytest.mark.parametrize("kind", [0x010001, 0x010002])
def test_a_preview_is_no_loss(kind):
    assert not decode(with_second(kind=kind), "preview.jpg").notes


def test_a_second_picture_that_is_not_there_is_no_loss():
    data = with_second()
    assert not decode(data[: data.index(b"\xff\xd9\xff\xd8") + 2], "one.jpg").notes


@pytest.mark.parametrize(
    "segment",
    [
        jpeg._segment(
            0xE1, jpeg._XMP + b'<x xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/>'
        ),
        jpeg._segment(0xE1, jpeg._XMP + b"<x>urn:com:apple:photo:2020:aux:hdrgainmap</x>"),
        jpeg._segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"),
    ],
    ids=["Adobe", "Apple", "ISO"],
)
def test_a_gain_map_is_not_read_and_that_is_said(segment):
    data = with_second()
    second = data.index(b"\xff\xd9\xff\xd8") + 4
    image = decode(data[:second] + segment + data[second:], "ultra.jpg")
    assert image.notes == (A_GAIN_MAP,)


def ended_early(data, share):
    """The file with an end, but without the last part of its coded samples."""
    return data[: int(share * len(data))].rstrip(b"\xff") + b"\xff\xd9"


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_data_that_end_before_the_picture_are_found(mode, subsampling, share):
    source = Pillow.fromarray(pixels(75, 101)).convert(mode)
    for optimize in (False, True):
        data = pillow_file(source, "JPEG", subsampling=subsampling, optimize=optimize)
        decode(data, "whole.jpg")
        with pytest.raises(DecodeError, match="its data end before its picture does"):
            decode(ended_early(data, share), "short.jpg")


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("gray_rows", [30, 75])
def test_a_picture_that_ends_gray_is_whole(mode, gray_rows):
    samples = pixels(75, 101)
    samples[75 - gray_rows :] = 128
    data = pillow_file(Pillow.fromarray(samples).convert(mode), "JPEG", quality=90)
    image = decode(data, "gray.jpg")
    assert (image.pixels[-10:] == 128).all()


def test_restart_intervals_that_are_missing_are_found():
    data = pillow_file(pixels(75, 101), "JPEG", restart_marker_blocks=3)
    decode(data, "whole.jpg")
    places = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    with pytest.raises(DecodeError, match="parts of its picture are missing"):
        decode(data[: places[2]] + data[places[4] :], "short.jpg")


def test_a_progressive_picture_without_its_last_scans_is_told():
    data = pillow_file(pixels(75, 101), "JPEG", progressive=True)
    assert decode(data, "whole.jpg").unread == ()
    scans = [found.start() for found in re.finditer(rb"\xff\xda", data)]
    image = decode(data[: scans[-1]] + b"\xff\xd9", "short.jpg")
    assert image.unread == ("its last scans are missing: it is coarser than it was",)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_tables_and_frames_are_refused_or_still_a_picture(data):
    file = bytearray(pillow_file(pixels(20, 30), "JPEG", restart_marker_blocks=2))
    head = file.index(b"\xff\xda") + 14
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(2, head))] = data.draw(st.integers(0, 255))
    decoded_or_refused(bytes(file), "a.jpg")


def test_content_credentials_are_told():
    data = pillow_file(pixels(8, 9), "JPEG")
    payload = b"JP\0\1\0\0\0\1" + b"....jumb....jumdc2pa"
    signed = data[:2] + b"\xff\xeb" + struct.pack(">H", len(payload) + 2) + payload + data[2:]
    assert decode(data, "a.jpg").notes == ()
    assert decode(signed, "a.jpg").notes == (
        "its content credentials (C2PA), which are of other pixels, are left out",
    )


def with_resource(number):
    """A JPEG with one of Photoshop's resources."""
    body = b"Photoshop 3.0\0" + b"8BIM" + struct.pack(">HHI", number, 0, 4) + b"abcd"
    data = pillow_file(pixels(16, 16), "JPEG")
    return data[:2] + struct.pack(">HH", 0xFFED, len(body) + 2) + body + data[2:]


@pytest.mark.parametrize("number", [2000, 2998, 2999])
def test_paths_are_told_of(number):
    notes = decode(with_resource(number), "a.jpg").notes
    assert notes == ("its paths, as Photoshop draws them, are left out",)


def test_what_photoshop_noted_is_told_of_and_not_what_is_said_elsewhere():
    assert decode(with_resource(1050), "a.jpg").notes == (
        "what Photoshop noted for itself is left out",
    )
    for number in (1005, 1028, 1036, 1061):
        assert not decode(with_resource(number), "a.jpg").notes


def test_pixels_that_are_not_square_are_told_of():
    data = pillow_file(pixels(16, 16), "JPEG")
    place = data.index(b"JFIF") + 7
    oblong = data[:place] + struct.pack(">BHH", 0, 12, 11) + data[place + 5 :]
    assert decode(oblong, "a.jpg").notes == (
        "its pixels are not square (11:12), which is not kept",
    )


def test_kinds_that_are_not_read_are_named():
    data = bytearray(pillow_file(pixels(16, 16), "JPEG"))
    place = data.index(b"\xff\xc0")
    data[place + 4] = 12
    with pytest.raises(DecodeError, match="a JPEG with 12-bit samples is not supported; convert"):
        decode(bytes(data), "deep.jpg")
    data[place + 1] = 0xF7
    with pytest.raises(DecodeError, match="a JPEG-LS image is not supported; convert"):
        decode(bytes(data), "lossless.jpg")


def test_the_first_of_two_records_of_iptc_is_kept():
    def resource(content):
        return b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(content)) + content

    body = b"Photoshop 3.0\0" + resource(b"FIRST!") + resource(b"")
    plain = pillow_file(pixels(8, 8), "JPEG")
    data = plain[:2] + b"\xff\xed" + struct.pack(">H", len(body) + 2) + body + plain[2:]
    assert decode(data, "a.jpg").metadata.iptc == b"FIRST!"
