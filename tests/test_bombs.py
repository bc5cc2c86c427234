"""Small files that would become huge: refused in one line, before there is room made for them."""

import io
import os
import resource
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from reference import decoded_or_refused, image_of, known, pillow_file
from support import PROGRAM, pixels

from imgfx.errors import DecodeError
from imgfx.files import decode, encode
from imgfx.formats import _av1, avif, tiff
from imgfx.streams import split

ROOM = 192 << 20
"""Bytes that the program may take more than for a small image; no bomb fits in, nor a stream."""
PEAK = "; import re; print(re.search(r'VmPeak:\\s+(\\d+)', open('/proc/self/status').read())[1])"


def alone():
    """Surroundings in which no threads take address space by the number of processors."""
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    """Bytes of address space: as much as a small image takes, and some room."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "a.png").write_bytes(file_of("png"))
    program = "from imgfx.cli import main; main(['open', 'a.png', 'save', 'b.png'])" + PEAK
    line = [sys.executable, "-c", program]
    ended = subprocess.run(line, cwd=folder, capture_output=True, check=True, env=alone())
    return int(ended.stdout) * 1024 + ROOM


@pytest.fixture
def limited(tmp_path, memory):
    """Runs the program in little memory; answers its exit code, stdout, and stderr."""

    def run(words, stdin=b""):
        ended = subprocess.run(
            [*PROGRAM, *words.split()], cwd=tmp_path, input=stdin, capture_output=True,
            check=False, timeout=60, env=alone(),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
        )  # fmt: skip
        return ended.returncode, ended.stdout, ended.stderr.decode()

    return run


def chunk(kind, payload):
    checksum = struct.pack(">I", zlib.crc32(kind + payload))
    return struct.pack(">I", len(payload)) + kind + payload + checksum


def png(width, height, *more):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = min(99_999, height * (1 + 3 * width))
    chunks = [chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(bytes(rows)))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def file_of(name, height=20, width=30, channels=3, **options):
    return encode(image_of(pixels(height, width, channels)), known(name), **options)[0]


def patched(data, mark, skip, layout, *values):
    """The bytes with other numbers `skip` bytes behind the beginning of a mark."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, changed.index(mark) + skip, *values)
    return bytes(changed)


def field(data, which, **changes):
    """A little-endian TIFF of ours, with another kind, count, value or tag of a field."""
    changed = bytearray(data)
    (start,) = struct.unpack_from("<I", data, 4)
    for position in range(start + 2, len(data) - 12, 12):
        tag, kind, count, value = struct.unpack_from("<HHII", data, position)
        if tag == which:
            entry = {"tag": tag, "kind": kind, "count": count, "value": value}
            struct.pack_into("<HHII", changed, position, *{**entry, **changes}.values())
            return bytes(changed)
    raise AssertionError(which)


def bmp(width, height, size=0):
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", size, 0, 0, 54) + head + bytes(100)


CANVAS = struct.pack("<4sI", b"VP8X", 10) + bytes(4) + b"\xff\xff\xff" + b"\xff\xff\xff"
WEBP = file_of("webp")[12:]
TIFF = file_of("tiff")

