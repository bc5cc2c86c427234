"""The seam between a chain and what drives it: this process, or others that a plugin brings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from imgfx.ahead import load
from imgfx.engines.base import Choice, Request, Say
from imgfx.engines.base import Runner as Network
from imgfx.errors import EngineError, ImgfxError, confined
from imgfx.filters import recorder_of, start_filters
from imgfx.image import Image
from imgfx.interrupts import Interrupts
from imgfx.model import Model
from imgfx.outcomes import Ledger, Made, Observe, Outcome, Report
from imgfx.pipeline import StartedChain
from imgfx.plugins import Registry
from imgfx.provenance import Step
from imgfx.session import Session
from imgfx.settings import Settings
from imgfx.stage import Item, Journaled, Sink, Stage
from imgfx.weights import Weights

if TYPE_CHECKING:
    from imgfx.catalog import Catalog

__all__ = [
    "Blueprint",
    "ChainRunner",
    "ElsewhereEngine",
    "LocalRunner",
    "Made",
    "Maker",
    "Part",
    "Work",
    "failed",
    "load",
    "runner_named",
]


class _Nothing:
    """The items of a chain that is handed its images one by one. Satisfies `Items`."""

    count: int | None = 0

    def __iter__(self) -> Iterator[Item]:
        return iter(())


_NOTHING = _Nothing()


@dataclass(frozen=True)
class Part:
    """A stage such that another process can make it anew; it has the same plugins installed."""

    name: str
    """`package:name`."""
    options: Mapping[str, Any]
    """As parsed."""
    step: Step | None = None
    """See `Stage`."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """See `Stage`."""

    @classmethod
    def of(cls, stage: Stage) -> Part:
        """The part of a stage that knows its full name."""
        return cls(stage.full_name, stage.options, stage.step, stage.weights)

    def stage(self, catalog: Catalog) -> Stage:
        """The stage.

        Raises:
            PluginError: the plugin is not installed here, or broken.
        """
        with confined(f"stage {self.name!r}"):
            command = catalog.stage(self.name)
            if command is None or command.callback is None:
                raise ImgfxError(f"stage {self.name!r} is not installed there; install its package")
            stage: Stage = command.callback(**self.options)
            return replace(stage, step=self.step, weights=self.weights)


@dataclass(frozen=True)
class Blueprint:
    """What another process needs to make images as this chain does: filters and sink."""

    filters: Sequence[Part]
    sink: Part
    settings: Settings
    folder: Path
    """The working folder, to which relative paths refer."""
    plugins: Sequence[Path] = ()
    """Folders whose files are plugins."""

    def enter(self) -> None:
        """Goes to the working folder.

        Raises:
            ImgfxError: it is not there.
        """
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise ImgfxError(
                f"{self.folder}: {error.strerror}; every node needs the folder, under one name"
            ) from error


class Maker:
    """A blueprint at work in another process: its models are opened once.

    Raises:
        ImgfxError: the chain cannot be started here.
    """

    def __init__(self, blueprint: Blueprint) -> None:
        blueprint.enter()
        registry = Registry()
        for folder in blueprint.plugins:
            registry.add_folder(folder)
        self._stack = ExitStack()
        self._session = self._stack.enter_context(
            Session(blueprint.settings, registry.engine, None, registry.names("engine"))
        )
        filters = [part.stage(registry) for part in blueprint.filters]
        sink = blueprint.sink.stage(registry)
        self._told = 0
        """Of the session's notes."""
        self._filters = start_filters(filters, self._session)
        with confined(f"stage {sink.name!r}"):
            self._sink: Sink = sink.start(self._session)

    @property
    def choices(self) -> Mapping[str, Choice]:
        """What runs each model here."""
        return {loaded.model.name: loaded.choice for loaded in self._session.models}

    def new_notes(self) -> Sequence[str]:
        """Those of `Session.notes` that it has not answered before."""
        found = self._session.notes[self._told :]
        self._told += len(found)
        return found

    def __call__(self, item: Item, index: int, load: Callable[[], Image]) -> Made:
        """One image, or why it could not be made."""
        record = recorder_of(self._filters, self._session)
        chain = StartedChain(_NOTHING, self._filters, self._sink, record=record)
        made = chain.make(item, index, load)
        notes = tuple(self.new_notes())
        return replace(made, ran=tuple(self.choices.values()), session_notes=notes)

    def close(self) -> None:
        """Frees the models."""
        self._stack.close()


