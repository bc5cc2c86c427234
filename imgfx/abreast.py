"""Small images that are in a chain's filters several at a time, each in a thread of its own."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from imgfx.errors import ImgfxError
from imgfx.stage import ItemList, Items

if TYPE_CHECKING:
    from imgfx.ahead import Loading
    from imgfx.session import LoadedModel

MOST_PIXELS = 1 << 19
"""Of an image that is run beside others. On two processors that gains a tenth at 320x240, nothing
at 640x480; of more processors one image occupies fewer."""
_MOST_BYTES = 20 * MOST_PIXELS
"""Of a file of as many pixels: at most four values of four bytes each, and metadata."""
_FEWEST = 8
"""Images of a run that it pays for: what runs them may have to be opened beside another."""


P = ParamSpec("P")
T = TypeVar("T")


def are_small(items: Items) -> bool:
    """Whether a run will be of images side by side, as far as the first one's file tells.

    Nothing is asked of a source that may announce its items once only, nothing is read from a pipe,
    and of a file no more than a small image takes.
    """
    from imgfx.files import outline_of

    if not isinstance(items, ItemList) or items.count is None or items.count < _FEWEST:
        return False
    path = next(iter(items)).path
    try:
        if path is None or not _is_small_file(path.stat()):
            return False
        width, height = outline_of(path).size
    except (OSError, ImgfxError):  # which is told when it is its turn
        return False
    return width * height <= MOST_PIXELS


def _is_small_file(state: os.stat_result) -> bool:
    return stat.S_ISREG(state.st_mode) and state.st_size <= _MOST_BYTES


class Workers:
    """The threads; none where there is but one image at a time.

    What they run, if it has not been opened yet, is opened when the first small image comes, beside
    it: until it is there, images run one at a time.
    """

    def __init__(
        self, threads: int, pool: ThreadPoolExecutor, share: Callable[[], None] | None = None
    ) -> None:
        self.threads = threads
        self._pool, self._share = pool, share
        self._opening: Future[None] | None = None
        self._unfinished: set[Future[object]] = set()

    def take(self, loading: Loading) -> bool:
        """Whether an image, which is waited for, is for them."""
        if self.threads < 2 or loading.pixels > MOST_PIXELS:
            return False
        if self._share is None:
            return True
        if self._opening is None:
            self._opening = self._pool.submit(self._share)
        if not self._opening.done():
            return False
        self._opening.result()
        return True

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Work for the next thread that has none."""
        future = self._pool.submit(work, *args, **kwargs)
        self._unfinished.add(future)  # type: ignore[arg-type]
        future.add_done_callback(self._unfinished.discard)
        return future

    def took_back(self, future: Future[T]) -> bool:
        """Whether it is work of theirs that none has begun; then none will."""
        return future in self._unfinished and future.cancel()


@dataclass(frozen=True)
class Abreast:
    """The models of a chain whose filters all take several threads; none where one does not."""

    models: Sequence[LoadedModel] = ()
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def broken_off(self) -> bool:
        """Whether nobody waits any more for what threads are still at."""
        return self._ended.is_set()

    @contextmanager
    def working(self, images: int | None) -> Iterator[Workers]:
        """Threads for a run of so many images, or of a stream (None).

        At the end they are waited for; an image that one is still at fails at the next filter or
        window.
        """
        threads = min((loaded.at_once for loaded in self.models), default=1)
        if images is None or images < _FEWEST or threads < 2:
            threads = 1
        with ThreadPoolExecutor(max_workers=threads) as pool:
            if threads == 1:
                yield Workers(threads, pool)
                return
            share = partial(self._share, threads)
            try:
                opened = all(loaded.is_for_several for loaded in self.models)
                if opened:
                    share()
                yield Workers(threads, pool, None if opened else share)
            finally:
                self._ended.set()
                for loaded in self.models:
                    loaded.break_off()
                pool.shutdown(wait=True, cancel_futures=True)
                self._share(1)
                self._ended.clear()

    def _share(self, threads: int) -> None:
        for loaded in self.models:
            loaded.share(threads)