BOMBS = {
    "png": ("png", png(60_000, 60_000), "60000x60000", "3600"),
    "jpeg": (
        "jpg", patched(file_of("jpeg"), b"\xff\xc0", 5, ">HH", 65500, 65500),
        "65500x65500", "4290.25",
    ),
    "webp": (
        "webp", b"RIFF" + struct.pack("<I", 4 + len(CANVAS + WEBP)) + b"WEBP" + CANVAS + WEBP,
        "16777216x16777216", "281474976.710656",
    ),
    "tiff": (
        "tif", field(field(TIFF, 256, kind=4, value=60_000), 257, kind=4, value=60_000),
        "60000x60000", "3600",
    ),
    "avif": (
        "avif", patched(file_of("avif"), b"ispe", 8, ">II", 60_000, 60_000),
        "60000x60000", "3600",
    ),
    "bmp of 8 GiB": ("bmp", bmp(60_000, 47_722), "60000x47722", "2863.32"),
    "bmp upside down": ("bmp", bmp(60_000, -60_000, 2**32 - 1), "60000x60000", "3600"),
    "ppm": ("ppm", b"P6\n60000 60000\n255\n" + bytes(99), "60000x60000", "3600"),
    "pgm": ("pgm", b"P5\n99999999 99999999\n65535\n", "99999999x99999999", "9999999800.000002"),
    "pbm": ("pbm", b"P4\n60000 60000\n" + bytes(99), "60000x60000", "3600"),
    "plain ppm": ("ppm", b"P3\n60000 60000\n255\n1 2 3\n", "60000x60000", "3600"),
    "pam": (
        "pam", b"P7\nWIDTH 60000\nHEIGHT 60000\nDEPTH 4\nMAXVAL 255\nENDHDR\n" + bytes(99),
        "60000x60000", "3600",
    ),
}  # fmt: skip


def message(origin, size, megapixels, limit="500"):
    return (
        f"imgfx: error: {origin}: {size} pixels, more than the limit: {megapixels} megapixels "
        f"where {limit} are allowed; --max-pixels raises it\n"
    )