@dataclass
class Work:
    """A chain that is to be run, and all that a run is told and asked.

    A runner that makes images in other processes takes up `left()` and hands each to `place`, in
    any order, within `with work:`, which puts the report in the order of the images.
    """

    chain: StartedChain
    settings: Settings
    report: Report
    observe: Observe
    ledger: Ledger | None = None
    interrupts: Interrupts | None = None
    blueprint: Blueprint | None = None
    """None where the line's sink cannot be started elsewhere."""
    learn: Callable[[Mapping[str, Choice], Sequence[str]], None] = lambda _choices, _notes: None
    """Told what runs the models elsewhere, and the notes of the sessions there."""
    say: Say = lambda _text: None
    _outcomes: dict[int, Outcome] = field(default_factory=dict)

    @property
    def stopped(self) -> bool:
        """Whether no more images are to be taken up."""
        if self.interrupts is not None and self.interrupts():
            self.report.stopped = True
        return self.report.stopped

    def files_only(self, runner: str) -> Blueprint:
        """The blueprint, of a chain from files to files.

        Raises:
            ImgfxError: it is another one.
        """
        advice = "; leave it out"
        if self.chain.items.count is None or any(item.path is None for item in self.chain.items):
            raise ImgfxError(f"--runner {runner} reads files, named with 'open PATH...'{advice}")
        if self.blueprint is None or not isinstance(self.chain.sink, Journaled):
            raise ImgfxError(f"--runner {runner} writes files, named with 'save TARGET'{advice}")
        return self.blueprint

    def left(self) -> Iterator[tuple[int, Item]]:
        """The images that are to be made, until the run is stopped; of the others it is told."""
        for index, item in enumerate(self.chain.items):
            if self.stopped:
                return
            known = self.ledger.known(item, index) if self.ledger is not None else None
            if known is None:
                yield index, item
            else:
                self._settle(index, known)

    def place(self, index: int, item: Item, made: Made) -> None:
        """Writes an image; a second answer for the same one is passed over.

        Raises:
            ImgfxError: nothing more can be written.
        """
        if made.session_notes:
            self.learn({}, made.session_notes)
        if index not in self._outcomes:
            self._settle(index, self.chain.place(index, item, made, self.ledger))

    def is_placed(self, index: int) -> bool:
        """Whether an image is written or has failed."""
        return index in self._outcomes

    def _settle(self, index: int, outcome: Outcome) -> None:
        self._outcomes[index] = outcome
        self.report.add(outcome, stop_on_error=self.settings.on_error == "stop")
        self.observe(outcome)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.report.outcomes[:] = [self._outcomes[index] for index in sorted(self._outcomes)]


@runtime_checkable
class ChainRunner(Protocol):
    """Something that can run chains, as a plugin offers it by `imgfx_runners`."""

    name: str
    elsewhere: bool
    """Whether models run in other processes, so that none are opened in this one."""

    def missing(self) -> str:
        """What a user must do before it can run here at all; empty if nothing. Imports nothing."""
        ...

    def run(self, work: Work) -> None:
        """Runs a chain to its end, or until `work.stopped`.

        Raises:
            ImgfxError: it cannot be run so, or nothing more can be written.
        """
        ...


class LocalRunner:
    """See `ChainRunner`: this process."""

    name = "local"
    elsewhere = False

    def missing(self) -> str:
        """See `ChainRunner`."""
        return ""

    def run(self, work: Work) -> None:
        """See `ChainRunner`."""
        work.chain.run(
            jobs=work.settings.jobs,
            stop_on_error=work.settings.on_error == "stop",
            observe=work.observe,
            report=work.report,
            ledger=work.ledger,
            interrupts=work.interrupts,
        )


def runner_named(name: str, registry: Registry) -> ChainRunner:
    """The runner of this name.

    Raises:
        PluginError: there is none, or it lacks something.
    """
    runner = LocalRunner() if name == "local" else registry.runner(name)
    if runner.missing():
        raise ImgfxError(f"--runner {name} is not installed: {runner.missing()}")
    return runner


class ElsewhereEngine:
    """The engine of models that run in other processes: opens nothing. Satisfies `Engine`."""

    name = "elsewhere"
    preference: Mapping[str, int] = {}

    def __init__(self) -> None:
        self._networks: dict[str, _Elsewhere] = {}

    def missing(self) -> str:
        """See `Engine`."""
        return ""

    def open(self, model: Model, weights: Weights, request: Request) -> Network:
        """See `Engine`."""
        del weights
        network = _Elsewhere(Choice(self.name, request.device, request.precision))
        return self._networks.setdefault(model.name, network)

    def learn(self, choices: Mapping[str, Choice]) -> None:
        """What runs the models where they are; several of a model are joined by `+`."""
        for name, choice in choices.items():
            if name in self._networks:
                self._networks[name].learn(choice)


class _Elsewhere:
    """A model that is not here. Satisfies the engines' `Runner`."""

    batch = largest = memory = 0

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self._learned: list[Choice] = []

    def learn(self, choice: Choice) -> None:
        self._learned.append(choice)
        parts = ("engine", "device", "precision")
        seen = (dict.fromkeys(getattr(each, part) for each in self._learned) for part in parts)
        self.choice = Choice(*("+".join(values) for values in seen))

    def __call__(self, batch: Any) -> Any:
        del batch
        raise EngineError("this model runs in other processes, not in this one")

    def close(self) -> None:
        """Nothing is open."""


def failed(item: Item, error: str) -> Made:
    """Of an image that could not be made."""
    return Made(item.name, None, 0.0, error=f"{item.origin}: {error}")
