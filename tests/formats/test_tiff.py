"""TIFF: its many kinds read as they are meant or refused, its metadata, its damage."""

import io
import struct
import time

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as Pillow
from PIL import TiffImagePlugin
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
    tiff_file,
)
from support import picture, pixels

from imgfx import directories, exif
from imgfx.errors import DecodeError
from imgfx.files import decode, encode
from imgfx.formats._tiff_layout import first_directory
from imgfx.image import Image, Metadata

TIFF = known("tiff")
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB = 0, 1, 2, 3, 5, 6, 8
SIGNED, FLOAT = 2, 3
UNSPECIFIED, PREMULTIPLIED, STRAIGHT = 0, 1, 2


def written_by_tifffile(samples, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **options)
    return file.getvalue()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
def test_samples_of_every_depth_are_read(dtype, channels, order):
    samples = picture(21, 34, channels) if dtype == "float32" else pixels(21, 34, channels, dtype)
    options = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    data = written_by_tifffile(
        samples if channels > 1 else samples[..., 0],
        photometric="rgb" if channels > 1 else "minisblack",
        byteorder=order,
        **options,
    )
    image = decode(data, "a.tif")
    np.testing.assert_array_equal(samples_of(image), samples)
    assert image.depth == dtype
    assert not image.notes


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("layout", [{"tile": (32, 32)}, {"rowsperstrip": 5}])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_tiles_and_strips_are_read(dtype, layout, compression):
    samples = picture(45, 70) if dtype == "float32" else pixels(45, 70, 3, dtype)
    data = written_by_tifffile(samples, photometric="rgb", compression=compression, **layout)
    np.testing.assert_array_equal(decode(data, "a.tif").pixels, samples)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "packbits", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16", "F"])
def test_every_kind_that_pillow_writes_is_read_as_it_reads_it(mode, compression):
    source = Pillow.fromarray(pixels(19, 27, 4))
    if mode == "I;16":
        source = Pillow.fromarray(pixels(19, 27, 1, "uint16")[..., 0])
    elif mode == "F":
        source = Pillow.fromarray(picture(19, 27, 1)[..., 0])
    elif mode != "RGBA":
        source = source.convert("RGB").convert(mode)
    data = pillow_file(source, "TIFF", compression=compression)
    expected = pillow_pixels(data, {"1": "L", "P": "RGB"}.get(mode))
    np.testing.assert_array_equal(samples_of(decode(data, "a.tif")), expected)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_other_colours_become_rgb_as_in_pillow(mode):
    data = pillow_file(Pillow.fromarray(pixels(19, 27)).convert(mode), "TIFF")
    image = decode(data, "a.tif")
    assert image.alpha is None
    assert np.abs(image.pixels.astype(int) - pillow_pixels(data, "RGB")).max() <= 3
    assert image.notes == (("its CMYK pixels are turned to RGB",) if mode == "CMYK" else ())