@pytest.mark.parametrize(("suffix", "data", "size", "megapixels"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_in_one_line_before_there_is_room_made_for_it(
    limited, tmp_path, suffix, data, size, megapixels
):
    (tmp_path / f"bomb.{suffix}").write_bytes(data)
    assert len(data) < 4000
    ended = limited(f"open bomb.{suffix} save b.png")
    assert ended == (1, b"", message(f"bomb.{suffix}", size, megapixels))
    ended = limited("save b.png", data)
    assert ended == (1, b"", message("stdin #0", size, megapixels))
    assert [path.name for path in tmp_path.iterdir()] == [f"bomb.{suffix}"]


def test_the_bombs_of_a_folder_do_not_harm_the_other_images(limited, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number, (suffix, data, _, _) in enumerate(BOMBS.values()):
        (folder / f"{number:02d}.{suffix}").write_bytes(data)
    (folder / "sound.png").write_bytes(file_of("png"))
    code, _, errors = limited("open in save out")
    assert code == 3
    assert errors.count("more than the limit") == len(BOMBS)
    images = [path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".png"]
    assert images == ["sound.png"]


@pytest.mark.parametrize("name", ["png", "jpeg", "webp", "bmp", "ppm", "pam"])
def test_the_images_behind_one_that_is_too_large_are_read(limited, tmp_path, name):
    """Their beginning is found whether the large one says where it ends or has to be searched."""
    small = file_of("png", 4, 5)
    stream = small + file_of(name, 40, 50) + small + file_of(name, 40, 50) + small
    code, out, errors = limited("save -  --format ppm --max-pixels 0.001", stream)
    assert code == 3
    lines = "".join(message(f"stdin #{n}", "50x40", "0.002", "0.001") for n in (1, 3))
    assert errors == lines + "imgfx: error: 2 of 5 images failed; the others are written\n"
    found = list(split(io.BytesIO(out)))
    assert len(found) == 3
    for data in found:
        np.testing.assert_array_equal(decode(data, "out").pixels, pixels(4, 5))


def test_the_option_sets_the_limit_exactly_and_0_lifts_it(limited, tmp_path):
    (tmp_path / "a.png").write_bytes(file_of("png", 40, 50))
    ended = limited("open a.png --max-pixels 0.001 save b.png")
    assert ended == (1, b"", message("a.png", "50x40", "0.002", "0.001"))
    ended = limited("--max-pixels 0.001999 open a.png save b.png")
    assert ended == (1, b"", message("a.png", "50x40", "0.002", "0.001999"))
    for limit in ("0.002", "0", "inf"):
        assert limited(f"open a.png --max-pixels {limit} save {limit}.png")[0] == 0
        assert (tmp_path / f"{limit}.png").exists()


@pytest.mark.parametrize("name", ["png", "jpeg", "ppm", "bmp of 8 GiB"])
def test_without_a_limit_a_bomb_is_still_damaged(limited, tmp_path, name):
    suffix, data, _, _ = BOMBS[name]
    (tmp_path / f"bomb.{suffix}").write_bytes(data)
    code, _, errors = limited(f"open bomb.{suffix} --max-pixels 0 save b.png")
    assert code == 1
    assert "truncated" in errors or "too short" in errors
    assert "limit" not in errors


@pytest.mark.parametrize("value", ["nan", "-1", "many"])
def test_what_is_no_number_of_pixels_is_wrong_usage(imgfx, value):
    ended = imgfx("open", "a.png", "--max-pixels", value, "save", "b.png")
    assert (ended.code, ended.err.count("\n")) == (2, 1)


def test_what_opencv_itself_does_not_decode_says_so(limited, tmp_path):
    """Its limits are 2**30 pixels, and 2**20 a side."""
    wide = bmp(2**20 + 1, 1) + bytes(3 * 2**20)
    with pytest.raises(DecodeError, match=r"^wide\.bmp: larger than OpenCV decodes; OPENCV_IO_MAX"):
        decode(wide, "wide.bmp")


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(BOMBS["png"][1], id="png, whole"),
        pytest.param(png(500, 500)[:-12], id="png without an end"),
        pytest.param(b"P6\n60000 60000\n255\n", id="ppm"),
        pytest.param(bmp(60_000, 60_000, 2**32 - 1), id="bmp"),
        pytest.param(bmp(10, 10, 2**32 - 1) + bytes(300), id="bmp, small but for its length"),
        pytest.param(b"RIFF\xfc\xff\xff\xff" + file_of("webp")[8:], id="webp, small too"),
        pytest.param(png(5, 5)[:-12] + b"\x7f\xff\xff\xffIEND", id="png with a long end"),
        pytest.param(png(5, 5)[:-12] + b"\x7f\xff\xff\xffIDAT", id="png with a long chunk"),
        pytest.param(file_of("jpeg")[:-2], id="jpeg without an end"),
        pytest.param(file_of("tiff"), id="tiff"),
        pytest.param(b"no image", id="nothing known"),
    ],
)
def test_a_stream_is_not_kept_in_memory_because_a_header_says_so(tmp_path, memory, start):
    """320 MiB come behind it, and there is room for 192."""
    process = subprocess.Popen(
        [*PROGRAM, "--max-pixels", "2", "save", "out/"], cwd=tmp_path,
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
        env=alone(),
    )  # fmt: skip
    try:
        process.stdin.write(start)
        for _ in range(320):
            process.stdin.write(bytes([7]) * (1 << 20))
    except BrokenPipeError:
        pass  # refused before all has come
    _, errors = process.communicate(timeout=120)
    sound = start.startswith(b"BM") and len(start) > 200
    assert process.returncode == (0 if sound else 1), errors
    assert b"memory" not in errors.lower()
    for line in errors.decode().splitlines():
        assert line.startswith("imgfx: error: ")


def test_a_file_of_more_bytes_than_its_pixels_can_need_is_not_read(limited, tmp_path):
    path = tmp_path / "long.png"
    path.write_bytes(file_of("png"))
    os.truncate(path, 4 << 30)  # a hole
    code, _, errors = limited("--max-pixels 1 open long.png save b.png")
    line = "4096 MiB, more than the limit for an image of 1 megapixels; --max-pixels raises it"
    assert (code, errors) == (1, f"imgfx: error: long.png: {line}\n")
    path = tmp_path / "unknown.png"
    path.write_bytes(b"no image")
    os.truncate(path, 4 << 30)
    code, _, errors = limited("open unknown.png save b.png")
    line = "imgfx: error: unknown.png: not an image of a known format\n"
    assert (code, errors) == (1, line)


def test_what_rides_along_is_not_inflated_to_gigabytes(limited, tmp_path):
    squeezer = zlib.compressobj(9)
    mebibyte = bytes(1 << 20)
    bomb = b"".join(squeezer.compress(mebibyte) for _ in range(320)) + squeezer.flush()
    riders = [
        chunk(b"iCCP", b"profile\0\0" + bomb),
        chunk(b"zTXt", b"Comment\0\0" + bomb),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb),
        chunk(b"iTXt", b"imgfx:name\0\1\0\0\0" + bomb),
    ]
    (tmp_path / "a.png").write_bytes(png(5, 6, *riders))
    code, _, errors = limited("open a.png save b.png")
    lines = (
        "imgfx: warning: a.png: its ICC profile is damaged; left out\n"
        "imgfx: warning: a.png: its text (Comment, XMP, imgfx:name) is left out\n"
    )
    assert (code, errors) == (0, lines)
    image = decode((tmp_path / "b.png").read_bytes(), "b.png")
    assert image.metadata.icc is None
    assert image.metadata.xmp is None


