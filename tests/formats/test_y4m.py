"""Y4M: headers, colour spaces, streams of frames, timing, and damage."""

import io
import itertools
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from reference import SRGB, decoded_or_refused, image_of, known, passed_through
from support import picture, pixels

from imgfx.errors import DecodeError
from imgfx.files import decode, encode
from imgfx.formats import DamagedError, y4m
from imgfx.image import Metadata
from imgfx.streams import split

FFMPEG = shutil.which("ffmpeg")
COLOURS = ["420jpeg", "420mpeg2", "420paldv", "420", "422", "411", "444", "mono"]
DEEP = [f"{colour}p{bits}" for colour in ("420", "422", "444") for bits in (9, 10, 12, 14, 16)]
ALL_COLOURS = [*COLOURS, *DEEP, "mono9", "mono10", "mono12", "mono14", "mono16"]


def frames(data):
    return list(split(io.BytesIO(data)))


def video(colour, *contents, words="F30000:1001 Ip A1:1", size="W5 H3"):
    """A stream of frames whose samples are all the same byte."""
    header = f"YUV4MPEG2 {size} {words} C{colour}\n".encode()
    payload = y4m.parse_header(header).payload
    return header + b"".join(b"FRAME\n" + bytes([value]) * payload for value in contents)


@settings(deadline=None, max_examples=80)
@given(arrays.arrays("uint8", st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(1))))
def test_writing_and_reading_gray_changes_nothing(samples):
    again, notes = passed_through(image_of(samples), "y4m")
    np.testing.assert_array_equal(again.pixels, samples)
    assert not notes


