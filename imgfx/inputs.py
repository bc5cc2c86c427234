"""A batch whose output lies in a folder that it reads: what it wrote is not read again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from imgfx.errors import ImageError
from imgfx.journal import outputs_noted, place_of
from imgfx.pipeline import StartedChain
from imgfx.stage import Item, ItemList, Items, Journaled


def without_own_outputs(
    started: StartedChain, options: Mapping[str, Any], say: Callable[[str], None]
) -> StartedChain:
    """The chain without the images that earlier runs of such a batch have put among its input.

    Only what the journal of the output's folder knows is left out, and no file that the source's
    options name. Where the output's folder is the one that is opened, photographs and outputs lie
    side by side: there an output counts as one only while what it is made of is read too.

    Raises:
        ImageError: there are no others.
    """
    sink, items = started.sink, started.items
    folder = sink.journal_folder() if isinstance(sink, Journaled) else None
    if folder is None or items.count is None:
        return started
    around = _around(folder, items)
    if not around:
        return started
    noted = outputs_noted(folder)
    for named in _named(options):
        noted.pop(named, None)
    read = {place_of(item.path) for item in items if item.path is not None}
    beside = {path for path in around if os.path.realpath(path) == os.path.realpath(folder)}

    def is_own(item: Item) -> bool:
        opened = _opened(item)
        if item.path is None or opened not in around:
            return False
        made_of = noted.get(place_of(item.path))
        return made_of is not None and (made_of in read or opened not in beside)

    left = [item for item in items if not is_own(item)]
    if len(left) == items.count:
        return started
    if not left:
        raise ImageError(f"{folder}: holds all images that there are, and earlier runs made them")
    say(f"{folder}: not read again: {items.count - len(left)} made by earlier runs")
    return replace(started, items=ItemList(left))


def reads_around(folder: Path, items: Items, options: Mapping[str, Any]) -> bool:
    """Whether the folder lies in one that is read, and not only a file beside it that is named."""
    named = set(_named(options))
    unnamed = (i for i in items if i.path is not None and place_of(i.path) not in named)
    return bool(_around(folder, unnamed))


def _around(folder: Path, items: Iterable[Item]) -> set[Path]:
    """Of the folders that were opened those that the folder lies in, or is."""
    opened = {path for path in map(_opened, items) if path is not None}
    return {path for path in opened if _is_below(folder, path)}


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


def _is_below(folder: Path, other: Path) -> bool:
    inner, outer = Path(os.path.realpath(folder)), Path(os.path.realpath(other))
    return inner.is_relative_to(outer)
