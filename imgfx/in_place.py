"""Images that would be written over their own file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def is_same_file(one: Path, other: Path | None) -> bool:
    """Whether both names are of one file that is there."""
    try:
        return other is not None and one.samefile(other)
    except OSError:
        return False


def in_place_loss(target: Path, source: Path | None, unread: Sequence[str]) -> str | None:
    """Why an image must not be written over its own file; None where it may, or where it is not.

    Args:
        target: where it would go.
        source: its file; None where it has none.
        unread: what else is in that, as `Image.unread`.
    """
    if not unread or not is_same_file(target, source):
        return None
    more = "; ".join(unread)
    return f"{target}: holds more than would be written back ({more}); choose another target"
