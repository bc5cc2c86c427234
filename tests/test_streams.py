"""Streams: many images through one pipe, cut at their true boundaries; a guarded stdout."""

import io
import itertools
import os
import random
import struct
import subprocess
import sys
import threading
import time
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from reference import decoded_or_refused, exif_blob, image_of, known, pillow_file
from support import pixels

from imgfx.errors import DecodeError
from imgfx.files import decode, encode
from imgfx.stdout import write_all
from imgfx.stream_buffer import most_bytes
from imgfx.streams import split

THUMBNAIL = pillow_file(pixels(8, 8), "JPEG")


def file_of(name, channels=3, dtype="uint8", **options):
    return encode(image_of(pixels(12, 17, channels, dtype)), known(name), **options)[0]


ITEMS = {
    "png": file_of("png"),
    "png with a thumbnail": pillow_file(pixels(9, 11), "PNG", exif=exif_blob() + THUMBNAIL),
    "png 16 bits": file_of("png", 4, "uint16"),
    "jpeg": file_of("jpeg"),
    "jpeg progressive": pillow_file(pixels(30, 40), "JPEG", progressive=True),
    "jpeg with restarts": pillow_file(pixels(30, 40), "JPEG", restart_marker_blocks=1),
    "jpeg with a thumbnail": pillow_file(
        pixels(30, 40), "JPEG", exif=b"Exif\0\0" + exif_blob() + THUMBNAIL
    ),
    "webp": file_of("webp"),
    "webp lossless": file_of("webp", 4, quality=100),
    "ppm": file_of("ppm"),
    "pgm": file_of("ppm", 1),
    "pgm 16 bits": file_of("ppm", 1, "uint16"),
    "pbm": b"P4\n# comment\n9 2\n\x40\xc0\0\x80",
    "pam": file_of("pam", 4),
    "bmp": file_of("bmp"),
    "y4m": file_of("y4m"),
    "avif": file_of("avif"),
    "avif of several": pillow_file(
        Pillow.fromarray(pixels(16, 18)),
        "AVIF",
        save_all=True,
        append_images=[Pillow.fromarray(pixels(16, 18) // 2)],
    ),
}


class Trickle(io.RawIOBase):
    """A file that answers a few bytes at a time, however many are asked for."""

    def __init__(self, data, seed):
        self._data, self._random = io.BytesIO(data), random.Random(seed)

    def readable(self):
        return True

    def readinto(self, buffer):
        block = self._data.read(min(len(buffer), self._random.randint(1, 7)))
        buffer[: len(block)] = block
        return len(block)


def pieces(data):
    return list(split(io.BytesIO(data)))


@pytest.mark.parametrize("kind", ITEMS)
def test_one_file_is_one_item(kind):
    assert pieces(ITEMS[kind]) == [ITEMS[kind]]


@pytest.mark.parametrize(("first", "second"), list(itertools.product(ITEMS, ITEMS)))
def test_any_file_may_follow_any_other(first, second):
    expected = [ITEMS[first], ITEMS[second]]
    assert pieces(b"".join(expected)) == expected


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from(sorted(ITEMS)), max_size=8))
def test_files_in_any_order_are_cut_where_they_end(kinds):
    expected = [ITEMS[kind] for kind in kinds]
    assert pieces(b"".join(expected)) == expected


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from(sorted(ITEMS)), min_size=1, max_size=4), st.integers(0, 1000))
def test_it_does_not_matter_how_bytes_arrive(kinds, seed):
    expected = [ITEMS[kind] for kind in kinds]
    assert list(split(Trickle(b"".join(expected), seed))) == expected


@pytest.mark.parametrize("block", [65534, 65535, 65536, 65537])
def test_a_boundary_at_the_end_of_a_block_is_found(block):
    """A comment of the length that puts the end of the first file there."""
    jpeg = ITEMS["jpeg"]
    filled, left = jpeg[:2], block - len(jpeg)
    while left:
        size = min(left, 65535) if left - min(left, 65535) >= 4 or left <= 65535 else left - 4
        filled += struct.pack(">BBH", 0xFF, 0xFE, size - 2) + bytes(size - 4)
        left -= size
    filled += jpeg[2:]
    assert len(filled) == block
    assert pieces(filled + ITEMS["png"]) == [filled, ITEMS["png"]]


def of_a_phone(*, motion=False, pictures=2):
    """A JPEG with a smaller one behind it, which its list names, and maybe a video behind both."""
    seen = [Pillow.fromarray(pixels(24 - 8 * k, 32)) for k in range(pictures)]
    stream = io.BytesIO()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" GCamera:MotionPhoto="1"/>' if motion else b""
    kind, more = (
        ("MPO", {"save_all": True, "append_images": seen[1:]}) if seen[1:] else ("JPEG", {})
    )
    seen[0].save(stream, kind, xmp=xmp, **more)
    boxes = [b"ftypmp42" + bytes(8), b"moov" + bytes(20), b"mdat" + THUMBNAIL]
    video = b"".join(struct.pack(">I", len(box) + 4) + box for box in boxes)
    return stream.getvalue() + video * motion


