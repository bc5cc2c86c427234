"""Checks of sources: the items they announce, and the images behind them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np

from imgfx.errors import ImgfxError, surprise
from imgfx.files import decode, write_image
from imgfx.image import Image
from imgfx.stage import Item, Items
from imgfx.streams import split
from imgfx.testing.compare import difference
from imgfx.testing.kit.capturing import captured_stdout
from imgfx.testing.kit.findings import Check, Finding, NotReadyError, failed, passed, skipped
from imgfx.testing.kit.subjects import StageSubject
from imgfx.testing.kit.trials import start_error
from imgfx.testing.kit.untrained import TrialSession
from imgfx.testing.processes import run
from imgfx.testing.samples import sample_images
from imgfx.written import words_of

_MOST = 8
"""Images of a source that are looked at."""
_BEYOND = 0.25
_REPEATED = 1e-5


@dataclass(frozen=True)
class Announced:
    """What a started source has announced, and the first images."""

    count: int | None
    items: list[object]
    ended: bool
    """Whether these are all items."""
    images: list[Image | str]
    """Each an image, or why there is none."""
    printed: str
    error: str = ""
    """Why it cannot be iterated."""


class SourceSubject(StageSubject):
    """A source, with some samples to read where it wants a path."""

    @cached_property
    def words(self) -> list[str]:
        """See `StageSubject`; with a seed where there can be one."""
        found = super().words
        seeded = self.has_option("--seed") and "--seed" not in found
        return [*found, "--seed", "1"] if seeded else found

    def needed_path(self) -> Path:
        """A folder of two images."""
        folder = self.folder / "samples"
        for key in ("rgb", "16-bit"):
            write_image(folder / f"{key}.png", sample_images()[key])
        return folder

    @cached_property
    def start_error(self) -> str:
        """Why it does not start; empty if it does."""
        return start_error(self)

    @cached_property
    def first(self) -> Announced:
        """What it announces."""
        return self.announced()

    @cached_property
    def second(self) -> Announced:
        """What it announces when it is started anew, images made in other threads."""
        return self.announced(threads=True)

    def announced(self, *words: str, threads: bool = False) -> Announced:
        """What it announces when it is started anew, with some more options.

        Raises:
            NotReadyError: it does not start.
        """
        if self.start_error:
            raise NotReadyError("it does not start")
        with TrialSession(self.folder) as opened, captured_stdout() as printed:
            found = _look(self.bound(*words).start(opened), threads=threads)
        return Announced(*found, printed=printed.text.strip())


def _look(
    source: Items, *, threads: bool
) -> tuple[int | None, list[object], bool, list[Image | str]]:
    """(count, items, whether these are all, images) of a started source."""
    iterable: Iterable[object] = source  # whatever a plugin yields
    announced = list(islice(iterable, _MOST + 1))
    items = announced[:_MOST]
    good = [item for item in items if isinstance(item, Item)]
    if threads:
        with ThreadPoolExecutor(2) as pool:
            images = list(pool.map(_loaded, good))
    else:
        images = [_loaded(item) for item in good]
    return source.count, items, len(announced) <= _MOST, images


def _loaded(item: Item) -> Image | str:
    try:
        image: object = item.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the plugin boundary
        return surprise(error)
    return image if isinstance(image, Image) else f"answers {type(image).__name__}, no Image"


def starts(subject: SourceSubject) -> Finding:
    """Started on the CPU; its items can be gone through."""
    if subject.start_error:
        needs = not subject.given.words and any(p.required for p in subject.command.params)
        hint = f"; give options behind `{subject.offer.name} --`" if needs else ""
        return failed(f"{subject.start_error}{hint}")
    return passed()


def items(subject: SourceSubject) -> Finding:
    """Items say where they come from, each something else."""
    found = subject.first.items
    if not found:
        return failed("announces no items: raise ImgfxError when there is nothing to make")
    wrong = [type(item).__name__ for item in found if not isinstance(item, Item)]
    if wrong:
        return failed(f"yields {wrong[0]}: yield imgfx.api.Item(origin, load, name)")
    origins = [item.origin for item in found if isinstance(item, Item)]
    if not all(origins) or len(set(origins)) < len(origins):
        return failed("items have the same origin, or none: it names each image in messages")
    return passed()


def count(subject: SourceSubject) -> Finding:
    """As many as it says, or None where it does not know."""
    first = subject.first
    if first.count is None:
        return passed("not known ahead")
    right = first.count == len(first.items) if first.ended else first.count > _MOST
    if right:
        return passed(f"{first.count}")
    more = "" if first.ended else "more than "
    return failed(f"count is {first.count}, but there are {more}{len(first.items)} items")


def images(subject: SourceSubject) -> Finding:
    """Every item loads as an Image."""
    errors = [image for image in subject.first.images if isinstance(image, str)]
    return failed(errors[0]) if errors else passed(f"{len(subject.first.images)}")


def _good(subject: SourceSubject) -> list[Image]:
    good = [image for image in subject.first.images if isinstance(image, Image)]
    if not good:
        raise NotReadyError("no image came")
    return good


def finite(subject: SourceSubject) -> Finding:
    """No NaN, no infinity."""
    wrong = [image.name for image in _good(subject) if not np.isfinite(image.pixels).all()]
    return failed(f"{wrong[0]}: values are NaN or infinite") if wrong else passed()


def range_(subject: SourceSubject) -> Finding:
    """Floats are in [0, 1], but for a little overshoot that sinks clip."""
    for image in _good(subject):
        low, high = float(image.floats.min()), float(image.floats.max())
        if low < -_BEYOND or high > 1 + _BEYOND:
            return failed(f"{image.name}: floats from {low:.4g} to {high:.4g}; they mean [0, 1]")
    return passed()


def repeat(subject: SourceSubject) -> Finding:
    """Started anew, and in other threads, it makes the same."""
    if finite(subject).status != "pass":
        raise NotReadyError("values are no numbers")
    for one, other in zip(_good(subject), subject.second.images, strict=False):
        if _error(one, other) > _REPEATED:
            return failed(f"{one.name} is another one in a new start: give it a --seed")
    return passed()


def again(subject: SourceSubject) -> Finding:
    """With the options that an item calls its own, its image alone is made."""
    found = subject.first
    items = [item for item in found.items if isinstance(item, Item)]
    pairs = [
        (item.again, image)
        for item, image in zip(items, found.images, strict=True)
        if item.again is not None and isinstance(image, Image)
    ]
    if not pairs:
        return skipped("no item says how it is made alone; see imgfx.api.Item")
    if repeat(subject).status != "pass":
        raise NotReadyError("it makes another image each time")
    for options, image in [pairs[0], pairs[-1]][: len(pairs)]:
        fault = _fault_alone(subject, options, image)
        if fault:
            return failed(f"{image.name}: again={dict(options)}: {fault}")
    return passed()


def _fault_alone(subject: SourceSubject, options: Mapping[str, Any], image: Image) -> str:
    """What is wrong with the options by which an image is made alone; empty if nothing."""
    try:
        made = subject.announced(*words_of(subject.command.params, options))
    except (click.ClickException, ValueError) as error:
        return error.format_message() if isinstance(error, click.ClickException) else str(error)
    if len(made.items) != 1:
        return f"makes {len(made.items) if made.ended else 'many'} images, not it alone"
    same = len(made.images) == 1 and _error(image, made.images[0]) <= _REPEATED
    return "" if same else "makes another image"


def _error(one: Image, other: Image | str) -> float:
    if isinstance(other, str) or one.pixels.shape != other.pixels.shape:
        return float("inf")
    return difference(one, other).largest


def stdout(subject: SourceSubject) -> Finding:
    """Nothing is printed to stdout, which is for images."""
    if subject.first.printed:
        return failed(f"prints {subject.first.printed[:60]!r} to stdout: use session.note")
    return passed()


def pipe(subject: SourceSubject) -> Finding:
    """Through a pipe all of stdout is images, as many as there are."""
    first = subject.first
    if first.count is None or not first.ended:
        return skipped("makes too many images to wait for, or does not say how many")
    if len(_good(subject)) < len(first.items):
        raise NotReadyError("some images cannot be made")
    words = ["--device", "cpu", "--engine", "torch", *subject.line]
    ended = run(*words, cwd=subject.folder, env=subject.env)
    try:
        found = [decode(part, "stdout") for part in split(io.BytesIO(ended.out))]
    except ImgfxError as error:
        return failed(f"what comes out is no stream of images: {error.format_message()}")
    if ended.code or len(found) != first.count:
        last = (ended.err.strip().splitlines() or ["it says nothing"])[-1]
        return failed(f"{len(found)} images come out, with exit code {ended.code}: {last}")
    return passed()


CHECKS = [
    Check("start", starts),
    Check("items", items),
    Check("count", count),
    Check("images", images),
    Check("finite", finite),
    Check("range", range_),
    Check("repeat", repeat),
    Check("again", again),
    Check("stdout", stdout),
    Check("pipe", pipe),
]
