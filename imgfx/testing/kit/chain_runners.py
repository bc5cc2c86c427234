"""Checks of runners: a small batch comes out as in this process."""

from __future__ import annotations

from pathlib import Path

from imgfx.files import write_image
from imgfx.runners import ChainRunner
from imgfx.testing.kit.findings import Check, Finding, failed, passed, skipped
from imgfx.testing.kit.subjects import Subject
from imgfx.testing.processes import Ended, run
from imgfx.testing.samples import sample_images

_SOME_FAILED = 3


def protocol(subject: Subject) -> Finding:
    """All that a runner has."""
    runner = subject.thing
    if not isinstance(runner, ChainRunner):
        return failed("has not all of imgfx.api.ChainRunner: name, elsewhere, missing, run")
    missing: object = runner.missing()
    if not isinstance(missing, str):
        return failed("missing() answers no text: answer '' where nothing is missing")
    return passed()


def runs(subject: Subject) -> Finding:
    """Of three images, one of them damaged, two are written, the same as without the runner."""
    if protocol(subject).status == "fail":
        return skipped("is no runner yet")
    runner: ChainRunner = subject.thing
    if missing := runner.missing():
        return skipped(f"needs {missing}")
    for name in ("a", "c"):
        write_image(subject.folder / "in" / f"{name}.png", sample_images()["16-bit"])
    (subject.folder / "in" / "b.png").write_bytes(b"no image")
    local = _saved(subject, "local", [])
    ended = _saved(subject, "made", ["--runner", subject.full_name])
    if ended.code != local.code or ended.code != _SOME_FAILED:
        last = (ended.err.strip().splitlines() or ["it says nothing"])[-1]
        return failed(f"ends with {ended.code} in place of {_SOME_FAILED}: {last}")
    if _files(subject.folder / "made") != _files(subject.folder / "local"):
        return failed("writes other files than a run in one process")
    return passed()


def _saved(subject: Subject, folder: str, words: list[str]) -> Ended:
    line = [*words, "open", "in", "save", folder]
    return run(*line, cwd=subject.folder, env=subject.env)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


CHECKS = [Check("protocol", protocol), Check("run", runs)]
