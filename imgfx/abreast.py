"""How many images may be in a chain's filters at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgfx.session import LoadedModel

MOST_PIXELS = 1 << 19
"""Of an image that is run beside others. On two processors that gains a sixth at 320x240, nothing
at 640x480; of more processors one image occupies fewer."""
_FEWEST = 8
"""Images of a run that it pays for: what runs them is opened a second time."""


@dataclass(frozen=True)
class Abreast:
    """The models of a chain whose filters all take several threads; none where one does not."""

    models: Sequence[LoadedModel] = ()

    def begin(self, images: int | None) -> int:
        """Threads for a run of so many images, or of a stream (None); the models are told."""
        threads = min((loaded.at_once for loaded in self.models), default=1)
        if images is None or images < _FEWEST or threads == 1:
            return 1
        for loaded in self.models:
            loaded.share(threads)
        return threads

    def break_off(self) -> None:
        """Has threads that are still at work fail at their next window: nobody waits for them."""
        for loaded in self.models:
            loaded.break_off()

    def end(self) -> None:
        """The threads have ended; from now on one calls, as before."""
        for loaded in self.models:
            loaded.share(1)
