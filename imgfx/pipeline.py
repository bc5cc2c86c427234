"""A chain of stages, drained one image at a time; decoding and encoding run beside it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import click

from imgfx.errors import BatchError, ImageError, ImgfxError, confined, surprise
from imgfx.recorder import Recorded, Recorder, carried_by, check_weights
from imgfx.stage import Apply, Item, Items, Sink, Stage

if TYPE_CHECKING:
    from imgfx.engines.base import Choice
    from imgfx.image import Image
    from imgfx.interrupts import Interrupts
    from imgfx.session import Session


_NO_NAME = "image"
"""The name of an image that was given none."""


@dataclass(frozen=True)
class Outcome:
    """What became of one image."""

    origin: str
    output: str | None
    seconds: float
    """In the filters and in encoding; decoding, which runs ahead, is not counted."""
    notes: tuple[str, ...] = ()
    error: str | None = None
    kept: bool = False
    """Whether it was done by an earlier run, and left as it is."""
    ran: Sequence[Choice] | None = None
    """What ran the models, where that is not the same for all images."""


@dataclass(frozen=True)
class Made:
    """An image that is ready to be written, or why there is none."""

    name: str
    """The item's, as the image told it."""
    data: bytes | None
    seconds: float
    """In the filters and in encoding."""
    notes: tuple[str, ...] = ()
    error: str | None = None
    ran: Sequence[Choice] | None = None
    """See `Outcome`."""


@dataclass
class Report:
    """What became of all of them."""

    outcomes: list[Outcome] = field(default_factory=list)
    stopped: bool = False
    """Whether a failure, or an interrupt, ended the run before all images were tried."""

    @property
    def failed(self) -> int:
        """Images that failed."""
        return sum(outcome.error is not None for outcome in self.outcomes)

    @property
    def done(self) -> int:
        """Images that are written, in this run or in an earlier one."""
        return len(self.outcomes) - self.failed

    @property
    def kept(self) -> int:
        """Images that an earlier run has written."""
        return sum(outcome.kept for outcome in self.outcomes)

    def raise_for_failures(self) -> None:
        """Turns failures into an exit code.

        Raises:
            BatchError: some images failed and others are written.
            ImageError: all failed.
        """
        if not self.failed:
            return
        if self.done and self.stopped:
            raise BatchError(f"stopped at the first image that failed; {self.done} are written")
        if self.done:
            raise BatchError(
                f"{self.failed} of {len(self.outcomes)} images failed; the others are written"
            )
        if len(self.outcomes) > 1:
            raise ImageError(f"all {self.failed} images failed")
        raise ImageError(self.outcomes[0].error or "")


class Ledger(Protocol):
    """What knows which images need not be made."""

    def known(self, item: Item, index: int) -> Outcome | None:
        """What became of an item in an earlier run; None if it is to be done."""
        ...

    def failed(self, item: Item, index: int, error: str) -> None:
        """An item could not be made."""
        ...


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Chain:
    """A source, filters and a sink, in order."""

    source: Stage
    filters: Sequence[Stage]
    sink: Stage

    def start(self, session: Session) -> StartedChain:
        """Starts every stage; whatever cannot work at all fails here, before the first image.

        Raises:
            ImgfxError: a stage cannot be started.
        """
        sink: Sink = _started(self.sink, session)[0]
        source: tuple[Items, Recorded | None] = _started(self.source, session)
        items, made = source
        filters = start_filters(self.filters, session)
        record = recorder_of(filters, session, made)
        return StartedChain(items, filters, sink, self.source.name, record)


def start_filters(stages: Sequence[Stage], session: Session) -> Sequence[StartedFilter]:
    """Filters that are ready for images, and whose answers are checked.

    Raises:
        ImgfxError: one cannot be started.
    """
    return [StartedFilter(stage.name, *_started(stage, session)) for stage in stages]


def recorder_of(
    filters: Sequence[StartedFilter], session: Session, source: Recorded | None = None
) -> Recorder:
    """What writes into images that they went through these filters."""
    steps = [filter_.recorded for filter_ in filters if filter_.recorded is not None]
    return Recorder(steps, source, session.settings.provenance)


def _started(stage: Stage, session: Session) -> tuple[Any, Recorded | None]:
    """What a stage is when it has been started, and how it is recorded."""
    before = len(session.asked)
    with confined(f"stage {stage.name!r}"):
        started = stage.start(session)
    models = session.asked[before:]
    check_weights(stage.name, stage.weights, models)
    return started, Recorded(stage.step, models) if stage.step is not None else None


