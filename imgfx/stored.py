"""The tensors of a weights file, which are read when somebody asks for them.

An engine that has been compiled needs none of them; but that they are sound is checked each time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from io import FileIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imgfx.errors import WeightsError

Float = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_CHUNK = 1 << 18
"""Bytes that are looked at at a time. New memory for all of them takes longer than to read them."""


def bytes_of(tensor: npt.NDArray[np.floating]) -> Bytes:
    """A tensor's values as little-endian float32."""
    return np.ascontiguousarray(tensor, "<f4").reshape(-1).view(np.uint8)


class StoredTensors(Mapping[str, Float]):
    """Parameters and buffers by their name, float32.

    Raises:
        SafetensorError, OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import safe_open

        self._path, self._place = Path(path), Path(path).absolute()
        with self._path.open("rb", buffering=0) as raw:
            self._edition = _edition(raw)
        with safe_open(path, framework="numpy") as file:  # which checks that all lies where it says
            self.header: Mapping[str, str] = file.metadata() or {}
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            self.shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
            self._kinds = {name: part.get_dtype() for name, part in parts.items()}

    def contents(self) -> Iterator[tuple[str, tuple[int, ...], Iterable[Bytes]]]:
        """(name, shape, its little-endian bytes in pieces) of each, sorted by name.

        A piece is gone when the next one is asked for.

        Raises:
            OSError: they cannot be read.
            WeightsError: the file was changed meanwhile.
        """
        room = np.empty(_CHUNK, np.uint8)
        with self._opened() as file:
            places = self._places(file)
            for name in sorted(self.shapes):
                if self._kinds[name] == "F32":
                    yield name, self.shapes[name], self._pieces(file, *places[name], room)
                else:
                    yield name, self.shapes[name], [bytes_of(self[name])]

    def _pieces(self, file: FileIO, begin: int, end: int, room: Bytes) -> Iterator[Bytes]:
        file.seek(begin)
        while begin < end:
            count = file.readinto(room[: end - begin].data)
            if not count:
                raise WeightsError(f"{self._path}: truncated")
            yield room[:count]
            begin += count

    def __getitem__(self, name: str) -> Float:
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    @cached_property
    def _read(self) -> Mapping[str, Float]:
        from safetensors import SafetensorError, safe_open

        try:
            with self._opened(), safe_open(self._place, framework="numpy") as file:
                return {name: file.get_tensor(name) for name in self.shapes}
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{self._path}: cannot be read any more: {error}") from error

    def _places(self, file: FileIO) -> Mapping[str, tuple[int, int]]:
        """Where in the file each begins and ends. Layout: safetensors, 'Format'."""
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        offsets = {name: header[name]["data_offsets"] for name in self.shapes}
        return {name: (8 + length + b, 8 + length + e) for name, (b, e) in offsets.items()}

    def _opened(self) -> FileIO:
        """The file, if it still is the one that was opened first."""
        file = self._place.open("rb", buffering=0)
        if _edition(file) == self._edition:
            return file
        file.close()
        raise WeightsError(f"{self._path}: was changed while it was in use; run it again")


def _edition(file: FileIO) -> tuple[int, int, int]:
    """What is another one after a file has been replaced, or written to."""
    found = os.fstat(file.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns
