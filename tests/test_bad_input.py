"""What a user can do wrong: one clear line, the right exit code, and nothing left behind."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import PROGRAM, pixels

from imgfx.journal import NAME

REDNET = Path(__file__).parent.parent / "weights/imgfx_weights/superres-rednet.safetensors"


@pytest.fixture
def folder(tmp_path):
    """Good and bad files: everything that the tables name."""
    cv2.imwrite(str(tmp_path / "a.png"), pixels(20, 30))
    cv2.imwrite(str(tmp_path / "b.jpg"), pixels(20, 30))
    for name in ("a.png", "b.jpg"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / f"half_{name}").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no image\n")
    (tmp_path / "zero.png").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / ".a.png").write_bytes(b"")
    (tmp_path / "taken" / "a.png").mkdir(parents=True)
    return tmp_path


def contents(folder):
    """Every path below a folder, with the bytes of the files."""
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def assert_one_line(ended, code, *words):
    """One line on stderr that has these words, and nothing on stdout."""
    assert ended.code == code, ended.err
    assert ended.out == b""
    lines = ended.err.splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("imgfx: ")
    for word in words:
        assert word in lines[0]


BAD_LINES = {
    "missing file": ("open gone.png save b.png", 1, "gone.png: cannot read: No such file"),
    "empty folder": ("open empty save out", 1, "empty: no images in this folder"),
    "only hidden files": ("open hidden save out", 1, "hidden: no images in this folder"),
    "pattern without match": ("open *.bmp save out", 1, "*.bmp: no file matches"),
    "no image": ("open text.png save b.png", 1, "text.png: not an image of a known format"),
    "truncated PNG": ("open half_a.png save b.png", 1, "half_a.png: truncated PNG"),
    "truncated JPEG": ("open half_b.jpg save b.png", 1, "half_b.jpg: truncated JPEG"),
    "no bytes": ("open zero.png save b.png", 1, "zero.png: the file is empty"),
    "folder as a template's file": ("open a.png save taken/{stem}.png", 1, "taken/a.png: cannot w"),
    "target below a file": ("open a.png save a.png/b.png", 1, "a.png/b.png: cannot write"),
    "unknown ending": ("open a.png save b.xyz", 2, "unknown format '.xyz'"),
    "empty target": ("open a.png save ''", 1, "the target is empty"),
    "unknown format": ("open a.png save b.png --format gif", 2, "'gif' is not one of"),
    "unfinished template": ("open a.png save out/{stem", 2, "is no template"),
    "unknown field": ("open a.png save out/{foo}.png", 2, "{stem}, {name}, {suffix}"),
    "wrong field format": ("open a.png save out/{index:zz}.png", 2, "is no template"),
    "stage misspelt": ("opne a.png save b.png", 2, "did you mean 'open'?"),
    "filter misspelt": ("denoise", 2, "did you mean 'denoise-ae'?"),
    "file as a stage": ("a.png save b.png", 2, "to read a file write 'open a.png'"),
    "nothing near": ("qqqqqq", 2, "see 'imgfx --help'"),
    "no path": ("open save b.png", 2, "open: Missing argument 'PATH...'"),
    "no target": ("open a.png save", 2, "save: Missing argument 'TARGET'"),
    "two targets": ("open a.png save b.png c.png", 2, "save: Got unexpected extra argument"),
    "wrong option": ("open a.png denoise-ae --nope save b.png", 2, "No such option '--nope'"),
    "wrong run option": ("--nope open a.png save b.png", 2, "No such option '--nope'"),
    "bad value": ("open a.png denoise-ae --strength 2 save b.png", 2, "2.0 is not in the range"),
    "no number": ("open a.png denoise-ae --strength nan save b.png", 2, "'nan' is no number"),
    "bad word": ("open a.png denoise-ae --sigma much save b.png", 2, "not a valid float range"),
    "bad quality": ("open a.png save b.jpg --quality 0", 2, "0 is not in the range"),
    "quality of PNG": ("open a.png save c.png --quality 90", 2, "png has no quality"),
    "quality of PNG by option": ("open a.png save out --format png --quality 9", 2, "has no qua"),
    "quality of PNG to stdout": ("open a.png save - --quality 9", 2, "png has no quality"),
    "JSON of a run": ("open a.png --json save c.png", 2, "--json is for --dry-run"),
    "address without Ray": ("--ray-address x:1 open a.png save c.png", 2, "is for --runner ray"),
    "report to a dash": ("open a.png save c.png --report -", 2, "write /dev/stdout for stdout"),
    "chain file as a stage": ("restore.toml", 2, "is run by 'run --chain restore.toml'"),
    "bad device": ("open a.png --device tpu save b.png", 2, "'tpu' is not one of"),
    "bad jobs": ("open a.png save b.png --jobs 0", 2, "0 is not in the range"),
    "value missing": ("open a.png save b.png --report", 2, "'--report' requires an argument"),
    "source not first": ("denoise-ae open a.png save b.png", 2, "'open' makes images"),
    "two sources": ("open a.png open b.jpg save c.png", 2, "'open' makes images"),
    "sink not last": ("open a.png save b.png denoise-ae", 2, "'save' ends the chain"),
    "two sinks": ("open a.png save b.png save c.png", 2, "'save' ends the chain"),
    "stdin beside files": ("open - a.png save out", 2, "cannot stand beside other paths"),
    "one target for two": ("open a.png b.jpg save c.png", 1, "a.png and b.jpg would both be"),
    "onto itself": ("open a.png save a.png", 1, "a.png: would overwrite its own input"),
    "onto itself by a folder": ("open ./a.png save .", 1, "would overwrite its own input"),
    "unknown engine": ("open a.png --engine abacus save b.png", 1, "--engine abacus: no such"),
    "missing weights": (
        "open a.png denoise-ae --weights gone.safetensors save b.png", 2,
        "'gone.safetensors' does not exist",
    ),
    "damaged weights": (
        "open a.png denoise-ae --weights text.png save b.png", 1,
        "text.png: not a readable safetensors file",
    ),
    "another model's weights": (
        f"open a.png denoise-ae --weights {REDNET} save b.png", 1,
        "superres-rednet.safetensors: weights of 'rednet-1', but denoise-ae needs",
    ),
    "report below a file": ("open gone.png save b.png --report a.png/r", 1, "a.png/r: cannot wr"),
    "unknown model": ("train nonsense --data empty", 1, "no model named 'nonsense'"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "code", "message"), BAD_LINES.values(), ids=BAD_LINES)
def test_one_line_and_nothing_left(imgfx, folder, words, code, message):
    before = contents(folder)
    ended = imgfx(*[word.strip("'") for word in words.split()])
    assert_one_line(ended, code, message)
    assert contents(folder) == before


def test_an_input_of_the_run_is_never_a_target(imgfx, folder):
    """1.png would be gone, or read after it was replaced, without a word."""
    for number in (0, 1, 2):
        cv2.imwrite(str(folder / f"{number}.png"), pixels(4 + number, 5))
    before = contents(folder)
    ended = imgfx("open", "1.png", "2.png", "save", "{index}.png", "--overwrite")
    assert_one_line(ended, 1, "2.png would overwrite 1.png, which is read too")
    assert contents(folder) == before


def test_overwrite_allows_the_own_input_also_of_another_kind_where_that_is_asked_for(imgfx, folder):
    (folder / "a.png").write_bytes((folder / "b.jpg").read_bytes())
    line = ("open", "a.png", "save", "a.png", "--overwrite")
    ended = imgfx(*line)
    assert ended.code == 1
    assert "a.png" in ended.err
    assert (folder / "a.png").read_bytes() == (folder / "b.jpg").read_bytes()
    ended = imgfx(*line, "--format", "png")
    assert (ended.code, ended.err) == (0, "")
    assert (folder / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def rednet_weights(tmp_path_factory):
    """A file of untrained weights of `superres-rednet`."""
    from support_models import TINY, write_weights

    folder = tmp_path_factory.mktemp("weights")
    return write_weights(folder / "rednet.safetensors", *TINY["superres-rednet"])


def _cuda():
    import torch

    return torch.cuda.is_available()


@pytest.mark.parametrize(
    ("stage", "options", "message"),
    [
        ("denoise-ae", [], "denoise-ae needs 'denoise-ae-1'"),
        ("superres-rednet", ["--device", "cuda"], "--device cuda"),
        ("superres-rednet", ["--device", "cpu", "--precision", "fp16"], "--precision fp16"),
    ],
)
def test_a_choice_of_weights_and_engines_is_kept_or_refused(
    imgfx, folder, rednet_weights, stage, options, message
):
    if "cuda" in options and _cuda():
        pytest.skip("there is a CUDA device")
    before = contents(folder)
    ended = imgfx("open", "a.png", stage, "--weights", rednet_weights, *options, "save", "b.png")
    assert_one_line(ended, 1, message)
    assert contents(folder) == before


def run(words, folder, **streams):
    """A process with streams of its own; answers its exit code and stderr."""
    ended = subprocess.run(
        [*PROGRAM, *words.split()], cwd=folder, stderr=subprocess.PIPE, check=False, **streams
    )
    return ended.returncode, ended.stderr.decode()


def test_a_terminal_gets_no_image(folder):
    terminal, end = pty.openpty()
    for words in ("open a.png", "open a.png save -", "save -"):
        code, message = run(words, folder, stdin=subprocess.DEVNULL, stdout=end)
        assert (code, message.count("\n")) == (2, 1)
        assert message.startswith("imgfx: stdout is a terminal: redirect it")
    os.set_blocking(terminal, False)
    with pytest.raises(BlockingIOError):
        os.read(terminal, 1)
    os.close(end)
    os.close(terminal)


def test_nothing_is_read_from_a_terminal(folder):
    terminal, end = pty.openpty()
    for words in ("save b.png", "open - save b.png"):
        code, message = run(words, folder, stdin=end)
        assert (code, message.count("\n")) == (2, 1)
        assert message.startswith("imgfx: no images: name them with 'open FILE...'")
    os.close(end)
    os.close(terminal)


@pytest.mark.parametrize(
    ("redirection", "code", "message"),
    [
        ("<&-", 2, "imgfx: stdin is closed; name the images with 'open FILE...'\n"),
        ("</dev/null", 1, "imgfx: error: stdin: the stream is empty\n"),
        ("< text.png", 1, "imgfx: error: stdin #0: not an image of a known format\n"),
        ("< half_a.png", 1, "imgfx: error: stdin #0: truncated PNG\n"),
        ("< a.png >&-", 1, "imgfx: error: stdout: cannot write: Bad file descriptor\n"),
        ("< a.png >/dev/full", 1, "imgfx: error: stdout: cannot write: No space left on device\n"),
    ],
)
def test_redirections_that_cannot_work(folder, redirection, code, message):
    before = contents(folder)
    target = "-" if ">" in redirection else "b.png"
    ended = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *PROGRAM, "save", target],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr == message
    assert contents(folder) == before


@pytest.mark.parametrize("words", ["--help", "--version", "open --help"])
def test_words_to_a_full_disk_fail(folder, monkeypatch, words):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # else nothing is left for the exit
    with Path("/dev/full").open("wb") as full:
        code, message = run(words, folder, stdout=full)
    assert (code, message.count("\n")) == (1, 1)
    assert message.startswith("imgfx: error: ")
    assert "No space left on device" in message


@pytest.mark.parametrize("words", ["open a.png", "open a.png b.jpg save - --format ppm"])
def test_a_reader_that_has_gone_ends_us_quietly(folder, words):
    reading, writing = os.pipe()
    os.close(reading)
    code, message = run(words, folder, stdout=writing)
    os.close(writing)
    assert (code, message) == (141, "")


SLOW = """
import time
import click
from imgfx.journal import NAME
from imgfx.hookspecs import hookimpl
from imgfx.stage import image_filter