@pytest.mark.parametrize("compression", ["jpeg", "group4"])
def test_compressions_of_photographs_and_of_faxes_are_read(compression):
    source = Pillow.fromarray(pixels(32, 48))
    source = source.convert("1") if compression == "group4" else source
    data = pillow_file(source, "TIFF", compression=compression)
    expected = pillow_pixels(data, "L" if compression == "group4" else "RGB")
    assert np.abs(decode(data, "a.tif").pixels.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("extra", [None, STRAIGHT])
def test_straight_alpha_leaves_colours_as_they_are(bits, extra):
    samples = pixels(9, 14, 4, f"uint{bits}")
    tags = {} if extra is None else {"extra": extra}
    image = decode(tiff_file(samples, RGB, **tags), "a.tif")
    np.testing.assert_array_equal(samples_of(image), samples)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_colours_multiplied_by_alpha_are_divided_again(dtype):
    whole = 1 if dtype == "float32" else np.iinfo(dtype).max
    samples = picture(9, 14, 4)
    samples[..., 3] = np.linspace(0, 1, 14)
    stored = samples.copy()
    stored[..., :3] *= samples[..., 3:]
    stored = (stored if dtype == "float32" else np.rint(stored * whole)).astype(dtype)
    image = decode(tiff_file(stored, RGB, extra=PREMULTIPLIED), "a.tif")
    np.testing.assert_array_equal(image.alpha, stored[..., 3])
    seen = stored[..., 3] > 0.5 * whole
    error = np.abs(image.pixels / whole - samples[..., :3])[seen]
    assert error.max() <= (1e-6 if dtype == "float32" else 2 / whole)
    assert (image.pixels[stored[..., 3] == 0] == 0).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_a_fourth_channel_that_is_no_alpha_is_left_out_with_a_note(bits):
    samples = pixels(9, 14, 4, f"uint{bits}")
    image = decode(tiff_file(samples, RGB, extra=UNSPECIFIED), "a.tif")
    assert image.alpha is None
    np.testing.assert_array_equal(image.pixels, samples[..., :3])
    assert image.notes == ("its fourth channel is not marked as alpha; left out",)


def test_the_alpha_of_gray_is_left_out_with_a_note():
    samples = pixels(9, 14, 2)
    image = decode(tiff_file(samples, BLACK_IS_ZERO, extra=STRAIGHT), "a.tif")
    np.testing.assert_array_equal(image.pixels, samples[..., :1])
    assert len(image.notes) == 1
    assert "channels of a gray TIFF" in image.notes[0]


@pytest.mark.parametrize("bits", [1, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
def test_white_is_white_at_every_depth(bits, photometric):
    top = 2**bits - 1
    values = np.arange(96).reshape(8, 12, 1) * top // 95
    image = decode(tiff_file(values.astype(np.uint16), photometric, bits=bits), "gray.tif")
    white = 255 if bits <= 8 else 65535
    expected = np.rint(values * (white / top))
    expected = white - expected if photometric == WHITE_IS_ZERO else expected
    assert image.pixels.dtype == ("uint8" if bits <= 8 else "uint16")
    assert np.abs(image.pixels - expected).max() <= (1 if 8 < bits < 16 else 0)
    assert {int(image.pixels.min()), int(image.pixels.max())} == {0, white}


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_colours_between_8_and_16_bits_are_scaled_to_16(bits):
    values = pixels(8, 12, 3, "uint16") >> (16 - bits)
    image = decode(tiff_file(values, RGB, bits=bits), "a.tif")
    assert np.abs(image.pixels - values * (65535 / (2**bits - 1))).max() <= 1


def test_floats_whose_white_is_zero_are_inverted():
    values = picture(8, 12, 1)
    image = decode(tiff_file(values, WHITE_IS_ZERO), "a.tif")
    np.testing.assert_allclose(image.pixels, 1 - values, atol=1e-6)


def test_double_precision_becomes_single():
    values = picture(8, 12).astype(np.float64)
    image = decode(tiff_file(values, RGB), "a.tif")
    np.testing.assert_array_equal(image.pixels, values.astype(np.float32))


def test_floats_beyond_black_and_white_are_kept_with_a_note():
    values = np.linspace(-0.5, 40, 96, dtype=np.float32).reshape(8, 12, 1)
    image = decode(tiff_file(values, BLACK_IS_ZERO), "a.tif")
    np.testing.assert_array_equal(image.pixels, values)
    assert image.notes == (
        "its values reach from -0.5 to 40; 0 is taken for black and 1 for white",
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_no_number_is_refused(value):
    values = np.full((4, 5, 1), value, np.float64)
    with pytest.raises(DecodeError, match="not numbers"):
        decode(tiff_file(values, BLACK_IS_ZERO), "a.tif")


def test_channels_stored_apart_are_read_at_8_bits_and_refused_at_more():
    samples = pixels(9, 14)
    image = decode(tiff_file(samples, RGB, separate=1), "a.tif")
    np.testing.assert_array_equal(image.pixels, samples)
    with pytest.raises(DecodeError, match="16-bit channels stored apart"):
        decode(tiff_file(samples.astype(np.uint16), RGB, separate=1), "a.tif")


@pytest.mark.parametrize(
    ("photometric", "channels", "tags"),
    [
        (CIELAB, 3, {}),
        (32844, 1, {"bits": 16}),
        (BLACK_IS_ZERO, 1, {"kind": SIGNED}),
        (RGB, 3, {"kind": SIGNED, "bits": 16}),
        (BLACK_IS_ZERO, 1, {"bits": 32}),
        (RGB, 3, {"bits": 32}),
        (BLACK_IS_ZERO, 1, {"bits": 24}),
        (BLACK_IS_ZERO, 1, {"bits": 4}),
        (BLACK_IS_ZERO, 2, {"bits": 16, "extra": STRAIGHT}),
        (BLACK_IS_ZERO, 3, {"bits": 16}),
        (RGB, 1, {}),
        (CMYK, 3, {}),
        (PALETTE, 1, {"bits": 16}),
        (PALETTE, 1, {"bits": 4}),
        (CMYK, 4, {"bits": 16}),
        (CMYK, 4, {"bits": 32, "kind": FLOAT}),
        (YCBCR, 3, {"bits": 16}),
        (YCBCR, 3, {"bits": 32, "kind": FLOAT}),
    ],
)
def test_what_the_decoder_would_misread_is_refused(photometric, channels, tags):
    samples = pixels(8, 12, channels).astype(np.uint32)
    tags = {"bits": 8, **tags}
    with pytest.raises(DecodeError, match=r"^a\.tif: a TIFF .* is not supported"):
        decode(tiff_file(samples, photometric, **tags), "a.tif")


def test_an_impossible_size_is_refused_before_decoding():
    data = bytearray(tiff_file(pixels(6, 9), RGB))
    (first,) = struct.unpack_from(">I", data, 4)
    for place in (first + 10, first + 22):  # the values of the first two tags, width and height
        struct.pack_into(">I", data, place, 100_000)
    with pytest.raises(DecodeError, match="100000x100000 pixels, more than the limit"):
        decode(bytes(data), "huge.tif")


def test_a_large_tiff_is_refused_by_name():
    data = written_by_tifffile(pixels(8, 12), bigtiff=True, photometric="rgb")
    with pytest.raises(DecodeError, match="BigTIFF"):
        decode(data, "big.tif")


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_writing_and_reading_changes_nothing(data):
    dtype = data.draw(st.sampled_from(["uint8", "uint16", "float32"]))
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 2, st.sampled_from([1, 3, 4])))
    numbers = st.floats(0, 1, width=32) if dtype == "float32" else None
    samples = data.draw(arrays.arrays(dtype, shape, elements=numbers))
    file, notes = encode(image_of(samples), TIFF)
    again = decode(file, "again.tif")
    np.testing.assert_array_equal(samples_of(again), samples)
    assert again.depth == dtype
    assert not notes + again.notes


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tifffile_reads_what_is_written(dtype, channels):
    samples = picture(21, 34, channels) if dtype == "float32" else pixels(21, 34, channels, dtype)
    file, _ = encode(image_of(samples, metadata=Metadata(exif=exif_blob())), TIFF)
    with tifffile.TiffFile(io.BytesIO(file)) as opened:
        page = opened.pages[0]
        assert tuple(page.extrasamples) == ((STRAIGHT,) if channels == 4 else ())
        if page.predictor == 1:  # undoing the other takes a package more
            np.testing.assert_array_equal(page.asarray().reshape(samples.shape), samples)
    if dtype == "uint8" or channels == 1:
        np.testing.assert_array_equal(pillow_pixels(file), samples)


def test_gray_with_alpha_becomes_rgba():
    samples = pixels(6, 7, 2)
    again, notes = passed_through(image_of(samples), "tiff")
    np.testing.assert_array_equal(again.pixels, np.repeat(samples[..., :1], 3, axis=2))
    np.testing.assert_array_equal(again.alpha, samples[..., 1])
    assert not notes


@pytest.mark.parametrize("order", ["<", ">"])
def test_metadata_comes_through(order):
    blob = ordered_exif(order)
    metadata = Metadata(blob, XMP, SRGB, (300.0, 150.5))
    data, notes = encode(image_of(pixels(8, 9), metadata=metadata), TIFF)
    image = Pillow.open(io.BytesIO(data))
    assert image.getexif()[0x010F] == "imgfx tests"
    assert image.getexif()[0x0112] == 1
    assert image.getexif().get_ifd(0x8769) == {0x829A: 0.008, 0x8827: 400}
    assert image.info["icc_profile"] == SRGB
    assert image.info["xmp"] == XMP
    assert image.info["dpi"] == (300, 150.5)
    again = decode(data, "again.tif").metadata
    assert (again.xmp, again.icc, again.dpi) == (XMP, SRGB, (300, 150.5))
    found = Pillow.Exif()
    found.load(again.exif)
    assert found[0x010F] == "imgfx tests"
    assert not notes


def ordered_exif(order):
    """A structure with numbers of several sizes, in a byte order."""
    tags = Pillow.Exif()
    tags[0x010F], tags[0x0112] = "imgfx tests", 1
    tags.get_ifd(0x8769).update({0x829A: 0.008, 0x8827: 400})
    tags.endian = order
    blob = tags.tobytes().removeprefix(b"Exif\0\0")
    assert blob.startswith(b"II" if order == "<" else b"MM")
    return blob


def test_pillows_metadata_is_read():
    data = pillow_file(pixels(8, 9), "TIFF", icc_profile=SRGB, dpi=(200, 100), software="gnu")
    metadata = decode(data, "a.tif").metadata
    assert metadata.icc == SRGB
    assert metadata.dpi == (200, 100)
    found = Pillow.Exif()
    found.load(metadata.exif)
    assert found[305] == "gnu"


@pytest.mark.parametrize("dpi", [(1e9, 1e-9), (72.009, 96.0)])
def test_no_resolution_is_too_odd_to_be_written(dpi):
    again, _ = passed_through(image_of(pixels(4, 5), metadata=Metadata(dpi=dpi)), "tiff")
    limited = [min(max(value, 0.001), 0xFFFFFFFF / 1000) for value in dpi]
    assert again.metadata.dpi == pytest.approx(limited, abs=0.001)


def test_a_profile_for_gray_stays_with_gray():
    metadata = Metadata(icc=GRAY_PROFILE)
    again, notes = passed_through(image_of(pixels(4, 5, 1), metadata=metadata), "tiff")
    assert again.metadata.icc == GRAY_PROFILE
    assert not notes


def with_tags(data, *tags):
    """A little-endian TIFF whose first directory, moved to the end, has (tag, kind, value) too."""
    entries = {tag: directories.Entry(kind, 1, value) for tag, kind, value in tags}
    directory = directories.read_directory(data, "<", directories.first_offset(data, "<"))
    directory.entries.update(entries)
    base = len(data) + len(data) % 2
    moved = data[:4] + struct.pack("<I", base) + data[8:].ljust(base - 8, b"\0")
    return moved + directories.write_directory(directory, "<", base)


@pytest.mark.parametrize("kind", "BHIbhi")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_of_any_kind_turns_once(kind, orientation):
    kinds = {"B": 1, "H": 3, "I": 4, "b": 6, "h": 8, "i": 9}
    samples = pixels(6, 9)
    tag = (exif.ORIENTATION, kinds[kind], struct.pack("<" + kind, orientation))
    image = decode(with_tags(written_by_tifffile(samples, photometric="rgb"), tag), "turned.tif")
    usual = Pillow.Exif()
    usual[exif.ORIENTATION] = orientation
    expected = pillow_pixels(pillow_file(samples, "PNG", exif=usual), "RGB", upright=True)
    np.testing.assert_array_equal(image.pixels, expected)
    again, _ = passed_through(image, "tiff")
    np.testing.assert_array_equal(again.pixels, expected)


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ((254, 4, struct.pack("<I", 1)), "its first picture is a reduced one"),
        ((50706, 1, b"\1\4\0\0"), "raw file"),
    ],
)
def test_a_raw_file_is_refused_not_read_as_its_thumbnail(tag, reason):
    data = with_tags(written_by_tifffile(pixels(6, 9), photometric="rgb"), tag)
    with pytest.raises(DecodeError, match=rf"^raw\.tif: .*{reason}.*not supported$"):
        decode(data, "raw.tif")


