"""Several small images in the filters at a time: in order, and one by one where it must be."""

import os
import threading
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from imgfx.abreast import MOST_PIXELS
from imgfx.engines.base import Choice
from imgfx.errors import EngineError, ImageError, OutOfMemoryError
from imgfx.image import Image
from imgfx.model import Model, ModelSpec
from imgfx.pipeline import Chain
from imgfx.session import Session
from imgfx.settings import Settings
from imgfx.stage import Item, ItemList, Stage
from imgfx.weights import Weights, save_weights

SPEC = ModelSpec("darken", floats_per_pixel=10)
BYTES = 4 * 10 + 3 * 4 * 6
"""Of one pixel of a window."""
SMALL, LARGE = (16, 24), (720, 730)
assert SMALL[0] * SMALL[1] < MOST_PIXELS < LARGE[0] * LARGE[1]


class Crowd:
    """An engine whose networks darken images, and remember who was in them at a time."""

    name, preference = "crowd", {"cpu": 1}

    def __init__(self, at_once=3, fail=(), short=False, memory=1 << 40, broken=None, slow=0.0):
        self.at_once, self.fail, self.short, self.memory = at_once, fail, short, memory
        self.broken, self.slow = broken, slow
        self.opened, self.calls = [], []
        self.lock = threading.Lock()
        self.inside = 0

    def missing(self):
        return ""

    def open(self, model, weights, request):
        self.opened.append((request.at_once, request.batch))
        if request.at_once > 1:
            time.sleep(self.slow)
            if self.broken:
                raise self.broken
        return Network(self, request.at_once)


class Network:
    """See `Runner`."""

    batch, largest = 1, 0
    choice = Choice("crowd", "cpu", "fp32")

    def __init__(self, crowd, at_once):
        self.crowd, self.at_once, self.memory = crowd, at_once, crowd.memory

    def __call__(self, batch):
        crowd, size = self.crowd, batch.shape[2:]
        with crowd.lock:
            crowd.inside += 1
            crowd.calls.append((size, self.at_once, crowd.inside, threading.current_thread()))
        time.sleep(0.004)
        with crowd.lock:
            crowd.inside -= 1
        if crowd.short and self.at_once > 1:
            raise OutOfMemoryError("too little memory", batch[0, 0].size)
        if round(255 * float(batch.max())) in crowd.fail:
            return np.full_like(batch, np.nan)
        return 0.8 * batch

    def close(self):
        pass


class Sink:
    """Keeps what is written."""

    def __init__(self):
        self.written = []

    def target(self, item, index):
        return item.origin

    def encode(self, image, item, index):
        time.sleep(0.003 * (index % 3))  # so that images are done out of order
        return image.pixels[0, 0].tobytes(), ()

    def write(self, data, item, index):
        self.written.append((index, np.frombuffer(data, np.float32)))


def announced(sizes, loaded):
    """Items of these sizes, whose pixels hold 10, 11, 12, ..."""

    def load(number, size):
        loaded.append(number)
        return Image(np.full((*size, 3), 10 + number, np.uint8))

    return [
        Item(f"in{number}", lambda n=number, s=size: load(n, s), name=f"n{number}")
        for number, size in enumerate(sizes)
    ]


@pytest.fixture
def run(tmp_path):
    """`run(engine, sizes)`: the report, what was written, and which images were loaded."""

    def run(
        engine, sizes, *, items=None, parallel=True, stop=False, jobs=2, stream=False, watch=None,
        stopped=None, **settings,
    ):  # fmt: skip
        path = tmp_path / "darken.safetensors"
        if not path.exists():
            save_weights(path, Weights(SPEC, {"w": np.zeros(1, np.float32)}, {}, "darken"))
        model = Model("darken", SPEC, build=lambda spec: None, weights=path)
        loaded, sink = [], Sink()
        items = items or ItemList(announced(sizes, loaded))
        items.count = None if stream else items.count
        with Session(Settings(engine="crowd", **settings), lambda _name: engine) as session:
            chain = Chain(
                Stage("source", "source", lambda _session: items),
                [Stage("f", "filter", lambda s: s.load(model).apply, parallel=parallel)],
                Stage("sink", "sink", lambda _session: sink),
            )
            report = chain.start(session).run(
                jobs=jobs,
                stop_on_error=stop,
                observe=lambda outcome: watch and watch(loaded, sink.written),
                interrupts=stopped and (lambda: stopped(loaded)),
            )
        return report, sink.written, loaded

    return run


