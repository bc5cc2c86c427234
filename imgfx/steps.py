"""Steps: pieces of a line as provenance names them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from imgfx.chain import Piece, lent_options
from imgfx.offers import STAGE_KINDS
from imgfx.option_paths import paths_in, without_folders
from imgfx.plugins import Registry
from imgfx.provenance import PIPE, Step, UsedFile
from imgfx.stage import StageCommand
from imgfx.written import Value, Values, named, typed

__all__ = ["PIPE", "PieceValues", "public_name", "step_of", "values_of"]

_CHECKED_AS_MODELS = ("weights",)


@dataclass(frozen=True)
class PieceValues:
    """What a piece says, by the options' names."""

    given: dict[str, Value]
    """Of the stage, as typed."""
    used: dict[str, Value]
    """With the defaults."""
    run: dict[str, Value]
    """Of the whole run, as typed."""


def values_of(piece: Piece, run_options: Sequence[click.Option] = ()) -> PieceValues:
    """The values of a piece that Click has accepted."""
    parameters = piece.command.params
    found = typed([*parameters, *lent_options(piece.command, run_options)], piece.words)
    own = named(parameters)
    return PieceValues(
        {name: value for name, value in found.given.items() if name in own},
        {name: value for name, value in found.used.items() if name in own},
        {name: value for name, value in found.given.items() if name not in own},
    )


def public_name(command: StageCommand, registry: Registry) -> tuple[str, str]:
    """(what names a stage on every machine, its edition; of imgfx's own stages nothing).

    The name is `package:name` where imgfx does not bring it. That of a file of a plugin folder is
    bare, or `file.py:name` where the bare one means another stage.
    """
    full = registry.full_name(command)
    offer = registry.find(full, *STAGE_KINDS)
    if offer is None or offer.bundled:
        return full.rpartition(":")[2], ""
    if offer.file is not None:
        alone = registry.shown_name(offer) == offer.name
        return offer.name if alone else f"{offer.file.name}:{offer.name}", offer.edition
    return full, offer.edition


def step_of(piece: Piece, registry: Registry, run_options: Sequence[click.Option] = ()) -> Step:
    """A stage with all its options; of a filter also the digests of the files that they name.

    A source's files are the images themselves: reading them all here would read them twice.
    """
    parameters = piece.command.params
    used = values_of(piece, run_options).used
    name, version = public_name(piece.command, registry)
    files = list(_used_files(parameters, used)) if piece.command.kind == "filter" else []
    return Step(name, version, without_folders(parameters, used), files)


def _used_files(parameters: Sequence[click.Parameter], values: Values) -> Iterator[UsedFile]:
    """The files that options name, but for weights: those are known by their content."""
    for option, text in paths_in(parameters, values):
        path = Path(text)
        if option not in _CHECKED_AS_MODELS and path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            yield UsedFile(option, path.name, digest)
