"""Catalog: what a management command may ask of the installed plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from imgfx.engines.base import Engine
    from imgfx.model import Model
    from imgfx.stage import StageCommand


class Catalog(Protocol):
    """The object of every management command's Click context (`click.pass_obj`)."""

    def names(self, *kinds: str) -> list[str]:
        """The names on offer of these kinds, such as source, model or runner."""
        ...

    def stage(self, name: str) -> StageCommand | None:
        """The command of a stage; None when no plugin offers it."""
        ...

    def model(self, name: str) -> Model:
        """A model.

        Raises:
            PluginError: no plugin offers it.
        """
        ...

    def engine(self, name: str) -> Engine:
        """An engine.

        Raises:
            EngineError: no plugin offers it.
        """
        ...
