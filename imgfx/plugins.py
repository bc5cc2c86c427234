"""Find plugins by their entry points, load the one that is used, confine the broken ones.

Listing reads metadata and docstrings and imports no plugin. Loading imports one module, registers
it with pluggy and asks it for what its entry point promised.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pluggy

from imgfx import hookspecs
from imgfx.errors import EngineError, ImgfxError, PluginError
from imgfx.hookspecs import GROUPS, PROJECT
from imgfx.stage import StageCommand

if TYPE_CHECKING:
    from imgfx.engines.base import Engine
    from imgfx.model import Model
    from imgfx.runners import ChainRunner

STAGE_KINDS = ("source", "filter", "sink")
_HOOKS = {
    "source": "imgfx_stages",
    "filter": "imgfx_stages",
    "sink": "imgfx_stages",
    "command": "imgfx_commands",
    "model": "imgfx_models",
    "engine": "imgfx_engines",
    "runner": "imgfx_runners",
}


@dataclass(frozen=True)
class Offer:
    """One thing that an installed package offers, not yet loaded."""

    name: str
    """What users type."""
    kind: str
    """source, filter, sink, command, model, engine or runner."""
    entry_point: EntryPoint

    @cached_property
    def package(self) -> str:
        """The distribution it comes from."""
        distribution = self.entry_point.dist
        try:
            name = distribution.name if distribution is not None else None
        except Exception:  # as newer Pythons do where a failed uninstallation left no metadata
            name = None
        return name or "unknown package"

    @property
    def bundled(self) -> bool:
        """True for what comes with imgfx itself."""
        return self.package == PROJECT


def installed_offers() -> list[Offer]:
    """Everything that installed packages offer, sorted by name; imports none of it."""
    points = entry_points()
    return sorted(
        (
            Offer(point.name, kind, point)
            for kind, group in GROUPS.items()
            for point in points.select(group=group)
        ),
        key=lambda offer: (offer.name, offer.package),
    )


class Registry:
    """What is on offer, by kind and name. Names that clash are kept apart by `package:name`."""

    def __init__(self, offers: Iterable[Offer] | None = None) -> None:
        self.offers: Sequence[Offer] = list(installed_offers() if offers is None else offers)
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._full_names: dict[int, str] = {}

    def names(self, *kinds: str) -> list[str]:
        """The names of these kinds, sorted, without repetition."""
        return sorted({offer.name for offer in self.offers if offer.kind in kinds})

    def offered(self, kind: str) -> list[Offer]:
        """Everything of a kind."""
        return [offer for offer in self.offers if offer.kind == kind]

    def shown_name(self, offer: Offer) -> str:
        """What calls an offer: its name, or `package:name` where another one has that name."""
        try:
            first = self.find(offer.name, *STAGE_KINDS, "command")
        except PluginError:
            first = None
        return offer.name if first is offer else f"{offer.package}:{offer.name}"

    def find(self, name: str, *kinds: str) -> Offer | None:
        """The offer of a name, or of `package:name`; bundled ones win over others.

        Raises:
            PluginError: two packages offer the name.
        """
        package, _, bare = name.rpartition(":")
        found = [
            offer
            for offer in self.offers
            if offer.name == bare and offer.kind in kinds and package in ("", offer.package)
        ]
        bundled = [offer for offer in found if offer.bundled]
        packages = list(dict.fromkeys(offer.package for offer in found))
        if len(packages) > 1 and not bundled:
            raise PluginError(
                f"{name!r} is offered by {' and '.join(packages)}; say which: "
                + " or ".join(f"{package}:{bare}" for package in packages)
            )
        return next(iter(bundled or found), None)

    def stage(self, name: str) -> StageCommand | None:
        """The command of a stage; None when no plugin offers it."""
        loaded: StageCommand | None = self._load(name, *STAGE_KINDS)
        return loaded

    def command(self, name: str) -> click.Command | None:
        """A management command; None when no plugin offers it."""
        loaded: click.Command | None = self._load(name, "command")
        return loaded

    def model(self, name: str) -> Model:
        """A model.

        Raises:
            PluginError: no plugin offers it.
        """
        loaded: Model | None = self._load(name, "model")
        if loaded is None:
            raise PluginError(f"no model named {name!r}; there are {self._list('model')}")
        return loaded

    def engine(self, name: str) -> Engine:
        """An engine.

        Raises:
            EngineError: no plugin offers it.
        """
        loaded: Engine | None = self._load(name, "engine")
        if loaded is None:
            raise EngineError(
                f"--engine {name}: no such engine is installed; there are {self._list('engine')}"
            )
        return loaded

    def runner(self, name: str) -> ChainRunner:
        """A runner other than the local one.

        Raises:
            PluginError: no plugin offers it.
        """
        loaded: ChainRunner | None = self._load(name, "runner")
        if loaded is None:
            names = ", ".join(["local", *self.names("runner")])
            raise PluginError(f"--runner {name}: no such runner is installed; there are {names}")
        return loaded

    def full_name(self, command: StageCommand) -> str:
        """`package:name` of a stage that this registry answered, as it is known elsewhere too."""
        return self._full_names[id(command)]

    def _list(self, kind: str) -> str:
        return ", ".join(self.names(kind)) or "none"

    def _load(self, name: str, *kinds: str) -> Any:
        offer = self.find(name, *kinds)
        if offer is None:
            return None
        with _stdout_guarded():
            things = self._answers(offer)
        for thing in things:
            if getattr(thing, "name", None) == offer.name:
                _check_kind(offer, thing)
                self._full_names[id(thing)] = f"{offer.package}:{offer.name}"
                return thing
        raise PluginError(
            f"{_plugin(offer)} promises {offer.name!r}, but its {_HOOKS[offer.kind]} does not "
            "answer it"
        )

    def _answers(self, offer: Offer) -> list[Any]:
        """What the plugin's hook of this kind answers."""
        module = self._register(offer)
        others = [plugin for plugin in self._manager.get_plugins() if plugin is not module]
        hook = self._manager.subset_hook_caller(_HOOKS[offer.kind], others)
        try:
            return [thing for answer in hook() for thing in answer]
        except ImgfxError:
            raise
        except (Exception, SystemExit) as error:  # the plugin boundary
            raise _broken(offer, error) from error

    def _register(self, offer: Offer) -> Any:
        """The plugin's module, imported and registered once."""
        key = offer.entry_point.value
        known = self._manager.get_plugin(key)
        if known is not None:
            return known
        try:
            module = offer.entry_point.load()
            self._manager.register(module, name=key)
            # A mistyped hook would otherwise never be called, without a word.
            self._manager.check_pending()
        except (Exception, SystemExit) as error:  # the plugin boundary
            if self._manager.has_plugin(key):
                self._manager.unregister(name=key)
            raise _broken(offer, error) from error
        return module


