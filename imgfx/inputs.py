"""A batch whose output lies in a folder that it reads: what it wrote is not read again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from imgfx.errors import ImageError
from imgfx.journal import outputs_noted, place_of
from imgfx.pipeline import StartedChain
from imgfx.stage import Item, ItemList, Journaled


def without_own_outputs(
    started: StartedChain, options: Mapping[str, Any], say: Callable[[str], None]
) -> StartedChain:
    """The chain without the images that earlier runs of such a batch have put among its input.

    Only what the journal of the output's folder knows is left out, and while what it is made of is
    read too, so that no photograph is passed over, or overwritten, because it happens to lie
    there; and no file that the source's options name.

    Raises:
        ImageError: there are no others.
    """
    sink, items = started.sink, started.items
    folder = sink.journal_folder() if isinstance(sink, Journaled) else None
    if folder is None or items.count is None:
        return started
    around = {opened for opened in set(map(_opened, items)) if _is_below(folder, opened)}
    if not around:
        return started
    noted = outputs_noted(folder)
    for named in _named(options):
        noted.pop(named, None)
    read = {place_of(item.path) for item in items if item.path is not None}
    left = [
        item
        for item in items
        if item.path is None
        or _opened(item) not in around
        or noted.get(place_of(item.path)) not in read
    ]
    if len(left) == items.count:
        return started
    if not left:
        raise ImageError(f"{folder}: holds all images that there are, and earlier runs made them")
    say(f"{folder}: not read again: {items.count - len(left)} made by earlier runs")
    return replace(started, items=ItemList(left))


def _named(options: Mapping[str, Any]) -> Iterator[Path]:
    """The places of what options name."""
    for value in options.values():
        for part in value if isinstance(value, tuple | list) else [value]:
            if isinstance(part, str | Path):
                yield place_of(Path(part))


def _opened(item: Item) -> Path | None:
    """The folder that was opened, or that of a file that was named itself; None for neither."""
    depth = len(item.folder.parts)
    if item.path is None or depth >= len(item.path.parents):
        return None
    return item.path.parents[depth]


def _is_below(folder: Path, other: Path | None) -> bool:
    if other is None:
        return False
    inner, outer = Path(os.path.realpath(folder)), Path(os.path.realpath(other))
    return inner.is_relative_to(outer)