def expected(numbers):
    return [(n, np.float32(0.8) * (np.float32(10 + n) / np.float32(255))) for n in numbers]


def check(written, numbers):
    assert [index for index, _ in written] == list(numbers)
    for (_, values), (_, value) in zip(written, expected(numbers), strict=True):
        np.testing.assert_allclose(values, value, rtol=1e-6)


def test_small_images_run_side_by_side_and_are_written_in_order(run):
    engine = Crowd()
    report, written, _ = run(engine, [SMALL] * 30)
    check(written, range(30))
    assert [outcome.origin for outcome in report.outcomes] == [f"in{n}" for n in range(30)]
    assert engine.opened == [(1, None), (3, None)]
    assert max(inside for _, _, inside, _ in engine.calls) == 3
    assert sum(at_once == 3 for _, at_once, _, _ in engine.calls) > 20


@pytest.fixture
def files(tmp_path):
    """`files(sizes)`: items like those of `announced`, whose headers stand in files."""

    def files(sizes):
        for number, size in enumerate(sizes):
            path = tmp_path / f"{number}.png"
            cv2.imwrite(str(path), np.zeros((*size, 3), np.uint8))
        items = announced(sizes, [])
        return [replace(item, path=tmp_path / f"{n}.png") for n, item in enumerate(items)]

    return files


def test_where_the_first_file_is_small_only_what_runs_several_is_opened(run, files):
    engine = Crowd()
    _, written, _ = run(engine, [], items=ItemList(files([SMALL] * 20)))
    check(written, range(20))
    assert engine.opened == [(3, None)]
    assert {at_once for _, at_once, _, _ in engine.calls} == {3}


def test_a_large_image_among_small_ones_runs_on_all_processors(run, files):
    engine = Crowd()
    sizes = [SMALL, LARGE, *[SMALL] * 8, LARGE]
    _, written, _ = run(engine, [], items=ItemList(files(sizes)))
    check(written, range(11))
    assert engine.opened == [(3, None), (1, None)]
    for size, at_once, inside, thread in engine.calls:
        if size[0] >= LARGE[0]:
            assert (at_once, inside, thread) == (1, 1, threading.main_thread())


@pytest.mark.parametrize(
    ("how", "sizes"),
    [({"tile": 8}, [SMALL] * 9), ({"parallel": False}, [SMALL] * 9), ({}, [SMALL] * 7),
     ({}, [LARGE, *[SMALL] * 3, LARGE, LARGE, LARGE, LARGE])],
    ids=["a tile", "not allowed", "few", "the first is large"],
)  # fmt: skip
def test_what_runs_one_image_is_opened_first_elsewhere(run, files, how, sizes):
    engine = Crowd()
    _, written, _ = run(engine, [], items=ItemList(files(sizes)), **how)
    check(written, range(len(sizes)))
    assert engine.opened[0] == (1, None)


class Once:
    """Items that can be announced once only, as a camera's."""

    count = 9

    def __init__(self, items):
        self.coming = iter(items)

    def __iter__(self):
        return self.coming


def test_of_a_source_that_announces_once_no_image_is_lost(run, files):
    _, written, _ = run(Crowd(), [], items=Once(files([SMALL] * 9)))
    check(written, range(9))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_of_a_pipe_nothing_is_taken(run, files, tmp_path):
    items = files([SMALL] * 9)
    items[0].path.unlink()
    os.mkfifo(items[0].path)
    engine = Crowd()
    _, written, _ = run(engine, [], items=ItemList(items))
    check(written, range(9))
    assert engine.opened == [(1, None), (3, None)]


