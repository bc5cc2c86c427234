"""The page docs/api.md, from the sources of what `imgfx.api` and `imgfx.testing` offer."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from imgfx import api, hookspecs

PAGE = Path(__file__).parent / "api.md"

SECTIONS: Mapping[str, Sequence[str]] = {
    "Stages": (
        "image_filter", "model_filter", "learned_filter", "source", "sink", "weights_option",
        "self_ensemble_option", "FiniteRange",
        "StageCommand", "Stage", "Apply", "Item", "Items", "ItemList", "Sink", "Journaled", "Note",
    ),
    "Images": (
        "Image", "Metadata", "float_from_pixels", "pixels_from_float", "resize", "taps",
        "enlarged_alpha", "with_carried_colours",
        "read_image", "write_image", "decode", "encode", "write_file", "Format",
        "format_from_suffix",
    ),
    "Models": ("Model", "ModelSpec", "Session", "LoadedModel"),
    "Weights": (
        "Weights", "load_weights", "save_weights", "network_from_weights", "weights_from_network",
    ),
    "Training": (
        "Recipe", "Task", "ValidatedOn", "Teachable", "Learner", "Teacher", "Rng", "Arrays",
        "Tensors", "restoration_task", "RestorationTask", "Degrade", "Probe",
        "l1_loss", "psnr_loss", "shrink", "enlarge", "add_noise", "round_to_8_bits",
    ),
    "Engines": (
        "Engine", "ManyAtOnce", "Builds", "Request", "Choice", "Runner", "Compiler", "Program",
        "EngineCache", "open_compiled", "processor_budget", "cuda_budget",
    ),
    "Runners": ("ChainRunner", "Work", "Blueprint", "Maker", "load", "Made", "failed"),
    "Commands": ("Catalog",),
    "Errors": (
        "ImgfxError", "ImageError", "DecodeError", "EncodeError", "WeightsError", "EngineError",
        "DeviceError", "OutOfMemoryError", "PluginError", "TrainingError", "ApiDeprecationWarning",
    ),
    "Plugins": ("hookimpl", "API_VERSION"),
}  # fmt: skip
"""The names of imgfx.api in the page's order; those that are in no section come last."""

_MADE_BY_PLUGINS = {"EngineCache", "Maker"}
"""Classes that plugins call; of other classes they get instances, or write a dataclass's fields."""

_HEAD = """# API reference

Written by `make docs` from the sources. It has every name of `imgfx.api`, every hook, and what
`imgfx.testing` offers; [the plugin API](plugins.md) says how they go together, and what is promised
of them. Import the names from `imgfx.api`; the modules that they live in are imgfx's own.
"""

Node = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


def page() -> str:
    """The page's text."""
    parts = [_HEAD]
    for title, names in sections().items():
        parts.append(f"## {title}\n")
        parts += [_entry(name, *_definition(api, name)) for name in names]
    hooks = [name for name in vars(hookspecs) if name.startswith("imgfx_")]
    parts.append("## Hooks\n")
    parts += [_entry(name, *_definition(hookspecs, name)) for name in hooks]
    parts += _testing()
    return "\n".join(parts)


def sections() -> dict[str, Sequence[str]]:
    """Titles and names, all that imgfx.api has."""
    placed = {name for names in SECTIONS.values() for name in names}
    others = [name for name in api.__all__ if name not in placed]
    return {**SECTIONS, **({"Others": others} if others else {})}


def _testing() -> Iterator[str]:
    """The section of imgfx.testing."""
    module = importlib.import_module("imgfx.testing")
    yield f"## imgfx.testing\n\n{_prose(module.__doc__ or '')}\n"
    for name in module.__all__:
        yield _entry(name, *_definition(module, name))


def _definition(module: ModuleType, name: str) -> tuple[Node, str]:
    """Where a name is defined, and its docstring."""
    home = _home(module, name)
    body = ast.parse(inspect.getsource(home)).body
    for node, behind in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node, ast.get_docstring(node) or ""
        if isinstance(node, ast.Assign | ast.AnnAssign) and _assigned(node) == name:
            return node, _text_of(behind)
    raise LookupError(f"{home.__name__} does not define {name}")


def _home(module: ModuleType, name: str) -> ModuleType:
    """The module that defines a name which another one offers."""
    known = getattr(module, "_HOMES", {}).get(name)
    if known is not None:
        return importlib.import_module(known)
    tree = ast.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            return _home(importlib.import_module(str(node.module)), name)
    return module


