"""Ctrl-C, SIGTERM and SIGHUP, the end of a remote session, in a batch.

The first finishes what is in work, the second stops at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

from imgfx.atomic import ENDING
from imgfx.engines.base import Say

_SIGNALS = (signal.SIGINT, *ENDING)


def is_ignored(number: signal.Signals) -> bool:
    """Whether the signal is set to do nothing."""
    return signal.getsignal(number) == signal.SIG_IGN


class Interrupts:
    """A context manager that notes interrupts while a batch runs.

    A signal that whoever started us has set to be ignored stays so: `trap '' INT` in a script, or
    a shell's job in the background, means that the batch is not to be stopped by it.

    Raises:
        KeyboardInterrupt: at the second interrupt, and at the first one while nothing is in work.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._idle = False
        self._old: dict[int, Any] = {}
        self.came: signal.Signals | None = None
        """The first that came."""

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._old = {n: signal.signal(n, self._note) for n in _SIGNALS if not is_ignored(n)}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.came is not None

    @property
    def exit_code(self) -> int:
        """What a shell reports of a program that the signal ended."""
        return 128 + (self.came or signal.SIGINT)

    @contextmanager
    def idle(self) -> Iterator[None]:
        """While waiting for a stream's next image there is nothing to finish."""
        self._idle = True
        try:
            if self.came:  # before there was anything to wait for
                raise KeyboardInterrupt
            yield
        finally:
            self._idle = False

    def _note(self, number: int, _frame: FrameType | None) -> None:
        again, self.came = self.came is not None, self.came or signal.Signals(number)
        if again or self._idle:
            raise KeyboardInterrupt
        self._say("finishing the images in work; another interrupt stops at once")