def test_a_raw_file_of_canon_is_refused_and_pixels_with_its_letters_are_not():
    samples = pixels(6, 9)
    plain = written_by_tifffile(samples, photometric="rgb")
    directory = directories.read_directory(plain, "<", directories.first_offset(plain, "<"))
    del directory.entries[273], directory.entries[279]
    head = b"II*\0" + struct.pack("<I", 16) + b"CR\2\0" + bytes(4)
    with pytest.raises(DecodeError, match="raw file of a camera"):
        decode(head + directories.write_directory(directory, "<", 16), "raw.cr2")
    samples[0, 0, :2] = list(b"CR")
    data = tiff_file(samples, RGB)
    assert data[8:10] == b"CR"
    np.testing.assert_array_equal(decode(data, "a.tif").pixels, samples)


def test_tags_that_are_not_kept_are_named():
    tags = [
        (33550, "d", 3, (1.0, 1.0, 0.0), True),
        (34735, "H", 4, (1, 1, 0, 0), True),
        (65000, "s", 0, "anyone's", True),
        (270, "s", 0, "a caption", True),
    ]
    file = io.BytesIO()
    tifffile.imwrite(file, pixels(16, 32), photometric="rgb", extratags=tags, metadata=None)
    assert decode(file.getvalue(), "a.tif").notes == ("its tags (GeoTIFF, 65000) are left out",)


