"""Stages: sources make images, filters change them, sinks end the chain.

A stage's command parses its options and answers a `Stage`, which is started once a run:

    @image_filter("sepia")
    @click.option("--amount", type=click.FloatRange(0, 1), default=1.0, show_default=True)
    def sepia(image: Image, amount: float) -> Image:
        ...
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import click

from imgfx.errors import ApiDeprecationWarning
from imgfx.ranges import FiniteRange

if TYPE_CHECKING:
    from imgfx.image import Image
    from imgfx.model import Model
    from imgfx.provenance import Step
    from imgfx.session import Session

Kind = Literal["source", "filter", "sink"]

Apply = Callable[["Image"], "Image"]
"""What a started filter is."""


@dataclass(frozen=True)
class Item:
    """One image that a source has announced but not yet made."""

    origin: str
    """For messages and the report: a path, `stdin #3`, `gan-generate #0`."""
    load: Callable[[], Image]
    """Makes the image; may be called in another thread, and raise ImageError."""
    name: str = "image"
    """The stem of the output's name, as far as it is known before loading."""
    suffix: str = ""
    """The file name's ending, dot included; empty when there is no file."""
    folder: PurePath = field(default_factory=PurePath)
    """Relative to the opened folder."""
    path: Path | None = None
    """The file it comes from."""
    again: Mapping[str, Any] | None = None
    """Of an image that is made, not read: the options, as named on the command line, with which its
    source makes this one alone; {} where the line's own do. Then its provenance names the source,
    and `imgfx replay` can make it again."""


class Items(Protocol):
    """What a started source is: iterates over items in order, and says how many where it knows.

    `ItemList` makes one of a list.
    """

    count: int | None

    def __iter__(self) -> Iterator[Item]: ...


class ItemList:
    """Items that are all known at the start."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        self.count: int | None = len(items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)


class Sink(Protocol):
    """What a started sink is.

    With a method `check(item, index)`, it can refuse an item, by an ImgfxError, before the first
    image is made; it is asked when the number of images is known. With `accept(image, item, index)`
    it can refuse an image, by an ImageError, that is loaded and not yet filtered. A `Journaled` one
    lets a batch be gone on with.
    """

    def target(self, item: Item, index: int) -> str:
        """Where an item will go; for the plan and the report.

        Raises:
            ImgfxError: it cannot go anywhere.
        """
        ...

    def encode(self, image: Image, item: Item, index: int) -> tuple[bytes, tuple[str, ...]]:
        """The image as bytes, with notes on what was lost; several threads at a time."""
        ...

    def write(self, data: bytes, item: Item, index: int) -> None:
        """Puts the bytes in their place; called in order, in one thread."""
        ...


Note = Callable[[Item, int, Path, tuple[int, int]], None]
"""Told of an output's file that is complete, before it has its name: with its size in bytes and its
time of change in nanoseconds."""


@runtime_checkable
class Journaled(Protocol):
    """A sink that writes files, of which a batch keeps a journal beside them.

    A sink is one by having these methods besides its own. Its `write` calls the `Note` for each
    file, just before that gets its name; a killed batch then knows whole files from others.
    """

    def journal_folder(self) -> Path | None:
        """Where the journal goes; None for a target that holds one image."""
        ...

    def journal_options(self) -> Mapping[str, Any]:
        """On what of its options the files' content depends; their place is no part of it."""
        ...

    def keep_journal(self, note: Note) -> None:
        """From now on `note` is called for each file."""
        ...


@dataclass(frozen=True)
class Stage:
    """One stage of a chain, its options bound."""

    name: str
    kind: Kind
    start: Callable[[Session], Any]
    """Answers Items, Apply or Sink by kind; opens models, so that trouble shows before images."""
    options: dict[str, Any] = field(default_factory=dict)
    """As parsed; for the report."""
    step: Step | None = None
    """As the provenance of its images names it; None for what leaves no trace."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """By a model's name: the sha256 that its weights must have."""
    full_name: str = ""
    """`package:name`, by which other processes make it; empty where they cannot."""
    parallel: bool = False
    """Of a filter: whether it may be called from several threads at a time, in any order."""


