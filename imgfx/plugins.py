"""Load the plugin whose name is used, and confine the broken ones.

Loading imports one module, registers it with pluggy and asks it for what its entry point promised.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pluggy

from imgfx import __version__, hookspecs
from imgfx.errors import EngineError, ImgfxError, PluginError, tell
from imgfx.hookspecs import API_VERSION, PROJECT
from imgfx.offers import (
    FOLDER,
    PACKAGES,
    STAGE_KINDS,
    Offer,
    allowed_offers,
    installed_offers,
    offers_of_folder,
    without_doubles,
)
from imgfx.stage import StageCommand
from imgfx.stdout import guarded_stdout

if TYPE_CHECKING:
    from imgfx.catalog import Lines
    from imgfx.engines.base import Engine
    from imgfx.model import Model
    from imgfx.runners import ChainRunner

_HOOKS = {
    "source": "imgfx_stages",
    "filter": "imgfx_stages",
    "sink": "imgfx_stages",
    "command": "imgfx_commands",
    "model": "imgfx_models",
    "engine": "imgfx_engines",
    "runner": "imgfx_runners",
}

_PARTS = {
    "engine": ("preference", "missing", "open"),
    "runner": ("elsewhere", "missing", "run"),
}
"""Of the protocols, beside the name."""


class Registry:
    """What is on offer, by kind and name. Names that clash are kept apart by `package:name`."""

    def __init__(self, offers: Iterable[Offer] | None = None) -> None:
        self.offers: Sequence[Offer] = []
        self.left_out: Sequence[Offer] = []
        """What IMGFX_PLUGINS leaves out."""
        self.folders: list[Path] = []
        """Whose files are plugins; as they were named."""
        self.lines: Lines
        """Set by the command line, before a management command is run."""
        if offers is None:
            allowed, self.left_out = allowed_offers(installed_offers())
            self.offers = without_doubles(allowed)
            self._add_named_folder()
        else:
            self.offers = list(offers)
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._full_names: dict[int, str] = {}

    def _add_named_folder(self) -> None:
        """The folder of the environment; a stale one costs a warning, not each and every run."""
        folder = os.environ.get(FOLDER)
        if not folder:
            return
        try:
            self.add_folder(Path(folder))
        except PluginError as error:
            tell(f"warning: {FOLDER}: {error.format_message()}")

    def add_folder(self, folder: Path) -> None:
        """Takes the plugins of a folder's files in, too.

        Raises:
            PluginError: the folder cannot be read.
        """
        try:
            known = {offer.file.resolve() for offer in self.offers if offer.file is not None}
            new = [o for o in offers_of_folder(folder) if o.file and o.file.resolve() not in known]
            self.offers = [*self.offers, *new]
            self.folders.append(folder)
        except OSError as error:
            raise PluginError(
                f"{folder}: cannot read the plugins there: {error.strerror}"
            ) from error

    def names(self, *kinds: str) -> list[str]:
        """The names of these kinds, sorted, without repetition."""
        return sorted({offer.name for offer in self.offers if offer.kind in kinds})

    def offered(self, kind: str) -> list[Offer]:
        """Everything of a kind."""
        return [offer for offer in self.offers if offer.kind == kind]

    def shown_name(self, offer: Offer) -> str:
        """What calls an offer: its name, or `package:name` where another one has that name."""
        rivals = (*STAGE_KINDS, "command")
        try:
            first = self.find(offer.name, *(rivals if offer.kind in rivals else [offer.kind]))
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
            if offer.name == bare
            and offer.kind in kinds
            and (not package or offer.is_from(package))
        ]
        found = [offer for offer in found if offer.supported] or found
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
            there = self._list("model")
            raise PluginError(f"no model named {name!r}{self.hidden(name)}; there are {there}")
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

    def hidden(self, name: str) -> str:
        """Why a name is unknown though a package offers it; empty where none does."""
        hidden = next((offer for offer in self.left_out if offer.name == name), None)
        if hidden is None:
            return ""
        return f" ({PACKAGES} in the environment leaves out {hidden.package}, which offers it)"

    def _list(self, kind: str) -> str:
        return ", ".join(self.names(kind)) or "none"

    def _load(self, name: str, *kinds: str) -> Any:
        offer = self.find(name, *kinds)
        return None if offer is None else self.load(offer)

    def load(self, offer: Offer) -> Any:
        """What an offer promises: a stage's command, a model, an engine.

        Raises:
            PluginError: the plugin is broken, or written for another version of the API.
        """
        _check_version(offer)
        with guarded_stdout():  # what a plugin prints while it is loaded is no image
            things = self._answers(offer)
        for thing in things:
            if getattr(thing, "name", None) == offer.name:
                _check_kind(offer, thing)
                self._full_names[id(thing)] = f"{offer.package}:{offer.name}"
                return thing
        raise PluginError(
            f"{_plugin(offer)} promises {offer.name!r}, but its {_HOOKS[offer.kind]} does not "
            f"answer it; {_advice(offer)}"
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
        key = offer.module if offer.file is None else str(offer.file)
        known = self._manager.get_plugin(key)
        if known is not None:
            return known
        try:
            module = offer.load()
            self._manager.register(module, name=key)
            # A mistyped hook would otherwise never be called, without a word.
            self._manager.check_pending()
        except (Exception, SystemExit) as error:  # the plugin boundary
            if self._manager.has_plugin(key):
                self._manager.unregister(name=key)
            raise _broken(offer, error) from error
        return module


def _plugin(offer: Offer) -> str:
    if offer.file is not None:
        return f"plugin {offer.file}"
    return f"plugin {offer.module!r} of package {offer.package}"


def _advice(offer: Offer) -> str:
    if ":" in offer.module:
        module = offer.module.partition(":")[0]
        return f"an entry point names the module alone, {module!r}, not what is in it"
    return "is the function marked @hookimpl, and the thing named so?"


def _check_version(offer: Offer) -> None:
    if offer.supported:
        return
    old = f"update {offer.package}"
    new = f"install an imgfx that has it, or a {offer.package} for version {API_VERSION}"
    raise PluginError(
        f"{_plugin(offer)} is written for version {offer.version} of the plugin API, and imgfx "
        f"{__version__} has version {API_VERSION}; {old if offer.version < API_VERSION else new}"
    )


def _check_kind(offer: Offer, thing: Any) -> None:
    """Whether a thing is what its group says; of a protocol, whether it has all of its parts."""
    if offer.kind in STAGE_KINDS:
        kind = thing.kind if isinstance(thing, StageCommand) else type(thing).__name__
        if kind != offer.kind:
            raise PluginError(f"{_plugin(offer)}: {offer.name!r} is no {offer.kind} but {kind}")
    elif offer.kind == "command" and not isinstance(thing, click.Command):
        raise PluginError(
            f"{_plugin(offer)}: {offer.name!r} is no Click command but {type(thing).__name__}"
        )
    elif offer.kind == "model":
        from imgfx.model import Model

        if not isinstance(thing, Model):
            what = type(thing).__name__
            raise PluginError(f"{_plugin(offer)}: {offer.name!r} is no Model but {what}")
    else:
        missing = [part for part in _PARTS.get(offer.kind, ()) if not hasattr(thing, part)]
        if missing:
            lacks = " and ".join(missing)
            raise PluginError(f"{_plugin(offer)}: the {offer.kind} {offer.name!r} has no {lacks}")


def _broken(offer: Offer, error: BaseException) -> PluginError:
    reason = str(error).strip().splitlines()
    if isinstance(error, pluggy.PluginValidationError):  # its first line says only which hook
        reason = [" ".join(part.strip() for part in reason if part.strip())]
    what = f"{type(error).__name__}: {reason[0]}" if reason else type(error).__name__
    if offer.file is not None:
        return PluginError(f"{_plugin(offer)} is broken ({what}); mend it or take it away")
    return PluginError(
        f"{_plugin(offer)} is broken ({what}); update it "
        f"or remove it with `pip uninstall {offer.package}`"
    )
