"""Offers: what installed packages and files of a plugin folder say they have; nothing is imported.

Names come from entry points, or in a folder from the text of each file; short help comes from the
first line of a module's docstring, read from its source.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from imgfx.hookspecs import API_VERSION, GROUPS, KINDS, PROJECT
from imgfx.installed import NAMELESS, Point, canonical, installed_points

PACKAGES = "IMGFX_PLUGINS"
"""Environment: the only packages whose plugins are found, by commas; empty for none but ours."""
FOLDER = "IMGFX_PLUGINS_DIR"
"""Environment: what --plugins-dir names."""

STAGE_KINDS = ("source", "filter", "sink")
_KINDS = {group.rpartition(".")[0]: kind for kind, group in GROUPS.items()}
_GROUP = re.compile(r"(imgfx\.[a-z]+)\.v(\d+)")
MAKERS = {
    "image_filter": "filter",
    "learned_filter": "filter",
    "source": "source",
    "sink": "sink",
    "command": "command",
    "group": "command",
}
"""By the decorator that names it: a thing's kind, in a file of a plugin folder."""

UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What `ast` raises of a file that is no Python, holds NUL bytes, or nests too deeply."""


@dataclass(frozen=True)
class Offer:
    """One thing that a plugin offers, not yet loaded."""

    name: str
    """What users type."""
    kind: str
    """source, filter, sink, command, model, engine or runner."""
    entry_point: Point
    """Where it is: the module's name, and the package; of a file, made up."""
    version: int = API_VERSION
    """Of the plugin API that it was written for."""
    file: Path | None = None
    """Of a plugin folder; None for what is installed."""

    @cached_property
    def package(self) -> str:
        """The distribution it comes from; of a file its path."""
        if self.file is not None:
            return str(self.file)
        package = self.entry_point.package
        return NAMELESS if package is None else package.name

    @cached_property
    def package_version(self) -> str:
        """The distribution's version; empty where there is none."""
        package = self.entry_point.package
        return "" if package is None else package.version

    @cached_property
    def edition(self) -> str:
        """What a change shows in: the package's version, or the digest of what is worked on.

        That is a file of a plugin folder, or the modules of a package that is installed editable.
        """
        if self.file is not None:
            return _digest([self.file])
        package = self.entry_point.package
        if package is None or not package.is_editable:
            return self.package_version
        return f"{self.package_version} {_digest(_sources(self))}".strip()

    def is_from(self, package: str) -> bool:
        """Whether a package's name, or of a file its path or its name, means this one's."""
        if package == self.package:
            return True
        return self.file is not None and package in (self.file.name, str(self.file.absolute()))

    @property
    def module(self) -> str:
        """The module's name, as it is imported; may be empty or wrong in a broken package."""
        return self.entry_point.value

    @property
    def bundled(self) -> bool:
        """True for what comes with imgfx itself."""
        return self.package == PROJECT

    @property
    def supported(self) -> bool:
        """Whether this imgfx has the version of the API that it was written for."""
        return self.version == API_VERSION

    def load(self) -> Any:
        """The module, imported. Whatever importing it raises is raised."""
        return self.entry_point.load() if self.file is None else _module_of(self.file)


def _digest(files: Iterable[Path]) -> str:
    """Of the content of files; empty where one cannot be read."""
    digest = hashlib.sha256()
    try:
        for file in files:
            digest.update(file.read_bytes())
    except OSError:
        return ""
    return f"sha256 {digest.hexdigest()[:16]}"


def _sources(offer: Offer) -> list[Path]:
    """The files of an offer's module, or of all of its package."""
    try:
        path = source_path(offer)
    except AttributeError:
        path = None
    if path is None:
        return []
    return sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]


def installed_offers() -> list[Offer]:
    """All that packages offer, for any version of the API, sorted by name; imports none of it."""
    found = []
    for point in installed_points(_GROUP.fullmatch):
        known = _GROUP.fullmatch(point.group)
        kind = _KINDS.get(known[1]) if known else None
        if known and kind:
            found.append(Offer(point.name, kind, point, int(known[2])))
    place = {kind: number for number, kind in enumerate(KINDS)}
    return sorted(found, key=lambda o: (o.name, o.package, place[o.kind], o.version))


