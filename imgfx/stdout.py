"""Stdout for images and nothing else: a guard for its descriptor, and whole writes."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from imgfx.errors import ReaderGoneError

_kept: list[int] = []
"""Descriptors of the true stdout, while it is guarded."""


@contextmanager
def guarded_stdout() -> Iterator[int]:
    """A descriptor of the true stdout for image bytes; everything else printed goes to stderr.

    Whatever a plugin, a C library or a progress bar writes to file descriptor 1 meanwhile cannot
    corrupt the images. Works on descriptors, so it holds for child processes too.
    """
    _flush()
    closed = sys.__stdout__ is None
    images = -1 if closed else os.dup(1)
    os.dup2(2, 1)
    if closed:  # which matters only when images are written to it: that fails, as it should
        images = os.open(os.devnull, os.O_RDONLY)
    _kept.append(images)
    try:
        yield images
    finally:
        _kept.pop()
        _flush_or_discard()
        os.dup2(images, 1)
        os.close(images)


def _flush() -> None:
    if sys.stdout is not None:  # as it is when stdout is closed
        sys.stdout.flush()


def _flush_or_discard() -> None:
    """What was printed must not wait for the true stdout, though stderr does not take it."""
    try:
        _flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
        _flush()


def true_stdout() -> int:
    """The descriptor of what stdout is to whoever started us, guarded or not."""
    return _kept[0] if _kept else 1


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all bytes, however few the pipe takes at a time.

    Raises:
        ReaderGoneError: nobody reads it any more.
        OSError: it takes no more.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            wait_for(descriptor, select.POLLOUT)
        except BrokenPipeError as error:
            raise ReaderGoneError(*error.args) from error


def wait_for(descriptor: int, event: int) -> None:
    """Waits until a descriptor that does not block can go on.

    Some parents leave their pipes so, and share them with us: to make ours block would make theirs.
    """
    poll = select.poll()  # where `select.select` would refuse a number above 1023
    poll.register(descriptor, event)
    poll.poll()