def refusal(data, most_pixels=10_000):
    """Why these bytes are refused; None for a picture."""
    try:
        decode(data, "x", most_pixels=most_pixels)
    except DecodeError as error:
        return error.format_message()
    return None


def test_a_png_too_short_for_its_rows_is_refused_undecoded(limited, tmp_path):
    (tmp_path / "a.png").write_bytes(png(20_000, 20_000))
    code, _, errors = limited("open a.png save b.png")
    line = "imgfx: error: a.png: damaged PNG: too short for 20000x20000 pixels\n"
    assert (code, errors) == (1, line)
    blank = file_of("png", 1, 1)
    assert refusal(blank) is None
    data = encode(image_of(np.zeros((3000, 3000, 1), np.uint8)), known("png"))[0]
    assert refusal(data, None) is None  # as well compressed as can be


def test_the_name_of_a_damaged_chunk_cannot_write_to_the_terminal():
    data = file_of("png").replace(b"IDAT", b"I\x1b[m")
    assert refusal(data) == "x: damaged PNG: wrong checksum in a chunk without a name"


def test_nor_can_the_words_of_a_damaged_header():
    damaged = b"YUV4MPEG2 W8 H8 F25:1 C4\x1b[m\nFRAME\n" + bytes(192)
    assert "C4?[m is not supported" in refusal(damaged)


def test_of_two_frames_in_a_jpeg_the_larger_one_counts():
    data = file_of("jpeg")
    start = data.index(b"\xff\xc0")
    frame = patched(data[start : start + 19], b"\xff\xc0", 5, ">HH", 200, 300)
    for both in (
        data[:start] + frame + data[start:],
        data[: start + 19] + frame + data[start + 19 :],
    ):
        assert refusal(both).startswith("x: 300x200 pixels, more than the limit")


def test_a_jpeg_of_very_many_scans_is_refused():
    """Each may be a few bytes, and sends the decoder over all blocks once more."""
    data = pillow_file(pixels(40, 50), "JPEG", progressive=True)
    starts = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xda"]
    assert refusal(data) is None
    scans = data[starts[-1] : -2] * 600
    assert refusal(data[:-2] + scans + data[-2:]) == (
        f"x: a JPEG of {len(starts) + 600} scans is not supported"
    )


def test_a_picture_in_a_webp_larger_than_its_canvas_counts():
    small = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\x04\0\0\x05\0\0"
    body = b"WEBP" + small + file_of("webp", 200, 300)[12:]
    data = b"RIFF" + struct.pack("<I", len(body)) + body
    assert refusal(data).startswith("x: 300x200 pixels, more than the limit")


def test_a_bmp_header_is_read_as_the_decoder_reads_it():
    """Of 36 to 39 bytes it is one of the large kind; from 13 to 35 it is none at all."""
    head = bytearray(bmp(3, 3, 154))
    struct.pack_into("<Iii", head, 14, 36, 60_000, 60_000)
    assert refusal(bytes(head)).startswith("x: 60000x60000 pixels, more than the limit")
    struct.pack_into("<Iii", head, 14, 20, 3, 3)
    assert refusal(bytes(head)) == "x: a BMP with a header of 20 bytes is not supported"


