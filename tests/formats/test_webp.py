"""WebP: lossless and lossy, alpha, animations, metadata, damage and limits."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as Pillow
from reference import (
    GRAY_PROFILE,
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

from imgfx.errors import DecodeError, EncodeError
from imgfx.files import decode, encode
from imgfx.image import Image, Metadata

WEBP = known("webp")
KINDS = {
    "lossy": (3, {"quality": 80}),
    "lossy with alpha": (4, {"quality": 80}),
    "lossless": (3, {"lossless": True}),
    "lossless with alpha": (4, {"lossless": True, "exact": True}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_as_pillow_reads_it(kind):
    channels, options = KINDS[kind]
    data = pillow_file(pixels(33, 47, channels), "WEBP", **options)
    found = samples_of(decode(data, "a.webp"))
    np.testing.assert_array_equal(found, pillow_pixels(data))


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_quality_100_changes_nothing(data):
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 2, st.sampled_from([3, 4])))
    samples = data.draw(arrays.arrays(np.uint8, shape))
    again, notes = passed_through(image_of(samples), "webp", quality=100)
    np.testing.assert_array_equal(again.pixels, samples[..., :3])
    if shape[2] == 4 and not (samples[..., 3] == 255).all():
        np.testing.assert_array_equal(again.alpha, samples[..., 3])
    assert not notes


@pytest.mark.parametrize("channels", [3, 4])
def test_writing_and_reading_changes_little(channels):
    samples = pixels(64, 48, channels)
    data, notes = encode(image_of(samples), WEBP)
    found = samples_of(decode(data, "again.webp"))
    np.testing.assert_array_equal(found, pillow_pixels(data))
    assert np.abs(found.astype(int) - samples).mean() < 8
    assert not notes


@pytest.mark.parametrize("channels", [1, 2])
def test_gray_becomes_rgb(channels):
    samples = pixels(6, 7, channels)
    again, _ = passed_through(image_of(samples), "webp", quality=100)
    assert again.pixels.shape == (6, 7, 3)
    seen = samples[..., -1] > 0
    np.testing.assert_array_equal(again.pixels[seen], np.repeat(samples[..., :1], 3, 2)[seen])


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_other_depths_become_8_bits_with_a_note(dtype):
    samples = pixels(6, 7, 3, "uint16")
    samples = samples if dtype == "uint16" else (samples / 65535).astype(np.float32)
    again, notes = passed_through(image_of(samples), "webp", quality=100)
    whole = 65535 if dtype == "uint16" else 1
    np.testing.assert_array_equal(again.pixels, np.rint(samples / whole * 255))
    assert notes == (f"webp cannot hold {dtype} samples; written as uint8",)


@pytest.mark.parametrize("shape", [(16384, 1), (1, 20000)])
def test_too_large_a_side_is_refused(shape):
    with pytest.raises(EncodeError, match=r"^out\.webp: .* too large for webp .*16383"):
        encode(Image(np.zeros((*shape, 1), np.uint8)), WEBP, origin="out.webp")


def test_the_largest_side_is_written():
    again, _ = passed_through(Image(np.full((1, 16383, 3), 77, np.uint8)), "webp", quality=100)
    np.testing.assert_array_equal(again.pixels, np.full((1, 16383, 3), 77))


def test_metadata_comes_through():
    metadata = Metadata(exif_blob(), XMP, SRGB)
    data, notes = encode(image_of(pixels(8, 9), metadata=metadata), WEBP)
    assert decode(data, "again.webp").metadata == metadata
    image = Pillow.open(io.BytesIO(data))
    assert image.getexif()[0x010F] == "imgfx tests"
    assert image.info["icc_profile"] == SRGB
    assert image.info["xmp"] == XMP
    assert not notes


def test_exif_with_the_prefix_of_jpeg_is_understood():
    turned = exif_blob(3)
    image = image_of(pixels(6, 9), metadata=Metadata(b"Exif\0\0" + turned))
    again, _ = passed_through(image, "webp", quality=100)
    np.testing.assert_array_equal(again.pixels, pixels(6, 9)[::-1, ::-1])
    assert again.metadata.exif == exif_blob(1)


def test_a_profile_for_gray_is_left_out_with_a_note():
    image = image_of(pixels(8, 9, 1), metadata=Metadata(icc=GRAY_PROFILE))
    again, notes = passed_through(image, "webp")
    assert again.metadata.icc is None
    assert notes == ("a profile for gray does not fit RGB pixels; left out",)


@pytest.mark.parametrize("options", [{"quality": 80}, {"lossless": True}])
@pytest.mark.parametrize("channels", [3, 4])
def test_only_the_first_picture_of_an_animation_is_read_and_that_is_said(channels, options):
    frames = [Pillow.fromarray(pixels(6, 9, channels) // n) for n in (1, 2, 4)]
    data = pillow_file(frames[0], "WEBP", save_all=True, append_images=frames[1:], **options)
    image = decode(data, "animation.webp")
    mode = "RGB" if image.alpha is None else "RGBA"
    np.testing.assert_array_equal(samples_of(image), pillow_pixels(data, mode))
    assert image.notes == ("only the first of 3 pictures in the file is read",)


def test_an_animation_without_alpha_gets_none():
    frames = [Pillow.fromarray(pixels(6, 9) // n) for n in (1, 2)]
    data = pillow_file(frames[0], "WEBP", save_all=True, append_images=frames[1:], quality=80)
    assert not data[20] & 0x10
    assert decode(data, "animation.webp").alpha is None


@pytest.mark.parametrize("kind", KINDS)
def test_no_truncated_file_is_read(kind):
    channels, options = KINDS[kind]
    data = pillow_file(pixels(12, 17, channels), "WEBP", exif=exif_blob(), **options)
    decode(data, "whole.webp")
    for length in range(len(data)):
        with pytest.raises(DecodeError, match=r"^cut\.webp: "):
            decode(data[:length], "cut.webp")


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_damage_is_refused_or_still_a_picture(data):
    channels, options = KINDS[data.draw(st.sampled_from(sorted(KINDS)))]
    damaged = bytearray(pillow_file(pixels(7, 9, channels), "WEBP", **options))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(12, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    image = decoded_or_refused(bytes(damaged), "damaged.webp")
    assert image is None or image.pixels.dtype == np.uint8


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF\4\0\0\0WEBP",
        b"RIFF\x0c\0\0\0WEBPVP8L\0\0\0\0",
        b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(10),
        b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        b"RIFF\x10\0\0\0WEBPVP8 \xff\xff\xff\x7f\0\0\0\0",
    ],
)
def test_a_file_without_a_picture_is_refused(data):
    with pytest.raises(DecodeError, match=r"^bare\.webp: "):
        decode(data, "bare.webp")


def test_a_picture_larger_than_the_limit_is_refused_before_decoding():
    canvas = struct.pack("<I", 0) + (2**24 - 1).to_bytes(3, "little") * 2
    data = b"WEBPVP8X" + struct.pack("<I", 10) + canvas
    data = b"RIFF" + struct.pack("<I", len(data)) + data
    with pytest.raises(DecodeError, match="more than the limit"):
        decode(data, "huge.webp")


def test_quality_100_keeps_the_colours_under_transparency():
    samples = pixels(16, 16, 4)
    samples[..., 3] = 0
    again, _ = passed_through(image_of(samples), "webp", quality=100)
    np.testing.assert_array_equal(samples_of(again), samples)