def test_a_first_file_that_is_long_or_gone_is_not_read(run, files, monkeypatch):
    monkeypatch.setattr("imgfx.files.outline_of", None)  # what would read it
    for change in (lambda path: os.truncate(path, 1 << 30), lambda path: path.unlink()):
        items = files([SMALL] * 9)
        change(items[0].path)
        _, written, _ = run(Crowd(), [], items=ItemList(items))
        check(written, range(9))


def test_a_first_file_that_is_damaged_decides_nothing(run, files):
    engine = Crowd()
    items = files([SMALL] * 9)
    items[0].path.write_bytes(b"no image")
    _, written, _ = run(engine, [], items=ItemList(items))
    check(written, range(9))
    assert engine.opened == [(1, None), (3, None)]


@pytest.mark.parametrize("at_once", [None, 0, 1])
def test_an_engine_that_takes_one_thread_is_asked_for_one(run, files, at_once):
    engine = Crowd(at_once)
    if at_once is None:
        del engine.at_once
    _, written, _ = run(engine, [], items=ItemList(files([SMALL] * 9)))
    check(written, range(9))
    assert engine.opened == [(1, None)]


def test_a_network_for_several_that_fails_an_image_runs_it_alone(run, files):
    engine = Crowd(short=True)
    _, written, _ = run(engine, [], items=ItemList(files([SMALL] * 12)))
    check(written, range(12))
    assert engine.opened == [(3, None), (1, None)]
    assert [inside for _, at_once, inside, _ in engine.calls if at_once == 1] == [1] * 12


def test_images_do_not_wait_for_what_runs_several_to_be_opened(run):
    engine = Crowd(slow=0.03)
    _, written, _ = run(engine, [SMALL] * 40)
    check(written, range(40))
    first = [at_once for _, at_once, _, _ in engine.calls][:3]
    assert first == [1, 1, 1]
    assert max(inside for _, _, inside, _ in engine.calls) == 3


def test_what_runs_several_is_not_opened_for_large_images(run):
    engine = Crowd()
    _, written, _ = run(engine, [LARGE] * 9)
    check(written, range(9))
    assert engine.opened == [(1, None)]


def test_a_large_image_runs_alone_in_the_main_thread_with_all_processors(run):
    engine = Crowd()
    sizes = [SMALL, SMALL, LARGE, SMALL, SMALL, SMALL, LARGE, LARGE, SMALL, SMALL]
    _, written, _ = run(engine, sizes)
    check(written, range(10))
    large = [call for call in engine.calls if call[0][0] >= LARGE[0]]
    assert len(large) == 3
    for _, at_once, inside, thread in large:
        assert (at_once, inside) == (1, 1)
        assert thread is threading.main_thread()


@pytest.mark.parametrize(
    ("how", "sizes"),
    [
        ({"parallel": False}, [SMALL] * 12),
        ({"tile": 8}, [SMALL] * 12),
        ({"stream": True}, [SMALL] * 12),
        ({}, [SMALL] * 7),
    ],
    ids=["not allowed", "a tile", "a stream", "few"],
)
def test_elsewhere_one_image_runs_at_a_time(run, how, sizes):
    engine = Crowd()
    _, written, _ = run(engine, sizes, **how)
    check(written, range(len(sizes)))
    assert engine.opened == [(1, None)]
    assert {inside for _, _, inside, _ in engine.calls} == {1}
    assert {thread for *_, thread in engine.calls} == {threading.main_thread()}


@pytest.mark.parametrize("at_once", [None, 0, 1])
def test_an_engine_that_takes_one_thread_gets_one(run, at_once):
    engine = Crowd(at_once)
    if at_once is None:
        del engine.at_once
    _, written, _ = run(engine, [SMALL] * 12)
    check(written, range(12))
    assert {inside for _, _, inside, _ in engine.calls} == {1}


