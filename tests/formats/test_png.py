"""PNG: every kind of it, its metadata, and its damage."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
from reference import (
    SRGB,
    image_of,
    known,
    passed_through,
    pillow_file,
    pillow_pixels,
    png_samples,
    samples_of,
    suite,
)
from support import pixels, run_imgfx

from imgfx.errors import DecodeError
from imgfx.files import decode, encode, read_image
from imgfx.formats import DamagedError, png
from imgfx.formats import _png_text as png_text
from imgfx.image import Metadata

CORRUPT = "x"
SMALL = pillow_file(pixels(6, 9), "PNG")


def chunk(kind, payload):
    return (
        struct.pack(">I", len(payload))
        + kind
        + payload
        + struct.pack(">I", zlib.crc32(kind + payload))
    )


def with_chunk(data, kind, payload):
    """The PNG with a chunk behind its header."""
    return data[:33] + chunk(kind, payload) + data[33:]


def test_every_picture_of_pngsuite_is_read_as_pypng_reads_it(data):
    paths = [path for path in suite(data) if not path.name.startswith(CORRUPT)]
    assert len(paths) == 161
    for path in paths:
        image, expected = read_image(path), png_samples(path.read_bytes())
        found = samples_of(image)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype), path.name
        np.testing.assert_array_equal(found, expected, err_msg=path.name)
        assert image.depth == str(expected.dtype)
        has_text = path.name.startswith("ct") and not path.name.startswith("ct0")
        is_oblong = path.name in ("cdfn2c08.png", "cdhn2c08.png")
        assert bool(image.notes) == is_oblong, path.name
        assert bool(image.metadata.texts) == has_text, path.name


def test_every_8_bit_picture_of_pngsuite_is_read_as_pillow_reads_it(data):
    paths = [path for path in suite(data) if not path.name.startswith(CORRUPT)]
    deep = [path for path in paths if path.name.endswith("16.png")]
    assert 0 < len(deep) < 40
    # Pillow compares the transparent value, of 4 bits, with samples of 8; pypng does not.
    wrong = {path for path in paths if path.name == "tbbn0g04.png"}
    for path in sorted(set(paths) - set(deep) - wrong):
        found = samples_of(read_image(path))
        mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[found.shape[2]]
        expected = pillow_pixels(path.read_bytes(), mode)
        np.testing.assert_array_equal(found, expected, err_msg=path.name)


def test_every_picture_of_pngsuite_is_written_as_it_was_read(data):
    for path in suite(data):
        if path.name.startswith(CORRUPT):
            continue
        image = read_image(path)
        data_, notes = encode(image, known("png"))
        np.testing.assert_array_equal(png_samples(data_), samples_of(image), err_msg=path.name)
        again = decode(data_, path.name)
        np.testing.assert_array_equal(samples_of(again), samples_of(image), err_msg=path.name)
        assert again.depth == image.depth
        assert not notes, path.name


def test_every_corrupt_picture_of_pngsuite_is_refused(data):
    paths = [path for path in suite(data) if path.name.startswith(CORRUPT)]
    assert len(paths) == 14
    for path in paths:
        with pytest.raises(DecodeError) as caught:
            read_image(path)
        assert caught.value.format_message().startswith(f"{path}: ")


def test_the_command_line_passes_valid_and_reports_corrupt_pictures(data, tmp_path):
    folder = data / "robust" / "pngsuite"
    valid = ["basn0g16", "basn3p04", "basn6a16", "tbbn2c16", "basi4a08"]
    corrupt = [path.stem for path in suite(data) if path.name.startswith(CORRUPT)]
    names = [folder / f"{stem}.png" for stem in [*valid, *corrupt]]
    ended = run_imgfx(["open", *names, "save", "out/"], cwd=tmp_path)
    assert ended.code == 3
    assert "Traceback" not in ended.err
    for stem in corrupt:
        assert f"{stem}.png: " in ended.err
    assert sorted(path.stem for path in (tmp_path / "out").glob("[!.]*")) == sorted(valid)
    for stem in valid:
        before, after = folder / f"{stem}.png", tmp_path / "out" / f"{stem}.png"
        np.testing.assert_array_equal(
            png_samples(after.read_bytes()), png_samples(before.read_bytes())
        )


def test_a_corrupt_picture_alone_ends_with_1_and_writes_nothing(data, tmp_path):
    path = data / "robust" / "pngsuite" / "xcsn0g01.png"
    ended = run_imgfx(["open", path, "save", "out.png"], cwd=tmp_path)
    assert ended.code == 1
    assert str(path) in ended.err
    assert "Traceback" not in ended.err
    assert not list(tmp_path.iterdir())


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_writing_and_reading_changes_nothing(data):
    dtype = data.draw(st.sampled_from(["uint8", "uint16"]))
    shape = data.draw(st.tuples(*[st.integers(1, 9)] * 2, st.sampled_from([1, 2, 3, 4])))
    samples = data.draw(arrays.arrays(dtype, shape))
    file, notes = encode(image_of(samples), known("png"), stream=data.draw(st.booleans()))
    again = decode(file, "again.png")
    np.testing.assert_array_equal(samples_of(again), samples)
    np.testing.assert_array_equal(png_samples(file), samples)
    assert again.depth == dtype
    assert not notes


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pillow_reads_what_is_written(channels):
    samples = pixels(20, 31, channels)
    file, _ = encode(image_of(samples), known("png"))
    np.testing.assert_array_equal(pillow_pixels(file), samples)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_opaque_alpha_is_kept(dtype):
    samples = pixels(4, 5, 4, dtype)
    samples[..., 3] = np.iinfo(dtype).max
    again, _ = passed_through(image_of(samples), "png")
    np.testing.assert_array_equal(samples_of(again), samples)


def test_floats_are_written_with_16_bits_and_a_note():
    samples = np.linspace(0, 1, 300, dtype=np.float32).reshape(10, 10, 3)
    again, notes = passed_through(image_of(samples), "png")
    assert again.depth == "uint16"
    assert np.abs(again.pixels / 65535 - samples).max() <= 0.5 / 65535 + 1e-7
    assert notes == ("png cannot hold float32 samples; written as uint16",)


@pytest.mark.parametrize("colours", [2, 4, 16, 256])
def test_palettes_become_rgb(colours):
    picture = Pillow.fromarray(pixels(20, 31)).quantize(colours)
    image = decode(pillow_file(picture, "PNG"), "palette.png")
    np.testing.assert_array_equal(image.pixels, np.asarray(picture.convert("RGB")))


def test_a_palette_with_transparency_becomes_rgba():
    picture = Pillow.fromarray(pixels(20, 31)).quantize(16)
    data = pillow_file(picture, "PNG", transparency=bytes(range(0, 160, 10)))
    image = decode(data, "palette.png")
    np.testing.assert_array_equal(samples_of(image), pillow_pixels(data, "RGBA"))
    assert len(np.unique(image.alpha)) > 3


def test_one_bit_becomes_black_and_white():
    picture = Pillow.fromarray(pixels(9, 13, 1)[..., 0]).convert("1")
    image = decode(pillow_file(picture, "PNG"), "bits.png")
    np.testing.assert_array_equal(image.pixels[..., 0], np.asarray(picture) * 255)


@pytest.mark.parametrize(("depth", "high_bits"), [(8, 0), (8, 0x1200), (16, 0)])
def test_one_gray_value_may_be_transparent(depth, high_bits):
    samples = pixels(6, 9, 1, f"uint{depth}")
    value = int(samples[2, 3, 0])
    plain, _ = encode(image_of(samples), known("png"))
    image = decode(with_chunk(plain, b"tRNS", struct.pack(">H", value | high_bits)), "gray.png")
    white = np.iinfo(samples.dtype).max
    expected = np.where(samples[..., 0] == value, 0, white)
    np.testing.assert_array_equal(image.alpha, expected)
    np.testing.assert_array_equal(image.pixels, samples)


def test_only_the_first_picture_of_an_animation_is_read_and_that_is_said():
    frames = [Pillow.fromarray(pixels(6, 9) // n) for n in (1, 2, 4)]
    data = pillow_file(frames[0], "PNG", save_all=True, append_images=frames[1:])
    image = decode(data, "animation.png")
    np.testing.assert_array_equal(image.pixels, pixels(6, 9))
    assert image.notes == ("only the first of 3 pictures in the file is read",)


def test_no_truncated_file_is_read():
    for length in range(len(SMALL)):
        with pytest.raises(DecodeError):
            decode(SMALL[:length], "cut.png")


@settings(deadline=None, max_examples=200)
@given(st.integers(8, len(SMALL) - 1), st.integers(1, 255))
def test_no_damaged_byte_passes(place, change):
    damaged = bytearray(SMALL)
    damaged[place] ^= change
    with pytest.raises(DecodeError):
        decode(bytes(damaged), "damaged.png")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ((0, 4, 8, 2), "header"),
        ((4, 0, 8, 2), "header"),
        ((4, 4, 3, 0), "bit depth 3"),
        ((4, 4, 8, 1), "colour type 1"),
        ((2**31 - 1, 2**31 - 1, 8, 2), "more than the limit"),
        ((40_000, 20_000, 8, 2), "more than the limit"),
        ((20_000, 20_000, 8, 2), "damaged"),
    ],
)
def test_an_impossible_header_is_refused(header, reason):
    width, height, depth, colour = header
    payload = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    with pytest.raises(DecodeError, match=reason):
        decode(SMALL[:8] + chunk(b"IHDR", payload) + SMALL[33:], "impossible.png")


def test_a_damaged_chunk_that_makes_no_pixels_is_left_out():
    broken = bytearray(chunk(b"eXIf", b"II*\0"))
    broken[-1] ^= 1
    image = decode(SMALL[:33] + bytes(broken) + SMALL[33:], "damaged.png")
    np.testing.assert_array_equal(image.pixels, pixels(6, 9))
    assert image.metadata.exif is None
    assert image.notes == ("its EXIF is damaged; left out",)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (b"iCCP", "ICC profile"),
        (b"tEXt", "text"),
        (b"iTXt", "text"),
        (b"pHYs", "resolution"),
        (b"gAMA", "colour (gAMA)"),
        (b"frOb", None),
    ],
)
def test_what_is_damaged_beside_the_pixels_is_named_once(kind, what):
    broken = chunk(kind, b"x\0\0y")[:-1] + b"?"
    image = decode(SMALL[:33] + 2 * broken + SMALL[33:], "damaged.png")
    assert image.notes == ((f"its {what} is damaged; left out",) if what else ())


@pytest.mark.parametrize("kind", [b"tRNS", b"acTL"])
def test_damage_to_what_makes_the_picture_is_an_error(kind):
    broken = chunk(kind, bytes(8))[:-1] + b"?"
    with pytest.raises(DecodeError, match=f"wrong checksum in {kind.decode()}"):
        decode(SMALL[:33] + broken + SMALL[33:], "damaged.png")


@pytest.mark.parametrize(("apart", "pictures"), [(True, 3), (False, 2)])
def test_a_picture_apart_from_its_animation_counts(apart, pictures):
    frames = [Pillow.fromarray(pixels(5, 6) // (k + 1)) for k in range(pictures)]
    data = pillow_file(
        frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=apart
    )
    assert decode(data, "a.png").unread == (
        f"only the first of {pictures} pictures in the file is read",
    )


def test_small_texts_do_not_inflate_to_much_one_after_the_other(monkeypatch):
    total = []

    def counted(data, most=png_text.LARGEST):
        plain = inflated(data, most)
        total.append(most if plain is None else len(plain))
        return plain

    inflated = png_text.inflated
    monkeypatch.setattr(png_text, "inflated", counted)
    data = SMALL
    for content in (bytes(1 << 20), b"\xff" * (1 << 20), bytes(1 << 25)):
        for number in range(20):
            packed = b"K%d\0\0" % number + zlib.compress(content, 9)
            data = with_chunk(data, b"zTXt", packed)
    assert decode(data, "a.png").notes
    assert sum(total) < 2 * png_text.LARGEST


def test_metadata_is_read_as_pillow_writes_it():
    tags = Pillow.Exif()
    tags[0x010F] = "maker"
    data = pillow_file(pixels(6, 9), "PNG", exif=tags, icc_profile=SRGB, dpi=(300, 150))
    metadata = decode(data, "metadata.png").metadata
    found = Pillow.Exif()
    found.load(metadata.exif)
    assert found[0x010F] == "maker"
    assert metadata.icc == SRGB
    assert metadata.dpi == pytest.approx((300, 150), abs=0.02)


@pytest.mark.parametrize("compressed", [False, True])
def test_xmp_is_read(compressed):
    text = "<x:xmpmeta>\u20ac</x:xmpmeta>".encode()
    head = b"XML:com.adobe.xmp\0" + bytes([compressed]) + b"\0\0\0"
    payload = head + (zlib.compress(text) if compressed else text)
    assert decode(with_chunk(SMALL, b"iTXt", payload), "xmp.png").metadata.xmp == text


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (b"iCCP", b"name\0\0no deflate stream"),
        (b"iCCP", b"name\0\0" + zlib.compress(SRGB)[:-9]),
        (b"iCCP", b"name"),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no deflate stream"),
        (b"iTXt", b"XML:com.adobe.xmp"),
        (b"pHYs", b"\0\0\0\1"),
        (b"pHYs", struct.pack(">IIB", 0, 0, 1)),
        (b"eXIf", b""),
    ],
)
def test_metadata_that_makes_no_sense_is_left_out(kind, payload):
    image = decode(with_chunk(SMALL, kind, payload), "odd.png")
    assert image.metadata == Metadata()
    np.testing.assert_array_equal(image.pixels, pixels(6, 9))
    lost = {b"iCCP": "its ICC profile is damaged; left out", b"iTXt": "its text (XMP) is left out"}
    compressed = kind != b"iTXt" or payload.endswith(b"stream")
    assert image.notes == ((lost[kind],) if kind in lost and compressed else ())


@pytest.mark.parametrize(
    ("kind", "rest"),
    [
        (b"tEXt", b"me"),
        (b"zTXt", b"\0" + zlib.compress(b"me")),
        (b"iTXt", b"\0\0\0\0me"),
        (b"iTXt", b"\1\0de\0Autor\0" + zlib.compress(b"me")),
    ],
)
def test_texts_are_kept_and_what_only_the_writer_said_is_not(kind, rest):
    data = SMALL
    for keyword in (b"Copyright", b"Author", b"Author", b"Software", b"date:create"):
        data = with_chunk(data, kind, keyword + b"\0" + rest)
    image = decode(data, "a.png")
    assert not image.notes
    assert image.metadata.texts == (("Author", "me"), ("Copyright", "me"))


TEXTS = (
    ("Title", "Übersicht"),
    ("Author", "山田"),
    ("Comment", "two\nlines"),
    ("parameters", "a long one " * 1000),
    ("Description", "長い " * 1000),
)


def test_pillow_reads_the_texts_that_are_written():
    data, notes = encode(image_of(pixels(6, 9), metadata=Metadata(texts=TEXTS)), known("png"))
    assert (tuple(Pillow.open(io.BytesIO(data)).text.items()), notes) == (TEXTS, ())
    assert decode(data, "a.png").metadata.texts == TEXTS
    assert len(data) < len(TEXTS[3][1])


def test_texts_of_pillow_come_through():
    info = PngInfo()
    for keyword, text in TEXTS:
        info.add_text(keyword, text, zip=len(text) > 100)
    data = pillow_file(pixels(6, 9), "PNG", pnginfo=info)
    assert decode(data, "a.png").metadata.texts == TEXTS


def test_a_keyword_that_png_does_not_allow_becomes_one_that_it_does():
    odd = Metadata(texts=(("\u20ac\0" + 100 * "k", "a\0b"),))
    data, _ = encode(image_of(pixels(6, 9), metadata=odd), known("png"))
    assert decode(data, "a.png").metadata.texts == (("? " + 77 * "k", "a b"),)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (b"tEXt", b"K\0a\0b"),
        (b"zTXt", b"K\0\0no deflate stream"),
        (b"zTXt", b"K\0\1" + zlib.compress(b"method 1")),
        (b"iTXt", b"K\0\0\0\0\0\xff"),
        (b"tEXt", b"K\0" + bytes(32) * (1 << 19)),
        (b"zTXt", b"K\0\0" + zlib.compress(b" " * (1 << 24) + b"more")),
    ],
)
def test_texts_that_make_no_sense_or_are_huge_are_left_out_and_that_is_said(kind, payload):
    image = decode(with_chunk(SMALL, kind, payload), "a.png")
    assert image.notes == ("its text (K) is left out",)
    assert image.metadata == Metadata()


def test_all_texts_together_have_a_limit():
    data = SMALL
    for number in range(3):
        data = with_chunk(data, b"tEXt", b"K%d\0" % number + b"x" * (6 << 20))
    image = decode(data, "a.png")
    assert [keyword for keyword, _ in image.metadata.texts] == ["K2", "K1"]
    assert image.notes == ("its text (K0) is left out",)


def test_exif_in_hexadecimal_is_left_out():
    data = with_chunk(SMALL, b"tEXt", b"Raw profile type exif\0\nexif\n 8\n4949")
    image = decode(data, "a.png")
    assert image.notes == ("its text (Raw profile type exif) is left out",)
    assert image.metadata == Metadata()


def test_few_texts_are_named_and_none_steers_a_terminal():
    data = with_chunk(SMALL, b"tEXt", b"\x1b[2J\0x")
    assert decode(data, "a.png").notes == ("its text (?[2J) is left out",)
    for number in range(9):
        data = with_chunk(data, b"tEXt", b"K%d\0x\0" % number)
    (note,) = decode(data, "a.png").notes
    assert note == "its text (K8, K7, K6, K5, K4, ...) is left out"


@pytest.mark.parametrize("name", ["jpeg", "webp", "tiff", "avif", "bmp", "ppm", "pam"])
def test_other_formats_say_which_texts_they_do_not_carry(name):
    image = image_of(pixels(6, 9), metadata=Metadata(texts=TEXTS))
    _, notes = encode(image, known(name))
    comment = "" if name == "jpeg" else "Comment, "
    line = f"{name} carries no texts (Title, Author, {comment}parameters, Description); left out"
    assert line in notes


def test_our_own_texts_are_no_loss():
    image = image_of(pixels(6, 9), name="a", metadata=Metadata(xmp=b"<x/>", provenance="{}"))
    data, _ = encode(image, known("png"), stream=True)
    assert not decode(data, "a.png").notes


def test_exif_with_the_prefix_of_jpeg_is_understood():
    tags = Pillow.Exif()
    tags[0x0112] = 3
    image = decode(with_chunk(SMALL, b"eXIf", b"Exif\0\0" + tags.tobytes()[6:]), "turned.png")
    np.testing.assert_array_equal(image.pixels, pixels(6, 9)[::-1, ::-1])


@pytest.mark.parametrize("name", ["photo", "été 2024", "a\nb", "日本語", "", "x" * 300])
def test_the_name_rides_along_in_a_stream(name):
    file, _ = encode(image_of(pixels(4, 5), name=name), known("png"), stream=True)
    assert decode(file, "stdin").name == (name or "image")
    plain, _ = encode(image_of(pixels(4, 5), name=name), known("png"))
    assert decode(plain, "stdin").name == "image"


def test_the_decoder_gets_only_what_makes_pixels():
    full = with_chunk(with_chunk(SMALL, b"iCCP", b"odd"), b"gAMA", b"\0\0\0\1")
    assert png.essential(full) == SMALL
    with pytest.raises(DamagedError):
        png.essential(full[:-5])


@pytest.mark.parametrize(
    ("kind", "payload", "note"),
    [
        (
            b"caBX",
            b"jumb",
            "its content credentials (C2PA), which are of other pixels, are left out",
        ),
        (b"mDCV", bytes(24), "its brightness for HDR screens (mDCV) is left out"),
        (b"cLLi", bytes(8), "its brightness for HDR screens (cLLi) is left out"),
        (
            b"pHYs",
            struct.pack(">IIB", 2, 6, 0),
            "its pixels are not square (3:1), which is not kept",
        ),
    ],
)
def test_what_is_left_out_is_told(kind, payload, note):
    assert decode(with_chunk(SMALL, kind, payload), "a.png").notes == (note,)


def test_pixels_that_are_square_or_measured_are_nothing_to_tell_of():
    for shape in ((2, 2, 0), (0, 5, 0), (2, 6, 1)):
        data = with_chunk(SMALL, b"pHYs", struct.pack(">IIB", *shape))
        assert not decode(data, "a.png").notes


def test_the_decoder_gets_the_file_itself_where_nothing_is_in_its_way():
    """A copy of a large file, and its checksums, would be a third of the time of reading it."""
    assert png.essential(SMALL) is SMALL
    assert png.essential(with_chunk(SMALL, b"gAMA", bytes(4))) == SMALL
    behind = SMALL[:-12] + chunk(b"tEXt", b"a\0b") + SMALL[-12:]
    assert png.essential(behind + b"more") == png.essential(SMALL + b"more") == SMALL
