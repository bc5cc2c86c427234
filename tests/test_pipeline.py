"""A chain runs one image at a time, in order, and one image's trouble is its own."""

import errno
import re
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from imgfx.errors import (
    BatchError,
    EncodeError,
    ImageError,
    ImgfxError,
    PluginError,
    ReaderGoneError,
)
from imgfx.image import Image
from imgfx.outcomes import Outcome, Report
from imgfx.pipeline import Chain
from imgfx.session import Session, no_engine
from imgfx.settings import Settings
from imgfx.stage import Item, Stage

GRAY = np.full((2, 3, 1), 7, np.uint8)


class Source:
    """`count` images whose pixels hold their number; notes when they are loaded."""

    def __init__(self, count, events, fail=()):
        self.count, self.events, self.fail = count, events, fail

    def __iter__(self):
        for number in range(self.count):
            self.events.append(("announce", number))
            yield Item(f"in{number}", lambda number=number: self.load(number), name=f"n{number}")

    def load(self, number):
        self.events.append(("load", number))
        if number in self.fail:
            raise ImageError(f"in{number}: cannot read")
        return Image(np.full((2, 3, 1), number, np.uint8))


class Sink:
    """Keeps what is written, and in which thread."""

    def __init__(self, events):
        self.events, self.written, self.threads = events, [], set()

    def target(self, item, index):
        return f"out/{item.name}"

    def encode(self, image, item, index):
        time.sleep(0.003 * (index % 3))  # so that encodings end out of order
        return bytes([int(image.pixels[0, 0, 0])]), (f"note {index}",)

    def write(self, data, item, index):
        self.events.append(("write", index))
        self.threads.add(threading.get_ident())
        self.written.append((item.name, data[0], index))


@pytest.fixture
def events():
    """What happened, in order."""
    return []


@pytest.fixture
def run(events):
    """`run(filter, ..., count=5)`: the report and the sink of a run."""

    def run(*filters, count=5, jobs=2, stop=False, source=None, sink=None):
        source, sink = source or Source(count, events), sink or Sink(events)
        chain = Chain(
            Stage("source", "source", lambda _session: source),
            [Stage(f"f{k}", "filter", lambda _s, f=f: f) for k, f in enumerate(filters)],
            Stage("sink", "sink", lambda _session: sink),
        )
        with Session(Settings(), no_engine) as session:
            started = chain.start(session)
            report = started.run(jobs=jobs, stop_on_error=stop, observe=lambda outcome: None)
        return report, sink

    return run


def add(number):
    """A filter that adds to every pixel."""
    return lambda image: image.with_pixels(image.pixels + np.uint8(number))


def fail_at(number, error):
    """A filter that raises at one image."""

    def apply(image):
        if image.pixels[0, 0, 0] == number:
            raise error
        return image

    return apply


@pytest.mark.parametrize("jobs", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_images_are_filtered_and_written_in_order(run, count, jobs):
    report, sink = run(add(10), add(1), count=count, jobs=jobs)
    assert sink.written == [(f"n{k}", k + 11, k) for k in range(count)]
    assert [outcome.output for outcome in report.outcomes] == [f"out/n{k}" for k in range(count)]
    assert len(sink.threads) <= 1
    report.raise_for_failures()


@pytest.mark.parametrize("jobs", [1, 3])
def test_few_images_are_in_memory_at_a_time(run, events, jobs):
    run(count=30, jobs=jobs)
    held = most = 0
    for what, _ in events:
        held += {"announce": 1, "write": -1}.get(what, 0)
        most = max(most, held)
    assert 2 <= most <= 2 * jobs + 2


def test_loading_runs_beside_the_filters(run, events):
    """The second image is being loaded while the first is in a filter."""
    seen = []

    def apply(image):
        deadline = time.monotonic() + 10
        while ("load", 1) not in events and time.monotonic() < deadline:
            time.sleep(0.001)
        seen.append(("load", 1) in events)
        return image

    run(apply, count=2)
    assert seen == [True, True]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ValueError("too dark"),
            r"^in2: stage 'f0' failed: ValueError: too dark \(test_pipeline.py:\d+\)$",
        ),
        (ValueError(), r"^in2: stage 'f0' failed: ValueError \(test_pipeline.py:\d+\)$"),
        (ValueError("two\nlines"), r"^in2: stage 'f0' failed: ValueError: two lines \("),
        (ImageError("too dark"), r"^in2: too dark$"),
        (ImageError("in2: too dark"), r"^in2: too dark$"),
        (
            OSError(errno.ENOENT, "gone", "file"),
            r"^in2: stage 'f0' .* FileNotFoundError: .*gone: 'file'",
        ),
        (MemoryError(), "^in2: stage 'f0' failed: MemoryError"),
        (SystemExit(0), "^in2: stage 'f0' failed: SystemExit: 0"),
        (StopIteration(), "^in2: stage 'f0' failed: StopIteration"),
    ],
)
def test_a_filter_that_raises_fails_its_image_alone(run, error, message):
    report, sink = run(fail_at(2, error))
    assert [name for name, _, _ in sink.written] == ["n0", "n1", "n3", "n4"]
    assert (report.done, report.failed) == (4, 1)
    assert re.search(message, report.outcomes[2].error)
    with pytest.raises(BatchError, match="1 of 5 images failed"):
        report.raise_for_failures()