@image_filter("slow")
@click.option("--seconds", type=float, default=0.1)
def slow(image, seconds):
    time.sleep(seconds)
    return image

@hookimpl
def imgfx_stages():
    return [slow]
"""


@pytest.fixture
def slow(site):
    """A folder for PYTHONPATH: an installed package with the filter `slow`."""
    site.install("slow-filter", SLOW, "slow")
    return str(site.folder)


def test_ctrl_c_leaves_whole_files_only(tmp_path, slow):
    """A real interrupt, when some images are done and many are not."""
    (tmp_path / "in").mkdir()
    for number in range(30):
        cv2.imwrite(str(tmp_path / "in" / f"{number:02d}.png"), pixels(40, 50))
    process = subprocess.Popen(
        [*PROGRAM, "open", "in", "slow", "save", "out"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": slow}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    out = tmp_path / "out"
    deadline = time.monotonic() + 30
    while len(list(out.glob("*.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=30)
    done = sorted(out.glob("*.png"))
    assert 3 <= len(done) < 30
    assert process.returncode == 130
    said = f"imgfx: interrupted; {len(done)} images done, the same command goes on"
    assert message.splitlines()[-1] == said
    assert sorted(out.iterdir()) == [out / NAME, *done]
    for path in done:
        assert path.suffix == ".png"
        np.testing.assert_array_equal(cv2.imread(str(path)), pixels(40, 50))


def test_an_image_of_a_pipe_is_written_before_the_next_comes_and_ctrl_c_ends_the_wait(tmp_path):
    with subprocess.Popen(
        [*PROGRAM, "save", "out"], cwd=tmp_path,
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        process.stdin.write(cv2.imencode(".png", pixels(40, 50))[1].tobytes())
        process.stdin.flush()
        target = tmp_path / "out" / "image_0000.png"
        deadline = time.monotonic() + 60
        while not target.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert target.exists()
        time.sleep(0.3)  # until it waits again
        process.send_signal(signal.SIGINT)
        message = process.stderr.read()
        assert (process.wait(30), message) == (130, b"imgfx: interrupted; 1 image done\n")
    assert [path.name for path in target.parent.iterdir()] == [target.name]


ENDED = """
import os, signal, sys
from imgfx import atomic
number = getattr(signal, sys.argv.pop(1))
def settle(file, replaces):  # all is written, and not yet in its place
    os.kill(os.getpid(), number)
