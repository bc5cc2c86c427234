"""Provenance: how an image was made, as it rides in the image's metadata.

A text of JSON: runs of imgfx in order, and of each run the stages with their options, the models
with the digests of their weights, and what ran them. It holds no time and no folder, so that equal
runs write equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imgfx.errors import ImgfxError
from imgfx.written import Value, Values

VERSION = 1
LONGEST = 1 << 20
"""Characters; what is longer is nobody's honest record, and is not read."""
_KEY = "imgfx-provenance"


class ProvenanceError(ImgfxError):
    """A provenance cannot be read, or of a later version."""


@dataclass(frozen=True)
class UsedModel:
    """A model that a stage ran."""

    model: str
    weights: str
    """sha256, see `Weights.digest`."""
    engine: str
    device: str
    precision: str


@dataclass(frozen=True)
class UsedFile:
    """A file that an option of a stage named."""

    option: str
    name: str
    """Without its folder; files of two folders may have one."""
    sha256: str


@dataclass(frozen=True)
class Step:
    """A stage that an image went through."""

    stage: str
    """Its name; of another package's stage `package:name`."""
    version: str = ""
    """Of that package; empty for imgfx's own stages."""
    options: Values = field(default_factory=dict)
    """All of them, defaults too; of a path only the file's name."""
    files: Sequence[UsedFile] = ()
    """That options name, but for weights, in the order of the options."""
    models: Sequence[UsedModel] = ()


PIPE = Step("|")
"""Where pixels are rounded as between two processes: what follows is a run of its own."""


@dataclass(frozen=True)
class Run:
    """One process; its pixels were rounded to their depth at its end."""

    imgfx: str
    """The version."""
    steps: Sequence[Step]


def text_of(runs: Sequence[Run]) -> str:
    """The runs as ASCII text."""
    found = {_KEY: VERSION, "runs": [_plain_run(run) for run in runs]}
    return json.dumps(found, separators=(",", ":"))


def _plain_run(run: Run) -> Mapping[str, Any]:
    return {"imgfx": run.imgfx, "stages": [_plain_step(step) for step in run.steps]}


def _plain_step(step: Step) -> Mapping[str, Any]:
    plain: dict[str, Any] = {"stage": step.stage}
    if step.version:
        plain["version"] = step.version
    plain["options"] = dict(step.options)
    if step.files:
        plain["files"] = [dict(used.__dict__) for used in step.files]
    if step.models:
        plain["models"] = [dict(model.__dict__) for model in step.models]
    return plain


def runs_of(text: str) -> Sequence[Run]:
    """The runs of a text, which may be anyone's.

    Raises:
        ProvenanceError: damaged, or of a later version.
    """
    try:
        if len(text) > LONGEST:
            raise ValueError("too long")
        found = json.loads(text)
        version = _a(int, found[_KEY])
        if version > VERSION:
            raise ProvenanceError(
                f"its provenance is of version {version}, and this imgfx reads version {VERSION}; "
                "update imgfx"
            )
        return [_run(run) for run in _a(list, found["runs"])]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ProvenanceError(f"its provenance is damaged ({reason})") from error


def _run(found: Mapping[str, Any]) -> Run:
    steps = [_step(step) for step in _a(list, found["stages"])]
    return Run(_name(found["imgfx"]), steps)


def _step(found: Mapping[str, Any]) -> Step:
    models = [_model(model) for model in _a(list, found.get("models", []))]
    options = {name: _value(v) for name, v in _a(dict, found["options"]).items()}
    files = [_file(file) for file in _a(list, found.get("files", []))]
    version = _name(found.get("version", ""))
    return Step(_name(found["stage"]), version, options, files, models)


def _file(found: Mapping[str, Any]) -> UsedFile:
    return UsedFile(*(_name(found[name]) for name in ("option", "name", "sha256")))


def _model(found: Mapping[str, Any]) -> UsedModel:
    names = ("model", "weights", "engine", "device", "precision")
    return UsedModel(*(_name(found[name]) for name in names))


def _name(found: Any) -> str:
    """A text that can be shown: nothing in it steers a terminal."""
    text: str = _a(str, found)
    if not text.isprintable():
        raise ValueError("a name with control characters")
    return text


def _value(found: Any) -> Value:
    if isinstance(found, list):
        return [_value(part) for part in found]
    if not isinstance(found, str | int | float | bool):
        raise TypeError(f"{type(found).__name__} is no option's value")
    return found


def _a(kind: type[Any], found: Any) -> Any:
    """What was found, which is of this kind."""
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise TypeError(f"a {kind.__name__} is expected, not {type(found).__name__}")
    return found