@dataclass(frozen=True)
class StartedFilter:
    """A started filter whose answers are checked: rounding would turn a NaN into a black pixel."""

    name: str
    apply: Apply
    recorded: Recorded | None = None

    def __call__(self, image: Image) -> Image:
        """The filter's answer.

        Raises:
            ImageError: it is no image, or holds values that are not numbers; or the filter failed.
        """
        from imgfx.image import Image

        try:
            result = self.apply(image)
        except (ImgfxError, BrokenPipeError):
            raise
        except (Exception, SystemExit) as error:  # the plugin boundary
            raise ImageError(f"stage {self.name!r} failed: {surprise(error)}") from error
        if not isinstance(result, Image):
            raise ImageError(f"stage {self.name!r} answered {type(result).__name__}, no Image")
        if result is not image and not _is_finite(result):
            raise ImageError(f"stage {self.name!r} answered values that are not finite numbers")
        return result


def _is_finite(image: Image) -> bool:
    """Whether all samples are numbers; looks at the extremes, to which NaN and infinity pass."""
    import math

    arrays = [image.pixels] if image.alpha is None else [image.pixels, image.alpha]
    return all(math.isfinite(end) for array in arrays for end in (array.min(), array.max()))


Observe = Callable[[Outcome], None]
Encoded = tuple[bytes, tuple[str, ...]]
"""What a sink's `encode` answers."""


@dataclass(frozen=True)
class StartedChain:
    """A chain that is ready for images."""

    items: Items
    filters: Sequence[Apply]
    sink: Sink
    source: str = "source"
    """The source's name, for messages."""
    record: Recorder = field(default_factory=Recorder)

    def run(
        self,
        *,
        jobs: int,
        stop_on_error: bool,
        observe: Observe,
        report: Report | None = None,
        ledger: Ledger | None = None,
        interrupts: Interrupts | None = None,
    ) -> Report:
        """Runs all images through and answers what became of them.

        At most `jobs` images are decoded ahead and `jobs` are being encoded; they are written in
        order. Of a stream, whose images may come slowly, each is written before the next is waited
        for. One image's failure is its own, unless `stop_on_error`.

        Args:
            jobs: threads beside this one.
            stop_on_error: ends the run at the first failure.
            observe: told of each image as it is done.
            report: filled as the run goes on, and answered; a new one when left out.
            ledger: knows what need not be done, and is told of what failed.
            interrupts: asked before each image whether to take it up.

        Raises:
            ImgfxError: nothing more can be written.
        """
        report = Report() if report is None else report
        ahead = 0 if self.items.count is None else jobs

        def settle(outcome: Outcome) -> bool:
            report.outcomes.append(outcome)
            observe(outcome)
            ended = outcome.error is not None and stop_on_error
            report.stopped |= ended
            return ended

        stop = interrupts or _never
        # Of a stream the next image may be long in coming, and then there is nothing to finish.
        idle = interrupts.idle if interrupts and self.items.count is None else nullcontext
        announced = enumerate(_announced(self.items, self.source, idle))
        left = _left(announced, ledger, settle)
        with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            waiting: deque[_Writing] = deque()
            try:
                for index, item, loading in _ahead(pool, left, ahead):
                    if stop():
                        report.stopped = True
                        break
                    waiting.append(self._process(pool, index, item, loading))
                    if len(waiting) > ahead and settle(self._write(waiting.popleft(), ledger)):
                        return report
                while waiting:
                    if settle(self._write(waiting.popleft(), ledger)):
                        return report
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        return report

    def _process(
        self, pool: ThreadPoolExecutor, index: int, item: Item, loading: _Loading
    ) -> _Writing:
        """One image through the filters; its encoding is left running."""
        started = time.monotonic()
        try:
            image = loading.take()
            started = time.monotonic()
            carried = carried_by(image)
            for apply in self.filters:
                image = apply(image)
            image = self.record(image, item, carried)
        except (Exception, SystemExit) as error:  # a stage is a plugin: its trouble is one image's
            return _Writing(index, item, time.monotonic() - started, error=_message(item, error))
        item = _named(item, image)
        encoding = pool.submit(_timed, self.sink.encode, image, item, index)
        return _Writing(index, item, time.monotonic() - started, encoding, image.notes)

    def _write(self, writing: _Writing, ledger: Ledger | None) -> Outcome:
        """One image into its place.

        Raises:
            ImgfxError: nothing more can be written.
        """
        item, error = writing.item, writing.error
        data, notes, seconds = None, writing.notes, writing.seconds
        if writing.encoding is not None:
            try:
                (data, more), encoding_seconds = writing.encoding.result()
                notes += more
                seconds += encoding_seconds
            except ImageError as failure:
                error = _message(item, failure)
            except (ImgfxError, BrokenPipeError):
                raise
            except (Exception, SystemExit) as failure:  # a sink is a plugin, too
                error = _message(item, failure)
        made = Made(item.name, data, seconds, notes, error)
        return self.place(writing.index, item, made, ledger)

    def make(self, item: Item, index: int, load: Callable[[], Image]) -> Made:
        """One image from loading to encoding, in this thread; a failure is answered, not raised."""
        notes: tuple[str, ...] = ()
        started = time.monotonic()
        try:
            image = load()
            started = time.monotonic()
            carried = carried_by(image)
            for apply in self.filters:
                image = apply(image)
            image = self.record(image, item, carried)
            notes, item = image.notes, _named(item, image)
            data, more = self.sink.encode(image, item, index)
        except (Exception, SystemExit) as failure:  # the plugin boundary
            error = _message(item, failure)
            return Made(item.name, None, time.monotonic() - started, notes, error)
        return Made(item.name, data, time.monotonic() - started, notes + more)

    def place(self, index: int, item: Item, made: Made, ledger: Ledger | None) -> Outcome:
        """An image into its place, or its failure into the ledger.

        Raises:
            ImgfxError: nothing more can be written.
        """
        item, output, error = replace(item, name=made.name), None, made.error
        if made.data is not None:
            try:
                output = self._put(made.data, item, index)
            except ImageError as failure:
                error = _message(item, failure)
            except (ImgfxError, BrokenPipeError):
                raise
            except (Exception, SystemExit) as failure:  # a sink is a plugin, too
                error = _message(item, failure)
        if error is not None and ledger is not None:
            ledger.failed(item, index, error)
        return Outcome(item.origin, output, made.seconds, made.notes, error, ran=made.ran)

    def _put(self, data: bytes, item: Item, index: int) -> str:
        target = self.sink.target(item, index)
        try:
            self.sink.write(data, item, index)
        except BrokenPipeError:
            raise
        except OSError as error:
            # Whatever was written of the image is followed by nothing.
            raise ImgfxError(f"{target}: cannot write: {error.strerror or error}") from error
        return target