@settings(deadline=None, max_examples=80)
@given(arrays.arrays("uint8", st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_writing_and_reading_colours_changes_two_levels_at_most(samples):
    """Of 256 levels the limited range keeps 219."""
    again, notes = passed_through(image_of(samples), "y4m")
    assert np.abs(again.pixels.astype(int) - samples).max() <= 2
    assert not notes


def test_what_is_written_says_its_colour_space_and_range():
    gray, _ = encode(image_of(pixels(2, 3, 1)), known("y4m"))
    colours, _ = encode(image_of(pixels(2, 3)), known("y4m"))
    start = b"YUV4MPEG2 W3 H2 F25:1 Ip A1:1 "
    assert gray == start + b"Cmono XCOLORRANGE=FULL\nFRAME\n" + pixels(2, 3, 1).tobytes()
    assert colours.startswith(start + b"C444 XYSCSS=444 XCOLORRANGE=LIMITED\nFRAME\n")
    assert len(colours) == colours.index(b"FRAME\n") + 6 + 18


# (R, G, B) and (Y, Cb, Cr) of BT.601, limited: the colour bars of 100 %.
BARS = {
    (255, 255, 255): (235, 128, 128),
    (0, 0, 0): (16, 128, 128),
    (255, 0, 0): (81, 90, 240),
    (0, 255, 0): (145, 54, 34),
    (0, 0, 255): (41, 240, 110),
    (255, 255, 0): (210, 16, 146),
}


@pytest.mark.parametrize(("colour", "expected"), BARS.items())
def test_colours_are_those_of_bt_601(colour, expected):
    data, _ = encode(image_of(np.array([[colour]], np.uint8)), known("y4m"))
    assert tuple(data[-3:]) == expected
    assert np.abs(decode(data, "bar").pixels[0, 0].astype(int) - colour).max() <= 1


def test_the_full_range_is_read_where_the_header_says_so():
    samples = b"FRAME\n\x00\x80\x80"
    shown = {
        word: decode(b"YUV4MPEG2 W1 H1 C444" + word + b"\n" + samples, "a").pixels[0, 0, 0]
        for word in (b"", b" XCOLORRANGE=LIMITED", b" XCOLORRANGE=FULL")
    }
    assert list(shown.values()) == [0, 0, 0]
    samples = b"FRAME\n\xeb\x80\x80"
    shown = {
        word: decode(b"YUV4MPEG2 W1 H1 C444" + word + b"\n" + samples, "a").pixels[0, 0, 0]
        for word in (b"", b" XCOLORRANGE=LIMITED", b" XCOLORRANGE=FULL")
    }
    assert list(shown.values()) == [255, 255, 235]


def test_chroma_lies_where_the_colour_space_has_it():
    """A row of Cr in two samples, under four of Y."""
    shown = {}
    for colour in ("420jpeg", "420mpeg2"):
        frame = bytes([128] * 8 + [128] * 2 + [100, 156])
        header = f"YUV4MPEG2 W4 H2 C{colour} XCOLORRANGE=FULL\nFRAME\n".encode()
        red = decode(header + frame, "a").pixels[0, :, 0].astype(float)
        shown[colour] = np.round(128 + (red - 128) / 1.402)
    np.testing.assert_allclose(shown["420jpeg"], [100, 114, 142, 156], atol=1)
    np.testing.assert_allclose(shown["420mpeg2"], [100, 128, 156, 156], atol=1)


def test_more_bits_become_sixteen():
    header = b"YUV4MPEG2 W2 H1 Cmono10 XCOLORRANGE=FULL\nFRAME\n"
    image = decode(header + b"\xff\x03\x00\x02", "deep")
    assert image.depth == "uint16"
    np.testing.assert_array_equal(image.pixels[0, :, 0], [65535, round(512 * 65535 / 1023)])


def test_sixteen_bits_are_written_in_eight_with_a_note():
    samples = np.full((2, 2, 1), 0x8123, np.uint16)
    again, notes = passed_through(image_of(samples), "y4m")
    assert notes == ("y4m cannot hold uint16 samples; written as uint8",)
    np.testing.assert_array_equal(again.pixels, np.full((2, 2, 1), 0x81))


def test_metadata_is_left_out_with_a_note_and_the_timing_kept():
    metadata = Metadata(icc=SRGB, video="F24:1 It A4:3")
    again, notes = passed_through(image_of(pixels(4, 5), metadata=metadata), "y4m")
    assert again.metadata == Metadata(video="F24:1 It A4:3")
    assert notes == ("y4m carries no EXIF, XMP or ICC; left out",)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from(ALL_COLOURS), st.integers(1, 3))
def test_odd_sizes_are_cut_and_read_in_every_colour_space(width, height, colour, count):
    values = [40 + number for number in range(count)]
    data = video(colour, *values, size=f"W{width} H{height}")
    found = frames(data)
    header = data[: data.index(b"\n") + 1]
    payload = y4m.parse_header(header).payload
    assert found == [header + b"FRAME\n" + bytes([value]) * payload for value in values]
    for item in found:
        assert decode(item, "frame").pixels.shape[:2] == (height, width)


PIXEL_FORMATS = {
    "420jpeg": "yuv420p", "422": "yuv422p", "411": "yuv411p", "444": "yuv444p", "mono": "gray",
    "420p10": "yuv420p10le", "422p12": "yuv422p12le", "444p16": "yuv444p16le",
    "mono10": "gray10le",
}  # fmt: skip


def ffmpeg(*words, stdin):
    program = [FFMPEG, "-hide_banner", "-loglevel", "error", "-strict", "-1"]
    ended = subprocess.run(
        [*program, *words, "-"], input=stdin, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout


def smooth(height, width):
    """Colours that change slowly, so that the way of interpolating makes no difference."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    parts = [90 + 60 * x / width, 80 + 70 * y / height, 170 - 60 * (x + y) / (width + height)]
    return np.rint(np.stack(parts, axis=2)).astype(np.uint8)


@pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize(
    ("colour", "height", "width"),
    # Of more bits, FFmpeg 5.1 writes frames of odd width half a sample short.
    [(colour, 96, 128) for colour in PIXEL_FORMATS]
    + [(colour, 95, 127) for colour in PIXEL_FORMATS if "p1" not in colour],
)
def test_ffmpegs_frames_are_read_as_ffmpeg_shows_them(colour, height, width):
    picture_ = smooth(height, width)
    ppm, _ = encode(image_of(picture_), known("ppm"))
    form = ["-sws_flags", "accurate_rnd+full_chroma_int+bicubic"]
    made = ffmpeg("-f", "image2pipe", "-c:v", "ppm", "-i", "-", "-pix_fmt", PIXEL_FORMATS[colour],
                  *form, "-strict", "-1", "-f", "yuv4mpegpipe", stdin=ppm)  # fmt: skip
    assert f" C{colour} ".encode() in made
    shown = ffmpeg("-f", "yuv4mpegpipe", "-i", "-", *form, "-pix_fmt", "rgb24",
                   "-f", "image2pipe", "-c:v", "ppm", stdin=made)  # fmt: skip
    expected = decode(shown, "ffmpeg").pixels.astype(float)
    image = decode(made, "ours")
    assert image.depth == ("uint8" if "p1" not in colour and "10" not in colour else "uint16")
    ours = image.pixels / np.iinfo(image.depth).max * 255
    difference = np.abs(ours - expected)[2:-2, 4:-4]
    assert difference.max() <= 2.5
    assert difference.mean() <= 0.8


@pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("channels", [1, 3])
def test_ffmpeg_reads_what_is_written(channels):
    samples = pixels(33, 51, channels)
    data, _ = encode(image_of(samples), known("y4m"))
    shown = ffmpeg("-f", "yuv4mpegpipe", "-i", "-", "-sws_flags", "accurate_rnd+full_chroma_int",
                   "-pix_fmt", "rgb24" if channels == 3 else "gray", "-f", "image2pipe",
                   "-c:v", "ppm" if channels == 3 else "pgm", stdin=data)  # fmt: skip
    difference = np.abs(decode(shown, "ffmpeg").pixels.astype(int) - samples)
    assert difference.max() <= (2 if channels == 3 else 0)


def test_every_frame_is_an_item_with_the_videos_timing():
    found = frames(video("420jpeg", 50, 100, 150))
    assert [decode(item, "a").metadata.video for item in found] == ["F30000:1001 Ip A1:1"] * 3
    assert [decode(item, "a").pixels[0, 0, 0] for item in found] == [0, 53, 191]


@pytest.mark.parametrize(
    ("words", "timing"),
    [
        ("F24:1", "F24:1"),
        ("", "F25:1"),
        ("F0:0 Ip A0:0", "F25:1 Ip A0:0"),
        ("Ib A59:54", "F25:1 Ib A59:54"),
        ("A10:11 F60000:1001 It XYSCSS=420 XFOO", "F60000:1001 It A10:11"),
    ],
)
def test_timing_is_read_in_any_order_and_written_again(words, timing):
    image = decode(video("444", 80, words=words), "a")
    assert image.metadata.video == timing
    again, _ = passed_through(image, "y4m")
    assert again.metadata.video == timing


def test_lines_of_frames_may_have_parameters():
    header, payload = b"YUV4MPEG2 W2 H1 Cmono\n", b"\x10\xeb"
    data = header + b"FRAME Ip XSOMETHING=1\n" + payload + b"FRAME\n" + payload
    first, second = frames(data)
    assert first == header + b"FRAME Ip XSOMETHING=1\n" + payload
    for item in (first, second):
        np.testing.assert_array_equal(decode(item, "a").pixels[0, :, 0], [0, 255])


def test_videos_and_images_may_follow_each_other():
    png, _ = encode(image_of(pixels(3, 4)), known("png"))
    one, other = video("444", 10, 20), video("mono", 30, size="W7 H2")
    found = frames(one + png + other + one + b"\n" + png)
    sizes = [decode(item, "a").pixels.shape for item in found]
    rgb, gray = (3, 5, 3), (2, 7, 1)
    assert sizes == [rgb, rgb, (3, 4, 3), gray, rgb, rgb, (3, 4, 3)]


@pytest.mark.parametrize("missing", [1, 7, 20, 44, 45])
def test_a_truncated_last_frame_is_one_bad_item(missing):
    data = video("444", 10, 20, 30)[:-missing]
    first, second, third = frames(data)
    assert decode(second, "second").pixels.shape == (3, 5, 3)
    with pytest.raises(DecodeError, match=r"^third: truncated Y4M$"):
        decode(third, "third")
    assert first != second


def test_no_truncated_file_is_read():
    data = video("420p10", 3)
    for length in range(len(data)):
        assert decoded_or_refused(data[:length], "cut") is None


def test_a_damaged_line_of_a_frame_costs_that_frame():
    data = bytearray(video("444", 10, 20, 30))
    second = data.index(b"FRAME", data.index(b"FRAME") + 1)
    data[second + 1] = ord("X")
    found = [decoded_or_refused(item, "a") for item in frames(bytes(data))]
    assert [image is None for image in found] == [False, True, False]
    assert found[0].pixels.shape == found[2].pixels.shape


def test_a_video_that_was_cut_off_does_not_swallow_the_next_one():
    whole = video("444", 10, 20)
    cut = whole[:-30]
    found = [decoded_or_refused(item, "a") for item in frames(cut + whole)]
    assert [image is None for image in found] == [False, True, False, False]


DAMAGED = {
    "no size": (b"YUV4MPEG2 F25:1\n", "header: W"),
    "no height": (b"YUV4MPEG2 W5 F25:1\n", "header: H"),
    "width of nothing": (b"YUV4MPEG2 W0 H5\n", "header: W0"),
    "width of words": (b"YUV4MPEG2 Wide H5\n", "header: Wide"),
    "negative height": (b"YUV4MPEG2 W5 H-5\n", "header: H-5"),
    "rate without colon": (b"YUV4MPEG2 W5 H5 F25\n", "header: F25"),
    "empty rate": (b"YUV4MPEG2 W5 H5 F\n", "header: F"),
    "odd interlacing": (b"YUV4MPEG2 W5 H5 Iq\n", "header: Iq"),
    "odd aspect": (b"YUV4MPEG2 W5 H5 A1\n", "header: A1"),
    "unknown colours": (b"YUV4MPEG2 W5 H5 C410\n", "colour space C410 is not supported"),
    "alpha": (b"YUV4MPEG2 W5 H5 C444alpha\n", "colour space C444alpha"),
    "too many bits": (b"YUV4MPEG2 W5 H5 C420p17\n", "colour space C420p17"),
    "endless line": (b"YUV4MPEG2 " + b"W5 H5 " * 500 + b"\n", "no valid Y4M header"),
    "no end": (b"YUV4MPEG2 W5 H5", "truncated Y4M"),
    "no frame": (b"YUV4MPEG2 W5 H5\n", "holds no frame"),
    "too large": (b"YUV4MPEG2 W60000 H60000\nFRAME\n", "60000x60000 pixels"),
    "far too large": (b"YUV4MPEG2 W999999999 H999999999\nFRAME\n", "999999999x999999999 pixels"),
    "no line": (b"YUV4MPEG2 W5 H5 Cmono\n" + bytes(40), "no FRAME"),
    "line without end": (b"YUV4MPEG2 W5 H5 Cmono\nFRAME " + b"x" * 2000, "no FRAME"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_makes_no_video_is_refused(kind):
    data, reason = DAMAGED[kind]
    with pytest.raises(DecodeError, match=rf"^odd\.y4m: .*{reason}"):
        decode(data, "odd.y4m")
    (only,) = frames(data)
    with pytest.raises(DecodeError, match=reason):
        decode(only, "stream")


class Endless(io.RawIOBase):
    """A stream that never ends, and counts what was read of it."""

    def __init__(self, start, filling):
        self._blocks, self.count = itertools.chain([start], itertools.repeat(filling)), 0

    def readable(self):
        return True

    def readinto(self, buffer):
        block = next(self._blocks)[: len(buffer)]
        buffer[: len(block)] = block
        self.count += len(block)
        return len(block)


@pytest.mark.parametrize(
    "header", [b"W60000 H60000", b"W999999999 H999999999", b"W64 H64 C410", b"W64"]
)
def test_a_stream_that_cannot_be_cut_is_read_no_further(header):
    stream = Endless(b"YUV4MPEG2 " + header + b"\n", b"FRAME\n" + bytes(1000))
    (only,) = split(stream)
    assert decoded_or_refused(only, "endless") is None
    assert stream.count < 1 << 20


def test_frames_of_an_endless_stream_come_one_by_one():
    header = b"YUV4MPEG2 W100 H10 Cmono\n"
    stream = Endless(header, b"FRAME\n" + bytes(1000))
    found = list(itertools.islice(split(stream), 500))
    assert set(found) == {header + b"FRAME\n" + bytes(1000)}
    assert stream.count < 501 * 1006 + (1 << 17)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60))
def test_no_bytes_are_too_bad(rest):
    image = decoded_or_refused(b"YUV4MPEG2 " + rest, "odd.y4m")
    assert image is None or image.pixels.size > 0


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_streams_are_refused_or_still_pictures(data):
    damaged = bytearray(video(data.draw(st.sampled_from(ALL_COLOURS)), 10, 20, 30))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    for item in frames(bytes(damaged)):
        image = decoded_or_refused(item, "damaged")
        assert image is None or image.pixels.size > 0


def test_a_gray_frame_among_colours_gets_their_header():
    colours, _ = encode(image_of(pixels(3, 5)), known("y4m"))
    gray, _ = encode(image_of(pixels(3, 5, 1)), known("y4m"))
    first = y4m.parse_header(colours)
    stream = colours + y4m.next_frame(first, gray) + y4m.next_frame(first, colours)
    one, two, three = (decode(item, "a").pixels for item in frames(stream))
    np.testing.assert_array_equal(one, three)
    assert np.abs(two.astype(int) - pixels(3, 5, 1)).max() <= 1


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (pixels(4, 5, 1), "5x4 pixels do not fit into a y4m stream of 5x3"),
        (pixels(3, 5, 3), "begins with a gray frame"),
    ],
)
def test_a_frame_that_does_not_fit_the_header_is_refused(samples, reason):
    first, _ = encode(image_of(pixels(3, 5, 1)), known("y4m"))
    other, _ = encode(image_of(samples), known("y4m"))
    with pytest.raises(ValueError, match=reason):
        y4m.next_frame(y4m.parse_header(first), other)


# The same by the command line.


@pytest.fixture
def clip(tmp_path):
    """Three frames in a file."""
    data = video("444", 60, 120, 180)
    (tmp_path / "clip.y4m").write_bytes(data)
    return data


def test_a_stream_goes_through_with_its_timing(imgfx, clip):
    ended = imgfx("open", "-", "save", "-", "--format", "y4m", stdin=clip)
    assert ended.code == 0, ended.err
    assert ended.out.count(b"YUV4MPEG2") == 1
    assert ended.out.startswith(b"YUV4MPEG2 W5 H3 F30000:1001 Ip A1:1 C444")
    before, after = (
        [decode(item, "a").pixels.astype(int) for item in frames(data)]
        for data in (clip, ended.out)
    )
    assert np.abs(np.array(before) - after).max() <= 2


@pytest.mark.parametrize(
    ("given", "header"),
    [("50", b" F50:1 "), ("30000/1001", b" F30000:1001 "), ("23.976", b" F2997:125 ")],
)
def test_the_rate_can_be_set(imgfx, clip, given, header):
    ended = imgfx("open", "-", "save", "-", "--format", "y4m", "--fps", given, stdin=clip)
    assert (ended.code, header in ended.out) == (0, True), ended.err


@pytest.mark.parametrize("given", ["0", "0/1", "1/0", "-3", "fast", "25/", "1e9"])
def test_what_is_no_rate_is_a_wrong_use(imgfx, clip, given):
    ended = imgfx("open", "-", "save", "-", "--format", "y4m", "--fps", given, stdin=clip)
    assert ended.code == 2
    assert f"'{given}' is no frame rate" in ended.err


def test_a_rate_without_a_video_is_a_wrong_use(imgfx, clip):
    ended = imgfx("open", "-", "save", "-", "--fps", "25", stdin=clip)
    assert ended.code == 2
    assert "give --format y4m with --fps" in ended.err


def test_images_become_a_video(imgfx, tmp_path):
    pngs = b"".join(encode(image_of(pixels(4, 6)), known("png"))[0] for _ in range(3))
    ended = imgfx("open", "-", "save", "-", "--format", "y4m", stdin=pngs)
    assert ended.out.startswith(b"YUV4MPEG2 W6 H4 F25:1 Ip A1:1 C444")
    assert len(frames(ended.out)) == 3


def test_a_truncated_stream_ends_with_code_3(imgfx, clip):
    ended = imgfx("open", "-", "save", "-", "--format", "y4m", stdin=clip[:-5])
    assert ended.code == 3
    assert "stdin #2: truncated Y4M" in ended.err
    assert len(frames(ended.out)) == 2


def test_an_image_of_another_size_fails_and_the_others_are_written(imgfx):
    images = [pixels(4, 6), pixels(5, 6), pixels(4, 6)]
    pngs = b"".join(encode(image_of(image), known("png"))[0] for image in images)
    ended = imgfx("open", "-", "save", "-", "--format", "y4m", stdin=pngs)
    assert ended.code == 3
    assert "stdin #1: 6x5 pixels do not fit into a y4m stream of 6x4" in ended.err
    assert len(frames(ended.out)) == 2


def test_a_file_is_opened_frame_by_frame(imgfx, clip, tmp_path):
    assert imgfx("open", "clip.y4m", "save", "out/").code == 0
    found = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert found == ["clip_0000.png", "clip_0001.png", "clip_0002.png"]
    for path, item in zip(sorted((tmp_path / "out").glob("*.png")), frames(clip), strict=True):
        np.testing.assert_array_equal(
            decode(path.read_bytes(), "png").pixels, decode(item, "y4m").pixels
        )
    assert imgfx("open", "out/clip_0001.png", "save", "one.y4m", "--fps", "10").code == 0
    assert (tmp_path / "one.y4m").read_bytes().startswith(b"YUV4MPEG2 W5 H3 F10:1 Ip A1:1 C444")


def test_a_truncated_file_keeps_its_whole_frames(imgfx, clip, tmp_path):
    (tmp_path / "clip.y4m").write_bytes(clip[:-5])
    ended = imgfx("open", "clip.y4m", "save", "out/")
    assert ended.code == 3
    assert "clip.y4m #2: truncated Y4M" in ended.err
    assert len(list((tmp_path / "out").glob("*.png"))) == 2


@pytest.mark.parametrize("data", [b"", b"YUV4MPEG2 W5\n", b"YUV4MPEG2 W5 H5\n", b"no video at all"])
def test_a_file_without_frames_is_one_error(imgfx, tmp_path, data):
    (tmp_path / "bad.y4m").write_bytes(data)
    ended = imgfx("open", "bad.y4m", "save", "out/")
    assert ended.code == 1
    assert ended.err.startswith("imgfx: error: bad.y4m: ")
    assert len(ended.err.splitlines()) == 1


def test_places_are_those_that_a_stream_is_cut_at(tmp_path):
    data = video("420jpeg", 1, 2, 3)[:-4]
    header, places = y4m.places(io.BytesIO(data))
    assert [header + data[at : at + length] for at, length in places] == frames(data)
    with pytest.raises(DamagedError, match="no frame"):
        y4m.places(io.BytesIO(header))


def test_a_picture_of_any_colours_survives_ten_passes():
    """Rounding does not add up."""
    image = image_of(np.rint(picture(16, 16) * 255).astype(np.uint8))
    once, _ = passed_through(image, "y4m")
    again = once
    for _ in range(10):
        again, _ = passed_through(again, "y4m")
    assert np.abs(again.pixels.astype(int) - once.pixels).max() <= 2
