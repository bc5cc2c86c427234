"""Checks of filters that need more than sample images: tiles, and other processes."""

from __future__ import annotations

import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from imgfx.errors import ImgfxError
from imgfx.files import decode, encode
from imgfx.formats import format_from_name
from imgfx.image import Image, pixels_from_float
from imgfx.runners import Part
from imgfx.streams import split
from imgfx.testing.compare import difference
from imgfx.testing.kit import filters
from imgfx.testing.kit.findings import Check, Finding, NotReadyError, failed, passed, skipped
from imgfx.testing.kit.stage_probe import MADE, WORK
from imgfx.testing.kit.trials import FilterSubject, copied, tried
from imgfx.testing.kit.untrained import TrialSession
from imgfx.testing.processes import Ended, run, run_python
from imgfx.testing.samples import sample_images

_TILE = 48
_TILED = 2e-5
"""By which tiles and the whole may differ: fp32 adds up in another order for another size."""
_ELSEWHERE = 1e-5
_THREADS = 4
_ROUNDS = 4
_PARALLEL = ("rgb", "gray", "37x53")
_CPU = ("--device", "cpu", "--engine", "torch", "--precision", "fp32")


def tiles(subject: FilterSubject) -> Finding:
    """Tiled equals whole, where networks are run."""
    margins = subject.evidence.margins
    if not margins:
        return skipped("runs no network")
    sides = (_TILE + max(margins) + 13, _TILE + max(margins) + 29)
    noise = np.random.default_rng(5).random((*sides, 3), dtype=np.float32)
    whole, tiled = (_with_tile(subject, Image(noise, depth="float32"), t) for t in (0, _TILE))
    if whole.pixels.shape != tiled.pixels.shape:
        return failed(f"tiles make {tiled.pixels.shape}, the whole {whole.pixels.shape}")
    seen = difference(tiled, whole)
    if seen.largest > _TILED:
        return failed(
            f"tiles differ from the whole by {seen.largest:.2g} at row {seen.place[0]}, column "
            f"{seen.place[1]}: the halo of the model's spec is too small; test the model"
        )
    return passed(f"to {seen.largest:.1g}")


def _with_tile(subject: FilterSubject, image: Image, tile: int) -> Image:
    with TrialSession(subject.folder, tile) as opened:
        trial = tried(subject.bound().start(opened), image)
    if trial.result is None:
        raise NotReadyError(f"--tile {tile}: {trial.error}")
    return trial.result


