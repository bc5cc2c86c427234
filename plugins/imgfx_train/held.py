"""One run at a time for the files of one name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imgfx.atomic import is_taken
from imgfx.errors import TrainingError


@contextmanager
def held(out: Path) -> Iterator[None]:
    """Keeps other runs from a run's files; a killed run holds them no longer.

    Args:
        out: the weights that it writes, by which all its files are named.

    Raises:
        TrainingError: another run holds them, or nothing can be written there.
    """
    path = out.with_name(f".{out.stem}.lock")
    descriptor = _opened(path, out)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _opened(path: Path, out: Path) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise TrainingError(f"{out}: cannot write there: {error.strerror}") from error
        if is_taken(descriptor):
            os.close(descriptor)
            raise TrainingError(
                f"{out}: another run is at work on it; wait for its end, or choose another --out"
            )
        with contextlib.suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
        os.close(descriptor)  # another run has ended, and removed it, just now
