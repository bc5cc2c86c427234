"""Turns: several threads at a time, or one alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A lock that up to `places` threads hold together, or one thread without any other.

    Who comes first is first: one that wants to be alone does not wait for those behind it.
    """

    def __init__(self, places: int = 1) -> None:
        self._places = places
        self._free = threading.Semaphore(places)
        self._next = threading.Lock()

    @contextmanager
    def together(self) -> Iterator[None]:
        """With others of the kind, as long as there is a place."""
        with self._next:
            self._free.acquire()
        try:
            yield
        finally:
            self._free.release()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """With nobody else."""
        taken = 0
        try:
            with self._next:
                while taken < self._places:
                    self._free.acquire()
                    taken += 1
            yield
        finally:
            for _ in range(taken):
                self._free.release()
