"""Stamps of files: bytes and time of change, by which a file is known again."""

from __future__ import annotations

from pathlib import Path

SECOND = 1_000_000_000
"""In nanoseconds."""

Stamp = tuple[int, int]
"""Bytes and time of change in nanoseconds."""


def stamp_of(path: Path | None) -> Stamp | None:
    """A file's stamp; None when there is no file."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def is_stamp(noted: Stamp | None, path: Path | None) -> bool:
    """Whether a file has a stamp; in seconds, where it has been copied by what keeps only these."""
    return agree(noted, stamp_of(path))


def agree(noted: Stamp | None, found: Stamp | None) -> bool:
    """Whether two stamps are one file's; see `is_stamp`."""
    if noted is None or found is None or noted[0] != found[0]:
        return noted == found
    one, other = noted[1], found[1]
    whole = one % SECOND == 0 or other % SECOND == 0
    return one // SECOND == other // SECOND if whole else one == other
