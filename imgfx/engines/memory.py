"""How much memory a network may use, and what running out of it looks like."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from imgfx.errors import OutOfMemoryError

_MOST = 576 << 20
_LEAST = 64 << 20
_MOST_ON_CUDA = 4 << 30
_UNKNOWN = 2 << 30
_SAID = (
    "out of memory", "allocate memory", "failed to allocate", "bad_alloc", "not enough memory",
    "bad allocation", "alloc_failed", "unable to find an engine",
)  # fmt: skip
"""By PyTorch, oneDNN, OpenVINO, cuBLAS and cuDNN; the last when no algorithm has the room."""
_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
_OWN_MAPPING = 4 << 20
_GROUP = Path("/sys/fs/cgroup")


def processor_budget() -> int:
    """Bytes for one call on the processor: a quarter of what is free, and little in any case.

    Larger windows than these waste less on halos, but nothing that could be noticed.
    """
    return min(_MOST, max(_LEAST, free_memory() // 4))


def cuda_budget() -> int:
    """Bytes for one call on the current CUDA device: half of what is free there."""
    import torch

    free, _ = torch.cuda.mem_get_info()
    return min(_MOST_ON_CUDA, max(_LEAST, int(free) // 2))


def free_memory() -> int:
    """Bytes that this machine, or the container that we are in, could still give."""
    found = [_UNKNOWN]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        found = [int(kilobytes) << 10]
        most = int((_GROUP / "memory.max").read_text(encoding="ascii"))  # or the word max
        used = int((_GROUP / "memory.current").read_text(encoding="ascii"))
        found.append(most - used + _given_back())
    except (OSError, ValueError, StopIteration):
        pass
    return max(0, min(found))


def _given_back() -> int:
    """Bytes of files that the container holds in memory only as long as nobody needs it."""
    lines = (_GROUP / "memory.stat").read_text(encoding="ascii").splitlines()
    parts = dict(line.split() for line in lines)
    return int(parts.get("inactive_file", 0)) + int(parts.get("active_file", 0))


def return_what_is_freed() -> None:
    """Has glibc map large buffers on their own, so that they go back as soon as they are free.

    It would raise its threshold to 32 MiB once such buffers are freed, and keep the smaller ones in
    a heap full of holes: 150 MiB of a photograph's peak. Elsewhere nothing is done.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        mallopt(_M_MMAP_THRESHOLD, _OWN_MAPPING)


@contextmanager
def allocating(shape: Sequence[int], where: object) -> Iterator[None]:
    """Around a network's run on an input of this shape, (N, C, ...).

    Raises:
        OutOfMemoryError: libraries said, each in its own way, that there is too little memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not _says_so(error):
            raise
        size = "x".join(map(str, shape))
        text = f"too little memory for an input of {size} ({where})"
        raise OutOfMemoryError(text, math.prod(shape) // shape[1]) from error


def _says_so(error: RuntimeError) -> bool:
    text = str(error).lower()
    return any(said in text for said in _SAID)
