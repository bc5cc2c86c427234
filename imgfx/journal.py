"""What a batch has done, kept beside its output, so that a rerun does only what is left.

A line of JSON an image is added before its file gets its name: with the size and time that the file
will have, the input's, and a digest of the chain. After a kill at any moment a file that bears
out its line is whole and of that chain; any other is made again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgfx import __version__
from imgfx.atomic import TEMPORARY, is_abandoned, is_alone, share
from imgfx.chain import describe
from imgfx.errors import ImgfxError

if TYPE_CHECKING:
    from imgfx.session import LoadedModel
    from imgfx.stage import Stage

NAME = ".imgfx-journal.jsonl"
_VERSION = 1
_SECOND = 1_000_000_000
_TRIES = 100
"""To hold a journal that other runs remove meanwhile."""

Stamp = tuple[int, int]
"""Bytes and time of change in nanoseconds, by which a file is known again."""


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


class Journal:
    """The journal of a folder for one chain.

    Several processes may add to it at once; each line is written in one piece.

    Args:
        folder: where the batch's output goes.
        chain: the digest of filters, sink and weights.
        made: the digest with the source, for images that come from no file.
        limits: on what else it depends whether an image can be made.
        writable: False for looking at it alone.

    Raises:
        ImgfxError: the folder cannot be made or written.
    """

    def __init__(
        self, folder: Path, chain: str, made: str = "", limits: str = "", *, writable: bool = True
    ) -> None:
        self.folder, self._chain, self._made = folder, chain, made or chain
        self._limits = limits
        self._path = folder / NAME
        self._descriptor = -1
        if writable:
            self._descriptor = self._opened()
        self._entries: dict[str, Entry] = {}
        self._ours: dict[str, list[Stamp]] = {}
        """By output, all that files of ours had there."""
        for entry in _entries_of(self._path):
            self._take(entry)

    def _opened(self) -> int:
        folder = self.folder
        try:
            descriptor = _held(self._path)
            _end_line(descriptor)
        except OSError as error:
            raise ImgfxError(f"{folder}: cannot write there: {error.strerror}") from error
        return descriptor

    def known(self, source: Path | None, name: str, target: Path) -> Entry | None:
        """What is known of an image that need not be made: done, or failed, and nothing changed."""
        entry = self._of_this_work(source, name, target)
        if entry is None or (entry.error is None and not _is_stamp(entry.written, target)):
            return None
        return entry

    def edited(self, source: Path | None, name: str, target: Path) -> bool:
        """Whether an image need not be made but for its output, which somebody has changed since.

        What a crash has left of a file, empty or of our own time, is not somebody's, nor is what
        an earlier run has written there.
        """
        entry = self._of_this_work(source, name, target)
        found = _stamp(target)
        if entry is None or entry.written is None or found is None or _is_same(source, target):
            return False
        known = any(_is_stamp(stamp, target) for stamp in self._ours[entry.output])
        return found[0] > 0 and found[1] // _SECOND > entry.written[1] // _SECOND and not known

    def _of_this_work(self, source: Path | None, name: str, target: Path) -> Entry | None:
        """The line of an output, if it is of this chain and of this input as it is now."""
        entry = self._entries.get(self._relative(target))
        if entry is None or entry.chain != self._digest(source, entry.error):
            return None
        if entry.input != self._input(source, name):
            return None
        # Of an image that replaced its own input, the input is what was written.
        ours = entry.error is None and _is_same(source, target)
        return entry if _is_stamp(entry.written if ours else entry.read, source) else None

    def _take(self, entry: Entry) -> None:
        self._entries[entry.output] = entry
        if entry.written is not None:
            self._ours.setdefault(entry.output, []).append(entry.written)

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
        )
        self._check_still_there()
        line = json.dumps({"v": _VERSION, **asdict(entry)}, ensure_ascii=False) + "\n"
        data = memoryview(line.encode("utf-8", "surrogateescape"))
        try:
            while data:  # of a disk that is nearly full a part is taken
                data = data[os.write(self._descriptor, data) :]
        except OSError as error_:
            raise ImgfxError(f"{self._path}: cannot write: {error_.strerror}") from error_
        self._take(entry)

    def _check_still_there(self) -> None:
        """Whether what we write to is what has the journal's name.

        A folder that was removed or unmounted must not be made anew in another place.
        """
        if not _is_there(self._path, self._descriptor):
            raise ImgfxError(f"{self.folder}: the folder has vanished; what was written is lost")

    def _relative(self, path: Path) -> str:
        return os.path.relpath(path, self.folder)

    def _digest(self, source: Path | None, error: str | None) -> str:
        """Of an image that is made, the source's options count; of one that failed, the limits."""
        digest = self._made if source is None else self._chain
        return f"{digest} {self._limits}" if error is not None and self._limits else digest

    def _input(self, source: Path | None, name: str) -> str:
        return name if source is None else os.path.relpath(source, self.folder)

    def close(self) -> None:
        """Of a folder in which nothing was ever noted nothing stays."""
        if self._descriptor < 0:
            return
        if os.fstat(self._descriptor).st_size == 0 and is_alone(self._descriptor):
            with contextlib.suppress(OSError):
                self._path.unlink()
            with contextlib.suppress(OSError):
                self.folder.rmdir()
        os.close(self._descriptor)


def _held(path: Path) -> int:
    """The journal's descriptor, shared with other runs; who is alone removes an empty one."""
    for _ in range(_TRIES):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except FileNotFoundError:
            continue  # another run has removed the empty folder just now
        share(descriptor)
        if _is_there(path, descriptor):
            return descriptor
        os.close(descriptor)  # another run has removed it just now
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)  # a link into nowhere


def _end_line(descriptor: int) -> None:
    """Ends a line that was cut off, so that the next one is not lost with it."""
    size = os.fstat(descriptor).st_size
    if size and os.name == "posix" and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")


def _is_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def stamp_of(source: Path | None) -> Stamp | None:
    """A file's stamp; None when there is no file."""
    return _stamp(source)


def _stamp(path: Path | None) -> Stamp | None:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _is_stamp(noted: Stamp | None, path: Path | None) -> bool:
    """Whether a file has a stamp; in seconds, where it has been copied by what keeps only these."""
    found = _stamp(path)
    if noted is None or found is None or noted[0] != found[0]:
        return noted == found
    one, other = noted[1], found[1]
    whole = one % _SECOND == 0 or other % _SECOND == 0
    return one // _SECOND == other // _SECOND if whole else one == other


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
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    for line in text.split("\n"):  # not splitlines: names may hold what else ends a line
        entry = _entry(line)
        if entry is not None:
            yield entry


def _is_same(source: Path | None, target: Path) -> bool:
    try:
        return source is not None and source.samefile(target)
    except OSError:
        return False


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
        return Entry(**data)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None


def digest_of(
    stages: Sequence[Stage], sink: Mapping[str, Any], models: Sequence[LoadedModel]
) -> str:
    """Names a chain: stages and sink with their options, the weights, and the versions.

    Of the files that filters' options name, and of plugins that are files, the content counts.

    Engine and precision are left out: a batch may go on with another.
    """
    parts: dict[str, Any] = {
        "imgfx": __version__,
        "stages": describe([replace(stage, options=_placed(stage.options)) for stage in stages]),
        "sink": dict(sink),
        "weights": {loaded.model.name: loaded.weights.digest for loaded in models},
    }
    foreign = [stage.step for stage in stages if stage.step is not None]
    plugins = [(s.stage, s.version, dict(s.files)) for s in foreign if s.version or s.files]
    if plugins:
        parts["plugins"] = plugins
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _placed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options in which a file is named by its place, however a line or a chain file spells it."""
    return {
        name: Path(os.path.realpath(value)) if isinstance(value, Path) else value
        for name, value in options.items()
    }


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
                if match and match[1] in names and is_abandoned(Path(entry.path)):
                    Path(entry.path).unlink()
