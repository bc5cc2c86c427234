"""Names of chains: equal ones have equal digests, in whatever run and process."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgfx import __version__
from imgfx.chain import describe

if TYPE_CHECKING:
    from imgfx.session import LoadedModel
    from imgfx.stage import Stage


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
        # In their order: a chain may run one model with several weights.
        "weights": [(loaded.model.name, loaded.weights.digest) for loaded in models],
    }
    foreign = [stage.step for stage in stages if stage.step is not None]
    plugins = [
        (s.stage, s.version, [dict(used.__dict__) for used in s.files])
        for s in foreign
        if s.version or s.files
    ]
    if plugins:
        parts["plugins"] = plugins
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def stages_of(stages: Sequence[Stage], sink: Mapping[str, Any]) -> str:
    """Names a chain by stages and options alone; of a file that one names, by the file's name."""
    plain = [replace(stage, options=_without_places(stage.options)) for stage in stages]
    parts = {"stages": describe(plain), "sink": dict(sink)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _without_places(options: Mapping[str, Any]) -> dict[str, Any]:
    return {n: Path(v.name) if isinstance(v, Path) else v for n, v in options.items()}


def _placed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options in which a file is named by its place, however a line or a chain file spells it."""
    return {
        name: Path(os.path.realpath(value)) if isinstance(value, Path) else value
        for name, value in options.items()
    }
