"""Catalog: what a management command may ask of the installed plugins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import click

    from imgfx.engines.base import Engine
    from imgfx.model import Model
    from imgfx.offers import Offer
    from imgfx.stage import StageCommand


class Catalog(Protocol):
    """The object of every management command's Click context (`click.pass_obj`)."""

    @property
    def offers(self) -> Sequence[Offer]:
        """Everything that plugins offer, sorted by name; none of it is imported."""
        ...

    @property
    def left_out(self) -> Sequence[Offer]:
        """What is installed, and IMGFX_PLUGINS in the environment leaves out."""
        ...

    def find(self, name: str, *kinds: str) -> Offer | None:
        """The offer of a name, or of `package:name`.

        Raises:
            PluginError: two packages offer the name.
        """
        ...

    def shown_name(self, offer: Offer) -> str:
        """What calls an offer: its name, or `package:name` where another one has that name."""
        ...

    def load(self, offer: Offer) -> Any:
        """What an offer promises: a command, a model, an engine.

        Raises:
            PluginError: its plugin is broken.
        """
        ...

    def names(self, *kinds: str) -> list[str]:
        """The names on offer of these kinds, such as source, model or runner."""
        ...

    def stage(self, name: str) -> StageCommand | None:
        """The command of a stage; None when no plugin offers it."""
        ...

    def command(self, name: str) -> click.Command | None:
        """A management command; None when no plugin offers it."""
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
