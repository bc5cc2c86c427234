"""Images that are loaded ahead of the one in the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from imgfx.errors import ImageError, PluginError
from imgfx.outcomes import Ledger, Outcome, message
from imgfx.stage import Item, ItemList, Items

if TYPE_CHECKING:
    from imgfx.image import Image


def load(item: Item) -> Image:
    """An item's image.

    Raises:
        ImageError: there is none; the message is complete, and survives being sent elsewhere.
    """
    try:
        return item.load()
    except (Exception, SystemExit) as error:  # the plugin boundary
        raise ImageError(message(item, error)) from error


class Loading:
    """An image that is being loaded; once taken it is not kept alive here."""

    def __init__(self, pool: ThreadPoolExecutor, load: Callable[[], Image]) -> None:
        self._loaded: list[Image] = []
        self._future = pool.submit(lambda: self._loaded.append(load()))

    @property
    def pixels(self) -> int:
        """Of the image, which is waited for; 0 where there is none."""
        if self._future.exception() is not None:
            return 0
        from imgfx.image import Image

        image: object = self._loaded[0]  # a source is a plugin, and may answer anything
        return image.height * image.width if isinstance(image, Image) else 0

    def take(self) -> Image:
        """The image, or the error that loading ended with."""
        self._future.result()
        return self._loaded.pop()


def loaded_ahead(
    pool: ThreadPoolExecutor, items: Iterable[tuple[int, Item]], jobs: int
) -> Iterator[tuple[int, Item, Loading]]:
    """Items in order, each being loaded while the ones before it are processed."""
    pending: deque[tuple[int, Item, Loading]] = deque()
    for index, item in items:
        pending.append((index, item, Loading(pool, item.load)))
        if len(pending) > jobs:
            yield pending.popleft()
    while pending:
        yield pending.popleft()


def left_of(
    items: Iterable[tuple[int, Item]], ledger: Ledger | None, settle: Callable[[int, Outcome], bool]
) -> Iterator[tuple[int, Item]]:
    """The items that are left to do; what became of the others is told."""
    for index, item in items:
        known = ledger.known(item, index) if ledger is not None else None
        if known is None:
            yield index, item
        elif settle(index, known):
            return


class _Counted:
    """Items of which as many come as are announced, as often as they are asked for.

    Raises:
        PluginError: while iterating, when others come.
    """

    def __init__(self, items: Items, source: str) -> None:
        self._items, self._source = items, source
        self.count: int | None = items.count

    def __iter__(self) -> Iterator[Item]:
        number = 0
        for number, item in enumerate(self._items, 1):
            if number > (self.count or 0):
                raise self._wrong(f"more than {self.count}")
            yield item
        if number != self.count:
            raise self._wrong(f"{number}")

    def _wrong(self, many: str) -> PluginError:
        return PluginError(
            f"stage {self._source!r} announces {self.count} images and has {many}; they are asked "
            "for several times in a run"
        )


def counted(items: Items, source: str) -> Items:
    """Items of a plugin's source, which is held to what it announces."""
    known = items.count is None or isinstance(items, ItemList)
    return items if known else _Counted(items, source)


_END = object()


def announced(
    items: Iterable[Item], source: str, idle: Callable[[], AbstractContextManager[None]]
) -> Iterator[Item]:
    """The items; a source that breaks off ends with one that fails, and the others are kept."""
    coming = iter(items)
    try:
        while True:
            with idle():
                item: object = next(coming, _END)
            if item is _END:
                return
            if not isinstance(item, Item):
                kind = type(item).__name__
                raise PluginError(f"stage {source!r} announced {kind}, no Item")
            yield item
    except (Exception, SystemExit) as error:  # the plugin boundary
        trouble = error

        def fail() -> Image:
            raise trouble

        yield Item(source, fail)
