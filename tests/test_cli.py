"""The command line as a whole: help without heavy imports, exit codes, places of run options."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from support import PROGRAM, pixels, processor_seconds, run_imgfx

from imgfx import __version__
from imgfx.offers import STAGE_KINDS, installed_offers
from imgfx.plugins import Registry

HEAVY = {"torch", "cv2", "numpy", "tensorrt", "safetensors", "tqdm", "scipy", "pandas"}

BUNDLED = Registry(offer for offer in installed_offers() if offer.bundled)
NAMES = BUNDLED.names(*STAGE_KINDS, "command")


@pytest.fixture
def photo(tmp_path):
    """A small image in the test's folder."""
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), pixels(9, 13))
    return path


def imported(*arguments):
    """The top-level packages that a command line imports, and what it printed."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "imgfx", *arguments],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    modules = re.findall(r"^import time:.*\| +([\w.]+)$", ended.stderr, re.MULTILINE)
    return {name.split(".")[0] for name in modules}, ended.stdout


def test_help_is_quick():
    seconds = []
    for _ in range(5):
        before = processor_seconds()
        subprocess.run([*PROGRAM, "--help"], capture_output=True, check=True)
        seconds.append(processor_seconds() - before)
    assert min(seconds) < 0.6


def test_help_imports_nothing_heavy_and_no_plugin():
    packages, _ = imported("--help")
    assert {"imgfx", "click", "pluggy"} <= packages
    assert not packages & HEAVY
    assert not {name for name in packages if name.startswith("imgfx_")}


def sections(text):
    """The names under each heading of the help."""
    found, title = {}, ""
    for line in text.splitlines():
        if re.fullmatch(r"\w+:", line):
            title = line.rstrip(":")
        elif (row := re.match(r"  (\S+)  +\S", line)) and title:
            found.setdefault(title, []).append(row[1])
    return found


def test_help_lists_everything_by_kind(imgfx):
    found = sections(imgfx("--help").out.decode())
    kinds = {"Sources": "source", "Filters": "filter", "Sinks": "sink", "Commands": "command"}
    for title, kind in kinds.items():
        assert set(BUNDLED.names(kind)) <= set(found[title]), title


@pytest.mark.parametrize("name", NAMES)
def test_every_help_has_an_example_and_needs_no_torch(name):
    packages, text = imported(name, "--help")
    assert "torch" not in packages
    assert f"{name}" in text.splitlines()[0]
    _, _, examples = text.partition("Examples:\n")
    assert re.match(rf" +(cat .*\| )?imgfx .*{name}", examples), text


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_of_a_stage_behind_others_is_its_own(imgfx, word):
    ended = imgfx("open", "a.png", "save", word)
    assert ended.code == 0
    assert ended.out.startswith(b"Usage: imgfx ... save ")
    assert b"--device" not in ended.out  # an option of the run


def test_version(imgfx):
    assert imgfx("--version").out.decode() == f"imgfx {__version__}\n"


def test_the_console_script_is_the_same_program(tmp_path):
    script = Path(sys.executable).with_name("imgfx")
    ended = subprocess.run([script, "--version"], capture_output=True, check=True)
    assert ended.stdout.decode() == f"imgfx {__version__}\n"


def test_without_words_the_help_goes_to_stderr(imgfx):
    ended = imgfx()
    assert (ended.code, ended.out) == (2, b"")
    assert ended.err.startswith("Usage: imgfx ")


@pytest.mark.parametrize(
    "words",
    ["--dry-run engine clear", "--device cuda train superres-fast-x2 --data x", "-q plugins list",
     "--tile 8 eval denoise-ae --data x"],
)  # fmt: skip
def test_run_options_are_no_command_s(imgfx, words):
    ended = imgfx(*words.split())
    command = next(word for word in words.split() if word in ("engine", "train", "plugins", "eval"))
    assert ended.code == 2
    assert f" is of runs, and '{command}' is none; what '{command}' takes stands" in ended.err


def test_run_options_before_run_are_its_own(imgfx, photo):
    imgfx("chain", "save", "c.toml", "open", photo, "save", "b.png")
    assert "image  " in imgfx("--dry-run", "run", "--chain", "c.toml").err


@pytest.mark.parametrize(
    "words",
    [
        "--dry-run open a.png save b.png",
        "open --dry-run a.png save b.png",
        "open a.png save -n b.png",
        "open a.png save b.png -n",
    ],
)
def test_run_options_stand_anywhere(imgfx, photo, words):
    ended = imgfx(*words.split())
    assert ended.code == 0, ended.err
    assert re.search(r"a\.png \(\d+x\d+\) -> b\.png", ended.err)
    assert list(photo.parent.iterdir()) == [photo]


@pytest.mark.parametrize(
    "words", ["open a.png --plugins-dir d save b.png", "train denoise-ae --plugins-dir d",
              "engine list --plugins-dir=d"],
)  # fmt: skip
def test_a_folder_of_plugins_behind_a_stage_is_told_its_place(imgfx, words):
    ended = imgfx(*words.split())
    assert ended.code == 2
    assert ended.err == "imgfx: --plugins-dir stands before the first stage or command\n"


def test_the_last_of_a_run_option_holds(imgfx, photo):
    ended = imgfx("--report", "one", "open", "a.png", "--report", "two", "save", "b.png")
    assert ended.code == 0, ended.err
    assert {path.name for path in photo.parent.iterdir()} == {"a.png", "b.png", "two"}


def test_a_wrong_option_is_blamed_on_its_stage(imgfx, photo):
    ended = imgfx("open", "a.png", "save", "b.png", "--nonsense")
    assert ended.code == 2
    assert ended.err == "imgfx: save: No such option '--nonsense'.\n"


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_standard_stream_corrupts_no_file(photo, closed):
    """Else the first file that is opened would be number 1, and get what is printed."""
    line = [*PROGRAM, "open", "a.png", "save", "b.png", "-v"]
    ended = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *line],
        cwd=photo.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert (cv2.imread(str(photo.with_name("b.png"))) == cv2.imread(str(photo))).all()
    assert len(list(photo.parent.iterdir())) == 2


def test_an_opencv_that_cannot_be_loaded_is_told_with_the_remedy(tmp_path, photo):
    """As in a container without libGL."""
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").write_text("from cv2 import native\n")
    (tmp_path / "cv2" / "native.abi3.so").write_bytes(b"no library")
    ended = run_imgfx(
        ["open", photo, "save", "b.png"], cwd=tmp_path, PYTHONPATH=str(tmp_path), IMGFX_TRACEBACK=""
    )
    assert ended.code == 1
    assert re.fullmatch(
        r"imgfx: error: OpenCV does not start: .*native\.abi3\.so: .*; install what it needs "
        r"\(on Debian and Ubuntu: apt-get install libgl1 libglib2\.0-0\)\n",
        ended.err,
    )


@pytest.mark.skipif(os.name != "posix", reason="signals end processes otherwise elsewhere")
def test_an_interrupt_while_imgfx_is_imported_ends_it_without_a_traceback(tmp_path):
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    ended = subprocess.run(
        [*PROGRAM, "--version"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, b"")


def test_a_dry_run_does_without_opencv(photo):
    target = photo.with_name("b.png")
    packages, _ = imported("open", str(photo), "save", str(target), "--dry-run")
    assert not packages & {"cv2", "torch"}
    packages, _ = imported("open", str(photo), "save", str(target))
    assert "cv2" in packages
