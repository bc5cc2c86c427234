"""What a batch has done, kept beside its output, so that a rerun does only what is left.

A line of JSON an image is added before its file gets its name: with the size and time that the file
will have, the input's, and a digest of the chain. After a kill at any moment a file that bears
out its line is whole and of that chain; any other is made again. An image that replaces its own
input has a history: each line read what the one before had written, and whatever is in it is done.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from imgfx.atomic import TEMPORARY, is_alone, remove_if_abandoned
from imgfx.errors import ImgfxError
from imgfx.in_place import is_same_file
from imgfx.journal_file import end_line, held, is_there
from imgfx.stamps import SECOND, Stamp, agree, is_stamp, stamp_of

NAME = ".imgfx-journal.jsonl"
_VERSION = 1
_FAILED = "failed"
_RECENT = 256
"""Paths that are at hand as they are noted: each is asked for several times while it is made."""


@dataclass(frozen=True)
class Entry:
    """One image's line."""

    output: str
    """Relative to the journal's folder."""
    input: str
    """The same, or what else names it."""
    chain: str
    read: Stamp | None
    """Of the input; None where it is no file."""
    written: Stamp | None
    """Of the output; None where there is none."""
    error: str | None = None
    stages: str = ""
    """A digest of the same without versions and weights; empty in older lines."""


