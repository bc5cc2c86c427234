"""Chain files: a chain of stages in TOML, read and written.

    imgfx-chain = 1

    [[stages]]
    stage = "denoise-ae"
    strength = 0.6

    [run]
    device = "cpu"

An option has its name of the command line; one that is itself called `stage` is written "--stage".
"""

from __future__ import annotations

import glob
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from imgfx import __version__
from imgfx.catalog import Catalog
from imgfx.errors import ImgfxError
from imgfx.option_paths import with_paths
from imgfx.options import run_options
from imgfx.stage import StageCommand
from imgfx.written import Line, Value, Written

Escape = Callable[[str], str]
"""How a folder's name is written before a path in it."""

VERSION = 1
_VERSION_KEY = "imgfx-chain"
_STAGES, _STAGE, _RUN = "stages", "stage", "run"
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_EXAMPLE = '[[stages]] and stage = "denoise-ae"'


def read_chain(path: Path, catalog: Catalog) -> Line:
    """The chain of a file; its relative paths are those from the file's folder.

    Stages and options are looked at when the line is run or shown.

    Raises:
        ImgfxError: no chain file, or of a later version.
    """
    found = _parsed(path)
    _check_version(path, found)
    unknown = set(found) - {_VERSION_KEY, _STAGES, _RUN}
    if unknown:
        raise ImgfxError(
            f"{path}: unknown key {min(unknown)!r}; a chain file has {_VERSION_KEY}, "
            f"[[{_STAGES}]] and [{_RUN}]"
        )
    tables = found.get(_STAGES)
    if not isinstance(tables, list) or not tables:
        raise ImgfxError(f"{path}: it holds no stages; write {_EXAMPLE}")
    run = found.get(_RUN, {})
    if not isinstance(run, dict):
        raise ImgfxError(f"{path}: {_RUN!r} holds the options of the run; write [{_RUN}]")
    stages = [_stage(path, number, table) for number, table in enumerate(tables, start=1)]
    line = Line(stages, _values(f"{path}: [{_RUN}]", run), str(path))
    return _moved(line, catalog, lambda text, escape: _from_folder(path, text, escape))


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ImgfxError(f"{path}: cannot read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also of numbers with too many digits
        reason = "no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise ImgfxError(
            f"{path}: no chain file: not TOML ({reason}); `imgfx chain save` writes one"
        ) from error


def _check_version(path: Path, found: Mapping[str, Any]) -> None:
    version = found.get(_VERSION_KEY)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ImgfxError(f"{path}: no chain file: it does not begin with {_VERSION_KEY} = 1")
    if version > VERSION:
        raise ImgfxError(
            f"{path}: a chain file of version {version}, and imgfx {__version__} reads version "
            f"{VERSION}; update imgfx"
        )


def _stage(path: Path, number: int, table: Any) -> Written:
    where = f"{path}: stage {number}"
    name = table.get(_STAGE) if isinstance(table, dict) else None
    if not isinstance(name, str) or not name:
        raise ImgfxError(f"{where} has no name; write {_EXAMPLE}")
    where += f" ({name})"
    values = {key: value for key, value in table.items() if key != _STAGE}
    return Written(name, _values(where, values), where)


def _values(where: str, found: Mapping[str, Any]) -> dict[str, Value]:
    return {key.removeprefix("--"): _value(where, key, value) for key, value in found.items()}


def _value(where: str, key: str, value: Any) -> Value:
    if isinstance(value, list):
        return [_value(where, key, part) for part in value]
    if not isinstance(value, str | int | float | bool):
        raise ImgfxError(f"{where}: {key} is a {type(value).__name__}; write it in quotes")
    return value


def _from_folder(path: Path, text: str, escape: Escape) -> str:
    """As a path from here; as short as it would be typed."""
    return _joined(os.path.dirname(path), os.path.expanduser(text), escape)  # noqa: PTH111, PTH120


def _joined(folder: str, text: str, escape: Escape) -> str:
    """A path in a folder; a slash at its end is kept."""
    plain = os.path.join(folder, text)  # noqa: PTH118
    if escape is glob.escape and os.path.exists(plain):  # noqa: PTH110  # a name, no pattern
        return plain
    return os.path.join(escape(folder), text)  # noqa: PTH118


def write_chain(path: Path, line: Line, catalog: Catalog, *, overwrite: bool) -> None:
    """Writes a line as a chain file, whole or not at all.

    Raises:
        ImgfxError: the file is there and may not be overwritten, or cannot be written.
    """
    from imgfx.files import write_file

    if os.path.lexists(path) and not overwrite:
        raise ImgfxError(f"{path}: is there already; choose another name, or --overwrite")
    moved = _moved(line, catalog, lambda text, escape: _to_folder(path, text, escape))
    try:
        write_file(path, _toml(moved).encode())
    except UnicodeEncodeError as error:
        raise ImgfxError(f"{path}: a value that is no Unicode text cannot be written") from error


def _to_folder(path: Path, text: str, escape: Escape) -> str:
    """A path from here as one from the file's folder; one that ends in a slash still does."""
    folder = path.parent
    if os.path.isabs(text) or folder.resolve() == Path.cwd():  # noqa: PTH117
        return text
    if escape is glob.escape or "{" in text:
        return _joined(os.path.relpath(Path.cwd(), folder.resolve()), text, escape)
    slash = "/" if text.endswith("/") else ""
    return escape(Path(os.path.relpath(text, folder.resolve())).as_posix() + slash)


def _moved(line: Line, catalog: Catalog, change: Callable[[str, Escape], str]) -> Line:
    """The line, its paths changed so."""
    stages: list[Written] = []
    for written in line.stages:
        command = catalog.stage(written.stage)
        parameters = command.params if command is not None else []

        def changed(text: str, command: StageCommand | None = command) -> str:
            return change(text, _escape(command, text))

        stages.append(replace(written, values=with_paths(parameters, written.values, changed)))
    run = with_paths(run_options(), line.run, lambda text: change(text, str))
    return replace(line, stages=stages, run=run)


def _escape(command: StageCommand | None, text: str) -> Escape:
    """How a folder's name is written before a path that is a pattern or a template."""
    if command is not None and command.kind == "source" and glob.has_magic(text):
        return glob.escape
    if command is not None and command.name == "save":
        return _without_fields if "{" in text else literally
    return str


def _without_fields(folder: str) -> str:
    return folder.replace("{", "{{").replace("}", "}}")


def literally(path: str) -> str:
    """A path as a target that means just this; a brace that closes is one where none opens."""
    return _without_fields(path) if "{" in path else path


def _toml(line: Line) -> str:
    parts = [f"{_VERSION_KEY} = {VERSION}"]
    for written in line.stages:
        taken = {"--" + key if key == _STAGE else key: v for key, v in written.values.items()}
        parts.append(f"[[{_STAGES}]]\n" + _table({_STAGE: written.stage, **taken}))
    if line.run:
        parts.append(f"[{_RUN}]\n" + _table(line.run))
    return "\n\n".join(parts) + "\n"


def _table(values: Mapping[str, Value]) -> str:
    return "\n".join(f"{_key(key)} = {_literal(value)}" for key, value in values.items())


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _literal(key)


def _literal(value: Value | Sequence[Value]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    # JSON's strings are TOML's, but for one character that TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
