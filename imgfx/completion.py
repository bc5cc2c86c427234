"""Completion of a line in the shell, from entry points and sources; imports no plugin."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from imgfx.errors import PluginError
from imgfx.hookspecs import KINDS
from imgfx.offers import STAGE_KINDS, Offer, summary
from imgfx.outline import outline
from imgfx.plugins import Registry

VARIABLE = "_IMGFX_COMPLETE"
"""Environment, set by the shell's script: what Click is to do."""

Candidates = list[CompletionItem[str]]

_MEASURED = ("filter", "generator")
"""What `eval` takes: a filter's stage, or a generator's model."""
_LISTED = {
    "MODEL": ("model",), "STAGE": STAGE_KINDS, "NAME": KINDS, "STAGE|MODEL": _MEASURED,
}  # fmt: skip
"""By the metavar of an argument: the kinds of names that it takes."""
_FILES = ("PATH", "FILE", "DIR", "TARGET")
"""Beginnings of the metavars of arguments that are files, whatever their type."""
_NAMED = {"--engine": ("auto", "engine"), "--runner": ("local", "runner")}
"""By option: a word, and the kind of names that it takes beside."""


_FOLDER_OPTION = click.Option(["--plugins-dir"], type=click.Path(file_okay=False), metavar="DIR")


class Completer(click.Command):
    """Stands for the root while a line is completed: takes all words as they are."""

    def __init__(self, registry: Registry, run_options: Sequence[click.Option]) -> None:
        settings = {
            "ignore_unknown_options": True,
            "allow_extra_args": True,
            "allow_interspersed_args": False,
        }
        super().__init__("imgfx", context_settings=settings, add_help_option=False)
        self._registry, self._run_options = registry, list(run_options)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> Candidates:
        """What may stand behind the words of the context."""
        words = [word for word in ctx.args if word != "="]
        try:
            return self._candidates(ctx, words, incomplete)
        except click.ClickException:  # a name that clashes: nothing to offer
            return []

    def _candidates(self, ctx: click.Context, words: list[str], incomplete: str) -> Candidates:
        parameters: list[click.Parameter] = [*self._run_options, _FOLDER_OPTION]
        last: Offer | None = None
        awaited: click.Option | None = None
        command: click.Command | None = None
        for word in words:
            if awaited is not None:
                if awaited is _FOLDER_OPTION:
                    self._add_folder(word)
                awaited = None
                continue
            offer = self._offer(word, last, command)
            if offer is not None:
                last, command = offer, outline(offer)
                parameters = [*_parameters(command), *self._lent(offer)]
                continue
            if isinstance(command, click.Group) and word in command.commands:
                command = command.commands[word]
                parameters = _parameters(command)
            awaited = _awaiting(parameters, word)
        if awaited is not None:
            return self._values(ctx, awaited, incomplete)
        if incomplete.startswith("-"):
            return list(_options(parameters, incomplete))
        return [
            *self._arguments(ctx, command, incomplete),
            *self._names(last, incomplete),
        ]

    def _add_folder(self, word: str) -> None:
        """A folder of plugins, as it stands on the line: the shell has not read it yet."""
        with contextlib.suppress(PluginError):
            self._registry.add_folder(Path(os.path.expandvars(word)).expanduser())

    def _offer(self, word: str, last: Offer | None, command: click.Command | None) -> Offer | None:
        """The stage that a word names, also as an argument of a command; a command only first."""
        if last is not None and last.kind == "command":
            return self._registry.find(word, *STAGE_KINDS) if _takes_line(command) else None
        kinds = STAGE_KINDS if last is not None else (*STAGE_KINDS, "command")
        return self._registry.find(word, *kinds)

    def _lent(self, offer: Offer) -> list[click.Option]:
        return [] if offer.kind == "command" else self._run_options

    def _values(self, ctx: click.Context, option: click.Option, incomplete: str) -> Candidates:
        for text, (word, kind) in _NAMED.items():
            if text in option.opts:
                return _beginning([word, *self._registry.names(kind)], incomplete)
        return option.shell_complete(ctx, incomplete)

    def _arguments(
        self, ctx: click.Context, command: click.Command | None, incomplete: str
    ) -> Iterator[CompletionItem[str]]:
        """Sub-commands, and what a command's arguments may be."""
        if isinstance(command, click.Group):
            yield from _beginning(sorted(command.commands), incomplete)
        for parameter in command.params if command is not None else ():
            if isinstance(parameter, click.Argument):
                kinds = _kinds(parameter)
                if kinds == _MEASURED:
                    yield from _beginning(self._measured(), incomplete)
                elif kinds:
                    yield from _beginning(self._registry.names(*kinds), incomplete)
                elif (parameter.metavar or "").startswith(_FILES):
                    yield from click.Path().shell_complete(ctx, parameter, incomplete)
                else:
                    yield from parameter.shell_complete(ctx, incomplete)

    def _measured(self) -> list[str]:
        """Filters and generators; a model is taken for one where a source's name begins its own."""
        sources = self._registry.names("source")
        generators = (
            model
            for model in self._registry.names("model")
            if any(f"{model}-".startswith(f"{source}-") for source in sources)
        )
        return sorted([*self._registry.names("filter"), *generators])

    def _names(self, last: Offer | None, incomplete: str) -> Iterator[CompletionItem[str]]:
        """Stages that may come next: sources only first, none behind a sink or a command."""
        if last is not None and last.kind in ("sink", "command"):
            return
        kinds = ("filter", "sink") if last is not None else (*STAGE_KINDS, "command")
        for offer in self._registry.offers:
            called = self._registry.shown_name(offer) if offer.kind in kinds else ""
            if called.startswith(incomplete) and called:
                yield CompletionItem(called, help=summary(offer))


def _takes_line(command: click.Command | None) -> bool:
    """Whether a command has an argument that is stages with their options."""
    parameters = command.params if command is not None else []
    return any(p.nargs == -1 and _kinds(p) == STAGE_KINDS for p in parameters)


def _kinds(parameter: click.Parameter) -> tuple[str, ...] | None:
    """Of the names that an argument takes; None where it takes others."""
    return _LISTED.get((parameter.metavar or "").strip("[]."))


def _parameters(command: click.Command | None) -> list[click.Parameter]:
    if command is None:
        return []
    shown = click.Option(["-h", "--help"], is_flag=True, help="Show this message and exit.")
    return [*command.params, shown]


def _awaiting(parameters: Sequence[click.Parameter], word: str) -> click.Option | None:
    """The option that a word is, if its value is the next word."""
    for parameter in parameters:
        if isinstance(parameter, click.Option) and word in parameter.opts:
            return None if parameter.is_flag or parameter.count else parameter
    return None


def _options(
    parameters: Sequence[click.Parameter], incomplete: str
) -> Iterator[CompletionItem[str]]:
    for parameter in parameters:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            for text in parameter.opts:
                if text.startswith(incomplete):
                    yield CompletionItem(text, help=parameter.help)


def _beginning(words: Sequence[str], incomplete: str) -> Candidates:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def complete(registry: Registry, run_options: Sequence[click.Option], instruction: str) -> int:
    """Prints what the shell's script asked for, and answers the exit code."""
    from click.shell_completion import shell_complete

    return shell_complete(Completer(registry, run_options), {}, "imgfx", VARIABLE, instruction)