class Journal:
    """The journal of a folder for one chain.

    Several processes may add to it at once; each line is written in one piece.

    Args:
        folder: where the batch's output goes.
        chain: the digest of filters, sink and weights.
        made: the digest with the source, for images that come from no file.
        limits: on what else it depends whether an image can be made.
        stages: the digest of filters and sink alone, whatever their versions and weights.
        writable: False for looking at it alone.

    Raises:
        ImgfxError: the folder cannot be made or written.
    """

    def __init__(
        self,
        folder: Path,
        chain: str,
        made: str = "",
        limits: str = "",
        stages: str = "",
        *,
        writable: bool = True,
    ) -> None:
        self.folder, self._chain, self._made = folder, chain, made or chain
        self._limits, self._stages = limits, stages
        self._path = folder / NAME
        self._from_here = lru_cache(_RECENT)(partial(_seen_from, folder))
        self._descriptor = -1
        self._seen = 0
        """Bytes of the journal that have been taken in."""
        self._is_new = False
        self._history: dict[str, list[Entry]] = {}
        """By output, what was made there, in order."""
        self._failures: dict[str, dict[str, Entry]] = {}
        """By output and chain, what has failed and has not been made since."""
        if writable:
            self._descriptor = self._opened()
            self._read_on()
        else:
            self._check_usable()
            for entry in _entries_of(self._path):
                self._take(entry)

    def _check_usable(self) -> None:
        """Whether a run could use a journal that is there."""
        path = self._path
        if path.exists() and not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
            reason = os.strerror(errno.EACCES) if path.is_file() else "it is no file"
            raise ImgfxError(f"{path}: cannot write there: {reason}")

    def _opened(self) -> int:
        folder = self.folder
        try:
            self._is_new = not folder.exists()
            descriptor = held(self._path)
            end_line(descriptor)
            self._place = folder.stat()
        except OSError as error:
            what = self._path if os.path.lexists(self._path) else folder
            raise ImgfxError(f"{what}: cannot write there: {error.strerror}") from error
        return descriptor

    def known(self, source: Path | None, name: str, target: Path) -> Entry | None:
        """What is known of an image that need not be made: done, or failed, and nothing changed.

        What other runs have added meanwhile counts.
        """
        self._read_on()
        chain = self._digest(source, _FAILED)
        failure = self._failures.get(self._relative(target), {}).get(chain)
        if failure is not None and self._was_of(failure, source, name):
            return failure
        if self._is_in_place(source, target):
            own = self._digest(source, None)
            return next((e for e in self._made_of(source, target) if e.chain == own), None)
        entry = self._of_this_work(source, name, target)
        return entry if entry is not None and is_stamp(entry.written, target) else None

    def restored(self, source: Path | None, target: Path) -> bool:
        """Whether an image is what the same stages made of it, of other versions or weights."""
        if not self._stages or not self._is_in_place(source, target):
            return False
        return any(entry.stages == self._stages for entry in self._made_of(source, target))

    def replaced(self, source: Path | None, target: Path) -> bool:
        """Whether an image was restored in its own place, and is not what was written there."""
        if not self._is_in_place(source, target):
            return False
        return next(self._made_of(source, target), None) is None

    def edited(self, source: Path | None, name: str, target: Path) -> bool:
        """Whether an image need not be made but for its output, which somebody has changed since.

        What a crash has left of a file, empty or of our own time, is not somebody's, nor is what
        an earlier run has written there.
        """
        entry = self._of_this_work(source, name, target)
        found = stamp_of(target)
        if entry is None or entry.written is None or found is None or is_same_file(target, source):
            return False
        history = self._history[entry.output]
        known = any(is_stamp(earlier.written, target) for earlier in history)
        # An older one was there before ours, which a crash has kept from taking its place. Who tags
        # a picture may set its time back to what it was; a crash makes none longer.
        age, size = found[1] // SECOND - entry.written[1] // SECOND, found[0] - entry.written[0]
        return found[0] > 0 and (age > 0 or (age == 0 and size > 0)) and not known

    def _of_this_work(self, source: Path | None, name: str, target: Path) -> Entry | None:
        """The last line of an output, if it is of this chain and of this input as it is now."""
        history = self._history.get(self._relative(target))
        entry = history[-1] if history else None
        if entry is None or entry.chain != self._digest(source, None):
            return None
        return entry if self._was_of(entry, source, name) else None

    def _was_of(self, entry: Entry, source: Path | None, name: str) -> bool:
        """Whether a line is of an input as it is now."""
        return entry.input == self._input(source, name) and is_stamp(entry.read, source)

    def _is_in_place(self, source: Path | None, target: Path) -> bool:
        """Whether an image that has been made before replaces its own input."""
        return self._relative(target) in self._history and is_same_file(target, source)

    def _made_of(self, source: Path | None, target: Path) -> Iterator[Entry]:
        """What has made a file in its own place what it is, the last of it first."""
        stamp = stamp_of(source)
        for entry in reversed(self._history.get(self._relative(target), ())):
            if agree(entry.written, stamp):
                yield entry
                stamp = entry.read

    def _read_on(self) -> None:
        """Takes in what has been added, by whatever run, since it was last read."""
        if self._descriptor < 0:
            return
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        if end <= self._seen:
            return
        os.lseek(self._descriptor, self._seen, os.SEEK_SET)
        data = bytearray()
        while len(data) < end - self._seen:
            part = os.read(self._descriptor, end - self._seen - len(data))
            if not part:
                break
            data += part
        whole = data[: data.rfind(b"\n") + 1]  # the rest is still being written
        self._seen += len(whole)
        for entry in _entries_in(whole):
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        if entry.error is not None:
            self._failures.setdefault(entry.output, {})[entry.chain] = entry
            return
        self._history.setdefault(entry.output, []).append(entry)
        failures = self._failures.get(entry.output, {})
        for chain in [c for c in failures if c.partition(" ")[0] == entry.chain]:
            del failures[chain]

    def done(
        self, source: Path | None, name: str, read: Stamp | None, target: Path, stamp: Stamp
    ) -> None:
        """An image's file is complete, under a name that is not yet its own.

        Args:
            source: the input's file.
            name: of the input, where there is no file.
            read: the input's stamp before it was read.
            target: the output's file.
            stamp: what the output's file will have.
        """
        self._add(source, name, read, target, stamp, None)

    def failed(
        self, source: Path | None, name: str, read: Stamp | None, target: Path, error: str
    ) -> None:
        """An image could not be made."""
        self._add(source, name, read, target, None, error)

    def _add(
        self, source: Path | None, name: str, read: Stamp | None, target: Path,
        written: Stamp | None, error: str | None,
    ) -> None:  # fmt: skip
        entry = Entry(
            self._relative(target),
            self._input(source, name),
            self._digest(source, error),
            read,
            written,
            error,
            self._stages,
        )
        self._check_still_there()
        line = json.dumps({"v": _VERSION, **vars(entry)}, ensure_ascii=False) + "\n"
        data = memoryview(line.encode("utf-8", "surrogateescape"))
        end = self._seen + len(data)
        try:
            while data:  # of a disk that is nearly full a part is taken
                data = data[os.write(self._descriptor, data) :]
        except OSError as error_:
            raise ImgfxError(f"{self._path}: cannot write: {error_.strerror}") from error_
        if os.lseek(self._descriptor, 0, os.SEEK_END) == end:  # nobody else has added to it
            self._seen = end
            self._take(entry)

    def _check_still_there(self) -> None:
        """Whether what we write to is what has the journal's name.

        A folder that was removed or unmounted must not be made anew in another place.
        """
        if is_there(self._path, self._descriptor):
            return
        if is_there(self.folder, self._place):
            raise ImgfxError(
                f"{self._path}: the journal has been removed or replaced during the run, which "
                "ends here; the same command makes anew what is not noted"
            )
        raise ImgfxError(
            f"{self.folder}: the folder has been moved or removed, and what was written with it"
        )

    def _relative(self, path: Path) -> str:
        return self._from_here(str(path))

    def _digest(self, source: Path | None, error: str | None) -> str:
        """Of an image that is made, the source's options count; of one that failed, the limits."""
        digest = self._made if source is None else self._chain
        return f"{digest} {self._limits}" if error is not None and self._limits else digest

    def _input(self, source: Path | None, name: str) -> str:
        return name if source is None else self._relative(source)

    def close(self) -> None:
        """Of a folder in which nothing was ever noted nothing stays."""
        if self._descriptor < 0:
            return
        if os.fstat(self._descriptor).st_size == 0 and is_alone(self._descriptor):
            with contextlib.suppress(OSError):
                self._path.unlink()
            if self._is_new:
                with contextlib.suppress(OSError):
                    self.folder.rmdir()
        os.close(self._descriptor)


