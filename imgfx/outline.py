"""Outline: a command's options and arguments, read from its plugin's source and not imported.

What is written as usual for Click is understood: `@click.option("--name", ...)` above a function
whose decorator names the command, and decorators that are kept in a variable. What is computed at
import is passed over. For completion, which must be quick and must run no plugin.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from imgfx.offers import MAKERS, UNPARSABLE, Offer, called_name, first_text, source_path
from imgfx.options import run_options

_CORE = ("stage.py",)
"""Sources of our own in which decorators are kept that plugins use."""
_KEPT = ("is_flag", "multiple", "count", "nargs", "metavar", "hidden", "required", "help")


def outline(offer: Offer) -> click.Command | None:
    """A command with the options, arguments and sub-commands of an offer, which does nothing.

    None where its source is not found, or does not say.
    """
    trees = list(_trees(offer))
    shared = {name: call for tree in trees for name, call in _decorators(tree)}
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and _names(node, offer.name):
                command = _command(node, offer.name, _sub_commands(trees, offer), shared)
                if any(_lends_run_options(other, node.name) for other in tree.body):
                    command.params += run_options()
                return command
            made = _made_by_model(node, offer.name)
            if made is not None:
                return made
    return None


def _trees(offer: Offer) -> Iterator[ast.Module]:
    """The module of an offer, or all of its package, and what of ours they use."""
    try:
        path = source_path(offer)
    except AttributeError:
        return
    if path is None:
        return
    inner = sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else []
    ours = [Path(__file__).with_name(name) for name in _CORE]
    for file in dict.fromkeys([path, *inner, *ours]):
        try:
            yield ast.parse(file.read_bytes())
        except (OSError, *UNPARSABLE):
            continue


def _decorators(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """(variable, call) of each `variable = click.option(...)`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and called_name(node.value) in ("option", "argument"):
            assert isinstance(node.value, ast.Call)
            yield from ((t.id, node.value) for t in node.targets if isinstance(t, ast.Name))


def _names(function: ast.FunctionDef, name: str) -> bool:
    """Whether one of a function's decorators makes a command of this name."""
    return any(
        called_name(call) in MAKERS and first_text(call) == name for call in function.decorator_list
    )


def _lends_run_options(node: ast.stmt, function: str) -> bool:
    """Whether it is `function.params += run_options()`."""
    return (
        isinstance(node, ast.AugAssign)
        and ast.unparse(node.target) == f"{function}.params"
        and called_name(node.value) == "run_options"
    )


def _command(
    function: ast.FunctionDef,
    name: str,
    inner: Mapping[str, ast.FunctionDef],
    shared: Mapping[str, ast.Call],
) -> click.Command:
    parameters = list(_parameters(function, shared))
    if not any(called_name(call) == "group" for call in function.decorator_list):
        return click.Command(name, params=parameters)
    group = click.Group(name, params=parameters)
    for sub_name, sub_function in inner.items():
        group.add_command(_command(sub_function, sub_name, {}, shared))
    return group


def _sub_commands(trees: list[ast.Module], offer: Offer) -> dict[str, ast.FunctionDef]:
    """By name, the functions of a package that are made into commands and not offered as such."""
    functions = [n for tree in trees for n in tree.body if isinstance(n, ast.FunctionDef)]
    package, group = offer.entry_point.package, offer.entry_point.group
    points = package.points() if package else ()
    offered = {point.name for point in points if point.group == group}
    named = {_inner_name(function): function for function in functions}
    return {name: function for name, function in named.items() if name and name not in offered}


def _inner_name(function: ast.FunctionDef) -> str:
    """The name of the command that a function is made into; empty where it is none."""
    makers = [call for call in function.decorator_list if called_name(call) == "command"]
    return first_text(makers[0]) if makers else ""


def _parameters(
    function: ast.FunctionDef, shared: Mapping[str, ast.Call]
) -> Iterator[click.Parameter]:
    for decorator in function.decorator_list:
        call: ast.AST | None = decorator
        if isinstance(decorator, ast.Name):
            call = shared.get(decorator.id)
        if isinstance(call, ast.Call) and called_name(call) in ("option", "argument"):
            made = _parameter(call)
            if made is not None:
                yield made


def _parameter(call: ast.Call) -> click.Parameter | None:
    """The option or argument that a call makes; None if Click would refuse what we read of it."""
    words = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    kept = {w.arg: _literal(w.value) for w in call.keywords if w.arg in _KEPT}
    settings = {key: value for key, value in kept.items() if value is not None}
    kind = next((_type(word.value) for word in call.keywords if word.arg == "type"), None)
    try:
        if called_name(call) == "option":
            return click.Option(words, type=kind, **settings)  # type: ignore[arg-type]
        settings.pop("help", None)
        return click.Argument(words, type=kind, **settings)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _literal(node: ast.expr) -> object:
    """A value that is written out; a text of several parts is joined by Python itself."""
    try:
        value: object = ast.literal_eval(node)
    except UNPARSABLE:
        return None
    return value


def _type(node: ast.expr) -> click.ParamType | None:  # type: ignore[type-arg,unused-ignore]
    """`click.Choice([...])` and `click.Path(...)`; other types complete nothing."""
    if called_name(node) == "Path":
        assert isinstance(node, ast.Call)
        files = {word.arg: _literal(word.value) for word in node.keywords}
        return click.Path(file_okay=files.get("file_okay") is not False)
    if called_name(node) == "Choice" and isinstance(node, ast.Call) and node.args:
        values = _literal(node.args[0])
        return click.Choice(values) if isinstance(values, list | tuple) else None
    return None


def _made_by_model(node: ast.stmt, name: str) -> click.Command | None:
    """What `variable = model_filter(name, ...)` makes."""
    call = getattr(node, "value", None)
    if not isinstance(call, ast.Call) or called_name(call) != "model_filter":
        return None
    if first_text(call) != name:
        return None
    weights = click.Option(["--weights"], type=click.Path(dir_okay=False), metavar="FILE")
    return click.Command(name, params=[click.Option(["--strength"], metavar="0..1"), weights])
