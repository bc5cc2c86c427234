"""What installed packages say of themselves in their metadata.

importlib.metadata says the same, and takes 20 ms to be imported: with it come e-mail, archives and
CSV, a quarter of what `imgfx --version` takes. So folders on the path are read here, and it is
asked for the rest: archives, eggs, and packages that a finder of somebody's brings. Sources: PyPA
specifications, 'Recording installed projects', 'Entry points', 'Core metadata'.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import Distribution

NAMELESS = "unknown package"
_VALUE = re.compile(r"\s*([\w.]+)\s*(?::\s*([\w.]+)\s*)?(?:\[.*\]\s*)?$")


class Package:
    """An installed distribution.

    Args:
        folder: of its metadata; None for what importlib.metadata has found.
        found: what that is.
    """

    def __init__(self, folder: Path | None, found: Distribution | None = None) -> None:
        self._folder, self._found = folder, found

    @cached_property
    def distribution(self) -> Distribution:
        """All that is known of it."""
        if self._found is not None:
            return self._found
        from importlib.metadata import PathDistribution

        assert self._folder is not None
        return PathDistribution(self._folder)

    @cached_property
    def name(self) -> str:
        """As it calls itself."""
        return self._headers.get("name") or NAMELESS

    @cached_property
    def version(self) -> str:
        """Empty where none is known."""
        return self._headers.get("version", "")

    @cached_property
    def _headers(self) -> dict[str, str]:
        if self._folder is None:
            return _headers_of(self.distribution)
        for name in ("METADATA", "PKG-INFO"):
            try:
                with (self._folder / name).open(encoding="utf-8", errors="replace") as file:
                    return _headers_in(file)
            except OSError:
                continue
        return {}  # of a failed uninstallation

    @cached_property
    def is_editable(self) -> bool:
        """Whether its modules are files that somebody works on, whatever its version says.

        Source: PyPA specification 'Recording the direct URL origin of installed distributions'.
        """
        import json  # which takes a tenth of `imgfx --version`

        try:
            if self._folder is None:
                text = self.distribution.read_text("direct_url.json") or ""
            else:
                text = (self._folder / "direct_url.json").read_text(encoding="utf-8")
            return bool(json.loads(text).get("dir_info", {}).get("editable", False))
        except (OSError, ValueError, AttributeError):  # none, or no JSON, or of another form
            return False

    def points(self) -> Iterator[Point]:
        """Its entry points."""
        if self._folder is None:
            points = self.distribution.entry_points
            return (Point(p.name, p.value, p.group, self) for p in points)
        try:
            path = self._folder / "entry_points.txt"
            return _points_in(path.read_text(encoding="utf-8", errors="replace"), self)
        except OSError:
            return iter(())


@dataclass(frozen=True)
class Point:
    """An entry point: a name in a group, and what it stands for."""

    name: str
    value: str
    """`module` or `module:attribute`."""
    group: str
    package: Package | None = None
    """None for what stands in no package."""

    @property
    def module(self) -> str:
        """The module's name.

        Raises:
            AttributeError: none is named.
        """
        return self._parts()[0]

    def load(self) -> Any:
        """What it stands for. Whatever importing it raises is raised."""
        module, attributes = self._parts()
        found = import_module(module)
        for attribute in filter(None, attributes.split(".")):
            found = getattr(found, attribute)
        return found

    def _parts(self) -> tuple[str, str]:
        match = _VALUE.match(self.value)
        if match is None:
            raise AttributeError(f"{self.value!r} names no module")
        return match[1], match[2] or ""


def installed_points(is_wanted: Callable[[str], object]) -> Iterator[Point]:
    """The entry points of all packages in the groups that are wanted.

    Of packages of one name the first on the path counts, as it does for imports.
    """
    seen = set()
    for name, package in _packages():
        if name not in seen:
            seen.add(name)
            yield from (point for point in package.points() if is_wanted(point.group))


def _packages() -> Iterator[tuple[str, Package]]:
    """Packages by their names as PEP 503 compares them, in the order of the path."""
    if not _is_plain():
        from importlib.metadata import distributions

        for found in distributions():
            package = Package(None, found)
            nameless = package.name == NAMELESS  # each of them is another one
            yield str(id(package)) if nameless else canonical(package.name), package
        return
    for place in _path():
        for entry in _entries(place or "."):
            stem, _, kind = entry.rpartition(".")
            if kind in ("dist-info", "egg-info"):
                yield canonical(stem.partition("-")[0]), Package(Path(place, entry))


def _is_plain() -> bool:
    """Whether packages are in the folders of the path and nowhere else."""
    finders = [f for f in sys.meta_path if hasattr(f, "find_distributions")]
    return finders == [PathFinder] and not any(
        # Not Path.is_file, which raises where a folder above may not be entered.
        place.endswith(".egg") or os.path.isfile(place)  # noqa: PTH113
        for place in _path()
    )


def _path() -> list[str]:
    """Where modules are looked for; what is no text, as imports do, is passed over."""
    places: list[object] = [*sys.path]
    return [place for place in places if isinstance(place, str)]


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  # some hundred names, of which few are wanted
    except (OSError, ValueError):  # the path names what is not there, or not for us
        return []


def canonical(package: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", package.strip()).lower()


def _headers_in(lines: Iterable[str]) -> dict[str, str]:
    """By their names in small letters, up to the first empty line."""
    found: dict[str, str] = {}
    for line in lines:
        if not line.strip():
            break
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            found.setdefault(name.lower(), value.strip())
    return found


def _headers_of(distribution: Distribution) -> dict[str, str]:
    try:
        metadata = distribution.metadata
        return {key: metadata[key] for key in ("name", "version") if metadata[key]}
    except Exception:  # as newer Pythons do where a failed uninstallation left no metadata
        return {}


def _points_in(text: str, package: Package) -> Iterator[Point]:
    group = None
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1]
        elif group is not None and "=" in line and line[0] != "#":
            name, _, value = line.partition("=")
            yield Point(name.strip(), value.strip(), group, package)
