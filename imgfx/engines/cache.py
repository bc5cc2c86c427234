"""Compiled engines on disk: private to the user, written whole, checked before they are used.

A compiled engine is code. Its folder belongs to the user and nobody else may write to it; an entry
that is damaged, foreign or writable by others is built anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from imgfx.atomic import write_whole
from imgfx.errors import EngineError

_MAGIC = b"imgfx-engine-1\n"
_SUFFIX = ".engine"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class EngineKey:
    """Everything that a compiled engine depends on; another value is another engine."""

    engine: str
    """The engine's name and the versions of its packages."""
    model: str
    weights: str
    """sha256 of the weights, in which the spec is counted."""
    graph: str
    """sha256 of the sources that make the graph: the network's package and the export."""
    device: str
    """Which processor or GPU, as exactly as the engine needs it."""
    precision: str
    options: str = ""
    """Batch, window and whatever else the engine was built for."""

    @property
    def digest(self) -> str:
        """Names the entry."""
        text = json.dumps(self.__dict__, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Entry:
    """A compiled engine with what is known of it."""

    key: EngineKey
    blob: bytes
    psnr: float | None
    """Against PyTorch in fp32 on the probe images, in dB; None if not compared yet."""
    seconds: float
    """That building took."""

    @property
    def refused(self) -> bool:
        """Whether it was not near enough; then its code is not kept."""
        return self.psnr is not None and not self.blob


@dataclass(frozen=True)
class Listed:
    """An entry as `imgfx engine list` shows it."""

    path: Path
    bytes: int
    entry: Entry | None
    """None for what would be built anew."""


class EngineCache:
    """A folder of compiled engines."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def load(self, key: EngineKey) -> Entry | None:
        """The entry of a key; None if there is none that can be trusted.

        Raises:
            EngineError: the folder belongs to somebody else.
        """
        if not self.folder.is_dir():
            return None
        self._check_folder()
        entry = _read(self.folder / f"{key.digest}{_SUFFIX}")
        return entry if entry is not None and entry.key == key else None

    def store(self, entry: Entry) -> None:
        """Writes an entry, whole or not at all.

        Raises:
            EngineError: it cannot be written.
        """
        self._make_folder()
        header = {
            "key": entry.key.__dict__,
            "psnr": entry.psnr,
            "seconds": entry.seconds,
            "sha256": hashlib.sha256(entry.blob).hexdigest(),
        }
        path = self.folder / f"{entry.key.digest}{_SUFFIX}"
        data = b"".join([_MAGIC, json.dumps(header).encode(), b"\n", entry.blob])
        try:
            write_whole(path, data)
            path.chmod(0o600)
        except OSError as error:
            raise EngineError(f"{path}: cannot write: {error.strerror}") from error

    @contextmanager
    def building(self, key: EngineKey) -> Iterator[None]:
        """While one process builds the engine of a key, others wait here.

        Raises:
            EngineError: the folder cannot be used.
        """
        from filelock import FileLock

        self._make_folder()
        lock = FileLock(self.folder / f"{key.digest}.lock", mode=0o600)
        try:
            lock.acquire()
        except OSError as error:
            raise EngineError(f"{lock.lock_file}: cannot write: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    def entries(self) -> list[Listed]:
        """What is in the folder, the newest first."""
        found = sorted(self._files(), key=lambda pair: -pair[1].st_mtime)
        return [Listed(p, s.st_size, _read(p)) for p, s in found if p.suffix == _SUFFIX]

    def clear(self) -> tuple[int, int]:
        """Removes everything; answers how many engines that were, and how many bytes.

        Raises:
            EngineError: something cannot be removed.
        """
        count = size = 0
        for path, state in self._files():
            if path.suffix in (_SUFFIX, ".lock", ".tmp"):
                count += path.suffix == _SUFFIX
                size += state.st_size
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise EngineError(f"{path}: cannot remove: {error.strerror}") from error
        return count, size

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """What is in the folder by now; another process may take it away meanwhile."""
        for path in sorted(self.folder.glob("*")) if self.folder.is_dir() else []:
            with suppress(OSError):
                yield path, path.lstat()

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(f"{self.folder}: cannot make: {error.strerror}") from error
        self._check_folder()

    def _check_folder(self) -> None:
        """Only the user may write there; a folder of one's own is put right."""
        state = self.folder.stat()
        if not _is_ours(state):
            raise EngineError(
                f"{self.folder}: belongs to another user; compiled engines are code: set "
                "IMGFX_CACHE to a folder of your own"
            )
        if os.name == "posix" and state.st_mode & 0o077:
            self.folder.chmod(0o700)


def default_folder() -> Path:
    """`engines` in IMGFX_CACHE, or in the user's own folder of caches."""
    named = os.environ.get("IMGFX_CACHE")
    if named:
        return Path(named) / "engines"
    from platformdirs import user_cache_path

    return user_cache_path("imgfx", appauthor=False) / "engines"


def _is_ours(state: os.stat_result) -> bool:
    return os.name != "posix" or state.st_uid == os.getuid()


def _read(path: Path) -> Entry | None:
    """An entry; None if it is missing, damaged, or others could have written it."""
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode) or not _is_ours(state):
            return None
        if os.name == "posix" and state.st_mode & _OTHERS_WRITE:
            return None
        with path.open("rb") as file:
            magic, head = file.read(len(_MAGIC)), file.readline()
            # As many bytes as there are: without the number it asks for new memory time and again.
            blob = file.read(state.st_size - file.tell())
        header: Mapping[str, object] = json.loads(head)
        if magic != _MAGIC or header["sha256"] != hashlib.sha256(blob).hexdigest():
            return None
        key = EngineKey(**header["key"])  # type: ignore[arg-type]
        psnr = header["psnr"]
        known = None if psnr is None else float(psnr)  # type: ignore[arg-type]
        return Entry(key, blob, known, float(header["seconds"]))  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def sources_digest(*folders_or_files: Path) -> str:
    """sha256 over the Python sources of packages; changes whenever a line of them does."""
    total = hashlib.sha256()
    for place in folders_or_files:
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            total.update(f"{path.name}\n".encode() + path.read_bytes())
    return total.hexdigest()


def package_sources(module: str) -> Path:
    """The folder of the package, or the file, that a module is in; imports nothing.

    Raises:
        EngineError: there are no sources.
    """
    from importlib.util import find_spec

    found = find_spec(module.partition(".")[0])
    if found is None or found.origin is None:
        raise EngineError(f"{module}: its sources are not found")
    path = Path(found.origin)
    return path.parent if path.name == "__init__.py" else path