@dataclass(frozen=True)
class _Writing:
    """An image on its way out, or one that failed before."""

    index: int
    item: Item
    seconds: float
    """In the filters."""
    encoding: Future[tuple[Encoded, float]] | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None


def _named(item: Item, image: Image) -> Item:
    """A stream's images bring names that the source did not know."""
    return item if image.name == _NO_NAME else replace(item, name=image.name)


def load(item: Item) -> Image:
    """An item's image.

    Raises:
        ImageError: there is none; the message is complete, and survives being sent elsewhere.
    """
    try:
        return item.load()
    except (Exception, SystemExit) as error:  # the plugin boundary
        raise ImageError(_message(item, error)) from error


def _timed(encode: Callable[..., Encoded], *arguments: Any) -> tuple[Encoded, float]:
    """What a sink's `encode` answers, and its seconds."""
    started = time.monotonic()
    return encode(*arguments), time.monotonic() - started


class _Loading:
    """An image that is being loaded; once taken it is not kept alive here."""

    def __init__(self, pool: ThreadPoolExecutor, load: Callable[[], Image]) -> None:
        self._loaded: list[Image] = []
        self._future = pool.submit(lambda: self._loaded.append(load()))

    def take(self) -> Image:
        """The image, or the error that loading ended with."""
        self._future.result()
        return self._loaded.pop()


def _ahead(
    pool: ThreadPoolExecutor, items: Iterable[tuple[int, Item]], jobs: int
) -> Iterator[tuple[int, Item, _Loading]]:
    """Items in order, each being loaded while the ones before it are processed."""
    pending: deque[tuple[int, Item, _Loading]] = deque()
    for index, item in items:
        pending.append((index, item, _Loading(pool, item.load)))
        if len(pending) > jobs:
            yield pending.popleft()
    while pending:
        yield pending.popleft()


def _left(
    items: Iterable[tuple[int, Item]], ledger: Ledger | None, settle: Callable[[Outcome], bool]
) -> Iterator[tuple[int, Item]]:
    """The items that are left to do; what became of the others is told."""
    for index, item in items:
        known = ledger.known(item, index) if ledger is not None else None
        if known is None:
            yield index, item
        elif settle(known):
            return


def _announced(
    items: Iterable[Item], source: str, idle: Callable[[], AbstractContextManager[None]]
) -> Iterator[Item]:
    """The items; a source that breaks off ends with one that fails, and the others are kept."""
    coming = iter(items)
    try:
        while True:
            with idle():
                item = next(coming, None)
            if item is None:
                return
            yield item
    except (Exception, SystemExit) as error:  # the plugin boundary
        trouble = error

        def fail() -> Image:
            raise trouble

        yield Item(source, fail)


def _message(item: Item, error: BaseException) -> str:
    if not isinstance(error, click.ClickException):
        return f"{item.origin}: {surprise(error)}"
    text = error.format_message()
    return text if item.origin in text else f"{item.origin}: {text}"
