"""Whole runs: chains, pipes and folders, what is said of them, reports and exit codes."""

import io
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import PROGRAM, pixels

from imgfx.batch import Teller
from imgfx.journal import NAME
from imgfx.outcomes import Outcome
from imgfx.progress import Progress
from imgfx.settings import Settings
from imgfx.streams import split
from imgfx.weights import load_weights


def put(path, height=8, width=10):
    """A small image of this size in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels(height, width))


def sizes(stream):
    """Height and width of each image of a stream."""
    files = split(io.BytesIO(stream))
    return [cv2.imdecode(np.frombuffer(file, np.uint8), -1).shape[:2] for file in files]


def names(folder):
    """What is in a folder but its journal, if it is there at all."""
    return sorted(path.name for path in folder.glob("*") if path.name != NAME)


@pytest.fixture
def folder(tmp_path):
    """Three images, one that is none, in the test's folder."""
    for number, name in enumerate(["a.png", "b.jpg", "c.png"]):
        put(tmp_path / name, 8 + number)
    (tmp_path / "bad.png").write_bytes(b"bad")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "written", "last"),
    [
        ("open a.png save out", 0, "a.png", ""),
        ("open a.png b.jpg c.png save out", 0, "a.png b.jpg c.png", "imgfx: 3 images done"),
        ("open bad.png save out", 1, "", "error: bad.png: not an image of a known format"),
        ("open bad.png gone.png save out", 1, "", "error: all 2 images failed"),
        ("open a.png bad.png c.png save out", 3, "a.png c.png", "error: 1 of 3 images failed"),
        ("open bad.png a.png gone.png save out", 3, "a.png", "error: 2 of 3 images failed"),
        (
            "open a.png bad.png c.png save out --on-error stop", 3, "a.png",
            "error: stopped at the first image that failed; 1 are written",
        ),
        (
            "open bad.png a.png save out --on-error stop", 1, "",
            "error: bad.png: not an image of a known format",
        ),
    ],
)  # fmt: skip
def test_exit_codes_say_what_became_of_a_batch(imgfx, folder, words, code, written, last):
    ended = imgfx(*words.split())
    assert ended.code == code, ended.err
    assert names(folder / "out") == written.split()
    lines = ended.err.splitlines()
    assert last in (lines[-1] if lines else "")
    assert len(set(lines)) == len(lines)  # nothing is said twice
    for name in {"bad.png", "gone.png"} & set(words.split()):
        if code != 3 or "stop" not in words:
            assert sum(f"imgfx: error: {name}: " in line for line in lines) == 1


