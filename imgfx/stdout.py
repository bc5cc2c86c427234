"""Stdout for images and nothing else: a guard for its descriptor, and whole writes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
    try:
        yield images
    finally:
        _flush()
        os.dup2(images, 1)
        os.close(images)


def _flush() -> None:
    if sys.stdout is not None:  # as it is when stdout is closed
        sys.stdout.flush()


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all bytes, however few the pipe takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
