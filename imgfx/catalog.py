"""Catalog: what a management command may ask of the installed plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import click

    from imgfx.engines.base import Engine
    from imgfx.model import Model
    from imgfx.offers import Offer
    from imgfx.stage import StageCommand
    from imgfx.written import Line


class Lines(Protocol):
    """What reads, writes and runs lines of stages, as they stand behind `imgfx`."""

    def parse(self, words: Sequence[str]) -> Line:
        """The line of these words, with only the options that they give.

        Raises:
            click.UsageError: it could not be run so.
            PluginError: a stage's plugin is broken.
        """
        ...

    def words(self, line: Line) -> list[str]:
        """The words that make this line, to be read by people and by a shell, once quoted.

        Raises:
            ImgfxError: it could not be run so; says where it is written.
        """
        ...

    def name(self, command: StageCommand) -> str:
        """What names a stage on every machine: `package:name` where imgfx does not bring it."""
        ...

    def run(self, lines: Sequence[Line], settings: Mapping[str, Any]) -> None:
        """Runs lines as one chain, whose pixels are rounded between them as by a pipe.

        Args:
            lines: a source may begin the first, a sink end the last.
            settings: run options by the names of their parameters; they go before the lines'.

        Raises:
            ImgfxError: as the line itself would end.
        """
        ...


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

    @property
    def lines(self) -> Lines:
        """What runs lines of stages."""
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