def test_a_stream_with_a_damaged_image_goes_on(imgfx, folder):
    one, two, three = ((folder / name).read_bytes() for name in ("a.png", "c.png", "b.jpg"))
    damaged = bytearray(two)
    damaged[len(two) // 2] ^= 1
    ended = imgfx("save", "out/{index}.png", stdin=one + damaged + three)
    assert ended.code == 3
    assert ended.err.splitlines()[-1].startswith("imgfx: error: 1 of 3 images failed")
    assert names(folder / "out") == ["0.png", "2.png"]


def test_a_dry_run_shows_the_plan_and_does_nothing(imgfx, folder):
    before = sorted(folder.rglob("*"))
    ended = imgfx("open", "a.png", "gone.png", "save", "out", "-n", "--report", "r.json")
    assert (ended.code, ended.out) == (0, b"")
    assert ended.err.splitlines() == [
        "chain   open | save",
        "image   a.png (10x8) -> out/a.png",
        "fail    gone.png: cannot read: No such file or directory",
        "total   1 to write, 1 to fail; 0.0 megapixels to read",
    ]
    assert sorted(folder.rglob("*")) == before


def test_a_plan_as_json_says_what_would_become_of_each_image(imgfx, folder):
    assert imgfx("open", "a.png", "b.jpg", "save", "out").code == 0
    (folder / "out" / "c.png").write_bytes(b"older")
    (folder / "out" / "b.jpg").unlink()
    before = sorted(folder.rglob("*"))
    ended = imgfx("open", "a.png", "b.jpg", "c.png", "bad.png", "save", "out", "-n", "--json")
    assert (ended.code, ended.err) == (0, "")
    plan = json.loads(ended.out)
    assert plan["chain"] == ["open", "save"]
    found = [(i["input"], i["action"], i["width"], i["height"]) for i in plan["images"]]
    assert found == [
        ("a.png", "keep", None, None),
        ("b.jpg", "write", 10, 9),
        ("c.png", "overwrite", 10, 10),
        ("bad.png", "fail", None, None),
    ]
    assert plan["images"][3]["reason"] == "bad.png: not an image of a known format"
    assert sorted(folder.rglob("*")) == before


DOUBLE = """
from imgfx.api import hookimpl, image_filter


@image_filter("double")
def double(image):
    return image.with_pixels(image.pixels.repeat(2, axis=1))


@hookimpl
def imgfx_stages():
    return [double]
"""


def test_a_plan_finds_what_a_format_cannot_hold(imgfx, folder):
    """WebP ends at 16383 pixels a side; the filters' effect on the size is tried out."""
    (folder / "mine").mkdir()
    (folder / "mine" / "double.py").write_text(DOUBLE)
    cv2.imwrite(str(folder / "wide.png"), np.zeros((1, 8200, 3), np.uint8))
    chain = ["--plugins-dir", "mine", "open", "a.png", "wide.png", "double", "save"]
    ended = imgfx(*chain, "out/{stem}.webp", "-n")
    assert ended.err.splitlines()[1:3] == [
        "image   a.png (10x8) -> out/a.webp",
        (
            "fail    out/wide.webp: 16400x1 would be too large for webp (at most 16383 a side); "
            "choose another format"
        ),
    ]
    assert imgfx(*chain, "out/{stem}.webp").code == 3  # as foretold
    assert "2 to write" in imgfx(*chain, "out/{stem}.png", "-n").err


def test_a_plan_keeps_to_the_limit_of_pixels(imgfx, folder):
    ended = imgfx("--max-pixels", "0.000001", "open", "a.png", "save", "x.png", "--dry-run")
    assert ended.code == 0
    assert "fail    a.png: 10x8 pixels, more than the limit" in ended.err


def test_a_plan_takes_stdout_for_no_file(imgfx, folder):
    (folder / "stdout").write_text("mine")
    ended = imgfx("open", "a.png", "--dry-run", "save", "-")
    assert "image   a.png (10x8) -> stdout\n" in ended.err


COUNTING = """
import imgfx.cli, imgfx.plan
look = imgfx.plan.outline_of
imgfx.plan.outline_of = lambda *a, **b: print("looked") or look(*a, **b)
imgfx.cli.main()
"""


def test_a_plan_looks_into_a_video_once(folder):
    frame = b"FRAME\n" + bytes(96)
    (folder / "v.y4m").write_bytes(b"YUV4MPEG2 W8 H8 F25:1 C420jpeg\n" + 5 * frame)
    words = ["open", "v.y4m", "--dry-run", "save", "out/"]
    ended = subprocess.run(
        [sys.executable, "-c", COUNTING, *words], cwd=folder, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert ended.stderr.count("v.y4m #") == 5
    assert (ended.stdout + ended.stderr).count("looked") == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("open a.png --report b.jpg save out", "b.jpg is an image, and the report is JSON"),
        ("open a.png --report new.webp save out", "new.webp is an image"),
        ("open a.png --report scan save out", "scan is an image"),
        ("open a.png --report= save out", "the name is empty"),
    ],
)
def test_a_report_never_replaces_an_image(imgfx, folder, words, reason):
    (folder / "scan").write_bytes((folder / "a.png").read_bytes())
    before = {path: path.read_bytes() for path in folder.iterdir()}
    ended = imgfx(*words.split())
    assert (ended.code, reason in ended.err) == (2, True), ended.err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_report_may_go_into_a_pipe(folder):
    os.mkfifo(folder / "pipe")
    reader = subprocess.Popen(["cat", "pipe"], cwd=folder, stdout=subprocess.PIPE)
    line = [*PROGRAM, "open", "a.png", "save", "out/", "--report", "pipe"]
    subprocess.run(line, cwd=folder, check=True, timeout=60)
    assert b'"images"' in reader.communicate(timeout=60)[0]


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")


