"""A session: the models of one run, opened once each and closed at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from imgfx.engines.base import Engine, Request, Runner, Say
from imgfx.engines.choice import open_engine
from imgfx.errors import EngineError, WeightsError
from imgfx.loaded import LoadedModel
from imgfx.model import Model, ModelSpec
from imgfx.settings import Settings
from imgfx.weights import Weights, check_purpose, load_weights

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LoadedModel", "Session", "no_engine"]

_MANY = 1 << 10
"""Threads, of which an engine takes as many as suit the machine."""
Watch = Callable[[str, int, int], None]
"""Told of each image a network takes in several tiles: its name, how many are done, of how many."""


class Session:
    """What a run's stages share. A context manager; models are closed when it ends."""

    def __init__(
        self,
        settings: Settings,
        engine_named: Callable[[str], Engine],
        images_out: int | None = None,
        engines: Sequence[str] = ("torch",),
        say: Say = lambda _text: None,
    ) -> None:
        self.settings = settings
        self.notes: list[str] = []
        """What was done otherwise than asked, and what took long; for the report."""
        self.asked: list[LoadedModel] = []
        """What stages have asked for, in order; a model as often as it was asked for."""
        self.watch: Watch = lambda _model, _done, _of: None
        self.side_by_side = False
        """Whether what is opened will mostly run small images, several at a time."""
        self._engines, self._say = engines, say
        self.images_out = images_out
        """The descriptor that image bytes for stdout go to; None outside a command line."""
        self._engine_named = engine_named
        self._models: dict[tuple[str, str], LoadedModel] = {}
        self._stack = ExitStack()

    def load(self, model: Model, weights: Path | None = None) -> LoadedModel:
        """The model with the weights of a file, or with its own; opened at the first call.

        Raises:
            WeightsError: no weights, or they are damaged or of another model.
            EngineError: the engine, device or precision cannot be had.
        """
        path = weights or model.weights
        if path is None or (weights is None and not path.exists()):
            missing = "" if path is None else f" ({path} is not there)"
            raise WeightsError(
                f"{model.name} has no weights of its own yet{missing}; train some with "
                f"`imgfx train {model.name}` and name them with --weights"
            )
        key = (model.name, str(path))
        if key not in self._models:
            found = load_weights(path)
            check_purpose(model, found.spec, path)  # before anything is compiled
            self._keep(key, self._opened(model, found))
        self.asked.append(self._models[key])
        return self._models[key]

    def adopt(
        self,
        name: str,
        spec: ModelSpec,
        runner: Runner,
        *,
        digest: str = "",
        tile: int | None = None,
    ) -> LoadedModel:
        """A network that the caller runs by itself, in no engine of imgfx.

        Its images are cut, mirrored and stitched as any model's, memory and --tile are kept to, and
        plan, report and journal name it. Of its results only shape and finiteness are checked.

        Args:
            name: for messages and the report.
            spec: scale, halo and the like; its channels are 3.
            runner: the network; closed with the session.
            digest: names the network's content anywhere, such as its file's sha256.
            tile: side of the tiles where the network decides it, 0 for whole images.
        """
        settings = self.settings if tile is None else replace(self.settings, tile=tile)
        weights = Weights(spec, {}, model=f"{name} {digest}".strip())
        model = Model(name, spec, build=_no_network)
        loaded = self._loaded(model, weights, None, runner, settings)
        self._keep((name, f"adopted {len(self._models)}"), loaded)
        self.asked.append(loaded)
        return loaded

    def _keep(self, key: tuple[str, str], loaded: LoadedModel) -> None:
        self._models[key] = loaded
        self._stack.callback(loaded.close)

    def _opened(self, model: Model, weights: Weights) -> LoadedModel:
        settings = self.settings
        several = self.side_by_side and settings.tile is None and not settings.dry_run
        request = Request(
            settings.device, settings.precision, self.note, settings.tile, settings.batch,
            build=not settings.dry_run, at_once=_MANY if several else 1,
        )  # fmt: skip
        engine, runner = open_engine(
            settings.engine, self._engines, self._engine_named, model, weights, request
        )
        return self._loaded(model, weights, engine, runner, settings, several=several)

    def _loaded(
        self,
        model: Model,
        weights: Weights,
        engine: Engine | None,
        runner: Runner,
        settings: Settings,
        *,
        several: bool = False,
    ) -> LoadedModel:
        def watch(done: int, of: int) -> None:
            self.watch(model.name, done, of)

        return LoadedModel(
            model, weights, engine, runner, settings, self.note, watch, for_several=several
        )

    def note(self, text: str) -> None:
        """Says a line to the user, and keeps it for the report."""
        self.notes.append(text)
        self._say(text)

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """The models opened so far."""
        return tuple(self._models.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


def _no_network(spec: ModelSpec) -> nn.Module:
    """Of adopted networks, which nobody builds."""
    raise EngineError(f"{spec.architecture}: runs only where it was adopted")


def no_engine(name: str) -> Engine:
    """For sessions without models.

    Raises:
        EngineError: always.
    """
    raise EngineError(f"no engine named {name!r} here")
