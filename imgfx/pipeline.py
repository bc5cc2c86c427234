"""A chain of stages, drained one image at a time; decoding and encoding run beside it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from imgfx.abreast import Abreast, Workers, are_small
from imgfx.ahead import Loading, announced, counted, left_of, loaded_ahead
from imgfx.errors import ImageError, ImgfxError, ReaderGoneError, is_passing
from imgfx.filters import checked, recorder_of, start_filters, started_stage
from imgfx.image import NO_NAME, Image
from imgfx.outcomes import Ledger, Made, Observe, Outcome, Report, message
from imgfx.recorder import Recorded, Recorder, carried_by
from imgfx.stage import Apply, Item, Items, Sink, Stage

if TYPE_CHECKING:
    from imgfx.interrupts import Interrupts
    from imgfx.session import Session


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
        sink: Sink = started_stage(self.sink, session)[0]
        source: tuple[Items, Recorded | None] = started_stage(self.source, session)
        items, made = counted(source[0], self.source.name), source[1]
        before = len(session.asked)
        parallel = all(stage.parallel for stage in self.filters)
        session.side_by_side = parallel and bool(self.filters) and are_small(items)
        filters = start_filters(self.filters, session)
        session.side_by_side = False  # what is opened later is for something else
        abreast = Abreast(session.asked[before:] if parallel else ())
        record = recorder_of(filters, session, made)
        return StartedChain(items, filters, sink, self.source.name, record, abreast)


@dataclass(frozen=True)
class _Filtered:
    """An image that went through the filters, or why it did not."""

    item: Item
    seconds: float
    """In the filters."""
    image: Image | None = None
    error: str | None = None
    notes: Sequence[str] = ()
    """On an image that failed: they may say why."""
    passing: bool = False
    """See `Made`."""


@dataclass(frozen=True)
class StartedChain:
    """A chain that is ready for images."""

    items: Items
    filters: Sequence[Apply]
    sink: Sink
    source: str = "source"
    """The source's name, for messages."""
    record: Recorder = field(default_factory=Recorder)
    abreast: Abreast = field(default_factory=Abreast)

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

        At most `jobs` images are decoded ahead and `jobs` are being encoded; all are written in
        order. Of a stream each is written before the next, which may be slow, is waited for. Small
        images go through the filters in several threads, where these take them.

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
        places: list[int] = []

        def settle(index: int, outcome: Outcome) -> bool:
            places.append(index)
            ended = report.add(outcome, stop_on_error=stop_on_error)
            observe(outcome)
            return ended

        left = left_of(enumerate(self._announced(interrupts)), ledger, settle)
        with (
            ThreadPoolExecutor(max_workers=max(1, jobs)) as pool,
            self.abreast.working(self.items.count) as workers,
        ):
            waiting: deque[tuple[int, Item, Future[Made]]] = deque()
            most = ahead + workers.threads - 1
            try:
                for index, item, loading in loaded_ahead(pool, left, ahead):
                    if interrupts is not None and interrupts():
                        report.stopped = True
                        waiting = deque(w for w in waiting if not workers.took_back(w[2]))
                        break
                    waiting.append((index, item, self._begun(index, item, loading, pool, workers)))
                    if len(waiting) > most and settle(*self._placed(*waiting.popleft(), ledger)):
                        return report
                while waiting:
                    if settle(*self._placed(*waiting.popleft(), ledger)):
                        return report
            finally:
                report.sort(places)
                pool.shutdown(wait=False, cancel_futures=True)  # waited for at the end of `with`
        return report

    def _announced(self, interrupts: Interrupts | None) -> Iterator[Item]:
        """The items; waiting for one of a stream may be interrupted at once."""
        # The next image may be long in coming, and then there is nothing to finish.
        idle = interrupts.idle if interrupts and self.items.count is None else nullcontext
        return announced(self.items, self.source, idle)

    def _begun(
        self, index: int, item: Item, loading: Loading, pool: ThreadPoolExecutor, workers: Workers
    ) -> Future[Made]:
        """An image on its way: in one of several threads, or through the filters in this one."""
        if workers.take(loading):
            return workers.submit(self._worked, item, loading.take, index)
        # Without a name here: the image is the encoder's alone.
        return pool.submit(self._encoded, self._filtered(item, loading.take, index), index)

    def make(self, item: Item, index: int, load: Callable[[], Image]) -> Made:
        """One image from loading to encoding, in this thread; a failure is answered, not raised."""
        filtered = self._filtered(item, load, index)
        try:
            return self._encoded(filtered, index)
        except (ImgfxError, ReaderGoneError) as failure:
            error = message(filtered.item, failure)
            return Made(filtered.item.name, None, filtered.seconds, error=error)

    def _worked(self, item: Item, load: Callable[[], Image], index: int) -> Made:
        """One image through the filters and into bytes, in one of several threads.

        Raises:
            ImgfxError: nothing more can be written.
        """
        return self._encoded(self._filtered(item, load, index), index)

    def _filtered(self, item: Item, load: Callable[[], Image], index: int) -> _Filtered:
        """One image through the filters."""
        started = time.monotonic()
        notes: Sequence[str] = ()
        try:
            image = load()
            started = time.monotonic()
            image = self._accepted(image, item, index)
            notes = image.notes
            carried = carried_by(image)
            for apply in self.filters:
                if self.abreast.broken_off:
                    raise ImageError("broken off")
                image = apply(image)
            image = self.record(image, item, carried)
            if not set(notes) <= set(image.notes):  # a filter made a new image
                image = replace(image, notes=tuple(dict.fromkeys((*notes, *image.notes))))
        except (Exception, SystemExit) as error:  # a stage is a plugin: its trouble is one image's
            spent = time.monotonic() - started
            passing = is_passing(error)
            return _Filtered(item, spent, None, message(item, error), notes, passing)
        return _Filtered(_named(item, image), time.monotonic() - started, image)

    def _accepted(self, image: object, item: Item, index: int) -> Image:
        """An image that the sink does not refuse before anything is done to it."""
        if not isinstance(image, Image):  # a source is a plugin
            kind = type(image).__name__
            raise ImageError(f"stage {self.source!r} answered {kind}, no Image")
        image = checked(image, f"stage {self.source!r}")
        accept = getattr(self.sink, "accept", None)
        if accept is not None:
            accept(image, item, index)
        return image

    def _encoded(self, filtered: _Filtered, index: int) -> Made:
        """The image as bytes; may run in another thread.

        Raises:
            ImgfxError: nothing more can be written.
        """
        item, image = filtered.item, filtered.image
        if image is None:
            notes, passing = tuple(filtered.notes), filtered.passing
            return Made(item.name, None, filtered.seconds, notes, filtered.error, passing=passing)
        data: bytes | None = None
        more: tuple[str, ...] = ()
        error: str | None = None
        started = time.monotonic()
        try:
            data, more = _encoding(self.sink.encode(image, item, index))
        except ImageError as failure:
            error = message(item, failure)
        except (ImgfxError, ReaderGoneError):
            raise
        except (Exception, SystemExit) as failure:  # a sink is a plugin, too
            error = message(item, failure)
        seconds = filtered.seconds + time.monotonic() - started
        return Made(item.name, data, seconds, image.notes + more, error)

    def _placed(
        self, index: int, item: Item, encoding: Future[Made], ledger: Ledger | None
    ) -> tuple[int, Outcome]:
        return index, self.place(index, item, encoding.result(), ledger)

    def place(self, index: int, item: Item, made: Made, ledger: Ledger | None) -> Outcome:
        """An image into its place, or its failure into the ledger.

        Raises:
            ImgfxError: nothing more can be written.
        """
        item, output, error = replace(item, name=made.name), None, made.error
        if error is not None and ledger is not None and not made.passing:
            ledger.failed(item, index, error)
        if made.data is not None:
            try:
                output = self._put(made.data, item, index)
            except ImageError as failure:
                error = message(item, failure)
            except (ImgfxError, ReaderGoneError):
                raise
            except (Exception, SystemExit) as failure:  # a sink is a plugin, too
                error = message(item, failure)
        # What could not be written is not noted: an input that stays as it is says nothing of that.
        return Outcome(item.origin, output, made.seconds, made.notes, error, ran=made.ran)

    def _put(self, data: bytes, item: Item, index: int) -> str:
        target = str(self.sink.target(item, index))
        try:
            self.sink.write(data, item, index)
        except ReaderGoneError:
            raise
        except OSError as error:
            # Whatever was written of the image is followed by nothing.
            raise ImgfxError(f"{target}: cannot write: {error.strerror or error}") from error
        return target


def _encoding(answer: object) -> tuple[bytes, tuple[str, ...]]:
    """What a sink's `encode` answers.

    Raises:
        ImageError: it is something else.
    """
    match answer:
        case (bytes() | bytearray() | memoryview() as data, tuple() | list() as notes):
            return bytes(data), tuple(map(str, notes))
    raise ImageError("a sink's encode answers (bytes, notes); this one's does not")


def _named(item: Item, image: Image) -> Item:
    """A stream's images bring names that the source did not know."""
    return item if image.name == NO_NAME else replace(item, name=image.name)