@FULL
@pytest.mark.parametrize(
    ("words", "code", "written"),
    [
        ("-q open a.png bad.png c.png save out", 3, "a.png c.png"),
        ("open a.png c.png save out", 0, "a.png c.png"),
        ("nosuch", 2, ""),
        ("", 2, ""),
    ],
)
def test_a_stderr_that_is_full_changes_neither_images_nor_code(folder, words, code, written):
    with Path("/dev/full").open("wb") as full:
        line = [*PROGRAM, *words.split()]
        ended = subprocess.run(line, cwd=folder, stderr=full, timeout=60, check=False)
    assert ended.returncode == code
    assert names(folder / "out") == written.split()


STRANGE = "x\ny\x1b[31m.png"


def test_a_name_of_several_lines_is_told_on_one(imgfx, folder):
    (folder / STRANGE).write_bytes(b"junk")
    ended = imgfx("open", "a.png", STRANGE, "c.png", "save", "out")
    assert ended.err.splitlines() == [
        "imgfx: error: x?y?[31m.png: not an image of a known format",
        "imgfx: error: 1 of 3 images failed; the others are written",
    ]


def test_a_plan_shows_a_name_of_several_lines_on_one(imgfx, folder):
    put(folder / "good.png")
    (folder / "good.png").rename(folder / STRANGE)
    (folder / "bad.png").rename(folder / f"bad{STRANGE}")
    lines = imgfx("open", STRANGE, f"bad{STRANGE}", "save", "out", "-n").err.splitlines()
    assert lines[1:3] == [
        "image   x?y?[31m.png (10x8) -> out/x?y?[31m.png",
        "fail    badx?y?[31m.png: not an image of a known format",
    ]


@pytest.mark.parametrize(("name", "redirect"), [("stdout", "1>>log"), ("stderr", "2>>log")])
def test_a_report_to_an_open_file_stands_there_once_and_replaces_nothing(folder, name, redirect):
    log = folder / "log"
    log.write_text("before\n")
    place = log.stat().st_ino
    line = [*PROGRAM, "-q", "open", "a.png", "save", "out/", "--report", f"/dev/{name}"]
    ended = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", *line],
        cwd=folder, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert log.stat().st_ino == place
    first, report = log.read_text().split("\n", 1)
    assert first == "before"
    assert json.loads(report)["done"] == 1


def test_a_report_that_nobody_reads_ends_quietly(folder):
    read, write = os.pipe()
    os.close(read)
    line = [*PROGRAM, "-q", "open", "a.png", "b.jpg", "save", "out", "--report", "/dev/stdout"]
    ended = subprocess.run(
        line, cwd=folder, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, b"")
    assert len(list((folder / "out").glob("[ab].*"))) == 2


def test_a_report_is_not_mixed_with_images(imgfx, folder):
    ended = imgfx("open", "a.png", "save", "-", "--report", "/dev/stdout")
    assert (ended.code, ended.out) == (2, b"")
    assert ended.err == "imgfx: --report /dev/stdout: stdout has the images\n"


def test_a_plan_estimates_the_time_of_its_models(imgfx, folder, weights):
    stage = ["denoise-ae", "--weights", weights["denoise-ae"]]
    ended = imgfx("open", "a.png", "c.png", *stage, "save", "out", "-n", "--json")
    plan = json.loads(ended.out)
    assert plan["models"][0]["model"] == "denoise-ae"
    assert 0 <= plan["seconds"] < 60
    assert not (folder / "out").exists()


PICKY = """
from imgfx.api import ImgfxError, hookimpl, image_filter


@image_filter("picky")
def picky(image):
    if image.pixels.shape[:2] == (256, 256):
        raise ImgfxError("picky takes no squares")
    return image


@hookimpl
def imgfx_stages():
    return [picky]
"""


