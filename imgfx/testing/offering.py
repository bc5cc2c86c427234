"""Offer a module as if it were installed, here and in child processes, for a while."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from imgfx.catalog import Catalog
from imgfx.hookspecs import GROUPS
from imgfx.plugins import Registry

_HOOKS = {
    "imgfx_stages": "",
    "imgfx_commands": "command",
    "imgfx_models": "model",
    "imgfx_engines": "engine",
    "imgfx_runners": "runner",
}
"""The kind of what a hook answers; of stages each says its own."""


@contextmanager
def offered(module: ModuleType, package: str = "imgfx-under-test") -> Iterator[Catalog]:
    """Within it all that a module's hooks answer is found under its name, without being installed.

    In this process, and in those that `imgfx.testing.run` starts: there the module must be one that
    can be imported by its name, from a file.

    Args:
        module: has hooks such as `imgfx_stages`.
        package: the name under which its package is known meanwhile.

    Yields:
        A catalog of all that is on offer: `catalog.stage("sepia")`.

    Raises:
        ValueError: the module answers nothing.
    """
    lines = list(_entry_points(module))
    if not lines:
        raise ValueError(f"{module.__name__} answers nothing: mark its hooks with @hookimpl")
    with tempfile.TemporaryDirectory(prefix="imgfx-offered-") as folder:
        _write_information(Path(folder), package, lines)
        paths = [folder, *_root(module)]
        inherited = [part for part in [os.environ.get("PYTHONPATH")] if part]
        variables = {"PYTHONPATH": os.pathsep.join([*paths, *inherited])}
        with (
            mock.patch.dict(os.environ, variables),
            mock.patch.object(sys, "path", [folder, *sys.path]),
        ):
            importlib.invalidate_caches()
            yield Registry()


def _entry_points(module: ModuleType) -> Iterator[tuple[str, str]]:
    """(group, line) for each thing that a hook answers."""
    for hook, kind in _HOOKS.items():
        answers: Iterable[Any] = getattr(module, hook, tuple)()
        for thing in answers:
            yield GROUPS[kind or thing.kind], f"{thing.name} = {module.__name__}"


def _write_information(folder: Path, package: str, lines: Iterable[tuple[str, str]]) -> None:
    """A dist-info folder as an installer leaves it."""
    information = folder / f"{package.replace('-', '_')}-0.dist-info"
    information.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: 0\n"
    (information / "METADATA").write_text(metadata, encoding="utf-8")
    groups: dict[str, list[str]] = {}
    for group, line in lines:
        groups.setdefault(group, []).append(line)
    text = "\n".join(f"[{group}]\n" + "\n".join(of) + "\n" for group, of in groups.items())
    (information / "entry_points.txt").write_text(text, encoding="utf-8")


def _root(module: ModuleType) -> list[str]:
    """The folder from which the module is imported by its name; none when it has no file."""
    file = getattr(module, "__file__", None)
    if file is None:
        return []
    depth = module.__name__.count(".") + (Path(file).name == "__init__.py")
    return [str(Path(file).resolve().parents[depth])]