@pytest.mark.parametrize(
    "file",
    [
        of_a_phone(),
        of_a_phone(pictures=3),
        of_a_phone(motion=True),
        of_a_phone(motion=True, pictures=1),
    ],
    ids=["two pictures", "three", "and a video", "a video"],
)
@pytest.mark.parametrize("next_", ["png", "jpeg", "ppm"])
def test_a_phone_s_photo_is_one_file(file, next_):
    items = list(split(io.BytesIO(file + ITEMS[next_] + file)))
    assert items == [file, ITEMS[next_], file]
    assert decode(items[0], "photo").height == 24


def test_pictures_that_are_listed_and_not_there_swallow_nothing():
    whole = of_a_phone()
    first = whole[: whole.index(b"\xff\xd9\xff\xd8") + 2]
    stream = first + 3 * ITEMS["png"]
    assert list(split(io.BytesIO(stream))) == [first, *3 * [ITEMS["png"]]]


def test_nothing_is_no_item():
    assert pieces(b"") == []
    assert pieces(b"\n \0\r\n") == []


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(ITEMS)), st.text("\n\r\t \0", max_size=4)), max_size=5
    )
)
def test_white_space_between_files_is_skipped(parts):
    stream = b"".join(between.encode() + ITEMS[kind] for kind, between in parts)
    assert pieces(stream + b"\n") == [ITEMS[kind] for kind, _ in parts]


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "ppm", "pgm", "pam", "y4m"])
def test_the_next_file_is_found_behind_garbage(kind):
    garbage = b"no image at all \xff\xd8 P5 RIFF but words"
    assert pieces(garbage + ITEMS[kind]) == [garbage, ITEMS[kind]]


@pytest.mark.parametrize("second", ["png", "webp"])
@pytest.mark.parametrize("first", ["png", "png with a thumbnail", "jpeg", "jpeg with a thumbnail",
                                   "jpeg with restarts", "jpeg progressive"])  # fmt: skip
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_the_next_file_is_found_behind_a_truncated_one(first, second, share):
    cut = ITEMS[first][: int(len(ITEMS[first]) * share)]
    found = pieces(cut + ITEMS[second] + ITEMS["jpeg"])
    assert found[-2:] == [ITEMS[second], ITEMS["jpeg"]]
    assert all(decoded_or_refused(item, "item") is None for item in found[:-2])


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("second", ["jpeg", "ppm", "pam"])
def test_what_has_weaker_marks_is_found_behind_a_truncated_png(second, share):
    cut = ITEMS["png"][: int(len(ITEMS["png"]) * share)]
    assert pieces(cut + ITEMS[second]) == [cut, ITEMS[second]]


def test_a_marker_that_does_not_exist_leads_nowhere():
    damaged = bytearray(ITEMS["jpeg progressive"])
    damaged[-30:-26] = b"\xff\x17\xff\x17"
    assert pieces(bytes(damaged) + ITEMS["jpeg"]) == [bytes(damaged), ITEMS["jpeg"]]


def test_a_webp_of_odd_length_is_filled_up():
    odd = b"RIFF\x05\0\0\0WEBPx"
    assert pieces(odd + b"\0" + ITEMS["png"]) == [odd + b"\0", ITEMS["png"]]


def test_a_truncated_jpeg_ends_where_the_next_one_begins():
    cut = ITEMS["jpeg"][:-40]
    assert pieces(cut + ITEMS["jpeg progressive"]) == [cut, ITEMS["jpeg progressive"]]


@pytest.mark.parametrize("kind", sorted(ITEMS))
@pytest.mark.parametrize("share", [0.02, 0.4, 0.99])
def test_a_truncated_last_file_is_one_bad_item(kind, share):
    cut = ITEMS[kind][: max(3, int(len(ITEMS[kind]) * share))]
    found = pieces(ITEMS["png"] + cut)
    assert found == [ITEMS["png"], cut]
    assert decoded_or_refused(cut, "cut") is None


@pytest.mark.parametrize("missing", range(1, 40))
def test_every_cut_near_the_end_of_a_png_is_noticed(missing):
    cut = ITEMS["png"][:-missing]
    assert pieces(cut + ITEMS["png 16 bits"]) == [cut, ITEMS["png 16 bits"]]


@pytest.mark.parametrize("size", [b"\x7f\xff\xff\xff", b"\0\1\0\0", b"\xff\xff\xff\xff"])
def test_a_damaged_length_does_not_swallow_the_rest(size):
    damaged = bytearray(ITEMS["png"])
    damaged[33:37] = size
    found = pieces(bytes(damaged) + ITEMS["png"] + ITEMS["webp"])
    assert found[-2:] == [ITEMS["png"], ITEMS["webp"]]


