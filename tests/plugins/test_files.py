"""The stages `open` and `save`: which files are read, where each image goes, in which format."""

import errno
import os
import stat
from pathlib import Path, PurePath

import click
import cv2
import numpy as np
import pytest
from support import pixels

from imgfx.errors import EncodeError, ImageError, ImgfxError
from imgfx.files import write_file
from imgfx.formats import sniff
from imgfx.session import Session, no_engine
from imgfx.settings import Settings
from imgfx.stage import Item
from imgfx_files.open_stage import open_images
from imgfx_files.save_stage import save_images

pytestmark = pytest.mark.usefixtures("own_folder")


def start(command, *words):
    """What a stage is when it has been started with these words."""
    with (
        command.make_context(command.name, list(words)) as context,
        Session(Settings(), no_engine) as session,
    ):
        return command.invoke(context).start(session)


def put(*names):
    """Files of these names, with their folders."""
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


FILES = ["b.png", "a.JPG", "c.txt", "sub/d.tiff", "sub/.e.png", ".git/f.png", "sub/deep/g.webp"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("in", "in/a.JPG in/b.png in/sub/d.tiff in/sub/deep/g.webp"),
        ("in/", "in/a.JPG in/b.png in/sub/d.tiff in/sub/deep/g.webp"),
        ("in --no-recursive", "in/a.JPG in/b.png"),
        ("in/b.png in/a.JPG", "in/b.png in/a.JPG"),
        ("in/*.png", "in/b.png"),
        ("in/**/*.tiff", "in/sub/d.tiff"),
        ("in/sub*", "in/sub/d.tiff in/sub/deep/g.webp"),
        ("in/[ab].*", "in/a.JPG in/b.png"),
        ("in/.git", "in/.git/f.png"),
        ("in/c.txt gone.png", "in/c.txt gone.png"),
    ],
)
def test_open_finds_files_folders_and_patterns(words, expected):
    put(*(f"in/{name}" for name in FILES))
    items = start(open_images, *words.split())
    assert [item.origin for item in items] == expected.split()
    assert items.count == len(expected.split())
    assert list(items) == list(items)


def test_open_follows_no_link_to_a_folder_and_says_so(imgfx, tmp_path):
    for name in ("in/a.png", "in/sub/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), pixels(4, 4))
    (tmp_path / "in/sub/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/gone.png").symlink_to("nowhere.png")
    (tmp_path / "in/circle.png").symlink_to("circle.png")
    ended = imgfx("open", "in", "save", "out")
    assert ended.code == 3
    assert "in/sub/loop: a link to a folder is not followed; open it by its name" in ended.err
    assert "in/gone.png: cannot read: No such file or directory" in ended.err
    assert "in/circle.png: cannot read: Too many levels of symbolic links" in ended.err
    assert (tmp_path / "out/sub/b.png").is_file()


def test_a_file_that_is_named_twice_is_read_once():
    put("in/a.png", "in/sub/b.png")
    for words in (["in/**"], ["in", "in/a.png", "./in/sub/b.png"]):
        items = start(open_images, *words)
        assert [(item.origin, item.folder) for item in items] == [
            ("in/a.png", PurePath()), ("in/sub/b.png", PurePath("sub"))
        ]  # fmt: skip


def test_pictures_that_cannot_be_read_are_counted_and_told(imgfx, tmp_path):
    put("in/a.HEIC", "in/sub/b.heic", "in/c.nef", "in/d.txt", "in/.e.heic", "in/g.3fr", "in/h.MOV")
    cv2.imwrite(str(tmp_path / "in/f.png"), pixels(4, 4))
    ended = imgfx("open", "in", "save", "out")
    assert ended.code == 0
    assert (
        "in: formats that are not supported are passed over: 1 .3fr, 2 .heic, 1 .mov, 1 .nef\n"
        in ended.err
    )
    assert "passed over" not in imgfx("open", "in/f.png", "save", "g.png").err


def test_a_name_that_cannot_be_looked_at_fails_as_one_image(imgfx, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), pixels(4, 4))
    ended = imgfx("open", "a.png", f"{'x' * 300}.png", "save", "out/")
    assert ended.code == 3
    assert "x.png: cannot read: File name too long" in ended.err
    assert (tmp_path / "out/a.png").is_file()


