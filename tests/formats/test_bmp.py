"""BMP: its kinds, alpha, and damage."""

import io
import struct

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
from imgfx.image import Metadata

BMP = known("bmp")


def bmp_file(body, width, height, bits, *, compression=0, palette=b""):
    """A BMP with a BITMAPINFOHEADER."""
    offset = 14 + 40 + len(palette)
    head = struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset)
    colours = len(palette) // 4 if compression != 3 else 0
    about = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(body), 0, 0, colours, 0
    )
    return head + about + palette + body


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_every_kind_that_pillow_writes_is_read_as_it_reads_it(mode):
    source = Pillow.fromarray(pixels(19, 27, 4))
    source = source if mode == "RGBA" else source.convert("RGB").convert(mode)
    data = pillow_file(source, "BMP")
    expected = pillow_pixels(data, {"1": "L", "L": "L"}.get(mode, "RGB"))
    np.testing.assert_array_equal(decode(data, "a.bmp").pixels, expected)


@pytest.mark.parametrize("colours", [2, 5, 16, 17, 256])
def test_palettes_become_rgb(colours):
    source = Pillow.fromarray(pixels(20, 31)).quantize(colours)
    data = pillow_file(source, "BMP")
    np.testing.assert_array_equal(decode(data, "a.bmp").pixels, np.asarray(source.convert("RGB")))


def test_rows_from_the_top_are_read():
    samples = pixels(4, 8)
    data = bmp_file(samples[..., ::-1].tobytes(), 8, -4, 24)
    np.testing.assert_array_equal(decode(data, "a.bmp").pixels, samples)


def test_five_bits_a_colour_are_read():
    samples = (pixels(4, 8) >> 3).astype(np.uint16)
    body = samples[..., 0] << 10 | samples[..., 1] << 5 | samples[..., 2]
    data = bmp_file(body.tobytes(), 8, -4, 16)
    found = decode(data, "a.bmp").pixels
    assert np.abs(found - samples * (255 / 31)).max() < 8


def test_a_fourth_byte_without_a_mask_is_no_alpha():
    samples = pixels(4, 8, 4)
    samples[..., 3] = 0
    data = bmp_file(samples[..., [2, 1, 0, 3]].tobytes(), 8, -4, 32)
    image = decode(data, "a.bmp")
    assert image.alpha is None
    np.testing.assert_array_equal(image.pixels, samples[..., :3])


def masked_bmp(header, alpha_mask, samples):
    """A BMP of 32 bits whose header, of so many bytes, says where the colours are."""
    masks = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    masks += struct.pack("<I", alpha_mask) if header >= 56 else b""
    body = samples[..., [2, 1, 0, 3]].tobytes()
    data = bytearray(bmp_file(body, 8, -4, 32, compression=3, palette=masks.ljust(header - 40)))
    struct.pack_into("<I", data, 14, header)
    return bytes(data)


@pytest.mark.parametrize("fourth", [0, 77])
@pytest.mark.parametrize("header", [40, 52, 56, 108, 124])
def test_a_fourth_byte_that_no_mask_names_is_no_alpha(header, fourth):
    samples = pixels(4, 8, 4)
    samples[..., 3] = fourth
    if header == 40:  # its masks are behind it
        masks = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
        body = samples[..., [2, 1, 0, 3]].tobytes()
        data = bmp_file(body, 8, -4, 32, compression=3, palette=masks)
    else:
        data = masked_bmp(header, 0, samples)
    image = decode(data, "a.bmp")
    assert image.alpha is None
    np.testing.assert_array_equal(image.pixels, samples[..., :3])


@pytest.mark.parametrize("header", [56, 108, 124])
def test_a_fourth_byte_with_a_mask_is_alpha(header):
    samples = pixels(4, 8, 4)
    image = decode(masked_bmp(header, 0xFF000000, samples), "a.bmp")
    np.testing.assert_array_equal(samples_of(image), samples)


def test_runs_are_read():
    palette = b"".join(bytes([n, n, 255 - n, 0]) for n in range(256))
    body = b"\4\x20\0\0" + b"\2\x30\2\x40\0\0" + b"\0\1"
    data = bmp_file(body, 4, 2, 8, compression=1, palette=palette)
    np.testing.assert_array_equal(decode(data, "a.bmp").pixels, pillow_pixels(data, "RGB"))


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_writing_and_reading_changes_nothing(data):
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 2, st.sampled_from([1, 3, 4])))
    samples = data.draw(arrays.arrays(np.uint8, shape))
    again, notes = passed_through(image_of(samples), "bmp")
    np.testing.assert_array_equal(samples_of(again), samples)
    assert not notes


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pillow_reads_what_is_written(channels):
    samples = pixels(20, 31, channels)
    data, _ = encode(image_of(samples), BMP)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    np.testing.assert_array_equal(pillow_pixels(data, mode), samples)


def test_gray_with_alpha_becomes_rgba():
    samples = pixels(6, 7, 2)
    again, _ = passed_through(image_of(samples), "bmp")
    np.testing.assert_array_equal(again.pixels, np.repeat(samples[..., :1], 3, axis=2))
    np.testing.assert_array_equal(again.alpha, samples[..., 1])