def test_a_tiff_states_a_size_once_and_as_a_number():
    twice = field(TIFF, 258, tag=256, kind=4, count=1, value=40)
    assert refusal(twice) == "x: damaged TIFF: its directory states a size twice"
    signed = field(TIFF, 256, kind=9, value=60_000)
    assert refusal(signed).startswith("x: 60000x20 pixels, more than the limit")
    for kind, value in ((9, 2**32 - 5), (11, 0x476A6000), (2, 40)):  # below zero, a float, text
        wrong = field(TIFF, 256, kind=kind, value=value)
        assert refusal(wrong) == "x: invalid size in the TIFF directory"


def tiled(across, down):
    """A TIFF of 30x20 gray pixels whose one tile has this size."""
    data = zlib.compress(bytes(32 * 32))
    fields = [
        (256, 4, 1, 30), (257, 4, 1, 20), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1),
        (322, 4, 1, across), (323, 4, 1, down), (324, 4, 1, 200), (325, 4, 1, len(data)),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *entry) for entry in fields)
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(fields)) + entries + bytes(4)
    return head.ljust(200, b"\0") + data


def test_the_tiles_of_a_tiff_count():
    assert refusal(tiled(32, 32)) is None
    assert refusal(tiled(0, 32)) == "x: invalid size of the TIFF's tiles"
    assert refusal(tiled(30_000, 32_000), 500_000_000) == (
        "x: 30x20 pixels in parts that need more room, more than the limit: 960 megapixels where "
        "500 are allowed; --max-pixels raises it"
    )


def test_rows_that_a_strip_does_not_have_take_no_room(limited, tmp_path):
    (tmp_path / "a.tif").write_bytes(field(TIFF, 278, kind=4, value=0x00FF_FFFF))
    code, _, errors = limited("open a.tif save b.png")
    assert (code, errors) == (0, "")
    neutral = tiff.neutral((tmp_path / "a.tif").read_bytes())
    assert neutral == field(tiff.neutral(TIFF), 278, kind=4)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "b.png"))[..., ::-1], pixels(20, 30))


def test_the_coded_size_of_an_avif_counts_whatever_its_boxes_say():
    data = patched(file_of("avif", 200, 300), b"ispe", 8, ">II", 3, 2)
    assert refusal(data) == (
        "x: 3x2 pixels in parts that need more room, more than the limit: 0.06 megapixels where "
        "0.01 are allowed; --max-pixels raises it"
    )


def test_the_largest_of_the_sizes_in_an_avif_counts():
    data = file_of("avif", 20, 30)
    start = data.index(b"ispe") - 4
    # A second property in place of the next one, which then is missing.
    twice = data[:start] + data[start : start + 20].replace(
        struct.pack(">II", 30, 20), struct.pack(">II", 3000, 2000)
    )
    assert avif.size(twice + data[start + 20 :]) == (3000, 2000)


@pytest.mark.parametrize("size", [(1, 1), (16, 64), (65, 257), (300, 1000)])
@pytest.mark.parametrize("writer", ["imgfx", "pillow"])
def test_the_size_in_an_av1_stream_is_found(size, writer):
    height, width = size
    samples = pixels(height, width)
    if writer == "pillow" and not Pillow.registered_extensions().get(".avif"):
        pytest.skip("this Pillow writes no AVIF")
    data = file_of("avif", height, width) if writer == "imgfx" else pillow_file(samples, "AVIF")
    assert avif.inspect(data).largest_part == height * width
    stream = data[data.index(b"mdat") + 4 :]
    assert _av1.largest_frame(stream) == height * width


def test_cut_av1_streams_have_some_size_or_none():
    data = file_of("avif", 20, 30)
    stream = data[data.index(b"mdat") + 4 :]
    sizes = {_av1.largest_frame(stream[:length]) for length in range(len(stream))}
    assert {0, 600} <= sizes
    assert decoded_or_refused(data, "a.avif") is not None
