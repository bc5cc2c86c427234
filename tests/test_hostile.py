"""Batches where the machine, the folder or the journal is not as one would have it."""

import errno
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Imgfx
from support import PROGRAM

from imgfx.errors import DecodeError, EngineError, ImageError, OutOfMemoryError, is_passing

JOURNAL = ".imgfx-journal.jsonl"


def photos(folder: Path, count: int) -> None:
    """So many small images."""
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:04d}.png"), np.full((8, 8, 3), number % 256, np.uint8))


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A folder `in` of three images."""
    photos(tmp_path / "in", 3)
    return tmp_path / "in"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_report_tells_an_interrupted_run_from_a_complete_one(
    imgfx: Imgfx, tmp_path: Path, number: signal.Signals
) -> None:
    photos(tmp_path / "in", 4000)
    line = ("open", "in", "save", "out", "--report", "r.json")
    with subprocess.Popen([*PROGRAM, *line], cwd=tmp_path, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 60
        while len(list(tmp_path.glob("out/*.png"))) < 20 and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    report = json.loads((tmp_path / "r.json").read_text())
    assert process.returncode == 128 + number, said
    assert (report["complete"], report["total"]) == (False, 4000)
    assert report["done"] == len(list(tmp_path.glob("out/*.png"))) < 4000
    assert not list(tmp_path.glob("out/.*.tmp"))


def test_a_complete_run_says_so_and_one_that_stops_does_not(
    imgfx: Imgfx, tmp_path: Path, three: Path
) -> None:
    def reported() -> tuple[bool, int, int]:
        found = json.loads((tmp_path / "r.json").read_text())
        return found["complete"], found["total"], found["done"]

    assert imgfx("open", "in", "save", "out", "--report", "r.json").code == 0
    assert reported() == (True, 3, 3)
    (three / "0001.png").write_bytes(b"nothing")
    options = ("--report", "r.json", "--redo")
    assert imgfx("open", "in", "save", "out", *options).code == 3
    assert reported() == (True, 3, 2)
    assert imgfx("open", "in", "save", "out", *options, "--on-error", "stop").code == 3
    assert reported() == (False, 3, 1)


@pytest.mark.parametrize(
    ("cause", "passing"),
    [
        (DecodeError("no"), False),
        (OSError(errno.ENOENT, "of a plugin's own, as Pillow's for what is no image"), False),
        (MemoryError(), True),
        (OutOfMemoryError("no", 1), True),
        (EngineError("no"), False),
    ],
)
def test_what_is_the_machine_s_trouble_and_what_the_image_s(
    cause: Exception, passing: bool
) -> None:
    error = ImageError("no")
    error.__cause__ = cause
    assert is_passing(error) is passing
    unread = DecodeError("cannot read")
    unread.__cause__ = OSError(errno.EIO, "a disk that fails")
    assert is_passing(unread)


def test_a_file_that_could_not_be_read_is_tried_again(
    imgfx: Imgfx, tmp_path: Path, three: Path
) -> None:
    (three / "0003.png").symlink_to(tmp_path / "elsewhere.png")
    ended = imgfx("open", "in", "save", "out")
    assert ended.code == 3
    assert "0003.png: cannot read" in ended.err
    ended = imgfx("open", "in", "save", "out")
    assert ended.code == 3
    assert "failed in an earlier run" not in ended.err
    (three / "0002.png").rename(tmp_path / "elsewhere.png")
    assert imgfx("open", "in", "save", "out").code == 0


def test_the_journal_of_a_shared_folder_is_its_group_s(tmp_path: Path, three: Path) -> None:
    line = [*PROGRAM, "open", "in", "save", "out"]
    subprocess.run(line, cwd=tmp_path, check=True, capture_output=True, umask=0o002)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()}
    assert modes == {0o664}


def test_a_dry_run_foresees_what_cannot_be_written(
    imgfx: Imgfx, tmp_path: Path, three: Path
) -> None:
    (tmp_path / "out" / "0000.png").mkdir(parents=True)
    ended = imgfx("open", "in", "save", "out", "--dry-run")
    assert f"fail    {Path('out/0000.png')}: is a folder" in ended.err
    ended = imgfx("open", "in", "save", "new/{index:0300d}.png", "--dry-run")
    assert ended.err.count("cannot write: File name too long") == 3


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_journal_that_is_no_file_is_named(
    imgfx: Imgfx, tmp_path: Path, three: Path, make: object, dry: tuple[str, ...]
) -> None:
    (tmp_path / "out").mkdir()
    assert callable(make)
    make(tmp_path / "out" / JOURNAL)
    ended = imgfx("open", "in", "save", "out", *dry)
    assert ended.code == 1
    assert ended.err == f"imgfx: error: out/{JOURNAL}: cannot write there: it is no file\n"


GARBLED = [
    {"output": 5},
    {"input": 5},
    {"chain": 7, "error": "x"},
    {"error": 7},
    {"stages": []},
    {"read": [1e999, 1]},
    {"read": 5},
    {"more": 1},
]


@pytest.mark.parametrize("wrong", [*map(json.dumps, GARBLED), "[" * 200_000, "\xff", "{}", "0"])
def test_a_garbled_line_of_the_journal_is_passed_over(
    imgfx: Imgfx, tmp_path: Path, three: Path, wrong: str
) -> None:
    entry = {
        "v": 1, "output": "0000.png", "input": "x", "chain": "c", "read": None, "written": None,
        "error": None, "stages": "",
    }  # fmt: skip
    if wrong.startswith("{") and wrong != "{}":
        wrong = json.dumps({**entry, **json.loads(wrong)})
    (three / "out").mkdir()
    (three / "out" / JOURNAL).write_bytes(wrong.encode("latin-1") + b"\n")
    for dry in (("--dry-run",), ()):
        ended = imgfx("open", "in", "save", "in/out", *dry)
        assert ended.code == 0, ended.err
    assert len(list((three / "out").glob("*.png"))) == 3


def test_a_journal_that_is_removed_is_not_a_folder_that_has_gone(tmp_path: Path) -> None:
    photos(tmp_path / "in", 3000)
    line = [*PROGRAM, "open", "in", "save", "out"]
    with subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 60
        while len(list(tmp_path.glob("out/*.png"))) < 20 and time.monotonic() < until:
            time.sleep(0.02)
        (tmp_path / "out" / JOURNAL).unlink()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"the journal has been removed or replaced" in said
    again = subprocess.run(line, cwd=tmp_path, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
    assert len(list(tmp_path.glob("out/*.png"))) == 3000


def test_half_written_files_are_removed_whatever_their_names_and_pipes_are_left(
    imgfx: Imgfx, tmp_path: Path, three: Path
) -> None:
    (three / "0000.png").rename(three / "a\nb.png")
    (tmp_path / "out").mkdir()
    for name in (".a\nb.png.deadbeef.tmp", ".0001.png.deadbeef.tmp"):
        (tmp_path / "out" / name).write_bytes(b"half")
    os.mkfifo(tmp_path / "out" / ".0002.png.deadbeef.tmp")
    assert imgfx("open", "in", "save", "out").code == 0
    left = [path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".tmp"]
    assert left == [".0002.png.deadbeef.tmp"]


def test_a_report_that_cannot_be_written_does_not_hide_what_ended_the_run(
    imgfx: Imgfx, tmp_path: Path, three: Path
) -> None:
    source = '''"""A sink that fails, and takes the report with it."""

import os
from imgfx.api import ImgfxError, hookimpl, sink


class Target:
    def target(self, item, index):
        return "nowhere"

    def encode(self, image, item, index):
        return b"", ()

    def write(self, data, item, index):
        os.rename("reports", "gone")
        open("reports", "w").close()
        raise ImgfxError("the tape is at its end")


@sink("tape")
def tape(session):
    return Target()


@hookimpl
def imgfx_stages():
    return [tape]
'''
    for folder in ("plugins", "reports"):
        (tmp_path / folder).mkdir()
    (tmp_path / "plugins" / "tape.py").write_text(source)
    ended = imgfx("--plugins-dir", "plugins", "open", "in", "tape", "--report", "reports/r.json")
    assert ended.code == 1
    first, last = ended.err.splitlines()
    assert first.startswith("imgfx: error: reports/r.json: cannot write")
    assert last == "imgfx: error: the tape is at its end"


def test_no_stem_leads_out_of_the_target(imgfx: Imgfx, tmp_path: Path, three: Path) -> None:
    (three / "0000.png").rename(tmp_path / "...png")
    ended = imgfx("open", "./...png", "save", "out/deep/{stem}/x.png")
    assert ended.code == 0, ended.err
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("x.png")] == ["out/deep/_/x.png"]


@pytest.mark.parametrize("name", ["*.png", "a[1].png"])
def test_a_link_into_nowhere_with_a_pattern_s_name_is_one_image(
    imgfx: Imgfx, tmp_path: Path, three: Path, name: str
) -> None:
    (three / name).symlink_to("nowhere")
    ended = imgfx("open", "in/*.png", "save", "out")
    assert ended.code == 3
    assert f"in/{name}: cannot read: No such file or directory" in ended.err
    assert "1 of 4 images failed" in ended.err


def test_names_are_known_again_where_the_locale_has_no_such_letters(
    tmp_path: Path, three: Path
) -> None:
    (three / "0000.png").rename(three / "é.png")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for expected in (b"3 images done\n", b"3 images done, 3 of them earlier\n"):
        ended = subprocess.run(
            [*PROGRAM, "open", ".", "save", "out"], cwd=three, capture_output=True, check=False,
            env={**os.environ, **plain},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr.endswith(expected)


def test_a_dry_run_whose_lines_nobody_takes_is_no_error(tmp_path: Path, three: Path) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        ended = subprocess.run(
            [*PROGRAM, "open", "in", "save", "out", "--dry-run"], cwd=tmp_path, stderr=full,
            check=False,
        )  # fmt: skip
    assert ended.returncode == 0


def test_the_report_of_a_single_image_that_is_interrupted_says_what_is_not_done(
    tmp_path: Path, three: Path
) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "ctrl.py").write_text(
        "import os, signal\nfrom imgfx.api import hookimpl, image_filter\n\n\n"
        "@image_filter('ctrl')\ndef ctrl(image):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n    return image\n\n\n"
        "@hookimpl\ndef imgfx_stages():\n    return [ctrl]\n"
    )
    line = ["--plugins-dir", "plugins", "open", "in/0000.png", "ctrl", "save", "o.png"]
    ended = subprocess.run(
        [*PROGRAM, *line, "--report", "r.json"], cwd=tmp_path, capture_output=True, check=False
    )
    assert ended.returncode == 130, ended.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["complete"], report["total"], report["done"]) == (False, 1, 0)
    assert not (tmp_path / "o.png").exists()
