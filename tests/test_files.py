"""Files to images and back: what is read, what is lost on writing, and that writing is whole."""

import contextlib
import os
import resource
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
from support import PHOTOS, picture, pixels

from imgfx import files
from imgfx.errors import DecodeError, EncodeError, ImgfxError
from imgfx.files import (
    decode,
    descriptor_of,
    encode,
    jpeg_round_trip,
    read_image,
    write_file,
    write_image,
)
from imgfx.formats import FORMATS, format_from_name, format_from_suffix, sniff
from imgfx.image import Metadata

PLAIN = image_of(pixels(12, 17))
ALL = [known_.name for known_ in FORMATS]
LOSSY = {"jpeg": 12, "y4m": 2}
"""By how many of 255 levels a sample may change, at the best quality."""
CARRIERS = ["png", "jpeg", "webp", "tiff", "avif"]
NAMES = ["plain.png", "two words.png", "ünïcödé.png", "写真 (1).png", "-dash.png", "a.b.c.png"]


@pytest.mark.parametrize("name", ALL)
def test_every_format_is_recognised_by_its_first_bytes(name):
    data, _ = encode(PLAIN, known(name))
    assert sniff(data) is known(name)
    assert sniff(data[:16]) is known(name)
    assert decode(data, "a").pixels.shape == (12, 17, 3)


@pytest.mark.parametrize(
    ("suffix", "name"),
    [(".PNG", "png"), (".jpg", "jpeg"), (".JPEG", "jpeg"), (".tif", "tiff"), (".pgm", "ppm")],
)
def test_a_format_has_several_endings(suffix, name):
    assert format_from_suffix(suffix) is known(name)
    assert format_from_suffix(suffix[1:]) is None
    assert format_from_suffix(".gif") is None


@pytest.mark.parametrize(
    ("given", "name"), [("PNG", "png"), ("jpg", "jpeg"), ("tif", "tiff"), ("pnm", "ppm")]
)
def test_a_format_has_several_names(given, name):
    assert format_from_name(given) is known(name)
    assert format_from_name("gif") is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello, this is some text\n", "not an image of a known format"),
        (bytes(5000), "not an image of a known format"),
        (b"\x89", "not an image of a known format"),
        (b"P", "not an image of a known format"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path, data, reason):
    path = tmp_path / "input.png"
    path.write_bytes(data)
    with pytest.raises(DecodeError) as caught:
        read_image(path)
    assert caught.value.format_message() == f"{path}: {reason}"


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x20\0\0\0WEBP", b"II*\0",
                     b"MM\0*", b"\0\0\0\x14ftypavif", b"BM", b"P6\n", b"P7\n"]),
    st.binary(max_size=100),
)  # fmt: skip
def test_no_bytes_are_too_bad(head, rest):
    image = decoded_or_refused(head + rest, "noise")
    assert image is None or image.pixels.size > 0


