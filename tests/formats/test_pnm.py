"""PBM, PGM, PPM and PAM: headers, maxima, plain text, and damage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as Pillow
from reference import (
    SRGB,
    decoded_or_refused,
    image_of,
    known,
    passed_through,
    pillow_file,
    pillow_pixels,
    samples_of,
)
from support import pixels

from imgfx.errors import DecodeError
from imgfx.files import decode, encode
from imgfx.formats import DamagedError, pnm
from imgfx.image import Metadata

PAM = b"P7\nWIDTH 3\nHEIGHT 2\nDEPTH %d\nMAXVAL %d\nTUPLTYPE %s\nENDHDR\n"


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_writing_and_reading_changes_nothing(data):
    name, channels = data.draw(
        st.sampled_from([("pam", n) for n in (1, 2, 3, 4)] + [("ppm", 1), ("ppm", 3)])
    )
    shape = (*data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9))), channels)
    samples = data.draw(arrays.arrays(data.draw(st.sampled_from(["uint8", "uint16"])), shape))
    again, notes = passed_through(image_of(samples), name)
    np.testing.assert_array_equal(samples_of(again), samples)
    assert again.depth == samples.dtype
    assert not notes


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_pillows_files_are_read_as_it_reads_them(mode):
    source = Pillow.fromarray(pixels(13, 19)).convert(mode)
    data = pillow_file(source, "PPM")
    expected = pillow_pixels(data, "L" if mode == "1" else None)
    np.testing.assert_array_equal(decode(data, "a.ppm").pixels, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_pillow_reads_what_is_written(channels):
    samples = pixels(13, 19, channels)
    data, _ = encode(image_of(samples), known("ppm"))
    np.testing.assert_array_equal(pillow_pixels(data), samples)


def test_a_pam_says_what_its_channels_are():
    samples = np.array([[[1, 2, 3, 4], [0xFFFE, 6, 7, 8]]], np.uint16)
    data, _ = encode(image_of(samples), known("pam"))
    assert data == (
        b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 4\nMAXVAL 65535\nTUPLTYPE RGB_ALPHA\nENDHDR\n"
        b"\0\1\0\2\0\3\0\4\xff\xfe\0\6\0\7\0\x08"
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"P1\n3 2\n0 1 0\n1 1 0\n", [[255, 0, 255], [0, 0, 255]]),
        (b"P1 3 2 010110", [[255, 0, 255], [0, 0, 255]]),
        (b"P2\n# a comment\n3 # another\n2\n100\n0 50 100 # more\n25 100 0\n",
         [[0, 128, 255], [64, 255, 0]]),
        (b"P2 3 2 1000 0 500 1000 1 999 0", [[0, 32768, 65535], [66, 65469, 0]]),
        (b"P4\n3 2\n\x40\xc0", [[255, 0, 255], [0, 0, 255]]),
        (b"P5\n3 2\n255\n\0\x80\xff\x40\xff\0", [[0, 128, 255], [64, 255, 0]]),
        (b"P5 3 2 100\n\0\x32\x64\x19\x64\0", [[0, 128, 255], [64, 255, 0]]),
        (b"P5 3 2 100 \0\x32\x65\x19\xff\0", [[0, 128, 255], [64, 255, 0]]),
        (b"P5 3 2 65535\n\0\0\x80\0\xff\xff\0\1\xff\xfe\0\0", [[0, 32768, 65535], [1, 65534, 0]]),
        (PAM % (1, 1, b"BLACKANDWHITE") + b"\0\1\0\1\1\0", [[0, 255, 0], [255, 255, 0]]),
        (PAM % (1, 255, b"GRAYSCALE") + b"\0\x80\xff\x40\xff\0", [[0, 128, 255], [64, 255, 0]]),
    ],
)  # fmt: skip
def test_gray_files_are_read_at_their_full_range(data, expected):
    image = decode(data, "a.pgm")
    np.testing.assert_array_equal(image.pixels[..., 0], expected)
    assert image.depth == ("uint16" if np.max(expected) > 255 else "uint8")


def test_plain_colours_are_read():
    image = decode(b"P3\n1 2\n255\n1 2 3\n4 5 6\n", "a.ppm")
    np.testing.assert_array_equal(image.pixels, [[[1, 2, 3]], [[4, 5, 6]]])


def test_the_fields_of_a_pam_come_in_any_order():
    head = b"P7\n# note\nMAXVAL 255\nDEPTH 2\nTUPLTYPE GRAYSCALE_ALPHA\nHEIGHT 1\nWIDTH 2\nENDHDR\n"
    image = decode(head + b"\1\2\3\4", "a.pam")
    np.testing.assert_array_equal(samples_of(image), [[[1, 2], [3, 4]]])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"P5\n0 2\n255\n", "invalid size"),
        (b"P5\n3 2\n0\n\0\0\0\0\0\0", "invalid size"),
        (b"P5\n3 2\n65536\n" + bytes(12), "invalid size"),
        (b"P2\n1 1\n255\nx\n", "no number"),
        (b"P2\n1 1\n255\n", "truncated"),
        (b"P2 1 1 255 -5", "beyond"),
        (b"P2 1 1 255 300", "beyond"),
        (b"P2 1 1 100 101", "beyond"),
        (b"P2 1 1 255 " + b"9" * 40, "beyond"),
        (b"P2 1 1 255 " + b"9" * 9000, "no number"),
        (b"P6 999999999 999999999 255\n", "more than the limit"),
        (b"P3 20000 20000 255\n1 2 3", "truncated"),
        (b"P5\n" + b"#" * 5000 + b"\n1 1 255\n\0", "no valid"),
        (b"P7\nWIDTH 3\nHEIGHT 2\nDEPTH 3\nENDHDR\n" + bytes(18), "incomplete"),
        (PAM % (5, 255, b"MANY") + bytes(30), "invalid size"),
        (PAM % (4, 255, b"CMYK") + bytes(24), "CMYK"),
        (PAM % (5, 255, b"CMYK_ALPHA") + bytes(30), "CMYK"),
    ],
)
def test_what_makes_no_picture_is_refused(data, reason):
    with pytest.raises(DecodeError, match=reason):
        decode(data, "odd.pnm")


@pytest.mark.parametrize(("name", "channels"), [("ppm", 1), ("ppm", 3), ("pam", 2), ("pam", 4)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_no_truncated_file_is_read(name, channels, dtype):
    data, _ = encode(image_of(pixels(3, 4, channels, dtype)), known(name))
    for length in range(len(data)):
        with pytest.raises(DecodeError, match=r"^cut: "):
            decode(data[:length], "cut")


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(b"1234567"), st.binary(max_size=60))
def test_no_bytes_are_too_bad(kind, rest):
    image = decoded_or_refused(b"P" + bytes([kind]) + b"\n" + rest, "odd.pnm")
    assert image is None or image.pixels.size > 0


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_damaged_headers_are_refused_or_still_a_picture(data):
    name = data.draw(st.sampled_from(["ppm", "pam"]))
    damaged = bytearray(encode(image_of(pixels(3, 4)), known(name))[0])
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(2, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    image = decoded_or_refused(bytes(damaged), "damaged.pnm")
    assert image is None or image.pixels.size > 0


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_laid_over_white_in_ppm_with_a_note(channels):
    samples = pixels(2, 2, channels)
    samples[..., -1] = [[0, 255], [128, 255]]
    again, notes = passed_through(image_of(samples), "ppm")
    share = samples[..., -1:] / 255
    np.testing.assert_allclose(
        again.pixels, samples[..., :-1] * share + 255 * (1 - share), atol=0.51
    )
    assert notes == ("ppm cannot hold alpha; laid over white",)


def test_metadata_is_left_out_with_a_note():
    again, notes = passed_through(image_of(pixels(4, 5), metadata=Metadata(icc=SRGB)), "pam")
    assert again.metadata == Metadata()
    assert notes == ("pam carries no EXIF, XMP or ICC; left out",)


def test_a_header_may_still_be_incomplete():
    assert pnm.parse_header(b"P5\n3 ") is None
    assert pnm.parse_header(b"P7\nWIDTH 3\n") is None
    assert pnm.parse_header(b"P5\n3 2\n255\n").payload == 6
    with pytest.raises(DamagedError):
        pnm.parse_header(b"P5\n" + b"x" * 5000)


def test_ppm_holds_no_alpha():
    with pytest.raises(ValueError, match="channels"):
        pnm.encode(pixels(2, 2, 4), pam=False)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_ending_of_gray_makes_colours_gray(dtype):
    samples = pixels(6, 7, 3, dtype)
    data, notes = encode(image_of(samples), known("ppm"), ending=".PGM")
    assert notes == ("a .pgm holds gray alone; the colours are left out",)
    found = decode(data, "a.pgm")
    expected = samples @ np.array([0.299, 0.587, 0.114])
    assert found.pixels.shape == (6, 7, 1)
    assert found.depth == dtype
    assert np.abs(found.pixels[..., 0] - expected).max() <= 0.51
    gray = image_of(samples[..., :1])
    assert encode(gray, known("ppm"), ending=".pgm")[1] == ()
    assert encode(image_of(samples), known("ppm"), ending=".ppm")[0].startswith(b"P6")