def test_a_file_that_cannot_be_loaded_fails_alone(run, events):
    report, sink = run(source=Source(4, events, fail=(0, 3)))
    assert [name for name, _, _ in sink.written] == ["n1", "n2"]
    assert [outcome.error for outcome in report.outcomes] == [
        "in0: cannot read", None, None, "in3: cannot read",
    ]  # fmt: skip


NAN = np.full((2, 3, 1), np.nan, np.float32)
INFINITE = np.where(np.arange(6).reshape(2, 3, 1) == 5, -np.inf, 0.5).astype(np.float32)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda image: None, "stage 'f0' answered NoneType, no Image"),
        (lambda image: image.pixels, "stage 'f0' answered ndarray, no Image"),
        (lambda image: image.with_pixels(NAN), "stage 'f0' answered values that are not finite"),
        (lambda image: image.with_pixels(INFINITE), "answered values that are not finite"),
        (lambda image: replace(image, alpha=NAN[..., 0]), "answered values that are not finite"),
        (lambda image: image.with_pixels(GRAY.astype(np.float64)), "pixels are float64"),
        (lambda image: image.with_pixels(GRAY[..., 0]), "pixels have shape (2, 3)"),
        (lambda image: image.with_pixels(GRAY.tolist()), "pixels are of type list"),
    ],
)
def test_what_is_no_image_is_never_written(run, answer, message):
    report, sink = run(answer, count=1)
    assert sink.written == []
    with pytest.raises(ImageError) as caught:
        report.raise_for_failures()
    assert message in str(caught.value)


def test_stop_on_error_stops(run):
    report, sink = run(fail_at(3, ImageError("no")), count=20, stop=True)
    assert [index for _, _, index in sink.written] == [0, 1, 2]
    assert len(report.outcomes) == 4
    with pytest.raises(BatchError, match="stopped at the first image that failed; 3 are written"):
        report.raise_for_failures()


class BrokenOff(Source):
    """Announces two images and then raises."""

    def __iter__(self):
        yield from super().__iter__()
        raise ConnectionError("the camera is gone")


def test_a_source_that_breaks_off_keeps_what_came_before(run, events):
    report, sink = run(source=BrokenOff(2, events))
    assert [name for name, _, _ in sink.written] == ["n0", "n1"]
    error = report.outcomes[2].error
    assert error.startswith("source: ConnectionError: the camera is gone (test_pipeline.py:")
    with pytest.raises(BatchError):
        report.raise_for_failures()


@pytest.mark.parametrize("method", ["encode", "write"])
@pytest.mark.parametrize("error", [EncodeError("in1: too large"), ValueError("odd")])
def test_a_sink_that_refuses_an_image_gets_the_others(run, events, method, error):
    class Choosy(Sink):
        pass

    def refuse(self, what, item, index):
        if index == 1:
            raise error
        return getattr(Sink, method)(self, what, item, index)

    setattr(Choosy, method, refuse)
    report, sink = run(count=3, sink=Choosy(events))
    assert [index for _, _, index in sink.written] == [0, 2]
    assert str(error) in report.outcomes[1].error
    assert report.outcomes[1].output is None


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (OSError(errno.ENOSPC, "disk full"), ImgfxError, "out/n1: cannot write: disk full"),
        (BrokenPipeError(errno.EPIPE, "no reader"), ImgfxError, "out/n1: cannot write: no reader"),
        (ReaderGoneError(), ReaderGoneError, None),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_a_sink_that_can_take_no_more_ends_the_run(run, events, error, raised, message):
    class Full(Sink):
        def write(self, data, item, index):
            if index == 1:
                raise error
            super().write(data, item, index)

    sink = Full(events)
    with pytest.raises(raised, match=message):
        run(count=10, sink=sink)
    assert [index for _, _, index in sink.written] == [0]
    assert ("announce", 9) not in events


def test_names_that_images_bring_are_used_and_others_kept(run):
    def rename(image):
        return replace(image, name="found") if image.pixels[0, 0, 0] == 1 else image

    _, sink = run(rename, count=3)
    assert [name for name, _, _ in sink.written] == ["n0", "found", "n2"]


def test_notes_of_image_and_sink_are_kept(run):
    report, _ = run(lambda image: replace(image, notes=("lost",)), count=2)
    assert [outcome.notes for outcome in report.outcomes] == [
        ("lost", "note 0"), ("lost", "note 1"),
    ]  # fmt: skip


def explode(_session):
    """What a stage does that cannot be started."""
    raise RuntimeError("no camera")


@pytest.mark.parametrize("place", ["source", "filter", "sink"])
def test_a_stage_that_cannot_start_is_named(events, place):
    starts = {
        "source": lambda _session: Source(1, events),
        "filter": lambda _session: add(1),
        "sink": lambda _session: Sink(events),
        place: explode,
    }
    source, middle, sink = (Stage(f"my-{kind}", kind, start) for kind, start in starts.items())
    with (
        Session(Settings(), no_engine) as session,
        pytest.raises(PluginError, match=rf"stage 'my-{place}' failed: RuntimeError: no camera"),
    ):
        Chain(source, [middle], sink).start(session)
    assert events == []


def test_exit_codes_follow_the_failures():
    good, bad = Outcome("a", "b", 0.1), Outcome("c", None, 0.1, error="c: no")
    Report([good, good]).raise_for_failures()
    for outcomes, code, message in (
        ([bad], 1, "c: no"),
        ([bad, bad], 1, "all 2 images failed"),
        ([good, bad], 3, "1 of 2 images failed"),
    ):
        with pytest.raises(ImgfxError, match=message) as caught:
            Report(outcomes).raise_for_failures()
        assert caught.value.exit_code == code
