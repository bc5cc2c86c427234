"""What becomes of the images of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import click

from imgfx.errors import BatchError, ImageError, surprise
from imgfx.stage import Item

if TYPE_CHECKING:
    from imgfx.engines.base import Choice


@dataclass(frozen=True)
class Outcome:
    """What became of one image."""

    origin: str
    output: str | None
    seconds: float
    """In the filters and in encoding; decoding, which runs ahead, is not counted."""
    notes: tuple[str, ...] = ()
    error: str | None = None
    kept: bool = False
    """Whether it was done by an earlier run, and left as it is."""
    ran: Sequence[Choice] | None = None
    """What ran the models, where that is not the same for all images."""


@dataclass(frozen=True)
class Made:
    """An image that is ready to be written, or why there is none."""

    name: str
    """The item's, as the image told it."""
    data: bytes | None
    seconds: float
    """In the filters and in encoding."""
    notes: tuple[str, ...] = ()
    error: str | None = None
    ran: Sequence[Choice] | None = None
    """See `Outcome`."""
    passing: bool = False
    """Of an error: whether it says nothing of the image; see `is_passing`."""
    session_notes: tuple[str, ...] = ()
    """What another process's session has noted since its last image; see `Session.notes`."""


@dataclass
class Report:
    """What became of all of them."""

    outcomes: list[Outcome] = field(default_factory=list)
    stopped: bool = False
    """Whether a failure, or an interrupt, ended the run before all images were tried."""

    def add(self, outcome: Outcome, *, stop_on_error: bool) -> bool:
        """One more image; answers whether it ends the run."""
        self.outcomes.append(outcome)
        ended = outcome.error is not None and stop_on_error
        self.stopped |= ended
        return ended

    def sort(self, places: Sequence[int]) -> None:
        """Puts outcomes in the order of their images, whose numbers are told.

        What is known of images is told before those in work are done.
        """
        numbered = sorted(zip(places, self.outcomes, strict=False), key=lambda pair: pair[0])
        self.outcomes[:] = [outcome for _, outcome in numbered]

    @property
    def failed(self) -> int:
        """Images that failed."""
        return sum(outcome.error is not None for outcome in self.outcomes)

    @property
    def done(self) -> int:
        """Images that are written, in this run or in an earlier one."""
        return len(self.outcomes) - self.failed

    @property
    def kept(self) -> int:
        """Images that an earlier run has written."""
        return sum(outcome.kept for outcome in self.outcomes)

    def raise_for_failures(self) -> None:
        """Turns failures into an exit code.

        Raises:
            BatchError: some images failed and others are written.
            ImageError: all failed.
        """
        if not self.failed:
            return
        if self.done and self.stopped:
            raise BatchError(f"stopped at the first image that failed; {self.done} are written")
        if self.done:
            raise BatchError(
                f"{self.failed} of {len(self.outcomes)} images failed; the others are written"
            )
        if len(self.outcomes) > 1:
            raise ImageError(f"all {self.failed} images failed")
        raise ImageError(self.outcomes[0].error or "")


class Ledger(Protocol):
    """What knows which images need not be made."""

    def known(self, item: Item, index: int) -> Outcome | None:
        """What became of an item in an earlier run; None if it is to be done."""
        ...

    def failed(self, item: Item, index: int, error: str) -> None:
        """An item could not be made."""
        ...


Observe = Callable[[Outcome], None]
"""Told of each image as it is done."""


def message(item: Item, error: BaseException) -> str:
    """One line about an image that failed, which names it."""
    if not isinstance(error, click.ClickException):
        return f"{item.origin}: {surprise(error)}"
    text = error.format_message()
    return text if item.origin in text else f"{item.origin}: {text}"
