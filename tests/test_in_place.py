"""A file that holds more than its first picture is not replaced by that."""

import struct
from dataclasses import replace

import cv2
import pytest
from PIL import Image as Pillow
from PIL import TiffImagePlugin
from reference import tiff_file
from support import pixels
from support_avif import avif_file, coded, full

from imgfx.files import read_image

NEW_IMAGE = """
from imgfx.api import Image, hookimpl, image_filter

@image_filter("anew")
def anew(image: Image) -> Image:
    '''A new image of the same pixels.'''
    return Image(image.pixels, name=image.name)

@hookimpl
def imgfx_stages():
    return [anew]
"""
VIDEO = b"".join(
    struct.pack(">I", len(box) + 4) + box for box in (b"ftypmp42" + bytes(8), b"mdat" + bytes(40))
)


def pages(path, **options):
    """Three pictures in one file, as its format has them."""
    seen = [Pillow.fromarray(pixels(16, 24) // number) for number in (1, 2, 3)]
    seen[0].save(path, save_all=True, append_images=seen[1:], **options)


def behind_one_another(path):
    """Three files in one."""
    parts = []
    for number in (1, 2, 3):
        part = path.with_name(f"part{path.suffix}")
        cv2.imwrite(str(part), pixels(16, 24) // number)
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(b"".join(parts))


def with_plain_text(path):
    path.write_bytes(2 * b"P2\n2 1\n255\n1 2\n")


def with_video(path):
    """A motion photo."""
    cv2.imwrite(str(path), pixels(16, 24))
    path.write_bytes(path.read_bytes() + VIDEO)


def with_branch(path):
    """A TIFF with a picture below its first one."""
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(path) as file:
        file.write(pixels(16, 24), photometric="rgb", subifds=1)
        file.write(pixels(8, 12), photometric="rgb")


def with_layers(path):
    """A TIFF of Photoshop's."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[37724] = b"Adobe Photoshop Document Data Block\0" + bytes(40)
    tags.tagtype[37724] = 7
    Pillow.fromarray(pixels(16, 24)).save(path, tiffinfo=tags)


def with_gray_alpha(path):
    Pillow.fromarray(pixels(16, 24, 2), "LA").save(path)


def with_fourth(path):
    """A TIFF of four channels, of which the last is for anything."""
    path.write_bytes(tiff_file(pixels(16, 24, 4), 2, extra=0))


def items(path):
    """An AVIF of three pictures that are no sequence."""
    path.write_bytes(avif_file(*(coded(pixels(16, 24) // number) for number in (1, 2, 3))))


def with_map(path):
    """An AVIF with a map of depths."""
    name = full(b"auxC", 0, 0, b"urn:mpeg:hevc:2015:auxid:2\0")
    depths = replace(coded(pixels(8, 12, 1)[..., 0], name), links=((b"auxl", (1,)),))
    path.write_bytes(avif_file(coded(pixels(16, 24)), depths))


FILES = {
    "pages.tif": pages,
    "pages.webp": pages,
    "pages.png": pages,
    "pages.jpg": lambda path: pages(path, format="MPO"),
    "stream.png": behind_one_another,
    "stream.jpg": behind_one_another,
    "stream.webp": behind_one_another,
    "stream.bmp": behind_one_another,
    "stream.ppm": behind_one_another,
    "stream.pam": behind_one_another,
    "text.pgm": with_plain_text,
    "motion.jpg": with_video,
    "branch.tif": with_branch,
    "layers.tif": with_layers,
    "gray-alpha.tif": with_gray_alpha,
    "fourth.tif": with_fourth,
    "items.avif": items,
    "depth.avif": with_map,
}


@pytest.fixture(params=FILES)
def more(request, tmp_path):
    """A file with more than one picture in it."""
    path = tmp_path / request.param
    FILES[request.param](path)
    return path


def test_it_is_not_replaced_and_the_plan_says_so(imgfx, tmp_path, more):
    cv2.imwrite(str(tmp_path / "other.png"), pixels(16, 24))
    before = more.read_bytes()
    image = read_image(more)
    (line,) = image.unread
    assert line in image.notes
    reason = f"{more.name}: holds more than would be written back ({line}); choose another target"
    words = "open", ".", "save", ".", "--overwrite"
    assert f"fail    {reason}" in imgfx(*words, "--dry-run").err
    ended = imgfx(*words)
    assert (ended.code, f"error: {reason}" in ended.err) == (3, True)
    assert more.read_bytes() == before


def test_elsewhere_the_first_is_written_and_the_loss_is_told(imgfx, tmp_path):
    pages(tmp_path / "pages.tif")
    ended = imgfx("open", "pages.tif", "save", "first.png")
    line = "imgfx: warning: pages.tif: only the first of 3 pictures in the file is read\n"
    assert (ended.code, ended.err) == (0, line)
    assert not read_image(tmp_path / "first.png").unread


def test_a_filter_that_makes_a_new_image_changes_none_of_that(imgfx, tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/anew.py").write_text(NEW_IMAGE)
    pages(tmp_path / "pages.tif")
    before = (tmp_path / "pages.tif").read_bytes()
    words = ["--plugins-dir", "plugins", "open", "pages.tif", "anew", "save"]
    assert imgfx(*words, "pages.tif", "--overwrite").code == 1
    assert (tmp_path / "pages.tif").read_bytes() == before
    ended = imgfx(*words, "b.png")
    assert (
        ended.err == "imgfx: warning: pages.tif: only the first of 3 pictures in the file is read\n"
    )


def test_it_is_refused_before_the_filters_have_their_work(imgfx, tmp_path):
    pages(tmp_path / "pages.tif")
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/anew.py").write_text(
        NEW_IMAGE.replace("return Image", "raise SystemExit; return Image")
    )
    words = ["--plugins-dir", "plugins", "open", "pages.tif", "anew", "save", "pages.tif"]
    assert "holds more than would be written back" in imgfx(*words, "--overwrite").err
