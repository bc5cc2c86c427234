"""The ends of a chain that names none: stdin and stdout, alone and between processes."""

import io
import os
import pty
import sys
from types import SimpleNamespace

import click
import numpy as np
import pytest
from PIL import Image as Pillow
from reference import GRAY_PROFILE, SRGB, XMP, exif_blob, image_of, known, pillow_pixels
from support import pixels

from imgfx.errors import DecodeError, ImgfxError
from imgfx.files import decode, encode, read_image, write_image
from imgfx.image import Metadata
from imgfx.settings import Settings
from imgfx.stage import Item
from imgfx.stdio import StdinItems, StdoutSink, stdin_stage, stdout_stage
from imgfx.streams import split

PNG = known("png")


def file_of(name, height=12, **fields):
    return encode(image_of(pixels(height, 17), **fields), known(name))[0]


@pytest.fixture
def stdin(monkeypatch):
    """Makes bytes the standard input."""

    def give(data):
        file = SimpleNamespace(buffer=io.BytesIO(data), closed=False, isatty=lambda: False)
        monkeypatch.setattr(sys, "stdin", file)

    return give


@pytest.fixture
def stdout():
    """A sink on a pipe, and a function that answers what has come out of it."""
    reader, writer = os.pipe()
    session = SimpleNamespace(images_out=writer, settings=Settings())

    def received():
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            return file.read()

    return session, received


def test_each_image_of_the_stream_is_an_item(stdin):
    stdin(file_of("png", 3) + file_of("jpeg", 5) + file_of("ppm", 9))
    items = StdinItems()
    assert items.count is None
    found = list(items)
    assert [item.origin for item in found] == ["stdin #0", "stdin #1", "stdin #2"]
    assert [item.load().height for item in found] == [3, 5, 9]
    assert [item.name for item in found] == ["image_0000", "image_0001", "image_0002"]


def test_a_damaged_item_names_its_place_and_the_next_one_loads(stdin):
    stdin(file_of("png")[:-20] + file_of("png", 5))
    first, second = StdinItems()
    with pytest.raises(DecodeError, match=r"^stdin #0: truncated PNG"):
        first.load()
    assert second.load().height == 5


def test_an_empty_stream_is_an_error(stdin):
    stdin(b"")
    with pytest.raises(ImgfxError, match="empty"):
        list(StdinItems())


@pytest.mark.parametrize("absent", [None, SimpleNamespace(closed=True)])
def test_a_closed_stdin_is_a_wrong_use(monkeypatch, absent):
    monkeypatch.setattr(sys, "stdin", absent)
    with pytest.raises(click.UsageError, match="closed"):
        StdinItems()


def test_a_terminal_is_no_stdin(monkeypatch):
    leader, follower = pty.openpty()
    with os.fdopen(follower) as terminal, os.fdopen(leader):
        monkeypatch.setattr(sys, "stdin", terminal)
        with pytest.raises(click.UsageError, match="open FILE"):
            StdinItems()


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_terminal_is_no_stdout_but_a_plan_may_be_made(dry_run):
    leader, follower = pty.openpty()
    session = SimpleNamespace(images_out=follower, settings=Settings(dry_run=dry_run))
    try:
        if dry_run:
            StdoutSink(session, PNG)
        else:
            with pytest.raises(click.UsageError, match="terminal"):
                StdoutSink(session, PNG)
    finally:
        os.close(leader)
        os.close(follower)


@pytest.mark.parametrize("name", ["png", "ppm", "jpeg"])
def test_images_come_out_one_behind_the_other(stdout, name):
    session, received = stdout
    sink = StdoutSink(session, known(name))
    for index, height in enumerate((3, 5)):
        item = Item(f"#{index}", lambda: None)
        data, _ = sink.encode(image_of(pixels(height, 7)), item, index)
        sink.write(data, item, index)
        assert sink.target(item, index) == "stdout"
    found = [decode(part, "out") for part in split(io.BytesIO(received()))]
    assert [image.height for image in found] == [3, 5]


def test_the_quality_reaches_the_format(stdout):
    session, received = stdout
    sizes = [
        len(
            StdoutSink(session, known("jpeg"), quality).encode(image_of(pixels(64, 64)), None, 0)[0]
        )
        for quality in (10, 90)
    ]
    received()
    assert sizes[0] < sizes[1] / 2


def test_notes_of_writing_are_answered(stdout):
    session, received = stdout
    _, notes = StdoutSink(session, known("ppm")).encode(image_of(pixels(4, 4, 4)), None, 0)
    received()
    assert notes == ("ppm cannot hold alpha; laid over white",)