def _seen_from(folder: Path, path: str) -> str:
    """A path relative to a folder; whole where it is on another drive."""
    try:
        return os.path.relpath(path, folder)
    except ValueError:
        return os.path.abspath(path)  # noqa: PTH100  # links stay, as in the others


def outputs_noted(folder: Path) -> dict[Path, Path]:
    """By each file that any chain has written to a folder, by its journal, what that is made of.

    Those that replaced their own input are none of them: they are the photographs.
    """
    pairs = (
        (place_of(folder / entry.output), place_of(folder / entry.input))
        for entry in _entries_of(folder / NAME)
        if entry.error is None
    )
    return {written: read for written, read in pairs if written != read}


def place_of(path: Path) -> Path:
    """A file's path from the root, its folder without links; steps back are taken by names."""
    plain = Path(os.path.abspath(path))  # noqa: PTH100  # as in the journal
    return Path(os.path.realpath(plain.parent), plain.name)


def _entries_of(path: Path) -> Iterator[Entry]:
    try:
        data = path.read_bytes() if path.is_file() else b""
    except OSError:
        return
    yield from _entries_in(data)


def _entries_in(data: bytes | bytearray) -> Iterator[Entry]:
    text = os.fsdecode(bytes(data))  # as the names of files are, with which they are compared
    for line in text.split("\n"):  # not splitlines: names may hold what else ends a line
        entry = _entry(line)
        if entry is not None:
            yield entry


def _entry(line: str) -> Entry | None:
    """None for a line that was cut off, or of another version."""
    try:
        data: dict[str, Any] = json.loads(line)
        if data.pop("v") != _VERSION:
            return None
        for field in ("read", "written"):
            data[field] = (
                None if data[field] is None else (int(data[field][0]), int(data[field][1]))
            )
        entry = Entry(**data)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        return None
    texts = (entry.output, entry.input, entry.chain, entry.stages, entry.error or "")
    return entry if all(isinstance(text, str) for text in texts) else None


def remove_abandoned(targets: Iterable[Path]) -> None:
    """Removes what a killed run left half-written beside these files."""
    wanted: dict[Path, set[str]] = {}
    for target in targets:
        wanted.setdefault(target.parent, set()).add(target.name[:40])
    pattern = re.compile(TEMPORARY)
    for folder, names in wanted.items():
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(folder)):
                match = pattern.fullmatch(entry.name)
                if match and match[1] in names:
                    remove_if_abandoned(Path(entry.path))