def test_a_damaged_webp_length_does_not_swallow_the_rest():
    damaged = bytearray(ITEMS["webp"])
    damaged[4:8] = b"\xff\xff\xff\x7f"
    found = pieces(bytes(damaged) + ITEMS["png"] + ITEMS["jpeg"])
    assert found == [bytes(damaged), ITEMS["png"], ITEMS["jpeg"]]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_one_damaged_file_costs_no_bytes_and_no_other_error(data):
    kinds = sorted(set(ITEMS) - {"y4m"})  # of which a frame gets a copy of the header
    kinds = data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3))
    stream = bytearray(b"".join(ITEMS[kind] for kind in kinds))
    for _ in range(data.draw(st.integers(1, 3))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    found = pieces(bytes(stream))
    # Between two items only white space may be missing; but of an image that declares too many
    # pixels the beginning is given, which may reach into the next one, and the rest left out.
    position, large = 0, False
    for item in found:
        place = bytes(stream).find(item, position)
        assert place >= 0
        assert large or not bytes(stream[position:place]).strip(b"\n\r\t \0")
        large = is_too_large(item)
        position = place + (1 if large else len(item))
        decoded_or_refused(item, "item")
    assert large or not bytes(stream[position:]).strip(b"\n\r\t \0")


def is_too_large(item):
    try:
        decode(item, "item")
    except DecodeError as error:
        return "more than the limit" in error.format_message()
    return False


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from(
    [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"P5\n", b"P7\n", b"RIFF", b"WEBP", b"II*\0"]
)), max_size=8))  # fmt: skip
def test_no_bytes_are_too_bad(parts):
    stream = b"".join(parts)
    assert len(b"".join(pieces(stream))) <= len(stream)


@pytest.mark.parametrize("data", [b"BM", b"BM\0", b"B", b"P5", b"P", b"\x89", b"RIFF", b"\xff\xd8"])
def test_a_stream_of_a_few_bytes_is_one_bad_item(data):
    assert pieces(data) == [data]
    assert decoded_or_refused(data, "short") is None


@pytest.mark.parametrize("name", ["tiff", "avif"])
def test_a_format_without_an_end_is_read_to_the_end(name):
    data = file_of(name)
    assert pieces(ITEMS["png"] + data) == [ITEMS["png"], data]


def test_plain_text_is_read_to_the_end():
    data = b"P2\n2 1\n255\n1 2\n"
    assert pieces(ITEMS["ppm"] + data) == [ITEMS["ppm"], data]


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "ppm", "bmp", "y4m"])
def test_an_image_is_passed_on_before_the_next_one_comes(kind):
    """Else a program that waits for the answer to its first image would wait for ever."""
    reader, writer = os.pipe()
    found = []
    with os.fdopen(reader, "rb") as file, os.fdopen(writer, "wb") as out:
        out.write(ITEMS[kind])
        out.flush()
        thread = threading.Thread(target=lambda: found.append(next(split(file))), daemon=True)
        thread.start()
        thread.join(5)
        in_time = bool(found)
        out.close()
        thread.join(5)
    assert in_time
    assert found == [ITEMS[kind]]


def test_items_are_the_images_that_were_joined():
    images = [pixels(height, 7) for height in (3, 5, 9)]
    stream = b"".join(encode(image_of(image), known("png"), stream=True)[0] for image in images)
    for item, image in zip(pieces(stream), images, strict=True):
        np.testing.assert_array_equal(decode(item, "item").pixels, image)


GUARDED = """
import os, subprocess, sys
from imgfx.stdout import guarded_stdout, write_all
print("before")
with guarded_stdout() as images:
    print("print of a plugin")
    sys.stdout.write("write of a plugin")
    os.write(1, b"write of a library")
    subprocess.run([sys.executable, "-c", "print('a child process')"], check=True)
    write_all(images, b"IMAGE" * 50_000)
print("after")
"""


def run_python(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # what is printed waits in a buffer
        **options,
    )


def test_nothing_but_images_reaches_stdout():
    ended = run_python(GUARDED)
    assert ended.returncode == 0
    assert ended.stdout == b"before\n" + b"IMAGE" * 50_000 + b"after\n"
    words = ["print of a plugin", "write of a plugin", "write of a library", "a child process"]
    for word in words:
        assert ended.stderr.count(word.encode()) == 1


def test_stdout_comes_back_after_an_error():
    code = """
from imgfx.stdout import guarded_stdout
try:
    with guarded_stdout():
        raise ValueError
except ValueError:
    print("after")
"""
    assert run_python(code).stdout == b"after\n"