def test_name_and_metadata_ride_along_in_png(stdin, stdout):
    session, received = stdout
    metadata = Metadata(exif_blob(), XMP, SRGB, (300.0, 300.0))
    image = image_of(pixels(4, 5, 4, "uint16"), metadata=metadata, name="ünïcödé name")
    sink = stdout_stage().start(session)
    sink.write(sink.encode(image, None, 0)[0], None, 0)
    stdin(received())
    (item,) = stdin_stage().start(session)
    found = item.load()
    assert found.name == "ünïcödé name"
    assert found.depth == "uint16"
    np.testing.assert_array_equal(found.pixels, image.pixels)
    np.testing.assert_array_equal(found.alpha, image.alpha)
    assert (found.metadata.exif, found.metadata.xmp, found.metadata.icc) == (
        metadata.exif, metadata.xmp, metadata.icc,
    )  # fmt: skip
    assert found.metadata.dpi == pytest.approx((300, 300), abs=0.02)


def test_an_image_may_be_named_image(stdin):
    stdin(encode(image_of(pixels(4, 5), name="image"), PNG, stream=True)[0])
    (item,) = StdinItems()
    assert item.load().name == "image"


def test_a_number_is_no_name_to_hand_on(imgfx, tmp_path):
    stream = b"".join(imgfx("open", "-", stdin=file_of("png", height)).out for height in (4, 6))
    ended = imgfx("save", "out/", stdin=stream)
    assert (ended.code, ended.err) == (0, "imgfx: 2 images done\n")
    assert [read_image(tmp_path / f"out/image_000{n}.png").height for n in (0, 1)] == [4, 6]


def test_images_and_their_names_pass_through_three_processes(imgfx, tmp_path):
    metadata = Metadata(exif_blob(6), icc=SRGB)
    write_image(tmp_path / "first one.png", image_of(pixels(6, 9, 4, "uint16"), metadata=metadata))
    gray = image_of(pixels(7, 5, 1), metadata=Metadata(icc=GRAY_PROFILE))
    write_image(tmp_path / "zweites.jpg", gray)
    one = imgfx("open", "first one.png", "zweites.jpg")
    two = imgfx("open", "-", stdin=one.out)
    three = imgfx("save", "out/", stdin=two.out)
    assert [ended.code for ended in (one, two, three)] == [0, 0, 0]
    assert "warning" not in one.err + two.err + three.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "first one.png", "zweites.png",
    ]  # fmt: skip
    first = read_image(tmp_path / "out" / "first one.png")
    np.testing.assert_array_equal(first.pixels, pixels(6, 9, 4, "uint16")[..., :3])
    np.testing.assert_array_equal(first.alpha, pixels(6, 9, 4, "uint16")[..., 3])
    assert first.metadata.icc == SRGB
    with Pillow.open(tmp_path / "out" / "first one.png") as opened:
        assert opened.getexif()[0x010F] == "imgfx tests"
    second = read_image(tmp_path / "out" / "zweites.png")
    assert second.is_gray
    assert second.metadata.icc == GRAY_PROFILE


def test_one_bad_image_of_a_stream_is_reported_and_the_others_are_written(imgfx):
    stream = file_of("png", 3) + file_of("jpeg", 5)[:-30] + file_of("png", 9) + b"garbage"
    ended = imgfx("open", "-", "save", "-", "--format", "ppm", stdin=stream)
    assert ended.code == 3
    assert "stdin #1: truncated JPEG" in ended.err
    assert "stdin #3: not an image" in ended.err
    assert "Traceback" not in ended.err
    heights = [decode(part, "out").height for part in split(io.BytesIO(ended.out))]
    assert heights == [3, 9]


def test_an_empty_pipe_is_an_error(imgfx, tmp_path):
    ended = imgfx("save", "out.png", stdin=b"")
    assert (ended.code, ended.out) == (1, b"")
    assert "stdin: the stream is empty" in ended.err
    assert not list(tmp_path.iterdir())


def test_every_format_goes_through_a_pipe(imgfx):
    ended = imgfx("save", "-", "--format", "pam", stdin=file_of("ppm") + file_of("avif"))
    assert ended.code == 0
    assert "warning" not in ended.err
    first, second = split(io.BytesIO(ended.out))
    np.testing.assert_array_equal(decode(first, "out").pixels, pixels(12, 17))
    assert decode(second, "out").pixels.shape == (12, 17, 3)
    assert first.startswith(b"P7\n")
    assert pillow_pixels(file_of("ppm")).shape == (12, 17, 3)


@pytest.mark.parametrize("name", ["tiff", "plain ppm"])
def test_images_behind_one_that_takes_the_rest_of_the_stream_are_told(stdin, name):
    first = b"P3\n1 1\n255\n9 8 7\n" if name == "plain ppm" else file_of("tiff")
    stdin(first)
    (alone,) = StdinItems()
    assert alone.load().notes == ()
    stdin(first + file_of("png"))
    (item,) = StdinItems()
    kind = name.removeprefix("plain ")
    assert item.load().notes == (
        f"a {kind} in a pipe takes all that follows it: the images there are not read",
    )