@pytest.mark.parametrize("name", ["missing.png", "folder", "file.png/below.png"])
def test_what_cannot_be_read_is_named(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.png").write_bytes(b"")
    with pytest.raises(DecodeError, match="cannot read") as caught:
        read_image(tmp_path / name)
    assert str(tmp_path / name) in caught.value.format_message()


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_read_and_written(tmp_path, name):
    path = tmp_path / "földer one" / name
    assert write_image(path, PLAIN) == ()
    image = read_image(path)
    assert image.name == path.stem
    assert image.source == path
    np.testing.assert_array_equal(image.pixels, pixels(12, 17))


def test_a_name_that_is_no_text_is_read_and_written(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    write_image(path, PLAIN)
    np.testing.assert_array_equal(read_image(path).pixels, pixels(12, 17))


def test_the_content_tells_the_format_not_the_name(tmp_path):
    path = tmp_path / "really a bitmap.png"
    path.write_bytes(pillow_file(pixels(5, 6), "BMP"))
    np.testing.assert_array_equal(read_image(path).pixels, pixels(5, 6))


def test_the_ending_tells_the_format_to_write(tmp_path):
    for suffix in (".png", ".JPG", ".webp", ".tif", ".avif", ".bmp", ".ppm", ".pam"):
        path = tmp_path / f"out{suffix}"
        write_image(path, PLAIN)
        assert sniff(path.read_bytes()) is format_from_suffix(suffix)


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(EncodeError, match=r"unknown format '\.xyz'"):
        write_image(tmp_path / "out.xyz", PLAIN)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", sorted(PHOTOS.glob("*.webp")), ids=lambda path: path.stem)
def test_photographs_come_through_every_format(path):
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels, pillow_pixels(path.read_bytes(), "RGB"))
    small = image.with_pixels(np.ascontiguousarray(image.pixels[::4, ::4]))
    for name in ALL:
        again, _ = passed_through(small, name, quality=100)
        error = np.abs(again.pixels.astype(int) - small.pixels).max()
        assert error <= LOSSY.get(name, 0), name


@pytest.mark.parametrize("first", CARRIERS)
@pytest.mark.parametrize("second", CARRIERS)
def test_metadata_goes_from_every_format_to_every_other(first, second):
    metadata = Metadata(exif_blob(), XMP, SRGB, (300.0, 200.0))
    there, notes = passed_through(image_of(pixels(16, 16), metadata=metadata), first)
    back, more = passed_through(there, second)
    found = Pillow.Exif()
    found.load(back.metadata.exif)
    assert (found[0x010F], found[0x0112]) == ("imgfx tests", 1)
    assert found.get_ifd(0x8769) == {0x9003: "2024:01:02 03:04:05"}
    assert (back.metadata.xmp, back.metadata.icc) == (XMP, SRGB)
    if {first, second} <= {"png", "jpeg", "tiff"}:
        assert back.metadata.dpi == pytest.approx((300, 200), abs=0.02)
    assert not notes + more


@pytest.mark.parametrize("dpi", [(72.0, 72.0), (300.5, 0.001), (1e-9, 1e12), (65536.0, 1.0)])
@pytest.mark.parametrize("name", CARRIERS)
def test_no_resolution_keeps_an_image_from_being_written(name, dpi):
    again, _ = passed_through(image_of(pixels(16, 16), metadata=Metadata(dpi=dpi)), name)
    assert again.pixels.shape == (16, 16, 3)
    assert again.metadata.dpi is None or all(value > 0 for value in again.metadata.dpi)


@pytest.mark.parametrize("name", CARRIERS)
def test_a_profile_for_gray_stays_with_gray_or_is_left_out_with_a_note(name):
    metadata = Metadata(icc=GRAY_PROFILE)
    rgb, notes = passed_through(image_of(pixels(16, 16), metadata=metadata), name)
    assert rgb.metadata.icc is None
    assert notes == ("a profile for gray does not fit RGB pixels; left out",)
    gray, notes = passed_through(image_of(pixels(16, 16, 1), metadata=metadata), name)
    stays = known(name).gray
    assert gray.metadata.icc == (GRAY_PROFILE if stays else None)
    assert bool(notes) is not stays


@pytest.mark.parametrize("name", ["png", "tiff", "jpeg"])
def test_a_profile_for_neither_rgb_nor_gray_is_left_out_with_a_note(name):
    profile = GRAY_PROFILE.replace(b"GRAY", b"Lab ")
    again, _ = passed_through(image_of(pixels(9, 9), metadata=Metadata(icc=profile)), name)
    assert again.metadata.icc is None
    assert again.notes == ("its ICC profile is not for RGB or gray pixels; left out",)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_gray_and_alpha_are_kept_where_the_format_can(name, channels):
    target = known(name)
    samples = np.full((8, 8, channels), 128, np.uint8)
    again, notes = passed_through(image_of(samples), name, quality=100)
    has_alpha = channels in (2, 4)
    assert (again.alpha is not None) == (has_alpha and target.alpha)
    gray = channels == 1 and target.gray
    gray = gray or (channels == 2 and (name in ("png", "pam") or not target.alpha))
    assert again.is_gray == gray
    lost = has_alpha and not target.alpha
    assert notes == ((f"{name} cannot hold alpha; laid over white",) if lost else ())
    # Half of it over white is three quarters white.
    np.testing.assert_allclose(again.pixels, 191 if lost else 128, atol=1)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("depth", ["uint8", "uint16", "float32"])
def test_depths_are_kept_where_the_format_can(name, depth):
    target = known(name)
    samples = picture(9, 9) if depth == "float32" else pixels(9, 9, 3, depth)
    again, notes = passed_through(image_of(samples), name, quality=100)
    kept = depth if depth in target.depths else target.depths[-1]
    assert again.depth == kept
    lost = (f"{name} cannot hold {depth} samples; written as {kept}",) if kept != depth else ()
    assert [note for note in notes if "cannot hold" in note] == list(lost)
    white = {"uint8": 255, "uint16": 65535, "float32": 1}
    error = np.abs(again.pixels / white[kept] - samples / white[depth]).max()
    assert error <= {"uint8": 0.5 / 255, "uint16": 1 / 4095, "float32": 0}[kept] + (
        LOSSY.get(name, 0) / 255 + 1e-6
    )


@pytest.mark.parametrize("depth", ["uint8", "uint16"])
def test_float_pixels_are_rounded_to_the_images_depth(depth):
    image = image_of(picture(9, 9))
    again, notes = passed_through(type(image)(image.pixels, depth=depth), "png")
    white = np.iinfo(depth).max
    np.testing.assert_allclose(again.pixels, image.pixels * white, atol=0.51)
    assert again.depth == depth
    assert not notes


def test_alpha_may_have_another_dtype_than_the_pixels():
    image = image_of(picture(9, 9))
    mixed = type(image)(image.pixels, pixels(9, 9, 1)[..., 0], depth="uint16")
    again, _ = passed_through(mixed, "png")
    np.testing.assert_array_equal(again.alpha, pixels(9, 9, 1)[..., 0].astype(np.uint16) * 257)


@pytest.mark.parametrize("name", ALL)
def test_the_image_is_not_changed_by_writing(name):
    samples = pixels(9, 9, 4)
    image = image_of(samples.copy(), metadata=Metadata(exif_blob(6)))
    encode(image, known(name))
    np.testing.assert_array_equal(samples_of(image), samples)
    assert image.metadata == Metadata(exif_blob(6))


@pytest.mark.parametrize("name", ALL)
def test_a_view_of_an_array_is_written_as_it_looks(name):
    samples = pixels(16, 20)[::-2, ::2]
    assert not samples.flags.c_contiguous
    again, _ = passed_through(image_of(samples), name, quality=100)
    assert np.abs(again.pixels.astype(int) - samples).max() <= LOSSY.get(name, 0)


def test_a_stream_is_compressed_faster():
    image = image_of(np.kron(pixels(40, 40), np.ones((4, 4, 1), np.uint8)))
    fast, _ = encode(image, known("png"), stream=True)
    slow, _ = encode(image, known("png"))
    np.testing.assert_array_equal(decode(fast, "a").pixels, decode(slow, "a").pixels)
    assert len(fast) > len(slow) + 200  # the name alone makes less


def test_jpeg_damage_grows_with_lower_quality():
    clean = picture(32, 40)
    good, bad = (jpeg_round_trip(clean, quality) for quality in (95, 5))
    assert good.dtype == np.float32
    assert good.shape == clean.shape
    assert 0 < np.abs(good - clean).mean() < np.abs(bad - clean).mean() < 0.2


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "out.png"
    write_file(path, b"first")
    before = path.stat().st_ino
    write_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert path.stat().st_ino != before  # a reader of the first file still has all of it
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folders_are_made(tmp_path):
    write_file(tmp_path / "a" / "b" / "out.png", b"data")
    assert (tmp_path / "a" / "b" / "out.png").read_bytes() == b"data"


def test_a_failed_rename_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    write_file(path, b"old")

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ImgfxError, match="Read-only"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_stops_midway_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out.png"
    write_file(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(EncodeError, match="too large") as caught:
            write_file(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.format_message().startswith(f"{path}: cannot write: ")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["file/out.png", "file/below/out.png", "folder"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path, name):
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "folder").mkdir()
    with pytest.raises(EncodeError, match="cannot write"):
        write_file(tmp_path / name, b"new")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_written_to_not_replaced(tmp_path):
    path = tmp_path / "pipe.png"
    os.mkfifo(path)
    received = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()), daemon=True)
    reader.start()
    write_file(path, b"data")
    reader.join(10)
    assert received == [b"data"]
    assert path.is_fifo()


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "real" / "target.png", tmp_path / "link.png"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_file(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs names of open files")
def test_what_is_open_is_written_to_where_it_stands(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    with target.open("wb", buffering=0) as file:
        file.write(b"before ")
        link.symlink_to(f"/dev/fd/{file.fileno()}")
        assert descriptor_of(link) == file.fileno()
        write_file(link, b"data")
        assert target.samefile(f"/dev/fd/{file.fileno()}")
    assert target.read_bytes() == b"before data"
    assert descriptor_of(link) is None  # closed
    link.unlink()
    link.symlink_to(target)
    assert descriptor_of(link) is None
    assert descriptor_of(target) is None


@pytest.mark.parametrize("stem", ["x" * 251, "é" * 125, "字" * 83, "🐨" * 62])
def test_the_longest_name_is_written(tmp_path, stem):
    path = tmp_path / f"{stem}.png"
    write_file(path, b"data")
    assert path.read_bytes() == b"data"
    assert list(tmp_path.iterdir()) == [path]


def test_too_long_a_name_is_refused(tmp_path):
    with pytest.raises(EncodeError, match="too long"):
        write_file(tmp_path / ("x" * 300 + ".png"), b"data")
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_when_the_format_cannot_hold_the_image(tmp_path):
    image = image_of(np.zeros((1, 20000, 1), np.uint8))
    with pytest.raises(EncodeError, match=r"wide\.webp"):
        write_image(tmp_path / "wide.webp", image)
    assert not list(tmp_path.iterdir())


def test_notes_of_writing_are_answered(tmp_path):
    notes = write_image(tmp_path / "out.jpg", image_of(pixels(8, 8, 4)), quality=50)
    assert notes == ("jpeg cannot hold alpha; laid over white",)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a device without an end")
def test_a_device_without_an_end_is_refused():
    with pytest.raises(DecodeError, match="not an image of a known format"):
        read_image(Path("/dev/zero"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_comes_from_a_named_pipe_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "most_bytes", lambda _pixels: 1 << 18)
    data = encode(image_of(pixels(9, 10)), known("png"))[0]
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for more, refused in ((0, False), (1 << 19, True)):
        writer = subprocess.Popen(["sh", "-c", f"cat > {path} 2>&1"], stdin=subprocess.PIPE)
        threading.Thread(target=lambda w=writer, m=more: fed(w, data + bytes(m))).start()
        if refused:
            with pytest.raises(DecodeError, match="--max-pixels raises it"):
                read_image(path, 1000)
        else:
            assert read_image(path, 1000).height == 9
        writer.wait()


def fed(writer, data):
    """Gives a process its input, as far as it takes it."""
    with contextlib.suppress(BrokenPipeError):
        writer.communicate(data)


@pytest.mark.parametrize("name", ["a.png", "link.png"])
def test_what_is_read_only_is_not_replaced(tmp_path, name):
    """A rename would not ask, nor would root be refused."""
    (tmp_path / "a.png").write_bytes(b"old")
    (tmp_path / "a.png").chmod(0o444)
    (tmp_path / "link.png").symlink_to("a.png")
    with pytest.raises(EncodeError, match=rf"{name}: is read-only; chmod u\+w it, or choose"):
        write_file(tmp_path / name, b"new")
    assert (tmp_path / "a.png").read_bytes() == b"old"
    (tmp_path / "a.png").chmod(0o644)
    write_file(tmp_path / name, b"new")
    assert (tmp_path / "a.png").read_bytes() == b"new"


def test_a_pgm_is_written_gray_and_a_pbm_not_at_all(tmp_path):
    notes = write_image(tmp_path / "a.pgm", PLAIN)
    assert notes == ("a .pgm holds gray alone; the colours are left out",)
    assert read_image(tmp_path / "a.pgm").is_gray
    with pytest.raises(EncodeError, match=r"a\.pbm: black and white alone is not written"):
        write_image(tmp_path / "a.pbm", PLAIN)
