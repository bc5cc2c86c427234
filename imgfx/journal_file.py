"""The journal's file as several runs hold it at a time."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from imgfx.atomic import share

_TRIES = 100
"""To hold a journal that other runs remove meanwhile."""
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)  # of Windows


def held(path: Path) -> int:
    """The journal's descriptor, shared with other runs; who is alone removes an empty one."""
    for _ in range(_TRIES):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # to open a pipe would wait for its reader
            raise OSError(errno.EINVAL, "it is no file", path)
        try:
            # As any other file there: in a shared folder others may go on with the batch.
            descriptor = os.open(path, _FLAGS, 0o666)
        except FileNotFoundError:
            continue  # another run has removed the empty folder just now
        share(descriptor)
        if is_there(path, descriptor):
            return descriptor
        os.close(descriptor)  # another run has removed it just now
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)  # a link into nowhere


def end_line(descriptor: int) -> None:
    """Ends a line that was cut off, so that the next one is not lost with it."""
    size = os.fstat(descriptor).st_size
    if size and os.name == "posix" and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")


def is_there(path: Path, known: int | os.stat_result) -> bool:
    """Whether a path still means what was opened there, or found."""
    try:
        found = os.fstat(known) if isinstance(known, int) else known
        return os.path.samestat(path.stat(), found)
    except OSError:
        return False
