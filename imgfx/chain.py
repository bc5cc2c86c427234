"""From the words of a command line to a chain of stages.

Click's own chain mode cannot be used: an optional or variadic argument eats the names of the
stages behind it, and options after an argument are refused. So the line is split at stage names,
and each piece is parsed by its stage's command.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from imgfx.errors import PluginError, confined
from imgfx.offers import STAGE_KINDS
from imgfx.plugins import Registry
from imgfx.stage import Stage, StageCommand


@dataclass(frozen=True)
class Piece:
    """One stage's part of the line."""

    command: StageCommand
    words: list[str]


def split_line(
    words: Sequence[str], registry: Registry, run_options: Sequence[click.Option] = ()
) -> list[Piece]:
    """The line cut before each stage's name; the first word must be one.

    An option's value is never taken for a stage, nor is anything with a slash in it.

    Args:
        words: of the line, behind the options of the root.
        registry: knows the stages.
        run_options: may stand in any piece, so their values are no stages either.

    Raises:
        click.UsageError: the first word is no stage.
        PluginError: a stage's plugin is broken.
    """
    pieces: list[Piece] = []
    values = 0
    for word in words:
        command = registry.stage(word) if not values else None
        if command is not None:
            pieces.append(Piece(command, []))
        elif not pieces:
            raise click.UsageError(_unknown(word, registry))
        else:
            if not values:
                _refuse_hidden(word, registry)
            if not values and _reads_files(pieces[-1].command):
                _refuse_mistyped(word, registry)
            pieces[-1].words.append(word)
        if values:
            values -= 1
        elif command is None:
            values = _values_behind([*pieces[-1].command.params, *run_options], word)
    return pieces


def _reads_files(command: StageCommand) -> bool:
    """Whether it is a source whose arguments are files."""
    return command.kind == "source" and any(
        isinstance(parameter, click.Argument) and isinstance(parameter.type, click.Path)
        for parameter in command.params
    )


def _refuse_hidden(word: str, registry: Registry) -> None:
    """A stage's name that would be taken for an argument, since its package is left out.

    Raises:
        click.UsageError: it is one, and no file.
    """
    reason = registry.hidden(word)
    if reason and not Path(word).exists():
        raise click.UsageError(f"no stage named {word!r}{reason}")


def _refuse_mistyped(word: str, registry: Registry) -> None:
    """A word among paths to read that is no file but nearly a stage's name.

    Raises:
        click.UsageError: it is one.
    """
    if word.startswith("-") or not word.replace("-", "").isalnum() or Path(word).exists():
        return
    near = difflib.get_close_matches(word, registry.names("filter", "sink"), n=1, cutoff=0.7)
    if near:
        raise click.UsageError(f"{word!r} is neither a stage nor a file; did you mean {near[0]!r}?")


def _values_behind(parameters: Sequence[click.Parameter], word: str) -> int:
    """How many of the next words belong to this one: those of an option without '='."""
    for parameter in parameters:
        if word in parameter.opts and isinstance(parameter, click.Option):
            return 0 if parameter.is_flag or parameter.count else parameter.nargs
    return 0


def _unknown(word: str, registry: Registry) -> str:
    if word.endswith(".toml"):
        return f"{word!r} is no stage; a chain file is run by 'run --chain {word}'"
    if Path(word).exists():
        return f"{word!r} is no stage; to read a file write 'open {word}'"
    names = registry.names(*STAGE_KINDS, "command")
    near = difflib.get_close_matches(word, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "; see 'imgfx --help'"
    return f"no stage or command named {word!r}{registry.hidden(word)}{hint}"


def parse_pieces(
    pieces: Sequence[Piece], parent: click.Context, run_options: Sequence[click.Option]
) -> tuple[list[Stage], dict[str, Any]]:
    """The stages with their options bound, and the run options found among them.

    Run options may stand in any piece whose stage has no option of that name.

    Raises:
        click.UsageError: a wrong option or argument.
    """
    stages: list[Stage] = []
    found: dict[str, Any] = {}
    for piece in pieces:
        stage, options = _parse(piece, parent, run_options)
        stages.append(stage)
        found.update(options)
    return stages, found


def _parse(
    piece: Piece, parent: click.Context, run_options: Sequence[click.Option]
) -> tuple[Stage, dict[str, Any]]:
    command = piece.command
    _refuse_files(command)
    lent = lent_options(command, run_options)
    parser = StageCommand(command.name, params=[*command.params, *lent], help=command.help)
    # The options lent to a stage are the whole run's; its own help shows only its own.
    help_text = command.get_help
    parser.get_help = lambda ctx: help_text(ctx)  # type: ignore[method-assign]
    with (
        confined(f"stage {command.name!r}"),
        parser.make_context(command.name, list(piece.words), parent=parent) as context,
    ):
        own = {p.name: context.params[p.name] for p in command.params if p.name and p.expose_value}
        given = {
            o.name: context.params[o.name]
            for o in lent
            if o.name and context.get_parameter_source(o.name) == _COMMAND_LINE
        }
        assert command.callback is not None
        stage = command.callback(**own)
    if not isinstance(stage, Stage):
        raise PluginError(f"stage {command.name!r} answers no Stage; its plugin is broken")
    return stage, given


def _refuse_files(command: StageCommand) -> None:
    """Options that Click closes with the line, before the first image.

    Raises:
        PluginError: there is one.
    """
    for parameter in command.params:
        if isinstance(parameter.type, click.File):
            raise PluginError(
                f"stage {command.name!r}: {'/'.join(parameter.opts)} is a click.File, which is "
                "closed before the first image; its plugin must take a click.Path and open it"
            )


def lent_options(command: StageCommand, run_options: Sequence[click.Option]) -> list[click.Option]:
    """The run options that may stand in a stage's piece: those whose names it does not use."""
    taken = {text for parameter in command.params for text in parameter.opts}
    names = {parameter.name for parameter in command.params}
    return [o for o in run_options if o.name not in names and not taken.intersection(o.opts)]


_COMMAND_LINE = click.core.ParameterSource.COMMANDLINE


def order_stages(
    stages: Sequence[Stage], stdin: Stage, stdout: Stage
) -> tuple[Stage, Sequence[Stage], Stage]:
    """(source, filters, sink), with stdin and stdout where the line names none.

    Raises:
        click.UsageError: a source that is not first, or a sink that is not last.
    """
    first, last = 0, len(stages)
    if stages[0].kind == "source":
        stdin, first = stages[0], 1
    if stages[-1].kind == "sink":
        stdout, last = stages[-1], last - 1
    for stage in stages[first:last]:
        if stage.kind == "source":
            raise click.UsageError(f"{stage.name!r} makes images, so it must come first")
        if stage.kind == "sink":
            raise click.UsageError(f"{stage.name!r} ends the chain, so it must come last")
    return stdin, stages[first:last], stdout


def describe(stages: Sequence[Stage]) -> list[Mapping[str, Any]]:
    """Names and options, for the report."""
    return [
        {"stage": stage.name, "options": {k: _plain(v) for k, v in stage.options.items()}}
        for stage in stages
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
