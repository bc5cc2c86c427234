"""Turns: so many together, or one alone, and nobody who waits is passed by."""

import threading
import time

import pytest

from imgfx.turns import Turns


class Watch:
    """Counts who is in, and the most at a time."""

    def __init__(self):
        self._lock = threading.Lock()
        self.inside = {"together": 0, "alone": 0}
        self.seen = []

    def stay(self, kind):
        with self._lock:
            self.inside[kind] += 1
            self.seen.append(dict(self.inside))
        time.sleep(0.002)
        with self._lock:
            self.inside[kind] -= 1


def test_so_many_are_together_and_one_alone_is_alone():
    turns, watch = Turns(3), Watch()

    def work(number):
        for step in range(10):
            kind = "alone" if (number + step) % 4 == 0 else "together"
            with getattr(turns, kind)():
                watch.stay(kind)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert max(state["together"] for state in watch.seen) == 3
    assert max(state["alone"] for state in watch.seen) == 1
    assert not any(state["together"] and state["alone"] for state in watch.seen)


def test_one_that_wants_to_be_alone_is_not_passed_by_later_ones():
    turns, order = Turns(2), []
    inside, leave = threading.Event(), threading.Event()

    def first():
        with turns.together():
            inside.set()
            leave.wait(10)

    def alone():
        with turns.alone():
            order.append("alone")

    def later():
        with turns.together():
            order.append("later")

    threads = [threading.Thread(target=work) for work in (first, alone, later)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    time.sleep(0.05)
    threads[2].start()
    time.sleep(0.05)
    assert order == []  # a place is free, but not for who comes behind
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["alone", "later"]


@pytest.mark.parametrize("kind", ["together", "alone"])
def test_places_come_back_after_an_error(kind):
    turns = Turns(2)
    for _ in range(5):
        with pytest.raises(ValueError, match="no"), getattr(turns, kind)():
            raise ValueError("no")
    with turns.alone():
        pass