def test_16_bits_become_8_with_a_note():
    samples = pixels(6, 7, 3, "uint16")
    again, notes = passed_through(image_of(samples), "bmp")
    np.testing.assert_array_equal(again.pixels, np.rint(samples / 257))
    assert notes == ("bmp cannot hold uint16 samples; written as uint8",)


def test_metadata_is_left_out_with_a_note():
    again, notes = passed_through(image_of(pixels(4, 5), metadata=Metadata(icc=SRGB)), "bmp")
    assert again.metadata == Metadata()
    assert notes == ("bmp carries no EXIF, XMP or ICC; left out",)


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_the_resolution_is_read(mode):
    source = Pillow.fromarray(pixels(6, 7)).convert(mode)
    found = decode(pillow_file(source, "BMP", dpi=(300, 150)), "a.bmp").metadata
    assert found == Metadata(dpi=pytest.approx((300, 150), abs=0.02))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_resolution_is_written(channels):
    image = image_of(pixels(6, 7, channels), metadata=Metadata(dpi=(300, 150)))
    data, notes = encode(image, BMP)
    assert not notes
    assert Pillow.open(io.BytesIO(data)).info["dpi"] == pytest.approx((300, 150), abs=0.02)
    again = decode(data, "again.bmp")
    assert again.metadata.dpi == pytest.approx((300, 150), abs=0.02)
    np.testing.assert_array_equal(samples_of(again), samples_of(image))


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_no_truncated_file_is_read(mode):
    data = pillow_file(Pillow.fromarray(pixels(7, 9)).convert(mode), "BMP")
    decode(data, "whole.bmp")
    for length in range(len(data)):
        with pytest.raises(DecodeError, match=r"^cut\.bmp: "):
            decode(data[:length], "cut.bmp")


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damage_is_refused_or_still_a_picture(data):
    damaged = bytearray(pillow_file(pixels(7, 9), "BMP"))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(2, 60))] = data.draw(st.integers(0, 255))
    image = decoded_or_refused(bytes(damaged), "damaged.bmp")
    assert image is None or image.pixels.dtype == np.uint8


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((2**30, 2**30), "more than the limit"),
        ((-5, 4), "size"),
        ((0, 4), "size"),
        ((4, -(2**31)), "more than the limit"),
    ],
)
def test_an_impossible_size_is_refused(size, reason):
    with pytest.raises(DecodeError, match=reason):
        decode(bmp_file(bytes(64), *size, 24), "impossible.bmp")


def test_runs_of_a_huge_picture_are_refused_before_decoding():
    with pytest.raises(DecodeError, match="more than the limit"):
        decode(bmp_file(bytes(64), 60_000, 60_000, 8, compression=1), "huge.bmp")


def masked(values, masks, bits, *, header=40):
    """A BMP, from the top down, of (H, W, len(masks)) values that masks put together."""
    kind = np.dtype(f"<u{bits // 8}")
    shifts = [(mask & -mask).bit_length() - 1 for mask in masks]
    packed = sum(values[..., k].astype(kind) << shift for k, shift in enumerate(shifts))
    height, width = packed.shape
    words = struct.pack("<4I", *masks, *(4 - len(masks)) * [0])
    more = words[: 12 if header == 40 else 16].ljust(max(header - 40, 12), b"\0")
    about = struct.pack("<IiiHHIIiiII", header, width, -height, 1, bits, 3, 0, 0, 0, 0, 0)
    place = 14 + len(about) + len(more)
    head = struct.pack("<2sIHHI", b"BM", place + packed.nbytes, 0, 0, place)
    return head + about + more + packed.astype(kind).tobytes()


@pytest.mark.parametrize(
    "masks",
    [
        (0xFF, 0xFF00, 0xFF0000),
        (0xFF0000, 0xFF00, 0xFF),
        (0xFF000000, 0xFF0000, 0xFF00),
        (0xFF00, 0xFF0000, 0xFF),
    ],
)
def test_colours_are_where_the_masks_say(masks):
    samples = pixels(5, 8)
    image = decode(masked(samples, masks, 32), "a.bmp")
    np.testing.assert_array_equal(image.pixels, samples)
    assert image.alpha is None


def test_a_mask_for_alpha_is_heeded():
    samples = pixels(5, 8, 4)
    data = masked(samples, (0xFF, 0xFF00, 0xFF0000, 0xFF000000), 32, header=124)
    image = decode(data, "a.bmp")
    np.testing.assert_array_equal(image.pixels, samples[..., :3])
    np.testing.assert_array_equal(image.alpha, samples[..., 3])


@pytest.mark.parametrize(
    ("masks", "peaks"), [((0x7C00, 0x3E0, 0x1F), 31), ((0xF00, 0xF0, 0xF), 15)]
)
def test_few_bits_a_colour_reach_from_black_to_white(masks, peaks):
    values = np.stack([np.tile(np.arange(peaks + 1), (3, 1))] * 3, axis=2)
    found = decode(masked(values, masks, 16), "a.bmp").pixels
    np.testing.assert_array_equal(found, np.rint(values * (255 / peaks)))