class StageCommand(click.Command):
    """A Click command that answers a Stage when it is invoked."""

    kind: Kind = "filter"

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The usage as a piece of a chain, whatever called the help."""
        pieces = " ".join(self.collect_usage_pieces(ctx))
        formatter.write_usage("imgfx ...", f"{self.name} {pieces} ...")


Start = Callable[..., Any]
Decorator = Callable[[Start], StageCommand]


def _stage(name: str, kind: Kind, *, parallel: bool = False) -> Decorator:
    def decorate(function: Start) -> StageCommand:
        @functools.wraps(function)
        def callback(**options: Any) -> Stage:
            def start(session: Session) -> Any:
                return function(session, **options)

            return Stage(name, kind, start, options, parallel=parallel)

        # Click keeps the help option that it first made, with or without -h as the parent had it.
        settings = {"help_option_names": ["-h", "--help"]}
        command = click.command(name, cls=StageCommand, context_settings=settings)(callback)
        command.kind = kind
        return command

    return decorate


def source(name: str) -> Decorator:
    """Makes a source of a function (session, **options) -> Items."""
    return _stage(name, "source")


def sink(name: str) -> Decorator:
    """Makes a sink of a function (session, **options) -> Sink."""
    return _stage(name, "sink")


def learned_filter(name: str, *, parallel: bool = False) -> Decorator:
    """Makes a filter of a function (session, **options) -> (Image -> Image).

    The outer function runs once, before the first image: load models there, with `session.load`,
    or hand over a network of your own to `session.adopt`. What they answer has `apply`.

    Args:
        name: the stage's.
        parallel: the filter may be called from several threads at a time, in any order. A loaded
            model may; a batch of small images is then faster.
    """
    return _stage(name, "filter", parallel=parallel)


def image_filter(name: str, *, parallel: bool = False) -> Decorator:
    """Makes a filter of a function (image, **options) -> Image.

    Args:
        name: the stage's.
        parallel: the function may be called from several threads at a time, in any order, as one
            can that keeps nothing between images. It does not hold up a learned stage then.
    """

    def decorate(function: Start) -> StageCommand:
        @functools.wraps(function)
        def start(session: Session, **options: Any) -> Apply:
            del session
            return functools.partial(_call_filter, function, options)

        return _stage(name, "filter", parallel=parallel)(start)

    return decorate


def filter_(name: str) -> Decorator:
    """The older name of `image_filter`."""
    warnings.warn(
        "imgfx.stage.filter_ is deprecated since imgfx 0.1 and goes away in 1.0; "
        "use imgfx.api.image_filter",
        ApiDeprecationWarning,
        stacklevel=2,
    )
    return image_filter(name)


def _call_filter(function: Start, options: dict[str, Any], image: Image) -> Image:
    result: Image = function(image, **options)
    return result


weights_option = click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Use these weights, from `imgfx train`, in place of the model's own.",
)
"""The option that every learned stage has."""

self_ensemble_option = click.option(
    "--self-ensemble",
    is_flag=True,
    help="Restore each image turned and mirrored in eight ways, and take the mean: a little "
    "better, in eight times the time.",
)
"""The option that every restorer has; what it says goes to `LoadedModel.restore`."""


def model_filter(name: str, model: Model, *, help: str = "") -> StageCommand:  # noqa: A002
    """Makes a filter of a model: the whole stage for a network that turns images into images.

    It has --weights, --self-ensemble and, where the network keeps the size, --strength. Alpha is
    enlarged along.

    Args:
        name: the stage's.
        model: without conditions; those need a stage that gives them values.
        help: of the stage; the model's description when left out.

    Raises:
        ValueError: the model is a generator, or has conditions.
    """
    spec = model.spec
    if spec.latent or spec.conditions:
        raise ValueError(f"{model.name}: a model with latents or conditions needs a stage by hand")

    def start(
        session: Session, weights: Path | None, self_ensemble: bool, strength: float = 1.0
    ) -> Apply:
        loaded = session.load(model, weights)
        return functools.partial(loaded.apply, strength=strength, self_ensemble=self_ensemble)

    start.__doc__ = help or model.describe
    command = learned_filter(name, parallel=True)(self_ensemble_option(weights_option(start)))
    if spec.scale == 1:
        command.params.insert(0, _strength())
    return command


def _strength() -> click.Option:
    return click.Option(
        ["--strength"], type=FiniteRange(0, 1), default=1.0, show_default=True,
        metavar="0..1", help="How much of the network's change is made.",
    )  # fmt: skip
