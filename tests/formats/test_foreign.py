"""Files of formats that are not read: what they are is said, and what to do."""

import struct

import pytest
from support import run_imgfx

from imgfx.decoding import decode
from imgfx.errors import DecodeError
from imgfx.formats import FORMATS, sniff
from imgfx.formats.foreign import unknown


def boxed(brand):
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(12)


CONVERT = "convert it to PNG or TIFF first"
FILES = {
    "HEIC": (boxed(b"heic"), "a HEIC image", CONVERT),
    "Canon's raw": (boxed(b"crx "), "a raw file of a camera", "develop it"),
    "Fuji's raw": (b"FUJIFILMCCD-RAW 0201", "a raw file of a camera", "develop it"),
    "GIF": (b"GIF89a", "a GIF", CONVERT),
    "JPEG XL": (b"\xff\x0a\xfa", "a JPEG XL image", CONVERT),
    "JPEG XL in boxes": (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image", CONVERT),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image", CONVERT),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg">', "an SVG drawing", CONVERT),
    "SVG as XML": (b'<?xml version="1.0"?>\n<!-- a -->\n<svg >', "an SVG drawing", CONVERT),
    "PDF": (b"%PDF-1.7\n", "a PDF document", "pdfimages"),
    "HTML": (b"\n<!DOCTYPE html>\n<title>404</title>", "a web page", "download"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS", "lfs pull"),
    "ZIP": (b"PK\x03\x04", "a ZIP archive", "unpack"),
    "MP4": (boxed(b"isom"), "a video", "ffmpeg"),
    "QuickTime": (boxed(b"qt  "), "a video", "ffmpeg"),
    "AVI": (b"RIFF\0\0\0\0AVI LIST", "a video", "ffmpeg"),
    "Matroska": (b"\x1a\x45\xdf\xa3", "a video", "ffmpeg"),
}


@pytest.mark.parametrize(("data", "what", "advice"), FILES.values(), ids=FILES)
def test_what_is_not_read_is_named(data, what, advice):
    data += bytes(600)
    assert sniff(data) is None
    with pytest.raises(DecodeError) as caught:
        decode(data, "a.dat")
    message = caught.value.format_message()
    assert message.startswith(f"a.dat: {what}, which is not supported; ")
    assert advice in message


def box(kind, *content):
    content = b"".join(content)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def test_what_may_be_avif_is_looked_into():
    size = box(b"ispe", struct.pack(">III", 0, 32, 24))
    meta = box(b"meta", bytes(4), box(b"iprp", box(b"ipco", size, box(b"hvcC", bytes(23)))))
    with pytest.raises(DecodeError, match="a HEIC image, which is not supported; convert it"):
        decode(boxed(b"mif1") + meta, "a.heif")


@pytest.mark.parametrize("data", [b"some text", bytes(99), b"P", b"<?xml version='1.0'?><a/>"])
def test_the_rest_is_no_image(data):
    assert unknown(data) == "not an image of a known format"


def test_what_is_read_is_none_of_them():
    heads = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\0\0\0\0WEBP", b"II*\0", b"MM\0*",
             boxed(b"avif"), b"BM", b"P6 ", b"P7\n", b"YUV4MPEG2 "]  # fmt: skip
    assert {sniff(head) for head in heads} == set(FORMATS)
    assert {unknown(head) for head in heads if head[4:8] != b"ftyp"} == {
        "not an image of a known format"
    }


def test_files_and_pipes_are_told_alike(tmp_path):
    (tmp_path / "a.mp4").write_bytes(boxed(b"isom") + bytes(99))
    data = (tmp_path / "a.mp4").read_bytes()
    what = "a video, which is not supported; let ffmpeg pipe its frames"
    from_file = run_imgfx(["open", "a.mp4", "save", "b.png"], cwd=tmp_path)
    from_pipe = run_imgfx(["save", "b.png"], cwd=tmp_path, stdin=data)
    planned = run_imgfx(["open", "a.mp4", "save", "b.png", "--dry-run"], cwd=tmp_path)
    assert from_file.code == from_pipe.code == 1
    assert from_file.err.startswith(f"imgfx: error: a.mp4: {what}")
    assert from_pipe.err.startswith(f"imgfx: error: stdin #0: {what}")
    assert what in planned.err