@contextmanager
def _stdout_guarded() -> Iterator[None]:
    """While a plugin is loaded, what it prints goes to stderr, and not among images on stdout.

    As `imgfx.streams.guarded_stdout`, which needs numpy; that is too slow for a stage's help.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _plugin(offer: Offer) -> str:
    return f"plugin {offer.entry_point.value!r} of package {offer.package}"


def _check_kind(offer: Offer, thing: Any) -> None:
    """Whether a thing is what its group says; models and engines are protocols, and trusted."""
    if offer.kind in STAGE_KINDS:
        kind = thing.kind if isinstance(thing, StageCommand) else type(thing).__name__
        if kind != offer.kind:
            raise PluginError(f"{_plugin(offer)}: {offer.name!r} is no {offer.kind} but {kind}")
    elif offer.kind == "command" and not isinstance(thing, click.Command):
        raise PluginError(
            f"{_plugin(offer)}: {offer.name!r} is no Click command but {type(thing).__name__}"
        )


def _broken(offer: Offer, error: BaseException) -> PluginError:
    reason = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {reason[0]}" if reason else type(error).__name__
    return PluginError(
        f"{_plugin(offer)} is broken ({what}); update it "
        f"or remove it with `pip uninstall {offer.package}`"
    )


def summary(offer: Offer) -> str:
    """The first line of the plugin module's docstring, read from its source, not imported."""
    try:
        path = _source_path(offer.entry_point.module)
        if path is None:
            return ""
        text = ast.get_docstring(ast.parse(path.read_bytes()), clean=True)
    except (AttributeError, OSError, SyntaxError, ValueError):  # the first: no module is named
        return ""
    return text.strip().splitlines()[0].rstrip(".") if text else ""


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