def parallel(subject: FilterSubject) -> Finding:
    """Several threads at a time get what one alone does, where the stage says that they may."""
    if not subject.bound().parallel:
        return skipped("one image at a time: it does not say `parallel=True`")
    if filters.repeat(subject).status != "pass":
        raise NotReadyError("what it makes is not the same each time")
    samples = _parallel_samples()
    with (
        TrialSession(subject.folder) as opened,
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        apply = subject.bound().start(opened)
        expected = [tried(apply, image).result for image in samples]
        made = list(pool.map(lambda image: tried(apply, image), samples * _ROUNDS))
    for number, trial in enumerate(made):
        alone = expected[number % len(expected)]
        if alone is None:
            raise NotReadyError("no image came back")
        if trial.result is None:
            return failed(f"in {_THREADS} threads: {trial.error}")
        same = trial.result.pixels.shape == alone.pixels.shape
        if not same or difference(trial.result, alone).largest > 0:
            return failed(f"{_THREADS} threads get another image than one: leave out `parallel`")
    return passed(f"{_THREADS} threads, {len(made)} images")


def _parallel_samples() -> list[Image]:
    """Two images of each shape, for what is kept by shape is another image's only then."""
    plain = [sample_images()[key] for key in _PARALLEL]
    return [*plain, *(replace(image, pixels=image.pixels[::-1].copy()) for image in plain)]


@dataclass(frozen=True)
class Elsewhere:
    """The filter at work in another process."""

    ended: Ended
    made: list[Image]
    trouble: str = ""
    """Why it could not be sent there."""


def elsewhere(subject: FilterSubject) -> Elsewhere:
    """Two samples through the filter, in a process that has only its name and its options."""
    return subject.once("elsewhere", lambda: _elsewhere(subject))


def _elsewhere(subject: FilterSubject) -> Elsewhere:
    line = subject.line
    stage = subject.bound(*line[1 + len(subject.words) :])
    samples = [copied(sample_images()[key]) for key in ("37x53", "rgba")]
    try:
        work = pickle.dumps((Part(subject.full_name, stage.options), samples))
    except Exception as error:  # noqa: BLE001  # objects raise anything when they are pickled
        return Elsewhere(Ended(1, b"", ""), [], f"its options cannot be pickled: {error}")
    (subject.folder / WORK).write_bytes(work)
    words = ["-P", "-m", "imgfx.testing.kit.stage_probe", str(subject.folder)]
    ended = run_python(words, cwd=subject.folder, env=subject.env)
    path = subject.folder / MADE
    made = pickle.loads(path.read_bytes()) if path.exists() else []  # noqa: S301  # the probe's
    return Elsewhere(ended, made)


def process(subject: FilterSubject) -> Finding:
    """Starts again in another process from name and options, and makes the same there."""
    here = [subject.result(key) for key in ("37x53", "rgba")]
    there = elsewhere(subject)
    if there.trouble:
        return failed(f"{there.trouble}; keep them to numbers, texts and paths")
    if there.ended.code:
        last = (there.ended.err.strip().splitlines() or [f"exit code {there.ended.code}"])[-1]
        return failed(f"does not run in another process: {last}")
    if filters.repeat(subject).status != "pass":
        return passed("what it makes is not the same each time, so it is not compared")
    for mine, theirs in zip(here, there.made, strict=True):
        if mine.pixels.shape != theirs.pixels.shape:
            return failed("makes another size in another process")
        error = difference(theirs, mine).largest
        if error > _ELSEWHERE:
            return failed(f"makes something else in another process, off by {error:.2g}")
    return passed()


def stdout(subject: FilterSubject) -> Finding:
    """Nothing is printed to stdout, which is for images."""
    there = elsewhere(subject)
    if there.trouble:
        raise NotReadyError("it does not run in another process")
    if there.ended.out:
        text = there.ended.out.decode(errors="replace").strip()[:60]
        return failed(f"prints {text!r} to stdout: use session.note, logging, or stderr")
    return passed()


def pipe(subject: FilterSubject) -> Finding:
    """Through a pipe all of stdout is images; one that is damaged fails, and the others come."""
    expected = [subject.result(key) for key in ("16-bit", "rgba")]
    if "fail" in (filters.range_(subject).status, filters.dtype(subject).status):
        raise NotReadyError("values are out of range, or of another depth")
    if any(trial.touched for trial in subject.evidence.trials.values()):
        raise NotReadyError("it writes to its input, which is read-only in a run")
    samples = sample_images()
    first, second = _png(samples["16-bit"]), _png(samples["rgba"])
    stream = first + _damaged(first) + second
    ended = run(*_CPU, *subject.line, stdin=stream, cwd=subject.folder, env=subject.env)
    try:
        parts = list(split(io.BytesIO(ended.out))) if ended.out else []
        found = [decode(part, f"stdout #{number}") for number, part in enumerate(parts)]
    except ImgfxError as error:
        return failed(f"what comes out is no stream of images: {error.format_message()}")
    if ended.code != 3 or len(found) != len(expected):  # some images failed
        last = (ended.err.strip().splitlines() or ["it says nothing"])[-1]
        return failed(
            f"of three images, one of them damaged, {len(found)} come out, with exit code "
            f"{ended.code} in place of 3: {last}"
        )
    return _as_expected(subject, found, expected)


def _as_expected(subject: FilterSubject, found: list[Image], expected: list[Image]) -> Finding:
    if filters.repeat(subject).status != "pass":
        return passed("what it makes is not the same each time, so it is not compared")
    for seen, here in zip(found, expected, strict=True):
        rounded = pixels_from_float(here.pixels, here.depth)
        same = rounded.shape == seen.pixels.shape
        step = 1.01 / float(np.iinfo(here.depth).max)
        if not same or difference(seen.pixels, rounded).largest > step:
            return failed(f"{here.name} is not the same behind a pipe as in this process")
    return passed()


def _png(image: Image) -> bytes:
    known = format_from_name("png")
    assert known is not None
    return encode(image, known)[0]


def _damaged(png: bytes) -> bytes:
    """A PNG whose pixels are overwritten in the middle."""
    middle = len(png) // 2
    return png[:middle] + bytes(16) + png[middle + 16 :]


CHECKS = [
    Check("tiles", tiles),
    Check("parallel", parallel),
    Check("process", process),
    Check("stdout", stdout),
    Check("pipe", pipe),
]
