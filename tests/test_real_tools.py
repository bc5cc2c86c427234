"""Other programs on both sides of a pipe: FFmpeg, Netpbm, ImageMagick, libvips."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reference import image_of, known
from support import PROGRAM, ROOT, pixels

from imgfx.files import decode, encode
from imgfx.formats import sniff
from imgfx.streams import split

IMGFX = shlex.join(PROGRAM)
THROUGH = f"{IMGFX} open - save -"
FFMPEG = "ffmpeg -hide_banner -loglevel error"
READ_FRAMES = f"{FFMPEG} -f image2pipe -framerate 25"
IMAGES = [pixels(24, 32), 255 - pixels(24, 32), pixels(24, 32)[::-1]]


def _is_there(program):
    """Whether it is installed; there are programs of other makers named `convert`."""
    if program != "convert" or shutil.which(program) is None:
        return shutil.which(program) is not None
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False)
    return said.stdout.startswith("Version: ImageMagick")


def needs(*programs):
    """Skips where a program is missing."""
    missing = [program for program in programs if not _is_there(program)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture
def shell(tmp_path):
    """Runs a line of processes and pipes, each of which must end well; answers stdout."""

    def run(line, stdin=b""):
        with subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", line],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        ) as process:
            out, err = process.communicate(stdin, timeout=300)
        assert process.returncode == 0, err.decode()
        return out

    return run


def file_of(samples, name="png"):
    return encode(image_of(samples), known(name))[0]


def joined(images, name):
    return b"".join(file_of(image, name) for image in images)


def frames(data):
    """(H, W, C) of each image of a stream, as integers that can be subtracted."""
    return [decode(item, "frame").pixels.astype(int) for item in split(_File(data))]


class _File:
    """Bytes that are read like a pipe."""

    def __init__(self, data):
        self._data, self._place = data, 0

    def read(self, size):
        block = self._data[self._place : self._place + size]
        self._place += len(block)
        return block


def assert_images(data, name, expected=IMAGES, within=0):
    """The stream holds these images, in this format."""
    assert sniff(data).name == name
    found = frames(data)
    assert len(found) == len(expected)
    for image, wanted in zip(found, expected, strict=True):
        assert image.shape == wanted.shape
        assert np.abs(image - wanted).max() <= within


@needs("ffmpeg")
@pytest.mark.parametrize(
    ("codec", "name", "within"), [("png", "png", 0), ("ppm", "ppm", 0), ("mjpeg", "jpeg", 40)]
)
def test_ffmpeg_in_front(shell, codec, name, within):
    """The mjpeg encoder halves the chroma, of pictures that have noise in every pixel."""
    line = f"{READ_FRAMES} -c:v png -i - -f image2pipe -c:v {codec} -q:v 1 - | {THROUGH}"
    assert_images(shell(line, joined(IMAGES, "png")), "png", within=within)


@needs("ffmpeg")
@pytest.mark.parametrize(("codec", "name"), [("png", "png"), ("ppm", "ppm"), ("mjpeg", "jpeg")])
def test_ffmpeg_behind(shell, codec, name):
    """A JPEG is decoded by FFmpeg and by us: its own frames are what is compared."""
    made = f"{THROUGH} --format {name}"
    line = f"{made} | {READ_FRAMES} -c:v {codec} -i - -f image2pipe -c:v ppm -"
    out = shell(line, joined(IMAGES, "png"))
    assert_images(out, "ppm", within=24 if name == "jpeg" else 0)


@needs("ffmpeg")
def test_ffmpegs_video_in_front(shell):
    """C444 is exact but for rounding; the rate is FFmpeg's."""
    out = shell(
        f"{FFMPEG} -f image2pipe -framerate 30000/1001 -c:v png -i - "
        f"-sws_flags accurate_rnd -pix_fmt yuv444p -f yuv4mpegpipe - | {THROUGH} --format y4m",
        joined(IMAGES, "png"),
    )
    assert out.startswith(b"YUV4MPEG2 W32 H24 F30000:1001 Ip A")
    assert_images(out, "y4m", within=5)


@needs("ffmpeg")
def test_ffmpegs_video_behind(shell):
    out = shell(
        f"{THROUGH} --format y4m --fps 50 | {FFMPEG} -f yuv4mpegpipe -i - "
        "-sws_flags accurate_rnd+full_chroma_int -f image2pipe -c:v ppm -",
        joined(IMAGES, "png"),
    )
    assert_images(out, "ppm", within=3)


@needs("pngtopnm", "pnmtopng")
def test_netpbm_around(shell):
    out = shell(f"pngtopnm | {THROUGH} --format ppm | pnmtopng -quiet", file_of(IMAGES[0]))
    assert_images(out, "png", IMAGES[:1])


@needs("pngtopam", "pamtopng")
def test_netpbm_around_with_alpha_and_sixteen_bits(shell):
    samples = pixels(12, 17, 4, "uint16")
    out = shell(f"pngtopam -alphapam | {THROUGH} --format pam | pamtopng", file_of(samples))
    image = decode(out, "netpbm")
    np.testing.assert_array_equal(image.pixels, samples[..., :3])
    np.testing.assert_array_equal(image.alpha, samples[..., 3])


