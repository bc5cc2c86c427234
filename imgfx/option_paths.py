"""Paths among the values of options: found, changed, cut down to their names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import Any

import click

from imgfx.written import Value, Values, named


def with_paths(
    parameters: Sequence[click.Parameter], values: Values, change: Callable[[str], str]
) -> dict[str, Value]:
    """The values, where those of paths are changed so; `-` stays."""
    known = named(parameters)
    return {
        name: _changed(known[name].type, value, change) if name in known else value
        for name, value in values.items()
    }


def _changed(kind: Any, value: Value, change: Callable[[str], str]) -> Value:
    if isinstance(kind, click.Tuple) and isinstance(value, list):
        if value and isinstance(value[0], list):
            return [_changed(kind, part, change) for part in value]
        return [_changed(k, v, change) for k, v in zip(kind.types, value, strict=False)]
    if not isinstance(kind, click.Path | click.File):
        return value
    if isinstance(value, list):
        return [_changed(kind, part, change) for part in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)  # the name of a folder is one, whatever it looks like
    return change(value) if isinstance(value, str) and value != "-" else value


def without_folders(parameters: Sequence[click.Parameter], values: Values) -> dict[str, Value]:
    """The values, of which a path has but its last part, whatever the option says it is."""
    shortened = with_paths(parameters, values, _last_part)
    return {name: _without_folder(value) for name, value in shortened.items()}


def _last_part(path: str) -> str:
    return PurePath(path).name


def _without_folder(value: Value) -> Value:
    if isinstance(value, list):
        return [_without_folder(part) for part in value]
    if not isinstance(value, str) or os.sep not in value or "\0" in value:
        return value
    # Unlike Path.exists, this says no of names that are too long.
    return _last_part(value) if os.path.exists(value) else value  # noqa: PTH110


def paths_in(parameters: Sequence[click.Parameter], values: Values) -> Iterator[tuple[str, str]]:
    """(option, path) of each path among the values."""
    found: list[tuple[str, str]] = []
    for name in values:

        def note(path: str, name: str = name) -> str:
            found.append((name, path))
            return path

        with_paths(parameters, {name: values[name]}, note)
    return iter(found)
