"""A sample of `benchmarks/fuzz.py`, and that it finds what it is to find."""

import importlib.util
import sys

import pytest
from support import ROOT

from imgfx.formats import FORMATS, sniff


def load():
    sys.path.insert(0, str(ROOT / "benchmarks"))  # as for a script that is run there
    spec = importlib.util.spec_from_file_location("fuzz", ROOT / "benchmarks" / "fuzz.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


fuzz = load()
SEEDS = fuzz.seeds()


def test_200_damaged_files_do_no_harm(tmp_path):
    findings = fuzz.fuzz(200, seed=7, jobs=2, keep=tmp_path)
    assert not findings, [finding.wrong for finding in findings]


def test_the_sound_files_are_of_every_format_and_pass():
    assert {sniff(file.data).name for file in SEEDS} == {known.name for known in FORMATS}
    assert fuzz.try_folder(SEEDS, "png") is None
    code, _, errors = fuzz._imgfx(["save", "-"], SEEDS[0].data, 30)
    assert (code, errors) == (0, "")


def test_the_same_seed_makes_the_same_files():
    files = [fuzz.mutated(number, 3, SEEDS) for number in range(100)]
    assert files == [fuzz.mutated(number, 3, SEEDS) for number in range(100)]
    changed = [number for number in range(100) if files[number] != SEEDS[number % len(SEEDS)]]
    assert len(changed) > 90
    other = [fuzz.mutated(number, 4, SEEDS) for number in range(100)]
    assert sum(a != b for a, b in zip(files, other, strict=True)) > 90


def test_too_little_memory_is_found_and_kept(monkeypatch, tmp_path, capsys):
    """The address space that the interpreter takes, and not that of OpenCV."""
    monkeypatch.setattr(fuzz, "MEMORY", 100 << 20)
    (finding, *_) = fuzz.fuzz(1, seed=0, jobs=1, keep=tmp_path)
    assert len(finding.files) == 1
    (kept,) = (tmp_path / "0-001").iterdir()
    assert kept.read_bytes() == finding.files[0].data
    assert f"imgfx --max-pixels 4 open {tmp_path}/0-001 save OUT/" in capsys.readouterr().out


def test_what_takes_too_long_is_found_by_halves():
    files = SEEDS[:5]

    def attempt(some):
        return "took longer than 10 s" if files[3] in some else None

    assert fuzz.narrowed(files, attempt) == ([files[3]], "took longer than 10 s")
    assert fuzz.try_folder(files[:1], "png", seconds=0.01) == "took longer than 10 s"


def test_what_fails_only_together_is_kept_together():
    files = SEEDS[:4]
    assert fuzz.narrowed(files, lambda some: "wrong" if len(some) > 2 else None) == (files, "wrong")


@pytest.mark.parametrize(
    ("code", "errors", "wrong"),
    [
        (0, "", None),
        (1, "imgfx: error: a.png: truncated PNG\n", None),
        (3, "libpng error: bad\nimgfx: error: a.png: damaged png\n", None),
        (-11, "", "ended with -11"),
        (2, "imgfx: no such option\n", "ended with 2"),
        (1, "Traceback (most recent call last):\n", "did not foresee"),
        (3, "imgfx: error: a.png: ValueError: so (png.py:99)\n", "did not foresee"),
        (1, "imgfx: error: a.png: too little memory to decode it\n", "did not foresee"),
        (1, "imgfx: error: a.png: \x1b[31m\n", "control characters"),
        (1, "libpng error: bad\n", "not one line of its own"),
    ],
)
def test_how_a_process_may_end(code, errors, wrong):
    found = fuzz._ending(code, errors)
    assert found is None if wrong is None else wrong in found


def test_what_may_lie_in_the_output_folder(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    for path in (folder, out):
        path.mkdir()
    (folder / "a.png").write_bytes(SEEDS[0].data)
    line = f"imgfx: error: {folder}/a.png: truncated PNG\n"
    assert fuzz._left(folder, out, line) is None
    assert "0 errors" in fuzz._left(folder, out, "")
    (out / "a.png").write_bytes(SEEDS[0].data)
    assert fuzz._left(folder, out, "") is None
    assert "1 errors" in fuzz._left(folder, out, line)
    (out / ".a.png.01234567.tmp").write_bytes(b"")
    assert "left behind" in fuzz._left(folder, out, "")
    (out / "a.png").write_bytes(SEEDS[0].data[:-9])
    assert "is not whole" in fuzz._left(folder, out, "")