def test_a_plan_does_without_an_estimate_where_a_filter_refuses_what_is_tried(
    imgfx, folder, weights
):
    (folder / "plug").mkdir()
    (folder / "plug" / "picky.py").write_text(PICKY)
    stages = ["picky", "denoise-ae", "--weights", weights["denoise-ae"]]
    line = ["--plugins-dir", "plug", "open", "a.png", *stages, "save", "out/"]
    ended = imgfx(*line, "-n", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["seconds"] is None
    assert imgfx(*line).code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_plan_finds_a_folder_that_cannot_be_written(imgfx, folder):
    (folder / "shut").mkdir(mode=0o500)
    ended = imgfx("open", "a.png", "save", "shut/deeper/", "-n")
    assert "fail    shut/deeper/a.png: shut is not writable" in ended.err


def test_a_plan_finds_a_file_where_a_folder_is_needed(imgfx, folder):
    (folder / "file").write_text("no folder")
    ended = imgfx("open", "a.png", "b.jpg", "save", "file/x/", "-n")
    assert "fail    file/x/a.png: file is no folder" in ended.err


def test_a_dry_run_of_a_pipe_reads_and_writes_nothing(imgfx):
    ended = imgfx("-n", "save", "-", stdin=b"no image")
    assert (ended.code, ended.out) == (0, b"")
    assert ended.err.splitlines() == ["chain   stdin | save", "images  from stdin, as they come"]


def test_quiet_says_nothing_but_errors(imgfx, folder):
    put(folder / "d.jpg")
    ended = imgfx("-q", "open", "a.png", "b.jpg", "save", "out/{stem}.ppm")
    assert (ended.code, ended.err) == (0, "")
    ended = imgfx("open", "a.png", "bad.png", "c.png", "save", "out", "-q")
    assert ended.code == 3
    assert all(line.startswith("imgfx: error: ") for line in ended.err.splitlines())


def test_verbose_says_what_became_of_each_image(imgfx, folder):
    ended = imgfx("open", "a.png", "b.jpg", "save", "out", "-v")
    lines = ended.err.splitlines()
    assert lines[0].startswith("imgfx: a.png -> out/a.png (")
    assert lines[1].startswith("imgfx: b.jpg -> out/b.jpg (")
    assert lines[2:] == ["imgfx: 2 images done"]


def test_a_warning_names_the_image(imgfx, folder):
    values = pixels(6, 7, 3, "uint16")
    cv2.imwrite(str(folder / "deep.png"), values)
    ended = imgfx("open", "deep.png", "save", "flat.jpg")
    assert ended.code == 0
    assert ended.err == (
        "imgfx: warning: deep.png: jpeg cannot hold uint16 samples; written as uint8\n"
    )


def test_warnings_of_an_image_that_fails_are_told_too(imgfx, folder):
    samples = np.linspace(0, 255, 64, dtype=np.float32).reshape(8, 8)
    cv2.imwrite(str(folder / "f.tif"), samples)
    ended = imgfx("open", "f.tif", "denoise-ae", "save", "o.png", "--engine", "torch")
    assert ended.code == 1
    warning = "imgfx: warning: f.tif: its values reach from 0 to 255; 0 is taken for black and"
    assert warning in ended.err
    assert "makes no sense for values of up to 255, where 1 is white (torch on cpu" in ended.err
    again = imgfx("open", "f.tif", "denoise-ae", "save", "o.png", "--engine", "torch", "-q")
    assert "makes no sense for values of up to 255, where 1 is white" in again.err


def test_the_report_tells_of_every_image(imgfx, folder):
    words = "open a.png bad.png c.png save out --quality 90 --report sub/r.json"
    assert imgfx(*words.split()).code == 3
    report = json.loads((folder / "sub" / "r.json").read_text())
    assert (report["done"], report["failed"], report["models"]) == (2, 1, [])
    assert [stage["stage"] for stage in report["chain"]] == ["open", "save"]
    assert report["chain"][1]["options"]["quality"] == 90
    good, bad, _ = report["images"]
    assert (good["input"], good["output"], good["error"]) == ("a.png", "out/a.png", None)
    assert good["seconds"] >= 0
    assert (bad["input"], bad["output"]) == ("bad.png", None)
    assert bad["error"] == "bad.png: not an image of a known format"


def test_the_report_of_a_failed_image_is_written_too(imgfx, folder):
    assert imgfx("open", "bad.png", "save", "out", "--report", "r.json").code == 1
    assert json.loads((folder / "r.json").read_text())["failed"] == 1


@pytest.mark.parametrize("jobs", [1, 5])
def test_stdout_keeps_the_order_with_any_number_of_jobs(imgfx, tmp_path, jobs):
    # Large and small ones in turn, so that some are encoded before those that stand before them.
    expected = [(200 - 90 * (k % 3), 100 + k) for k in range(12)]
    for number, size in enumerate(expected):
        put(tmp_path / "in" / f"{number:02d}.png", *size)
    ended = imgfx("open", "in", "--jobs", jobs)
    assert ended.code == 0
    assert sizes(ended.out) == expected


def pipe(*lines, folder):
    """Runs `line | line | ...`; answers the last one's stdout and everyone's exit code."""
    processes, stdin = [], subprocess.DEVNULL
    for line in lines:
        words = [*PROGRAM, *map(str, line)]
        process = subprocess.Popen(words, cwd=folder, stdin=stdin, stdout=subprocess.PIPE)
        if processes:
            processes[-1].stdout.close()
        processes.append(process)
        stdin = process.stdout
    out, _ = processes[-1].communicate(timeout=120)
    return out, [process.wait(30) for process in processes]


def test_names_ride_through_a_pipe(folder):
    out, codes = pipe(["open", "a.png", "b.jpg"], ["save", "out"], folder=folder)
    assert (out, codes) == (b"", [0, 0])
    assert names(folder / "out") == ["a.png", "b.png"]


@pytest.mark.parametrize("name", ["png", "ppm", "pam", "bmp"])
def test_every_wire_format_carries_several_images_unchanged(folder, name):
    wire = ["open", "a.png", "c.png", "save", "-", "--format", name]
    _, codes = pipe(wire, ["save", "out/{index}.png"], folder=folder)
    assert codes == [0, 0]
    for index, original in enumerate(["a.png", "c.png"]):
        found = cv2.imread(str(folder / "out" / f"{index}.png"))
        np.testing.assert_array_equal(found, cv2.imread(str(folder / original)))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """By stage: small untrained weights, whose networks pass their input unchanged."""
    from support_models import silence, write_tiny_restorers

    return write_tiny_restorers(tmp_path_factory.mktemp("weights"), silence)


def test_a_pipe_of_two_processes_restores(folder, weights):
    denoise = ["denoise-ae", "--weights", weights["denoise-ae"]]
    enlarge = ["superres-rednet", "--scale", 3, "--weights", weights["superres-rednet"]]
    first = ["open", "a.png", "c.png", *denoise]
    out, codes = pipe(first, enlarge, folder=folder)
    assert codes == [0, 0]
    assert sizes(out) == [(24, 30), (30, 30)]


def test_a_folder_keeps_its_structure(imgfx, tmp_path, weights):
    expected = ["a.png", "b.jpg", "sub/a.png", "sub/deeper/c.tif"]
    for name in expected:
        put(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    ended = imgfx(
        "open", "photos", "denoise-ae", "--weights", weights["denoise-ae"], "--device", "cpu",
        "--precision", "fp32", "save", "out", "-v", "--report", "r.json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    out = tmp_path / "out"
    found = [path for path in out.rglob("*") if path.is_file() and path.name != NAME]
    assert sorted(path.relative_to(out).as_posix() for path in found) == expected
    assert (out / "b.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    assert (out / "sub" / "deeper" / "c.tif").read_bytes().startswith((b"II*\0", b"MM\0*"))
    np.testing.assert_array_equal(cv2.imread(str(out / "sub" / "a.png")), pixels(8, 10))
    assert "imgfx: denoise-ae: torch on cpu in fp32" in ended.err.splitlines()
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["models"] == [
        {
            "model": "denoise-ae", "weights": load_weights(weights["denoise-ae"]).digest,
            "engine": "torch", "device": "cpu", "precision": "fp32",
        }
    ]  # fmt: skip


def test_a_stream_of_a_thousand_images_with_bad_ones_among_them(tmp_path):
    good = [cv2.imencode(".png", pixels(6 + n % 5, 7))[1].tobytes() for n in range(5)]
    process = subprocess.Popen(
        [*PROGRAM, "save", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip

    def feed():
        for number in range(1000):
            bad = number % 50 == 49
            data = good[number % 5]
            middle = len(data) // 2
            process.stdin.write(data[:middle] + b"\xff" + data[middle + 1 :] if bad else data)
        process.stdin.close()

    thread = threading.Thread(target=feed)
    thread.start()
    out = process.stdout.read()
    err = process.stderr.read().decode()
    thread.join()
    process.stdout.close()
    process.stderr.close()
    assert process.wait() == 3
    found = sizes(out)
    assert found == [(6 + n % 5, 7) for n in range(1000) if n % 50 != 49]
    assert len(found) == 980
    failed = [line for line in err.splitlines() if "stdin #" in line]
    assert [int(re.search(r"stdin #(\d+)", line)[1]) for line in failed] == list(
        range(49, 1000, 50)
    )


def test_memory_stays_flat_however_long_the_stream(tmp_path):
    image = cv2.imencode(".png", pixels(300, 400))[1].tobytes()
    peaks = []
    for count in (40, 400):
        process = subprocess.Popen(
            [*PROGRAM, "save", "-", "--format", "ppm"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path,
        )  # fmt: skip
        thread = threading.Thread(target=lambda p=process, n=count: feed_all(p.stdin, image, n))
        thread.start()
        total = sum(len(block) for block in iter(lambda p=process: p.stdout.read(1 << 16), b""))
        thread.join()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        assert total > count * 300 * 400 * 3
        peaks.append(usage.ru_maxrss)
    assert peaks[1] < 1.1 * peaks[0]


def feed_all(pipe, image, count):
    for _ in range(count):
        pipe.write(image)
    pipe.close()


def test_five_percent_of_corrupt_files_cost_themselves_alone(imgfx, tmp_path):
    for number in range(40):
        put(tmp_path / "in" / f"{number:02d}.png")
    for number in (7, 23):
        path = tmp_path / "in" / f"{number:02d}.png"
        path.write_bytes(path.read_bytes()[:-30])
    ended = imgfx("open", "in", "save", "out", "--report", "r.json")
    assert ended.code == 3
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["done"], report["failed"]) == (38, 2)
    errors = {i["input"]: i["error"] for i in report["images"] if i["error"]}
    assert sorted(errors) == ["in/07.png", "in/23.png"]
    assert all(name in error for name, error in errors.items())
    written = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert written == {f"{n:02d}.png" for n in range(40)} - {"07.png", "23.png"}


def test_the_report_of_a_run_that_goes_on_is_in_the_order_of_the_images(imgfx, folder):
    assert imgfx("open", "a.png", "b.jpg", "c.png", "save", "out").code == 0
    (folder / "out" / "a.png").unlink()
    ended = imgfx("open", "a.png", "b.jpg", "c.png", "save", "out", "--report", "r.json")
    assert ended.code == 0
    told = json.loads((folder / "r.json").read_text())["images"]
    assert [(image["input"], image["kept"]) for image in told] == [
        ("a.png", False), ("b.jpg", True), ("c.png", True),
    ]  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_a_target_whatever_its_name(folder):
    os.mkfifo(folder / "sink")
    line = [*PROGRAM, "open", "a.png", "save", "sink", "--format", "ppm"]
    with subprocess.Popen(line, cwd=folder) as process:
        received = (folder / "sink").read_bytes()
    assert process.returncode == 0
    assert sizes(received) == [(8, 10)]
    assert not (folder / "sink").is_dir()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_target_without_an_ending_that_is_there_needs_a_format(imgfx, folder):
    os.mkfifo(folder / "sink")
    ended = imgfx("open", "a.png", "save", "sink")
    assert (ended.code, ended.err) == (
        2, "imgfx: save: 'sink' has no ending that says the format; give --format\n"
    )  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a folder in use cannot be removed")
def test_the_working_folder_may_be_gone(folder, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    line = (
        f"cd {gone} && rmdir {gone} && {' '.join(PROGRAM)} open {folder}/a.png save {folder}/o.png"
    )
    ended = subprocess.run(["sh", "-c", line], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert (folder / "o.png").exists()


@pytest.mark.parametrize("is_interrupted", [True, False])
def test_the_first_failure_is_said_by_whoever_says_it_last(capfd, is_interrupted):
    with (
        Progress(3, quiet=True) as progress,
        Teller(Settings(), progress, lambda: is_interrupted) as teller,
    ):
        teller(Outcome("a.png", None, 0, error="a.png: broken"))
    # Without an interrupt it becomes the message of the run.
    assert capfd.readouterr().err == ("imgfx: error: a.png: broken\n" if is_interrupted else "")