@needs("pnmcat")
def test_netpbm_joins_what_comes_out_side_by_side(shell, tmp_path):
    (tmp_path / "left.ppm").write_bytes(file_of(IMAGES[1], "ppm"))
    out = shell(f"{THROUGH} --format ppm | pnmcat -lr left.ppm - | {THROUGH}", file_of(IMAGES[0]))
    assert_images(out, "png", [np.concatenate([IMAGES[1], IMAGES[0]], axis=1)])


@needs("pnmsplit")
def test_netpbm_splits_a_stream(shell, tmp_path):
    shell(f"{THROUGH} --format ppm | pnmsplit - part%d.ppm", joined(IMAGES, "png"))
    for number, image in enumerate(IMAGES):
        assert_images((tmp_path / f"part{number}.ppm").read_bytes(), "ppm", [image])


@needs("convert")
@pytest.mark.parametrize("name", ["png", "ppm"])
def test_imagemagick_around(shell, name):
    out = shell(
        f"convert png:- -flop {name}:- | {THROUGH} --format {name} | convert {name}:- -flop png:-",
        file_of(IMAGES[0]),
    )
    assert_images(out, "png", IMAGES[:1])


@needs("convert")
def test_imagemagick_writes_many_images_into_one_pipe(shell):
    out = shell(f"convert ppm:- ppm:- | {THROUGH} --format ppm", joined(IMAGES, "ppm"))
    assert_images(out, "ppm")


@needs("vips")
def test_libvips_around(shell):
    out = shell(
        f"vips flip stdin .png horizontal | {THROUGH} | vips flip stdin .png horizontal",
        file_of(IMAGES[0]),
    )
    assert_images(out, "png", IMAGES[:1])


@needs("vipsthumbnail")
def test_libvips_makes_a_thumbnail_of_what_comes_out(shell):
    flat = np.full((64, 96, 3), (200, 100, 50), np.uint8)
    out = shell(f"{THROUGH} | vipsthumbnail stdin --size 24 -o .png", file_of(flat))
    assert_images(out, "png", [flat[:16, :24]])


@needs("pngtopnm", "pnmtopng", "convert")
def test_a_network_between_two_programs(shell):
    """The same as on files, whatever stands at the ends of the pipe."""
    restore = f"{IMGFX} superres-fast --scale 2"
    piped = shell(
        f"pngtopnm | {restore} save - --format ppm | convert ppm:- png:-", file_of(IMAGES[0])
    )
    direct = shell(restore, file_of(IMAGES[0]))
    assert frames(piped)[0].shape == (48, 64, 3)
    assert_images(piped, "png", frames(direct))


RECIPES = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "video.md").read_text(), re.DOTALL)


def test_the_page_on_video_has_its_recipes():
    assert ["yuv4mpegpipe" in recipe for recipe in RECIPES] == [True, True, False, False]
    assert ["image2pipe" in recipe for recipe in RECIPES] == [False, False, True, False]


def probed(path):
    """width, height, rate and number of frames of a video."""
    fields = "stream=width,height,r_frame_rate,nb_read_frames"
    words = ["ffprobe", "-v", "error", "-select_streams", "v", "-count_frames"]
    line = [*words, "-show_entries", fields, "-of", "csv=p=0", str(path)]
    return subprocess.run(line, capture_output=True, check=True, text=True).stdout.strip()


@pytest.fixture
def clip(shell, tmp_path):
    """Five frames and some sound in in.mp4."""
    shell(
        f"{FFMPEG} -f lavfi -i testsrc=size=48x32:rate=30000/1001 -f lavfi -i sine "
        "-frames:v 5 -t 0.17 -pix_fmt yuv420p in.mp4"
    )
    assert probed(tmp_path / "in.mp4") == "48,32,30000/1001,5"


def first_frame(shell, name):
    """So small that neither the network nor the codec matters, but wrong colours would."""
    line = f"{FFMPEG} -i {name} -vf scale=12:8:flags=area -frames:v 1 -f image2pipe -c:v ppm -"
    return frames(shell(line))[0]


@needs("ffmpeg", "ffprobe")
@pytest.mark.parametrize(
    ("recipe", "name", "rate"),
    [(0, "out.mp4", "30000/1001"), (1, "out.mp4", "25/1"), (2, "frames.mp4", "25/1")],
)
def test_the_documented_recipe_enlarges_a_video(shell, clip, tmp_path, recipe, name, rate):
    shell(RECIPES[recipe])
    assert probed(tmp_path / name) == f"96,64,{rate},5"
    difference = first_frame(shell, name) - first_frame(shell, "in.mp4")
    assert np.abs(difference).mean() < 8


@needs("ffmpeg", "ffprobe")
def test_the_documented_recipe_keeps_the_sound(shell, clip, tmp_path):
    shell(RECIPES[0])
    words = "ffprobe -v error -show_entries stream=codec_type -of csv=p=0 out.mp4"
    assert shell(words).decode().split() == ["video", "audio"]


@needs("ffmpeg", "ffprobe")
def test_the_documented_files_are_read_and_written(shell, tmp_path):
    shell(f"{FFMPEG} -f lavfi -i testsrc=size=48x32:rate=10 -frames:v 3 -pix_fmt yuv420p clip.y4m")
    shell(RECIPES[3])
    assert len(list((tmp_path / "frames").glob("clip_*.png"))) == 3
    assert probed(tmp_path / "again.y4m") == "48,32,25/1,3"
