"""A chain of stages, drained one image at a time; decoding and encoding run beside it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from imgfx.errors import BatchError, ImageError, ImgfxError, confined, surprise
from imgfx.stage import Apply, Item, Items, Sink, Stage

if TYPE_CHECKING:
    from imgfx.image import Image
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


@dataclass
class Report:
    """What became of all of them."""

    outcomes: list[Outcome] = field(default_factory=list)
    stopped: bool = False
    """Whether a failure ended the run before all images were tried."""

    @property
    def failed(self) -> int:
        """Images that failed."""
        return sum(outcome.error is not None for outcome in self.outcomes)

    @property
    def done(self) -> int:
        """Images that were written."""
        return len(self.outcomes) - self.failed

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
        sink: Sink = _started(self.sink, session)
        items: Items = _started(self.source, session)
        filters = [_Filter(stage.name, _started(stage, session)) for stage in self.filters]
        return StartedChain(items, filters, sink, self.source.name)


def _started(stage: Stage, session: Session) -> Any:
    with confined(f"stage {stage.name!r}"):
        return stage.start(session)


@dataclass(frozen=True)
class _Filter:
    """A started filter whose answers are checked: rounding would turn a NaN into a black pixel."""

    name: str
    apply: Apply

    def __call__(self, image: Image) -> Image:
        """The filter's answer.

        Raises:
            ImageError: it is no image, or holds values that are not numbers.
        """
        from imgfx.image import Image

        result = self.apply(image)
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

    def run(
        self, *, jobs: int, stop_on_error: bool, observe: Observe, report: Report | None = None
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

        Raises:
            ImgfxError: nothing more can be written.
        """
        report = Report() if report is None else report
        ahead = 0 if self.items.count is None else jobs

        def settle(outcome: Outcome) -> bool:
            report.outcomes.append(outcome)
            observe(outcome)
            report.stopped = outcome.error is not None and stop_on_error
            return report.stopped

        announced = _announced(self.items, self.source)
        with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            waiting: deque[_Writing] = deque()
            try:
                for index, (item, loading) in enumerate(_ahead(pool, announced, ahead)):
                    waiting.append(self._process(pool, index, item, loading))
                    if len(waiting) > ahead and settle(self._write(waiting.popleft())):
                        return report
                while waiting:
                    if settle(self._write(waiting.popleft())):
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
            for apply in self.filters:
                image = apply(image)
        except (Exception, SystemExit) as error:  # a stage is a plugin: its trouble is one image's
            return _Writing(index, item, time.monotonic() - started, error=_message(item, error))
        if image.name != _NO_NAME:
            # A stream's images bring names that the source did not know.
            item = replace(item, name=image.name)
        encoding = pool.submit(_timed, self.sink.encode, image, item, index)
        return _Writing(index, item, time.monotonic() - started, encoding, image.notes)

    def _write(self, writing: _Writing) -> Outcome:
        """One image into its place.

        Raises:
            ImgfxError: nothing more can be written.
        """
        item, error = writing.item, writing.error
        output, notes, seconds = None, writing.notes, writing.seconds
        if writing.encoding is not None:
            try:
                (data, more), encoding_seconds = writing.encoding.result()
                notes += more
                seconds += encoding_seconds
                output = self._put(data, item, writing.index)
            except ImageError as failure:
                error = _message(item, failure)
            except (ImgfxError, BrokenPipeError):
                raise
            except (Exception, SystemExit) as failure:  # a sink is a plugin, too
                error = _message(item, failure)
        return Outcome(item.origin, output, seconds, notes, error)

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
    pool: ThreadPoolExecutor, items: Iterable[Item], jobs: int
) -> Iterator[tuple[Item, _Loading]]:
    """Items in order, each being loaded while the ones before it are processed."""
    pending: deque[tuple[Item, _Loading]] = deque()
    for item in items:
        pending.append((item, _Loading(pool, item.load)))
        if len(pending) > jobs:
            yield pending.popleft()
    while pending:
        yield pending.popleft()


def _announced(items: Iterable[Item], source: str) -> Iterator[Item]:
    """The items; a source that breaks off ends with one that fails, and the others are kept."""
    try:
        yield from items
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