def test_pictures_below_the_first_are_not_read_and_that_is_said():
    file = io.BytesIO()
    samples = pixels(16, 32)
    with tifffile.TiffWriter(file) as writer:
        writer.write(samples, photometric="rgb", subifds=1)
        writer.write(samples[::2, ::2], photometric="rgb", subfiletype=1)
    image = decode(file.getvalue(), "pyramid.tif")
    np.testing.assert_array_equal(image.pixels, samples)
    assert image.notes == ("the pictures below its first one (SubIFDs) are not read",)


def test_only_the_first_page_is_read_and_that_is_said():
    pages = [Pillow.fromarray(pixels(6, 9) // n) for n in (1, 2, 4)]
    data = pillow_file(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    image = decode(data, "pages.tif")
    np.testing.assert_array_equal(image.pixels, pixels(6, 9))
    assert image.notes == ("only the first of 3 pictures in the file is read",)


def test_pages_that_run_in_a_circle_are_counted_once():
    data = bytearray(tiff_file(pixels(6, 9), RGB))
    (first,) = struct.unpack_from(">I", data, 4)
    (entries,) = struct.unpack_from(">H", data, first)
    struct.pack_into(">I", data, first + 2 + 12 * entries, first)
    started = time.monotonic()
    assert not decode(bytes(data), "circle.tif").notes
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_no_truncated_file_is_read(compression):
    data = pillow_file(pixels(12, 17), "TIFF", compression=compression)
    decode(data, "whole.tif")
    for length in range(len(data)):
        with pytest.raises(DecodeError, match=r"^cut\.tif: "):
            decode(data[:length], "cut.tif")


def test_strips_beyond_the_end_are_noticed_before_decoding():
    data = pillow_file(pixels(12, 17), "TIFF")
    with pytest.raises(DecodeError, match=r"^cut\.tif: truncated TIFF$"):
        decode(data[:-1], "cut.tif")


def test_no_truncated_file_of_our_own_is_read():
    data, _ = encode(Image(pixels(12, 17)), TIFF)
    for length in range(len(data)):
        with pytest.raises(DecodeError):
            decode(data[:length], "cut.tif")


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damage_is_refused_or_still_a_picture(data):
    kind = data.draw(st.sampled_from(["raw", "tiff_lzw", "tiff_adobe_deflate"]))
    floats = data.draw(st.booleans())
    source = picture(7, 9, 1)[..., 0] if floats else pixels(7, 9)
    damaged = bytearray(pillow_file(source, "TIFF", compression=kind))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    image = decoded_or_refused(bytes(damaged), "damaged.tif")
    assert image is None or np.isfinite(image.pixels).all()


def parts_of(data):
    """(offset, length) of each strip or tile."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        return list(zip(page.dataoffsets, page.databytecounts, strict=True))


def in_strips(source, rows, compression):
    """A TIFF by Pillow of so many rows a strip."""
    size = TiffImagePlugin.STRIP_SIZE
    TiffImagePlugin.STRIP_SIZE = rows * source.width * len(source.getbands())
    try:
        return pillow_file(source, "TIFF", compression=compression)
    finally:
        TiffImagePlugin.STRIP_SIZE = size


COMPRESSED = ["tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"]


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("width", [40, 41])
@pytest.mark.parametrize("compression", [*COMPRESSED, "raw"])
def test_whole_strips_are_read(compression, width, mode):
    source = Pillow.fromarray(pixels(37, width)).convert(mode)
    for rows in (37, 8, 1):
        data = in_strips(source, rows, compression)
        assert decode(data, "a.tif").pixels.shape[:2] == (37, width)


def with_shorter(data, which):
    """The same file, whose directory gives a strip half of its length."""
    lengths = [length for _, length in parts_of(data)]
    changed = list(lengths)
    changed[which] //= 2
    for code in "HI":  # libtiff takes what is wide enough
        old = struct.pack(f"<{len(lengths)}{code}", *lengths)
        if data.count(old) == 1:
            return data.replace(old, struct.pack(f"<{len(lengths)}{code}", *changed))
    raise AssertionError("the lengths of the strips are not found")


@pytest.mark.parametrize("which", [0, 2, -1])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("compression", COMPRESSED)
def test_a_strip_that_ends_early_is_found(compression, mode, which):
    source = Pillow.fromarray(pixels(37, 41)).convert(mode)
    data = in_strips(source, 8, compression)
    assert len(parts_of(data)) == 5
    with pytest.raises(DecodeError, match="a strip or tile cannot be decompressed"):
        decode(with_shorter(data, which), "short.tif")


def test_a_strip_that_is_not_compressed_and_too_short_is_found():
    data = in_strips(Pillow.fromarray(pixels(37, 41)), 37, "raw")
    with pytest.raises(DecodeError, match="truncated TIFF: a strip or tile is too short"):
        decode(with_shorter(data, 0), "short.tif")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_a_wrong_checksum_of_a_deflated_part_is_found(tile, dtype):
    samples = picture(70, 90) if dtype == "float32" else pixels(70, 90, dtype=dtype)
    file = io.BytesIO()
    tifffile.imwrite(
        file, samples, compression="zlib", photometric="rgb", tile=tile, rowsperstrip=tile or 16
    )
    data = bytearray(file.getvalue())
    np.testing.assert_array_equal(decode(bytes(data), "a.tif").pixels, samples)
    start, length = parts_of(bytes(data))[1]
    data[start + length - 1] ^= 1
    with pytest.raises(DecodeError, match=r"cannot be (decompressed|decoded)"):
        decode(bytes(data), "damaged.tif")


def test_strips_that_are_missing_are_found():
    data = in_strips(Pillow.fromarray(pixels(37, 41)), 8, "tiff_lzw")
    place = data.index(struct.pack("<HHIH", 278, 3, 1, 8))
    fewer = data[: place + 8] + struct.pack("<H", 7) + data[place + 10 :]
    with pytest.raises(DecodeError, match=r"are missing|cannot be decoded"):
        decode(fewer, "a.tif")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tile", [(16, 16), (48, 48), (16, 48)])
@pytest.mark.parametrize("channels", [1, 3])
def test_plain_tiles_of_every_size_are_read(channels, tile, order):
    samples = pixels(100, 130, channels)
    source = samples if channels > 1 else samples[..., 0]
    kind = "rgb" if channels > 1 else "minisblack"
    data = written_by_tifffile(source, photometric=kind, tile=tile, byteorder=order)
    np.testing.assert_array_equal(decode(data, "a.tif").pixels, samples)


def test_plain_tiles_of_channels_apart_and_of_bits_are_read():
    samples = pixels(100, 130)
    planes = np.ascontiguousarray(samples.transpose(2, 0, 1))
    data = written_by_tifffile(
        planes, photometric="rgb", planarconfig="separate", tile=(48, 48), resolution=(72, 72)
    )
    image = decode(data, "a.tif")
    np.testing.assert_array_equal(image.pixels, samples)
    assert image.metadata.dpi == (72, 72)


def test_plain_tiles_that_share_bytes_or_are_cut_off_are_refused():
    data = bytearray(
        written_by_tifffile(
            pixels(96, 96, 1)[..., 0], photometric="minisblack", tile=(48, 48), metadata=None
        )
    )
    order, _, directory = first_directory(bytes(data))
    starts = directory.entries[324].value
    place = data.index(starts)
    shared = data[:place] + 4 * starts[:4] + data[place + 16 :]
    with pytest.raises(DecodeError, match=r"^a\.tif: "):
        decode(bytes(shared[:6000]), "a.tif")
    short = directory.entries[325].value
    place = data.index(short)
    data[place : place + 4] = struct.pack(order + "I", 1000)
    with pytest.raises(DecodeError, match=r"^a\.tif: "):
        decode(bytes(data), "a.tif")


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (34925, "LZMA"),
        (50000, "Zstandard"),
        (50001, "WebP"),
        (34712, "JPEG 2000"),
        (52546, "JPEG XL"),
        (65000, "number 65000"),
    ],
)
def test_a_compression_that_is_not_read_is_named(number, name):
    """Of some the decoder would make a black picture."""
    data = written_by_tifffile(
        pixels(16, 24), photometric="rgb", compression="deflate", metadata=None
    )
    _, offset, _ = first_directory(data)
    place = data.index(struct.pack("<HHI", 259, 3, 1), offset) + 8
    odd = data[:place] + struct.pack("<H", number) + data[place + 2 :]
    reason = f"a TIFF with compression {name} is not supported; save it with Deflate or LZW first"
    with pytest.raises(DecodeError, match=f"^a.tif: {reason}$"):
        decode(odd, "a.tif")


@pytest.mark.parametrize(("photometric", "colours"), [("minisblack", 1), ("rgb", 3)])
def test_more_channels_than_are_read_are_named(photometric, colours):
    samples = pixels(16, 24, 5)
    kinds = ["unassalpha"] + ["unspecified"] * (4 - colours)
    data = written_by_tifffile(
        samples, photometric=photometric, planarconfig="contig", extrasamples=kinds
    )
    reason = f"a TIFF with 5 channels, {5 - colours} of which are no colours, is not supported"
    with pytest.raises(DecodeError, match=reason):
        decode(data, "a.tif")


def test_pixels_that_are_not_square_are_told_of():
    data = written_by_tifffile(
        pixels(16, 24), photometric="rgb", metadata=None, resolution=(2, 4), resolutionunit="none"
    )
    assert decode(data, "a.tif").notes == ("its pixels are not square (2:1), which is not kept",)
    data = written_by_tifffile(
        pixels(16, 24), photometric="rgb", metadata=None, resolution=(2, 4), resolutionunit="inch"
    )
    assert not decode(data, "a.tif").notes
