"""Lines as data: stages with their options by name, as chain files and provenance hold them."""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import click

Value: TypeAlias = "str | int | float | bool | list[Value]"
"""Of an option: true and false of flags, a list where it may be given several times."""
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?")
Values = Mapping[str, Value]
"""By an option's name as on the command line, without its dashes; by an argument's name."""


@dataclass(frozen=True)
class Written:
    """A stage and the options that it was given."""

    stage: str
    """Its name, or `package:name`."""
    values: Values = field(default_factory=dict)
    origin: str = ""
    """Where it is written, for messages; empty for what was typed."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """By a model's name: the sha256 that its weights must have."""


@dataclass(frozen=True)
class Line:
    """Stages in order, and the options of the run."""

    stages: Sequence[Written] = ()
    run: Values = field(default_factory=dict)
    origin: str = ""
    """The file that it stands in; empty for what was typed."""


@dataclass(frozen=True)
class Typed:
    """What words say of a command's parameters, by their names as in `Values`."""

    given: dict[str, Value]
    """What was typed."""
    used: dict[str, Value]
    """That, and the defaults of the others, as far as there are any."""
    rest: Sequence[str] = ()
    """Words that belong to no parameter."""


def named(parameters: Sequence[click.Parameter]) -> dict[str, click.Parameter]:
    """The parameters by their names: an option's longest one, an argument's own."""
    return {_name(parameter): parameter for parameter in parameters}


def _name(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len).lstrip("-")
    return (parameter.name or "").replace("_", "-")


def words_of(
    parameters: Sequence[click.Parameter],
    values: Values,
    argument: Callable[[str], str] = str,
) -> list[str]:
    """The words that give these values on a command line; arguments come last.

    Args:
        parameters: of the command.
        values: by their names.
        argument: how a word is written that is no option's.

    Raises:
        ValueError: there is no such option, or the value is of another kind; says so.
    """
    known = named(parameters)
    for name in values:
        if name not in known:
            raise ValueError(_unknown(name, known))
    words: list[str] = []
    arguments: list[str] = []
    for name, parameter in known.items():
        if name in values:
            if isinstance(parameter, click.Option):
                words += _option_words(name, parameter, values[name])
            else:
                arguments += map(argument, map(_text_of(name), _listed(values[name])))
    if any(word.startswith("-") and word != "-" for word in arguments):
        words.append("--")
    return words + arguments


def _unknown(name: str, known: Mapping[str, click.Parameter]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"no option {name!r}{hint or '; there are ' + (', '.join(known) or 'none')}"


def _option_words(name: str, option: click.Option, value: Value) -> list[str]:
    text, word = _text_of(name), max(option.opts, key=len)
    if option.is_flag:
        if not isinstance(value, bool):
            raise ValueError(f"{name} is on or off; write true or false, not {value!r}")
        off = [max(option.secondary_opts, key=len)] if option.secondary_opts else []
        return [word] if value else off
    if option.count:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 100:
            raise ValueError(f"{name} is counted; write a number, not {value!r}")
        return [word] * value
    times = _listed(value) if option.multiple else [value]
    if option.nargs == 1:
        return [part for each in times for part in _joined(word, text(each))]
    found: list[str] = []
    for each in times:
        if not isinstance(each, list) or len(each) != option.nargs:
            raise ValueError(f"{name} takes a list of {option.nargs} values, not {each!r}")
        found += [word, *map(text, each)]
    return found


def _joined(word: str, text: str) -> list[str]:
    """An option and its value; in one word where the value looks like an option itself."""
    if not text.startswith("-"):
        return [word, text]
    return [f"{word}={text}" if word.startswith("--") else word + text]


def _listed(value: Value) -> list[Value]:
    return value if isinstance(value, list) else [value]


def _text_of(name: str) -> Callable[[Value], str]:
    def text(value: Value) -> str:
        if isinstance(value, bool):
            raise ValueError(f"{name} is no flag; write its value in place of {value!r}".lower())
        if not isinstance(value, str | int | float):
            raise ValueError(f"{name} takes one value, not {value!r}")
        word = str(value)
        if "\0" in word:
            raise ValueError(f"{name} holds a zero byte")
        return word

    return text


def typed(
    parameters: Sequence[click.Parameter], words: Sequence[str], *, interspersed: bool = True
) -> Typed:
    """What words that Click has accepted say, before any value is converted.

    Args:
        parameters: of the command.
        words: behind its name.
        interspersed: whether options may stand behind arguments.
    """
    command = click.Command(None, params=list(parameters), add_help_option=False)
    context = click.Context(
        command, resilient_parsing=True, allow_interspersed_args=interspersed,
        ignore_unknown_options=False, help_option_names=[],
    )  # fmt: skip
    found, rest, _ = command.make_parser(context).parse_args(list(words))
    given: dict[str, Value] = {}
    used: dict[str, Value] = {}
    for name, parameter in named(parameters).items():
        raw, source = parameter.consume_value(context, found)
        value = _plain_value(parameter, raw)
        if value is None:
            continue
        used[name] = value
        if source == click.core.ParameterSource.COMMANDLINE:
            given[name] = value
    return Typed(given, used, rest)


def _plain_value(parameter: click.Parameter, raw: Any) -> Value | None:
    """None where there is none; so, too, of a flag that is one of several for one name."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        if parameter.secondary_opts:
            return raw is True
        wanted = parameter.flag_value
        on = raw == (wanted if isinstance(wanted, str | int | float) else True)
        return on if on or parameter.is_bool_flag else None
    if isinstance(parameter, click.Option) and parameter.count:
        return raw if isinstance(raw, int) else 0
    return _plain(raw, isinstance(parameter.type, click.Choice))


def _plain(raw: Any, chosen: bool) -> Value | None:
    if isinstance(raw, enum.Enum):  # of which Click's marks for what is not set are some
        return raw.name if chosen else None
    if isinstance(raw, list | tuple):
        parts = [_plain(part, chosen) for part in raw]
        return [part for part in parts if part is not None] or None
    if raw is None or isinstance(raw, int | float | bool):
        return raw
    return _number_of(str(raw))


def _number_of(text: str) -> Value:
    """A number where it is written just as this text, so that nothing is lost; else the text."""
    if not _NUMBER.fullmatch(text):
        return text
    number = float(text) if "." in text else int(text)
    return number if str(number) == text else text
