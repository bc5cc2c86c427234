"""What a terminal shows of a run: a bar of its images, or of the tiles of a single one."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from tqdm import tqdm


class Progress:
    """A bar on stderr; where that is no terminal, or nothing is to be said, there is none.

    Of several images, and of a stream, it counts these and tells of the tiles of a large one; of a
    single image it counts the tiles, where a network takes it in several.

    Args:
        images: of the run; None for a stream.
        quiet: nothing is to be said.
    """

    def __init__(self, images: int | None, *, quiet: bool = False) -> None:
        self._single = images == 1
        self._shown = not quiet and sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None
        if self._shown and not self._single:
            self._open("image", images)

    def image(self) -> None:
        """One more image is done."""
        if self._bar is None or self._single:
            return
        self._bar.set_postfix_str("", refresh=False)
        self._bar.update()

    def tiles(self, model: str, done: int, of: int) -> None:
        """So many of an image's tiles have been through a network."""
        if not self._shown or of < 2:
            return
        if not self._single:
            if self._bar is not None:
                self._bar.set_postfix_str(f"{model}: tile {done} of {of}" if done < of else "")
            return
        if done == of:
            self.close()
            return
        if self._bar is None or self._bar.total != of or done < self._bar.n:
            self.close()
            self._open("tile", of, model)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def _open(self, unit: str, total: int | None, what: str | None = None) -> None:
        from tqdm import tqdm

        # Each tile is shown: there are few, and each takes a while.
        least = 0.0 if unit == "tile" else 0.1
        self._bar = tqdm(
            desc=what, total=total, unit=unit, mininterval=least, miniters=1, file=sys.stderr,
            leave=False,
        )  # fmt: skip

    def close(self) -> None:
        """Takes the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