def test_masks_with_holes_are_refused():
    data = masked(pixels(2, 4), (0xF0F000, 0xFF00, 0xFF), 32)
    with pytest.raises(DecodeError, match="damaged BMP: a mask of 0xf0f000"):
        decode(data, "a.bmp")


@pytest.mark.parametrize("bits", [1, 4, 8, 24])
def test_the_header_of_os2_is_read(bits):
    source = Pillow.fromarray(pixels(7, 20))
    if bits < 24:
        source = source.quantize(2**bits, dither=Pillow.Dither.NONE)
    data = pillow_file(source, "BMP")
    start, _ = struct.unpack_from("<II", data, 10)
    width, height, planes, depth = struct.unpack_from("<iiHH", data, 18)
    palette = b"".join(data[k : k + 3] for k in range(54, start, 4))
    about = struct.pack("<IHHHH", 12, width, height, planes, depth) + palette
    old = data[:10] + struct.pack("<I", 14 + len(about)) + about + data[start:]
    np.testing.assert_array_equal(decode(old, "a.bmp").pixels, decode(data, "a.bmp").pixels)
    np.testing.assert_array_equal(decode(old, "a.bmp").pixels, np.asarray(source.convert("RGB")))


def test_an_embedded_profile_is_kept_and_one_elsewhere_is_not():
    samples = pixels(2, 4)
    file = bytearray(masked(samples, (0xFF0000, 0xFF00, 0xFF), 32, header=124))
    struct.pack_into("<4s", file, 70, b"DEBM")
    struct.pack_into("<II", file, 126, len(file) - 14, len(SRGB))
    assert decode(bytes(file) + SRGB, "a.bmp").metadata.icc == SRGB
    assert decode(bytes(file), "a.bmp").metadata.icc is None
    struct.pack_into("<4s", file, 70, b"KNIL")
    assert decode(bytes(file) + SRGB, "a.bmp").metadata.icc is None


PALETTE = b"".join(bytes([n * 15, 255 - n, n * 7, 0]) for n in range(16))


@pytest.mark.parametrize(("bits", "compression"), [(8, 1), (4, 2)])
def test_runs_past_the_end_of_a_row_are_cut_there(bits, compression):
    """As ImageMagick writes them, whose rows are padded to whole words."""
    rows = [b"\3\x11\5\x22\0\0", b"\5\x33\3\x11\0\0", b"\0\4\x12\x34\4\x44\0\0\0\1"]
    if bits == 8:
        rows[2] = b"\0\4\1\2\3\4\4\x04\0\0\0\1"
        rows[:2] = [row.translate(bytes(n & 15 for n in range(256))) for row in rows[:2]]
    data = bmp_file(b"".join(rows), 5, 3, bits, compression=compression, palette=PALETTE)
    expected = [[1, 2, 3, 4, 4], [3, 3, 3, 3, 3], [1, 1, 1, 2, 2]]
    colours = np.frombuffer(PALETTE, np.uint8).reshape(16, 4)[:, 2::-1]
    np.testing.assert_array_equal(decode(data, "a.bmp").pixels, colours[expected])


@pytest.mark.parametrize(("bits", "compression"), [(8, 1), (4, 2)])
def test_steps_over_pixels_leave_the_first_colour(bits, compression):
    value = 0x55 if bits == 4 else 5
    body = bytes([1, value, 0, 2, 1, 1, 2, value, 0, 1])
    data = bmp_file(body, 4, 2, bits, compression=compression, palette=PALETTE)
    colours = np.frombuffer(PALETTE, np.uint8).reshape(16, 4)[:, 2::-1]
    expected = colours[[[0, 0, 5, 5], [5, 0, 0, 0]]]
    np.testing.assert_array_equal(decode(data, "a.bmp").pixels, expected)


def test_runs_that_end_too_early_are_refused():
    body = b"\4\1\0\0" + b"\0\4\1\2\3\4\0\0" + b"\4\3"
    decode(bmp_file(body, 4, 3, 8, compression=1, palette=PALETTE), "whole.bmp")
    for length in range(len(body)):
        data = bmp_file(body[:length], 4, 3, 8, compression=1, palette=PALETTE)
        with pytest.raises(DecodeError, match=r"cut\.bmp: truncated BMP"):
            decode(data, "cut.bmp")


@pytest.mark.parametrize("start", [0, 3, 37, 49])
def test_runs_that_begin_in_the_header_are_refused(start):
    body = b"\4\1\0\0" + b"\4\2\0\1"
    data = bytearray(bmp_file(body, 4, 2, 8, compression=1, palette=PALETTE))
    struct.pack_into("<I", data, 10, start)
    with pytest.raises(DecodeError, match=r"odd\.bmp: "):
        decode(bytes(data), "odd.bmp")


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60), st.sampled_from([(8, 1), (4, 2)]), st.integers(1, 9))
def test_no_runs_are_too_bad(body, kind, width):
    data = bmp_file(body, width, 3, kind[0], compression=kind[1], palette=PALETTE)
    image = decoded_or_refused(data, "runs.bmp")
    assert image is None or image.pixels.shape[:2] == (3, width)
