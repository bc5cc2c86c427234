"""AVIF: colours within error, depths, alpha, metadata, turns and damage."""

import io
import struct

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

from imgfx.errors import DecodeError, EncodeError
from imgfx.files import decode, encode
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