def test_open_finds_a_folder_that_cannot_be_read(monkeypatch):
    put("in/a.png", "in/sub/b.png")
    scan = os.scandir

    def refusing(folder):
        if Path(folder).name == "sub":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(ImageError, match="in/sub: cannot read: Permission denied"):
        start(open_images, "in")


def test_open_refuses_an_empty_name():
    with pytest.raises(click.UsageError, match="a path is empty"):
        start(open_images, "in", "")


@pytest.mark.parametrize("words", ["in", "in --no-recursive", "in/*"])
def test_open_is_in_alphabetical_order(words):
    names = [f"{number * 37 % 101:03d}.png" for number in range(60)]
    put(*(f"in/{name}" for name in names))
    items = start(open_images, *words.split())
    assert [item.name + item.suffix for item in items] == sorted(names)


def test_open_knows_the_folder_below_the_opened_one():
    put("in/a.png", "in/sub/deep/b.jpg")
    first, second = start(open_images, "in")
    assert (first.folder, first.name, first.suffix) == (PurePath(), "a", ".png")
    assert (second.folder, second.name, second.suffix) == (PurePath("sub/deep"), "b", ".jpg")
    assert second.path == Path("in/sub/deep/b.jpg")


@pytest.mark.parametrize("name", ["a[1].png", "a*.png", "ä ö.png", "-a.png"])
def test_open_takes_a_file_s_name_literally_when_it_is_there(name):
    put(name)
    (item,) = start(open_images, "--", name)
    assert item.path == Path(name)


@pytest.mark.parametrize("name", ["empty", "nothing*", "only"])
def test_open_refuses_what_holds_no_image(name):
    Path("empty").mkdir()
    put("only/c.txt", "only/.a.png")
    with pytest.raises(ImageError, match=rf"^{name.rstrip('*')}\*?: no "):
        start(open_images, name)


def item(name="a", suffix=".png", folder="", path=None):
    """An announced image."""
    return Item(f"{name}{suffix}", lambda: None, name, suffix, PurePath(folder), path)


@pytest.mark.parametrize(
    ("target", "given", "expected"),
    [
        ("b.png", item(), "b.png"),
        ("b.png", item(suffix=".jpg", folder="sub"), "b.png"),
        ("out", item(), "out/a.png"),
        ("out/", item(suffix=".JPG", folder="x/y"), "out/x/y/a.JPG"),
        ("there.d", item(), "there.d/a.png"),
        ("out.v2/", item(), "out.v2/a.png"),
        ("out", item(suffix=""), "out/a.png"),
        ("out", item(suffix=".gif"), "out/a.png"),
        ("out --format jpeg", item(), "out/a.jpg"),
        ("out --format jpeg", item(suffix=".jpeg"), "out/a.jpeg"),
        ("out --format TIFF", item(), "out/a.tif"),
        ("b.dat --format png", item(), "b.dat"),
        ("{stem}_x2.png", item(suffix=".jpg"), "a_x2.png"),
        ("out/{name}", item(suffix=".jpg"), "out/a.jpg"),
        ("out/{name}.webp", item(suffix=".jpg"), "out/a.jpg.webp"),
        ("out/{stem}{suffix}", item(suffix=".jpg"), "out/a.jpg"),
        ("out/{stem}{suffix} --format webp", item(suffix=".jpg"), "out/a.webp"),
        ("out/{folder}/{stem}.png", item(folder="x/y"), "out/x/y/a.png"),
        ("out/{folder}/{stem}.png", item(), "out/a.png"),
        ("{index}.png", item(), "7.png"),
        ("out/{index:04d}_{stem}.png", item(), "out/0007_a.png"),
        ("out}", item(), "out}/a.png"),
    ],
)
def test_save_knows_where_an_image_goes(target, given, expected):
    Path("there.d").mkdir()
    assert start(save_images, *target.split()).target(given, 7) == expected


@pytest.mark.parametrize("name", ["../a", "/etc/a", "..", "a\0b", ""])
def test_a_name_from_a_pipe_stays_in_the_folder(name):
    target = Path(start(save_images, "out").target(item(name), 0))
    assert target.parent == Path("out")
    assert "\0" not in target.name


def test_two_images_never_share_a_target():
    sink = start(save_images, "out")
    sink.check(item("a", path=Path("one/a.png")), 0)
    with pytest.raises(EncodeError, match=r"a.png and b.png would both be written to out/a.png"):
        sink.check(Item("b.png", lambda: None, "a", ".png", PurePath(), Path("two/a.png")), 1)


