"""What a batch asks its journal, and tells it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from imgfx.errors import ImageError, ImgfxError
from imgfx.files import read_provenance
from imgfx.in_place import is_same_file
from imgfx.journal import Journal
from imgfx.outcomes import Outcome
from imgfx.recorder import Recorder
from imgfx.settings import Settings
from imgfx.stage import Item, Sink
from imgfx.stamps import Stamp, stamp_of


class BatchLedger:
    """What earlier runs of a batch have done; notes what this one does. Satisfies `Ledger`."""

    def __init__(self, journal: Journal, sink: Sink, settings: Settings, record: Recorder) -> None:
        self._journal, self._sink, self._settings = journal, sink, settings
        self._record = record
        self._read: dict[int, Stamp | None] = {}

    def known(self, item: Item, index: int) -> Outcome | None:
        """See `Ledger`."""
        try:
            target = self._sink.target(item, index)
        except ImgfxError:
            return None  # said when it is its turn
        # Before it is read: what changes while it is read is changed when the batch is run again.
        self._read[index] = stamp_of(item.path)
        if self._settings.redo:
            return None
        entry = self._journal.known(item.path, item.origin, Path(target))
        if entry is None:
            note = self._why_kept(item, Path(target))
            return Outcome(item.origin, target, 0.0, (note,), kept=True) if note else None
        if entry.error is None:
            return Outcome(item.origin, target, 0.0, kept=True)
        if self._settings.retry_failed:
            return None
        again = "failed in an earlier run; --retry-failed tries again"
        return Outcome(item.origin, None, 0.0, error=f"{entry.error} ({again})")

    def _why_kept(self, item: Item, target: Path) -> str | None:
        """Why an image is not made although it is not known as done; None if it is to be made."""
        if self._journal.edited(item.path, item.origin, target):
            return f"{target} has been changed since it was made, and is kept; --redo makes it anew"
        if self._journal.restored(item.path, target):
            return (
                f"{target} is what these stages made of it, with other weights or versions, and is "
                "kept; --redo does it again"
            )
        if self._journal.replaced(item.path, target) and self._says_so(item.path):
            return (
                f"{target} has been changed since these stages restored it, and is kept; --redo "
                "does it again"
            )
        return None

    def _says_so(self, path: Path | None) -> bool:
        """Whether a file's own provenance has what this chain does."""
        if path is None:
            return False
        with suppress(ImgfxError):
            return self._record.has_made(read_provenance(path))
        return False

    def note(self, item: Item, index: int, target: Path, stamp: Stamp) -> None:
        """See `Note`.

        Raises:
            ImageError: the image is to replace what is not what has been read.
        """
        read = self._read.pop(index, None)
        if is_same_file(target, item.path) and stamp_of(item.path) != read:
            raise ImageError(f"{target}: has changed since it was read, and is left as it is")
        self._journal.done(item.path, item.origin, read, target, stamp)

    def failed(self, item: Item, index: int, error: str) -> None:
        """See `Ledger`."""
        try:
            target = Path(self._sink.target(item, index))
        except ImgfxError:
            return
        read = self._read.pop(index, None)
        self._journal.failed(item.path, item.origin, read, target, error)