def allowed_offers(offers: Iterable[Offer]) -> tuple[list[Offer], list[Offer]]:
    """(those that IMGFX_PLUGINS leaves, those that it leaves out); ours always stay."""
    text = os.environ.get(PACKAGES)
    if text is None:
        return list(offers), []
    named = {canonical(name) for name in text.split(",")}
    allowed: list[Offer] = []
    left_out: list[Offer] = []
    for offer in offers:
        wanted = offer.bundled or canonical(offer.package) in named
        (allowed if wanted else left_out).append(offer)
    return allowed, left_out


def without_doubles(offers: Iterable[Offer]) -> list[Offer]:
    """Offers, without those for another version of the API that their package has for ours too."""
    offers = list(offers)
    if all(offer.supported for offer in offers):
        return offers
    ours = {(offer.package, offer.kind, offer.name) for offer in offers if offer.supported}
    return [o for o in offers if o.supported or (o.package, o.kind, o.name) not in ours]


def offers_of_folder(folder: Path) -> list[Offer]:
    """What the files FOLDER/*.py offer; those whose names begin with _ are left alone.

    Raises:
        OSError: the folder cannot be read.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix == ".py")
    return [offer for path in files if path.name[0] != "_" for offer in _offers_of_file(path)]


def _offers_of_file(path: Path) -> Iterator[Offer]:
    """What a file names in its decorators; one that cannot be read offers a filter, its stem."""
    try:
        named = list(dict.fromkeys(_named_in(ast.parse(path.read_bytes()))))
    except (OSError, *UNPARSABLE):
        named = []
    for name, kind in named or [(path.stem, "filter")]:
        yield Offer(name, kind, Point(name, path.stem, GROUPS[kind]), file=path)


def _named_in(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(name, kind) of each `@maker("name")` and of each `Model("name", ...)`."""
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for call in node.decorator_list:
                maker = called_name(call)
                if _is_of_one(functions, call):
                    continue
                if maker in MAKERS and (name := first_text(call)):
                    yield name, MAKERS[maker]
        elif called_name(node) == "Model" and (name := first_text(node)):
            yield name, "model"
        elif called_name(node) == "model_filter" and (name := first_text(node)):
            yield name, "filter"


def _is_of_one(functions: set[str], call: ast.AST) -> bool:
    """Whether it is `@group.command(...)`: a sub-command, which the group, a function, brings."""
    function = call.func if isinstance(call, ast.Call) else None
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id in functions
    )


def called_name(node: ast.AST) -> str:
    """The name of the function that a call calls; empty for anything else."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def first_text(call: ast.AST) -> str:
    """A call's first argument, or its `name`, where that is a text."""
    assert isinstance(call, ast.Call)
    named = [word.value for word in call.keywords if word.arg == "name"]
    for value in [*call.args[:1], *named]:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
    return ""


def _module_of(file: Path) -> Any:
    """The module of a file, imported under a name of its own, once."""
    name = f"imgfx_plugin_file_{file.stem}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(file):
        return known
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their modules up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def summary(offer: Offer) -> str:
    """The first line of the plugin module's docstring, read from its source, not imported."""
    if not offer.supported:
        return f"cannot be used: written for version {offer.version} of the plugin API"
    try:
        path = source_path(offer)
        if path is None:
            return ""
        text = ast.get_docstring(ast.parse(path.read_bytes()), clean=True)
    except (AttributeError, OSError, *UNPARSABLE):  # the first: no module is named
        return ""
    return text.strip().splitlines()[0].rstrip(".") if text else ""


def source_path(offer: Offer) -> Path | None:
    """The file of an offer's module; None where there is none. Imports nothing.

    Raises:
        AttributeError: the entry point names no module.
    """
    return offer.file or _source_path(offer.entry_point.module)


def _source_path(module: str) -> Path | None:
    """The file of a module, found without importing its parents."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin)
    if not rest:
        return path
    inner = path.parent.joinpath(*rest)
    packaged = inner / "__init__.py"
    return packaged if packaged.is_file() else inner.with_suffix(".py")