atomic._settle = settle
from imgfx.__main__ import run
run()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals end processes otherwise elsewhere")
@pytest.mark.parametrize(
    ("number", "ending"),
    [("SIGINT", (130, "imgfx: interrupted\n")), ("SIGTERM", (-signal.SIGTERM, ""))],
)
def test_a_signal_while_a_single_image_is_written_leaves_nothing(tmp_path, number, ending):
    cv2.imwrite(str(tmp_path / "a.png"), pixels(20, 30))
    (tmp_path / "b.png").write_bytes(b"older")
    for target in ("b.png", "c.png"):
        line = [sys.executable, "-c", ENDED, number, "open", "a.png", "save", target]
        ended = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == ending
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
    assert (tmp_path / "b.png").read_bytes() == b"older"


@pytest.mark.skipif(os.name != "posix", reason="signals end processes otherwise elsewhere")
def test_a_sigterm_that_is_ignored_ends_no_single_image(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), pixels(20, 30))
    line = [sys.executable, "-c", ENDED, "SIGTERM", "open", "a.png", "save", "b.png"]
    shell = ["sh", "-c", 'trap "" TERM; exec "$@"', "sh", *line]
    subprocess.run(shell, cwd=tmp_path, capture_output=True, check=True)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "b.png")), pixels(20, 30))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_sigterm_ends_a_single_image_that_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    line = [*PROGRAM, "open", "pipe.png", "save", "out.png"]
    process = subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE)
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=5)
    assert (process.returncode, err) == (-signal.SIGTERM, b"")


WRITTEN_WHOLE = """
import os, signal
from pathlib import Path
from imgfx.atomic import write_whole
signal.signal(signal.SIGTERM, signal.SIG_DFL)
write_whole(Path("first"), b"whole")
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
write_whole(Path("second"), b"none", lambda found: os.kill(os.getpid(), signal.SIGTERM))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals end processes otherwise elsewhere")
def test_sigterm_leaves_nothing_of_any_file_that_is_written_whole(tmp_path):
    line = [sys.executable, "-c", WRITTEN_WHOLE]
    ended = subprocess.run(line, cwd=tmp_path, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (-signal.SIGTERM, b"")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("first", b"whole")]
