"""Checks of sinks: where images go, what they become, and that they get there."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import click
import numpy as np

from imgfx.errors import surprise
from imgfx.files import write_image
from imgfx.runners import Part
from imgfx.stage import Item, Journaled, Sink
from imgfx.testing.kit.capturing import captured_stdout
from imgfx.testing.kit.findings import Check, Finding, NotReadyError, failed, passed, skipped
from imgfx.testing.kit.subjects import StageSubject
from imgfx.testing.kit.trials import copied, start_error
from imgfx.testing.kit.untrained import TrialSession
from imgfx.testing.processes import run
from imgfx.testing.samples import sample_images

_KEYS = ("rgb", "gray", "rgba", "16-bit")


@dataclass(frozen=True)
class Put:
    """One image on its way into a sink."""

    target: object = None
    later: object = None
    """The target once more, when all is written."""
    encoded: object = None
    again: object = None
    """Encoded once more, in another thread."""
    touched: bool = False
    noted: int = 0
    """How often a journal was told of its file."""
    error: str = ""
    """What was raised, and by which method."""


@dataclass(frozen=True)
class Sunk:
    """All images, and what the sink says of its journal."""

    puts: Sequence[Put]
    printed: str
    journaled: bool
    options_error: str = ""
    """Why its journal_options cannot be kept."""


class SinkSubject(StageSubject):
    """A sink, with a folder to write into where it wants a path."""

    @cached_property
    def start_error(self) -> str:
        """Why it does not start; empty if it does."""
        return start_error(self)

    @cached_property
    def sunk(self) -> Sunk:
        """What it does with some images.

        Raises:
            NotReadyError: it does not start.
        """
        if self.start_error:
            raise NotReadyError("it does not start")
        with TrialSession(self.folder) as opened, captured_stdout() as printed:
            sink = self.bound().start(opened)
            trouble = _journal_trouble(sink)
            noted: list[int] = []
            if isinstance(sink, Journaled):
                sink.keep_journal(lambda _item, index, _path, _stat: noted.append(index))
            puts = [_put(sink, index, key) for index, key in enumerate(_KEYS)]
        puts = [replace(put, noted=noted.count(index)) for index, put in enumerate(puts)]
        return Sunk(puts, printed.text.strip(), isinstance(sink, Journaled), trouble)


def _journal_trouble(sink: object) -> str:
    if not isinstance(sink, Journaled):
        return ""
    try:
        json.dumps(dict(sink.journal_options()))
        folder: object = sink.journal_folder()
    except Exception as error:  # noqa: BLE001  # the plugin boundary
        return surprise(error)
    return "" if folder is None or isinstance(folder, Path) else "journal_folder answers no Path"


def _put(sink: Sink, index: int, key: str) -> Put:
    image = sample_images()[key]
    item = Item(f"sample #{index}", partial(copied, image), name=image.name)
    put, step = Put(), "check"
    try:
        if hasattr(sink, "check"):
            sink.check(item, index)
        step = "target"
        put = replace(put, target=sink.target(item, index))
        step, own = "encode", copied(image)
        put = replace(put, encoded=sink.encode(own, item, index))
        with ThreadPoolExecutor(1) as pool:
            again = pool.submit(sink.encode, copied(image), item, index).result()
        put = replace(put, again=again, touched=not np.array_equal(own.pixels, image.pixels))
        step = "write"
        if isinstance(put.encoded, tuple) and isinstance(put.encoded[0], bytes):
            sink.write(put.encoded[0], item, index)
        return replace(put, later=sink.target(item, index))
    except click.ClickException as error:
        return replace(put, error=f"{step}: {error.format_message()}")
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the plugin boundary
        return replace(put, error=f"{step}: {surprise(error)}")


def starts(subject: SinkSubject) -> Finding:
    """Started, with a folder to write into where it needs one."""
    return failed(subject.start_error) if subject.start_error else passed()


def images(subject: SinkSubject) -> Finding:
    """Every sample goes through check, target, encode and write."""
    wrong = [put.error for put in subject.sunk.puts if put.error]
    return failed(wrong[0]) if wrong else passed(f"{len(_KEYS)} kinds")


def _done(subject: SinkSubject) -> list[Put]:
    done = [put for put in subject.sunk.puts if not put.error]
    if not done:
        raise NotReadyError("no image was written")
    return done


def target(subject: SinkSubject) -> Finding:
    """A text for each item, the same before and after writing."""
    for put in _done(subject):
        if not isinstance(put.target, str) or not put.target:
            return failed(f"target answers {put.target!r}: answer a text for plan and report")
        if put.target != put.later:
            return failed(f"target was {put.target!r}, then {put.later!r}: the plan would be wrong")
    return passed()


def encode(subject: SinkSubject) -> Finding:
    """Bytes, and notes on what was lost."""
    for put in _done(subject):
        made = put.encoded
        is_pair = isinstance(made, tuple) and len(made) == 2
        if not is_pair or not isinstance(made, tuple) or not isinstance(made[0], bytes):
            return failed("encode answers no pair of bytes and notes: (data, ())")
        if not isinstance(made[1], tuple) or not all(isinstance(note, str) for note in made[1]):
            return failed("encode's notes are no tuple of texts: (data, ()) where nothing is lost")
    return passed()


def input_(subject: SinkSubject) -> Finding:
    """What went in is left as it was."""
    touched = any(put.touched for put in _done(subject))
    return failed("encode writes to the image's array; work on a copy") if touched else passed()


def repeat(subject: SinkSubject) -> Finding:
    """The same image becomes the same bytes, in any thread."""
    different = any(put.encoded != put.again for put in _done(subject))
    return failed("encode answers other bytes for the same image") if different else passed()


def journal(subject: SinkSubject) -> Finding:
    """A sink that lets a batch be gone on with tells of each file."""
    sunk = subject.sunk
    if not sunk.journaled:
        return skipped("keeps no journal, so a batch that was stopped begins anew")
    if sunk.options_error:
        return failed(f"{sunk.options_error}; journal_options answers what JSON can hold")
    if any(put.noted != 1 for put in _done(subject)):
        return failed("write does not tell keep_journal's function of each file once")
    return passed()


def stdout(subject: SinkSubject) -> Finding:
    """Nothing is printed to stdout; what writes images there uses session.images_out."""
    printed = subject.sunk.printed
    return failed(f"prints {printed[:60]!r} to stdout") if printed else passed()


def process(subject: SinkSubject) -> Finding:
    """Starts again elsewhere from its name and its options."""
    part = Part(subject.full_name, subject.bound().options)
    try:
        again: Part = pickle.loads(pickle.dumps(part))  # noqa: S301  # our own
    except Exception as error:  # noqa: BLE001  # objects raise anything when they are pickled
        return failed(f"its options cannot be pickled: {error}; keep them to texts and numbers")
    with TrialSession(subject.folder) as opened:
        again.stage(subject.catalog).start(opened)
    return passed()


def run_(subject: SinkSubject) -> Finding:
    """At the end of a line, in a process of its own."""
    if not _done(subject):
        raise NotReadyError("no image was written")
    write_image(subject.folder / "a.png", sample_images()["rgb"])
    ended = run("-q", "open", "a.png", *subject.line, cwd=subject.folder, env=subject.env)
    if ended.code:
        last = (ended.err.strip().splitlines() or ["it says nothing"])[-1]
        return failed(f"`imgfx open a.png {subject.offer.name}` ends with {ended.code}: {last}")
    return passed()


CHECKS = [
    Check("start", starts),
    Check("images", images),
    Check("target", target),
    Check("encode", encode),
    Check("input", input_),
    Check("repeat", repeat),
    Check("journal", journal),
    Check("stdout", stdout),
    Check("process", process),
    Check("run", run_),
]