def test_an_output_is_not_overwritten_where_the_file_system_ignores_case(tmp_path):
    """As on macOS, or on a card of a camera; here a second name of the file stands for it."""
    sink = start(save_images, "out")
    first, second, third = (
        Item(f"{folder}/{name}.jpg", lambda: None, name, ".jpg", path=Path(folder, f"{name}.jpg"))
        for folder, name in (("a", "IMG"), ("b", "img"), ("c", "Img"))
    )
    sink.write(b"first", first, 0)
    os.link("out/IMG.jpg", "out/img.jpg")
    with pytest.raises(EncodeError, match=r"img\.jpg: this file system takes it for IMG\.jpg"):
        sink.write(b"second", second, 1)
    assert Path("out/IMG.jpg").read_bytes() == b"first"
    sink.write(b"third", third, 2)  # where case counts


@pytest.mark.parametrize("way", ["in/a.png", "./in/../in/a.png", "link/a.png", "in/hard.png"])
def test_an_input_is_not_overwritten_by_whatever_path(way):
    put("in/a.png")
    Path("link").symlink_to("in")
    Path("in/hard.png").hardlink_to("in/a.png")
    own = item(path=Path("in/a.png"))
    with pytest.raises(EncodeError, match="would overwrite its own input"):
        start(save_images, way).check(own, 0)
    start(save_images, way, "--overwrite").check(own, 0)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
def test_an_input_of_another_image_is_never_overwritten(first, second):
    put("1.png", "other.png")
    sink = start(save_images, "{index}.png", "--overwrite")
    pair = item("1", path=Path("1.png")), item("other", path=Path("other.png"))
    sink.check(pair[first], first)
    with pytest.raises(EncodeError, match=r"other.png would overwrite 1.png, which is read too"):
        sink.check(pair[second], second)


FORMATS = ["png", "jpeg", "webp", "tiff", "avif", "bmp", "ppm", "pam"]


def test_the_ending_or_the_option_says_the_format(imgfx, tmp_path):
    cv2.imwrite("a.png", pixels(16, 16))
    for name in FORMATS:
        assert imgfx("open", "a.png", "save", f"one.{name.replace('jpeg', 'jpg')}").code == 0
    assert imgfx("open", "a.png", "save", "two.png", "--format", "jpeg").code == 0
    found = {path.name: sniff(path.read_bytes()).name for path in tmp_path.iterdir()}
    expected = {f"one.{name.replace('jpeg', 'jpg')}": name for name in FORMATS}
    assert found == {**expected, "a.png": "png", "two.png": "jpeg"}


@pytest.mark.parametrize(
    ("target", "name", "told"),
    [
        ("b.jpg", "png", "b.jpg: written as png, whatever its ending .jpg says"),
        ("{stem}.JPG", "TIFF", "{stem}.JPG: written as tiff, whatever its ending .JPG says"),
        ("b.jpg", "jpeg", None),
        ("b.pnm", "ppm", None),
        ("b.dat", "png", None),
        ("out", "png", None),
        ("{stem}{suffix}", "png", None),
    ],
)
def test_an_ending_of_another_format_is_told(imgfx, tmp_path, target, name, told):
    cv2.imwrite(str(tmp_path / "a.webp"), pixels(4, 4))
    ended = imgfx("open", "a.webp", "save", target, "--format", name)
    assert ended.code == 0
    assert ended.err == (f"imgfx: {told}\n" if told else "")


def test_images_of_a_pipe_keep_their_format_in_a_folder_but_for_raw_ones(imgfx, tmp_path):
    stream = b""
    for ending in (".jpg", ".ppm", ".png", ".webp"):
        stream += cv2.imencode(ending, pixels(16, 16))[1].tobytes()
    assert imgfx("save", "out", stdin=stream).code == 0
    found = {path.name for path in (tmp_path / "out").iterdir()}
    expected = {"image_0000.jpg", "image_0001.png", "image_0002.png", "image_0003.webp"}
    assert found - {".imgfx-journal.jsonl"} == expected


def test_frames_into_one_video_are_told_the_way(imgfx, tmp_path):
    frame = b"FRAME\n" + bytes(96)
    (tmp_path / "v.y4m").write_bytes(b"YUV4MPEG2 W8 H8 F25:1 C420jpeg\n" + 3 * frame)
    ended = imgfx("open", "v.y4m", "save", "w.y4m")
    assert ended.code == 1
    assert "write a video with 'save - --format y4m > w.y4m'" in ended.err