def test_a_closed_stdout_fails_only_when_it_is_written_to():
    code = """
import os, sys
os.close(1)
os.execv(sys.executable, [sys.executable, "-c", '''
import os
from imgfx.stdout import guarded_stdout, write_all
with guarded_stdout() as images:
    print("a plugin")
    os.write(2, b"still running|")
    try:
        write_all(images, b"image")
    except OSError as error:
        os.write(2, error.strerror.encode())
'''])
"""
    ended = run_python(code)
    assert ended.returncode == 0
    assert ended.stderr == b"still running|Bad file descriptor"
    assert ended.stdout == b""


def test_a_file_is_saved_though_stdout_is_closed(tmp_path):
    (tmp_path / "in.png").write_bytes(ITEMS["png"])
    code = (
        "import os, sys; os.close(1);"
        "os.execv(sys.executable, [sys.executable, '-m', 'imgfx', 'open', 'in.png',"
        " 'save', 'out.png'])"
    )
    ended = run_python(code, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, b"")
    np.testing.assert_array_equal(
        decode((tmp_path / "out.png").read_bytes(), "out").pixels, pixels(12, 17)
    )


def test_all_bytes_are_written_however_small_the_pipe():
    reader, writer = os.pipe()
    data = os.urandom(1 << 20)
    received = []

    def read_slowly():
        with os.fdopen(reader, "rb", buffering=0) as file:
            while block := file.read(1000):
                received.append(block)

    thread = threading.Thread(target=read_slowly)
    thread.start()
    write_all(writer, data)
    os.close(writer)
    thread.join()
    assert b"".join(received) == data


def test_what_was_printed_does_not_follow_the_images_though_stderr_is_full():
    code = """
import os
from imgfx.stdout import guarded_stdout, write_all
os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
with guarded_stdout() as images:
    print("print of a plugin")
    write_all(images, b"IMAGE")
"""
    ended = run_python(code)
    assert (ended.returncode, ended.stdout) == (0, b"IMAGE")


def test_a_pipe_that_does_not_block_and_has_nothing_yet_is_waited_for():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)

    def write_slowly():
        with os.fdopen(writer, "wb", buffering=0) as file:
            for data in ITEMS.values():
                for part in (data[: len(data) // 2], data[len(data) // 2 :]):
                    time.sleep(0.02)
                    file.write(part)

    thread = threading.Thread(target=write_slowly)
    thread.start()
    with os.fdopen(reader, "rb") as file:
        found = list(split(file))
        assert not os.get_blocking(reader)  # others share it
    thread.join()
    assert found == list(ITEMS.values())


def test_a_full_pipe_that_does_not_block_is_waited_for():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    data = os.urandom(1 << 18)
    received = []

    def read_late():
        time.sleep(0.1)
        with os.fdopen(reader, "rb") as file:
            received.append(file.read())

    thread = threading.Thread(target=read_late)
    thread.start()
    try:
        write_all(writer, data)
        assert not os.get_blocking(writer)
    finally:
        os.close(writer)
        thread.join()
    assert received == [data]


class Zeros(io.RawIOBase):
    """A beginning, then so many zeros that nobody may keep them."""

    def __init__(self, beginning, count):
        self._beginning, self._left = beginning, count

    def readable(self):
        return True

    def read(self, size=-1):
        start, self._beginning = self._beginning[:size], self._beginning[size:]
        if start:
            return start
        size = min(size, self._left)
        self._left -= size
        return bytes(size)


@pytest.mark.parametrize("kind", ["jpeg", "tiff", "avif"])
def test_what_is_longer_than_any_image_is_not_kept_whole(kind):
    beginning = {
        "jpeg": file_of("jpeg")[:20],
        "tiff": file_of("tiff"),
        "avif": file_of("avif")[:300],
    }[kind]
    most = most_bytes(1000)
    source = Zeros(beginning, 4 * most)
    with pytest.raises(DecodeError, match="more than") if kind == "tiff" else nullcontext():
        items = list(split(source, 1000))
        assert max(map(len, items)) < 2 * most
        assert sum(map(len, items)) < 3 * most


def test_a_picture_within_a_tiff_that_is_too_large_is_no_item():
    large = pillow_file(pixels(40, 50), "TIFF", compression="jpeg")
    assert b"\xff\xd8\xff" in large
    (item,) = split(io.BytesIO(large + ITEMS["png"]), 1000)
    with pytest.raises(DecodeError, match="more than the limit"):
        decode(item, "a.tif", most_pixels=1000)


def test_an_image_behind_an_avif_that_is_too_large_is_found():
    large, small = pillow_file(pixels(40, 50), "AVIF"), ITEMS["png"]
    first, second = split(io.BytesIO(large + small), 1000)
    with pytest.raises(DecodeError, match="more than the limit"):
        decode(first, "a.avif", most_pixels=1000)
    assert second == small