def _assigned(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return target.id if isinstance(target, ast.Name) else ""


def _text_of(node: ast.stmt | None) -> str:
    """The text behind an assignment, if it is one."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return inspect.cleandoc(str(node.value.value))
    return ""


def _entry(name: str, node: Node, text: str) -> str:
    """A name's part of the page."""
    parts = [f"### {name}\n", f"```python\n{_signature(node)}\n```\n"]
    if text:
        parts.append(f"{_prose(text)}\n")
    if isinstance(node, ast.ClassDef):
        parts += _members(node)
    return "\n".join(parts)


def _signature(node: Node) -> str:
    if isinstance(node, ast.FunctionDef):
        return _function(node)
    if isinstance(node, ast.ClassDef):
        if node.name in _MADE_BY_PLUGINS:
            return f"class {_function(_constructor(node))}"
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    return ast.unparse(node)


def _constructor(node: ast.ClassDef) -> ast.FunctionDef:
    """A class's `__init__`, under the class's name."""
    parts = (part for part in node.body if isinstance(part, ast.FunctionDef))
    found = next(part for part in parts if part.name == "__init__")
    found.name, found.returns = node.name, None
    return found


def _function(node: ast.FunctionDef) -> str:
    """A function's head, an argument a line where it is long."""
    arguments = node.args
    for first in arguments.args[:1]:
        if first.arg in ("self", "cls"):
            arguments.args.remove(first)
    answer = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    text = ast.unparse(arguments)
    if len(node.name + text + answer) > 95:
        text = "\n    " + re.sub(r", (?=\*|\w+: )", ",\n    ", text) + ",\n"
    return f"{node.name}({text}){answer}"


def _members(node: ast.ClassDef) -> Iterator[str]:
    """Fields, properties and methods of a class."""
    fields = list(_fields(node))
    if fields:
        yield "\n".join(["| field | |", "|---|---|", *fields]) + "\n"
    methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    yield from (_method(m) for m in methods if m.name[0] != "_" or m.name == "__call__")


def _method(node: ast.FunctionDef) -> str:
    marks = {ast.unparse(mark) for mark in node.decorator_list}
    text = _prose(ast.get_docstring(node) or "")
    if marks & {"property", "cached_property"}:
        kind = f"`{node.name}`: `{ast.unparse(node.returns)}`" if node.returns else f"`{node.name}`"
        return f"{kind}: {text}\n"
    head = _function(node)
    head = f"```python\n{head}\n```" if "\n" in head else f"`{head}`"
    return f"{head}\n\n{text}\n"


def _fields(node: ast.ClassDef) -> Iterator[str]:
    """A row for each field, with the text behind it."""
    for field, behind in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and not _assigned(field).startswith("_"):
            text = " ".join(_text_of(behind).split()).replace("|", "\\|")
            kind = ast.unparse(field.annotation).replace("|", "\\|")
            yield f"| `{_assigned(field)}: {kind}`{_default(field)} | {text} |"


def _default(field: ast.AnnAssign) -> str:
    """A field's default, where it is a plain value."""
    if field.value is None or isinstance(field.value, ast.Call | ast.Lambda):
        return ""
    return f" = `{ast.unparse(field.value)}`"


def _prose(text: str) -> str:
    """A docstring as Markdown: its sections as lists, its examples as code."""
    parts = re.split(r"^(Args|Raises|Returns|Yields):\n", text, flags=re.MULTILINE)
    body, rest = parts[0].strip(), parts[1:]
    out = [_code_marked(body).replace("``", "`").replace("**", r"\*\*")] if body else []
    for title, lines in zip(rest[::2], rest[1::2], strict=True):
        lines = textwrap.dedent(lines).strip()
        plain = title in ("Returns", "Yields")
        out.append(f"{title}:{' ' if plain else chr(10) * 2}{lines if plain else _listed(lines)}")
    return "\n\n".join(out)


def _code_marked(text: str) -> str:
    """Text whose indented parts stay code, also behind a colon."""
    return re.sub(r":\n((?: {4}.*\n?)+)", r":\n\n\1", text)


def _listed(text: str) -> str:
    """`name: what it is` with indented lines behind, as a list."""
    entries = re.split(r"\n(?! )", text)
    items = []
    for entry in entries:
        name, colon, what = " ".join(entry.split()).partition(": ")
        plain = not re.fullmatch(r"[\w*. ]+", name) or not colon
        items.append(f"- {name}{colon}{what}" if plain else f"- `{name}`: {what}")
    return "\n".join(items)