def test_a_template_without_an_ending_is_refused_at_once(imgfx, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), pixels(4, 4))
    ended = imgfx("open", "a.png", "save", "{stem}_x2", "--dry-run")
    assert ended.code == 1
    assert "a_x2: unknown format ''; end the target with {suffix}" in ended.err
    assert imgfx("open", "a.png", "save", "{stem}_x2", "--format", "png").code == 0
    assert imgfx("open", "a.png", "save", "{stem}_x3{suffix}").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a_x2", "a_x3.png"]


@pytest.mark.parametrize(
    ("refused", "expected"),
    [("owner", 0o640), ("group", 0o600)],
)
def test_who_may_read_a_replaced_file_does_not_grow(tmp_path, monkeypatch, refused, expected):
    """Of somebody who is not root, the system takes a group of theirs at most."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    path.chmod(0o640)
    asked = []

    def fchown(descriptor, owner, group):
        asked.append((owner, group))
        if refused == "group" or owner != -1:
            raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "fchown", fchown)
    found = path.stat()
    write_file(path, b"new")
    assert asked == [(found.st_uid, found.st_gid), (-1, found.st_gid)]
    assert stat.S_IMODE(path.stat().st_mode) == expected


def test_a_replaced_file_keeps_its_tags(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    try:
        os.setxattr(path, "user.xdg.tags", b"holiday")
    except (AttributeError, OSError):
        pytest.skip("no extended attributes here")
    write_file(path, b"new")
    assert (path.read_bytes(), os.getxattr(path, "user.xdg.tags")) == (b"new", b"holiday")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_a_file_that_is_replaced_keeps_its_owner_and_its_mode(imgfx, tmp_path, mode):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), pixels(4, 4))
    path.chmod(mode)
    if os.getuid() == 0:
        os.chown(path, 1234, 1235)
    before = path.stat()
    assert imgfx("open", "a.png", "save", "a.png", "--overwrite").code == 0
    after = path.stat()
    assert after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode, before.st_uid, before.st_gid,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, ImgfxError), (errno.EACCES, EncodeError)]
)
def test_a_full_disk_is_no_fault_of_an_image(monkeypatch, tmp_path, number, kind):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("imgfx.files.write_whole", refuse)
    with pytest.raises(ImgfxError, match=r"a\.png: cannot write: ") as caught:
        write_file(tmp_path / "a.png", b"")
    assert type(caught.value) is kind


@pytest.mark.parametrize("late", ["fsync", "close"])
def test_an_older_file_stays_where_the_disk_refuses_data_late(monkeypatch, tmp_path, late):
    path = tmp_path / "a.png"
    path.write_bytes(b"older")
    act, refused = getattr(os, late), []

    def refuse(descriptor):
        act(descriptor)
        refused.append(descriptor)
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(f"imgfx.atomic.os.{late}", refuse)
    with pytest.raises(ImgfxError, match=r"a\.png: cannot write: "):
        write_file(path, b"new")
    monkeypatch.undo()
    assert refused
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.png", b"older")]


@pytest.mark.parametrize("target", ["a{{1}}/out", "a{{1}}/out/", "a{{1}}/b.png"])
def test_doubled_braces_are_braces_of_a_plain_path(target):
    place = start(save_images, target).target(Item("a", None, "b", ".png"), 0)
    assert place == ("a{1}/b.png" if target.endswith("b.png") else "a{1}/out/b.png")


def test_quality_is_the_lossy_formats_quality(imgfx):
    cv2.imwrite("a.png", pixels(64, 64))
    assert imgfx("open", "a.png", "save", "low.jpg", "--quality", "10").code == 0
    assert imgfx("open", "a.png", "save", "high.jpg", "--quality", "95").code == 0
    assert imgfx("open", "a.png", "save", "exact.webp", "--quality", "100").code == 0
    assert 2 * Path("low.jpg").stat().st_size < Path("high.jpg").stat().st_size
    np.testing.assert_array_equal(cv2.imread("exact.webp"), cv2.imread("a.png"))


def test_a_dash_is_stdin_or_stdout(imgfx):
    cv2.imwrite("a.png", pixels(9, 8))
    ended = imgfx("open", "-", "save", "-", "--format", "ppm", stdin=Path("a.png").read_bytes())
    assert ended.code == 0, ended.err
    assert ended.out == b"P6\n8 9\n255\n" + pixels(9, 8)[..., ::-1].tobytes()


def test_a_quoted_pattern_and_a_template(imgfx):
    for name in ("one.png", "two.png", "three.jpg"):
        cv2.imwrite(name, pixels(5, 5))
    ended = imgfx("open", "*.png", "save", "out/{index:02d}-{stem}.bmp")
    assert ended.code == 0, ended.err
    assert sorted(path.name for path in Path("out").glob("*.bmp")) == ["00-one.bmp", "01-two.bmp"]


def test_an_older_file_is_replaced_whole_and_kept_when_writing_fails(imgfx):
    cv2.imwrite("a.png", pixels(5, 5))
    Path("b.png").write_bytes(b"old")
    cv2.imwrite("wide.png", np.zeros((1, 17000, 3), np.uint8))
    Path("b.webp").write_bytes(b"old")
    assert imgfx("open", "a.png", "save", "b.png").code == 0
    assert cv2.imread("b.png").shape == (5, 5, 3)
    ended = imgfx("open", "wide.png", "save", "b.webp")
    assert ended.code == 1
    assert "b.webp: 17000x1 is too large for webp" in ended.err
    assert Path("b.webp").read_bytes() == b"old"
    assert len(list(Path.cwd().iterdir())) == 4


def test_the_first_pictures_of_kinds_of_known_formats_are_read(imgfx, tmp_path):
    (tmp_path / "in").mkdir()
    for name, ending in (("a.mpo", ".jpg"), ("b.apng", ".png"), ("c.avifs", ".avif")):
        (tmp_path / "in" / name).write_bytes(cv2.imencode(ending, pixels(16, 16))[1].tobytes())
    ended = imgfx("open", "in", "save", "out")
    assert (ended.code, ended.err) == (0, "imgfx: 3 images done\n")
    assert sorted(path.name for path in Path("out").glob("*.png")) == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("words", ["in", "in/*", "in/*.png"])
def test_numbers_are_read_by_their_size(words):
    """As `open video.y4m save frames/` writes them, whose 10,000th has one digit more."""
    names = ["f_0099", "f_0100", "f_9999", "f_10000", "f_10001", "g", "g0", "g01", "g1", "g9a2"]
    put(*(f"in/{name}.png" for name in reversed(names)))
    assert [item.name for item in start(open_images, words)] == names


def test_folders_with_numbers_are_read_by_their_size():
    put(*(f"in/{number}/a.png" for number in (10, 9, 100)))
    folders = [item.folder.as_posix() for item in start(open_images, "in")]
    assert folders == ["9", "10", "100"]


@pytest.mark.parametrize("template", ["{stm}.png", "{index:q}.png", "{}.png", "{index[0]}.png"])
def test_a_wrong_template_is_refused_before_any_image(imgfx, template):
    stream = cv2.imencode(".png", pixels(4, 4))[1].tobytes()
    ended = imgfx("save", template, stdin=2 * stream)
    assert ended.code == 2
    assert f"save: {template!r} is no template" in ended.err
    assert "fields are {stem}, {name}, {suffix}, {folder}, {index}" in ended.err


@pytest.mark.parametrize(
    ("target", "way"),
    [
        ("b.png", "save to a folder or use a template with {stem}, {folder} or {index}"),
        ("out/{stem}.png", "use a template with {folder} or {index}"),
        ("out/{name[0]}.png", "use a template with {folder} or {index}"),
        ("out/{folder}.png", "use a template with {stem} or {index}"),
        ("out", "use a template with {index}"),
        ("{index:.0s}{stem}{folder}.png", None),
    ],
)
def test_images_for_one_target_are_told_the_fields_that_it_lacks(target, way):
    if way is None:
        with pytest.raises(click.UsageError, match="is no template"):
            start(save_images, target)
        return
    sink = start(save_images, target)
    sink.check(item("a", path=Path("one/a.png")), 0)
    with pytest.raises(EncodeError) as caught:
        sink.check(Item("other", lambda: None, "a", ".png", PurePath(), Path("two/a.png")), 1)
    assert caught.value.message.endswith(f"; {way}")


READ_ONLY = "is read-only; chmod u+w it, or choose another target"


@pytest.mark.parametrize("words", ["a.png --overwrite", "b.png", "link.png"])
def test_what_is_read_only_is_not_replaced(imgfx, words):
    for name in ("a.png", "b.png"):
        cv2.imwrite(name, pixels(5, 5))
        Path(name).chmod(0o444)
    Path("link.png").symlink_to("b.png")
    before = [(path.stat().st_ino, path.read_bytes()) for path in map(Path, ("a.png", "b.png"))]
    for more in ([], ["--dry-run"]):
        ended = imgfx("open", "a.png", "save", *words.split(), *more)
        assert (ended.code, ended.err) == (1, f"imgfx: error: {words.split()[0]}: {READ_ONLY}\n")
    after = [(path.stat().st_ino, path.read_bytes()) for path in map(Path, ("a.png", "b.png"))]
    assert after == before


def test_a_batch_with_a_read_only_target_is_refused_before_its_first_image(imgfx):
    Path("in").mkdir()
    for name in ("1.png", "2.png"):
        cv2.imwrite(f"in/{name}", pixels(5, 5))
    put("out/2.png")
    Path("out/2.png").chmod(0o444)
    ended = imgfx("open", "in", "save", "out")
    assert (ended.code, ended.err) == (1, f"imgfx: error: out/2.png: {READ_ONLY}\n")
    assert not Path("out/1.png").exists()


def test_a_batch_goes_on_beside_its_read_only_outputs(imgfx):
    Path("in").mkdir()
    cv2.imwrite("in/1.png", pixels(5, 5))
    cv2.imwrite("in/2.png", pixels(5, 5))
    assert imgfx("open", "in", "save", "out").code == 0
    for path in Path("out").glob("*.png"):
        path.chmod(0o444)
    cv2.imwrite("in/3.png", pixels(5, 5))
    assert imgfx("open", "in", "save", "out").code == 0
    assert Path("out/3.png").is_file()
    held = Path("out/1.png").read_bytes()
    cv2.imwrite("in/1.png", pixels(6, 6))
    ended = imgfx("open", "in", "save", "out")
    assert ended.code == 3
    assert f"out/1.png: {READ_ONLY}" in ended.err
    assert Path("out/1.png").read_bytes() == held
    Path("out/1.png").chmod(0o644)
    assert imgfx("open", "in", "save", "out").code == 0  # it is tried again
    assert Path("out/1.png").read_bytes() != held


def test_content_of_another_format_than_the_ending_is_told(imgfx):
    Path("in").mkdir()
    held = cv2.imencode(".png", pixels(16, 16))[1].tobytes()
    Path("in/a.jpg").write_bytes(held)
    ended = imgfx("open", "in", "save", "out")
    told = "its content is png, its ending .jpg says jpeg"
    assert ended.code == 0
    assert f"warning: in/a.jpg: {told}; written as jpeg; --format takes another" in ended.err
    for words in (["out", "--format", "png"], ["b.webp"]):
        assert "its content" not in imgfx("open", "in", "save", *words).err
    ended = imgfx("open", "in/a.jpg", "save", "in/a.jpg", "--overwrite")
    assert ended.code == 1
    assert f"in/a.jpg: {told}; rename it, or choose another target" in ended.err
    assert Path("in/a.jpg").read_bytes() == held


def test_a_pgm_becomes_gray_and_a_pbm_is_refused(imgfx):
    cv2.imwrite("a.png", pixels(9, 8))
    ended = imgfx("open", "a.png", "save", "b.pgm")
    assert ended.code == 0
    assert ended.err == "imgfx: warning: a.png: a .pgm holds gray alone; the colours are left out\n"
    assert Path("b.pgm").read_bytes().startswith(b"P5\n8 9\n255\n")
    for words in (["b.pbm"], ["{stem}.PBM"], ["b.pbm", "--format", "ppm"]):
        ended = imgfx("open", "a.png", "save", *words)
        assert ended.code == 2
        assert "black and white alone is not written; end it with .pgm or .png" in ended.err
    Path("c.pbm").write_bytes(b"P1\n2 1\n0 1\n")
    assert imgfx("open", "c.pbm", "save", "out/").code == 0
    assert Path("out/c.pgm").read_bytes() == b"P5\n2 1\n255\n\xff\x00"


def test_a_pgm_with_colours_is_not_made_gray_in_its_own_place(imgfx):
    data = b"P6\n2 1\n255\n" + bytes(range(6))
    Path("k.pgm").write_bytes(data)
    ended = imgfx("open", "k.pgm", "save", "k.pgm", "--overwrite")
    assert ended.code == 1
    assert "k.pgm: it has colours, and a .pgm holds gray; choose another target" in ended.err
    assert Path("k.pgm").read_bytes() == data
