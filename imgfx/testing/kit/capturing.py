"""What is printed to stdout meanwhile: by Python, by C, and by child processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator


class Printed:
    """What was printed; complete when capturing has ended."""

    text = ""


@contextlib.contextmanager
def captured_stdout() -> Iterator[Printed]:
    """Keeps what is printed off the true stdout, where the kit's own report goes."""
    printed = Printed()
    flush()
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            # Python's stdout may be somebody's object, such as pytest's, and not write to 1 at all.
            with contextlib.redirect_stdout(sys.__stdout__ or sys.stdout):
                yield printed
        finally:
            flush()
            os.dup2(kept, 1)
            os.close(kept)
        file.seek(0)
        printed.text = file.read().decode(errors="replace")


def flush() -> None:
    """Writes what Python and C have kept back."""
    for stream in (sys.stdout, sys.__stdout__):
        if stream is not None:
            stream.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)
