"""What a run shows on a terminal, and what is left there at its end."""

import fcntl
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios

import pytest
from support import PHOTOS, PROGRAM

from imgfx import errors
from imgfx.progress import Progress

PHOTO = PHOTOS / "row-houses.webp"


def on_a_terminal(arguments, folder):
    """(exit code, all that came) of `imgfx ARGUMENTS` whose stderr is a terminal."""
    screen, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    environment = {**os.environ, "IMGFX_ENGINE": "torch"}
    command = [*PROGRAM, *map(str, arguments)]
    with subprocess.Popen(command, cwd=folder, stderr=end, env=environment) as process:
        os.close(end)
        parts = []
        while True:
            try:
                part = os.read(screen, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            parts.append(part)
    os.close(screen)
    return process.returncode, b"".join(parts).decode()


def left_on_screen(text):
    """The lines that a terminal shows in the end."""
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        shown = ""
        for piece in line.split("\r"):
            shown = piece + shown[len(piece) :]
        lines.append(shown.rstrip())
    return [line for line in lines if line]


def test_the_tiles_of_a_single_image_are_counted(tmp_path):
    code, text = on_a_terminal(
        ["open", PHOTO, "denoise-ae", "--tile", "256", "save", "a.png"], tmp_path
    )
    assert code == 0
    for done in range(4):
        assert f"{done}/4" in text
    assert "denoise-ae: " in text
    assert "tile" in text
    assert [line for line in left_on_screen(text) if "torch on cpu" not in line] == []


def test_a_single_tile_is_not_counted(tmp_path):
    code, text = on_a_terminal(["open", PHOTO, "denoise-ae", "save", "a.png"], tmp_path)
    assert code == 0
    assert "/1" not in text


def test_messages_stand_on_lines_of_their_own_beside_a_bar(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        shutil.copy(PHOTO, photos / f"{number}.webp")
        (photos / f"{number}x.png").write_bytes(b"no image")
    code, text = on_a_terminal(
        ["open", "photos", "denoise-ae", "--tile", "256", "save", "out"], tmp_path
    )
    assert code == 3
    assert "/8" in text
    assert "denoise-ae: tile 3 of 4" in text
    reason = "not an image of a known format"
    told = [line for line in left_on_screen(text) if "torch on cpu" not in line]
    assert told == [
        *(f"imgfx: error: photos/{number}x.png: {reason}" for number in range(4)),
        "imgfx: error: 4 of 8 images failed; the others are written",
    ]


def test_nothing_is_shown_when_quiet(tmp_path):
    words = ["open", PHOTO, "denoise-ae", "--tile", "256", "save", "a.png", "-q"]
    assert on_a_terminal(words, tmp_path) == (0, "")


@pytest.mark.parametrize("images", [None, 1, 7])
def test_without_a_terminal_there_is_no_bar(images, capsys):
    with Progress(images) as progress:
        progress.tiles("a model", 1, 3)
        progress.image()
    assert capsys.readouterr().err == ""


def test_who_is_told_needs_no_bar_to_be_imported(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "tqdm", raising=False)
    errors.tell("a line")
    assert capsys.readouterr().err == "imgfx: a line\n"
    assert "tqdm" not in sys.modules