def test_an_image_that_fails_fails_alone(run):
    report, written, _ = run(Crowd(fail=(14, 15)), [SMALL] * 12)
    check(written, [n for n in range(12) if n not in (4, 5)])
    assert [n for n, outcome in enumerate(report.outcomes) if outcome.error] == [4, 5]
    assert "in4: darken: the network's output makes no sense" in report.outcomes[4].error


def test_stopping_at_the_first_failure_writes_none_behind_it(run):
    report, written, loaded = run(Crowd(fail=(13,)), [SMALL] * 60, stop=True)
    check(written, range(3))
    assert report.stopped
    assert len(report.outcomes) == 4
    assert len(loaded) < 20


def test_where_memory_is_short_images_run_alone(run):
    engine = Crowd(short=True)
    _, written, _ = run(engine, [SMALL] * 12)
    check(written, range(12))
    alone = [inside for _, at_once, inside, _ in engine.calls if at_once == 1]
    assert alone == [1] * 12


def test_images_that_need_all_memory_take_turns(run):
    engine = Crowd(memory=2 * SMALL[0] * SMALL[1] * BYTES)  # for two of them, and not for three
    _, written, _ = run(engine, [SMALL] * 12)
    check(written, range(12))
    assert {(at_once, inside) for _, at_once, inside, _ in engine.calls} == {(1, 1)}


@pytest.mark.parametrize(
    "broken", [EngineError("no threads left"), MemoryError(), ZeroDivisionError()]
)
def test_where_several_cannot_run_one_at_a_time_does(run, broken):
    engine = Crowd(broken=broken)
    _, written, _ = run(engine, [SMALL] * 12, batch=4)
    check(written, range(12))
    assert engine.opened == [(1, 4), (3, 4)]
    assert {(at_once, inside) for _, at_once, inside, _ in engine.calls} == {(1, 1)}


def test_what_is_no_image_fails_alone(run):
    made = announced([SMALL] * 12, [])
    made[5] = Item("in5", lambda: None)
    report, written, _ = run(Crowd(), [], items=ItemList(made))
    check(written, [n for n in range(12) if n != 5])
    assert report.outcomes[5].error.startswith("in5: ")


def test_an_interrupt_finishes_what_is_begun_and_takes_back_the_rest(run):
    report, written, loaded = run(
        Crowd(), [SMALL] * 60, jobs=40, stopped=lambda loaded: len(loaded) > 10
    )
    assert report.stopped
    assert len(written) < len(loaded)
    check(written, range(len(written)))
    assert len(report.outcomes) == len(written)


def test_few_images_are_in_memory_at_a_time(run):
    held = []
    run(
        Crowd(), [SMALL] * 40, watch=lambda loaded, written: held.append(len(loaded) - len(written))
    )
    assert len(held) == 40
    assert 2 <= max(held) <= 2 + 3 + 2


def test_an_interrupt_does_not_wait_for_what_is_in_work(run):
    """A second Ctrl-C in the middle of images that take long."""
    engine = Crowd()

    def interrupt(_loaded, written):
        if len(written) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(engine, [SMALL] * 60, watch=interrupt)
    assert len(engine.calls) < 15


def test_what_is_broken_off_fails_at_its_next_window_and_can_be_shared_anew(tmp_path):
    path = tmp_path / "darken.safetensors"
    save_weights(path, Weights(SPEC, {"w": np.zeros(1, np.float32)}, {}, "darken"))
    model = Model("darken", SPEC, build=lambda spec: None, weights=path)
    engine = Crowd()
    with Session(Settings(engine="crowd"), lambda _name: engine) as session:
        loaded = session.load(model)
        image = Image(np.full((*SMALL, 3), 9, np.uint8))
        loaded.share(3)
        loaded.break_off()
        with pytest.raises(ImageError, match="darken: broken off"):
            loaded.restore(image)
        loaded.share(1)
        loaded.restore(image)
