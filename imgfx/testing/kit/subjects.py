"""Subjects: the things of a plugin that are checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import click

from imgfx.catalog import Catalog
from imgfx.errors import ImgfxError
from imgfx.hookspecs import KINDS
from imgfx.offers import FOLDER, Offer
from imgfx.stage import Stage, StageCommand
from imgfx.testing.kit.findings import NotReadyError
from imgfx.testing.stages import bound

T = TypeVar("T")


@dataclass(frozen=True)
class Given:
    """What the user gave beside the name."""

    words: Sequence[str] = ()
    """Options of the stage, as typed."""
    weights: Path | None = None
    """Of the stage and of the model, in place of their own."""
    data: Path | None = None
    """A folder of images to train on for two steps."""

    def absolute(self) -> Given:
        """The same where weights and data are named so that other folders' processes find them."""
        weights, data = (path and path.absolute() for path in (self.weights, self.data))
        return replace(self, weights=weights, data=data)


@dataclass
class Subject:
    """One thing on offer, loaded when a check first asks for it."""

    catalog: Catalog
    offer: Offer
    folder: Path
    """For files of the checks; empty at first."""
    given: Given
    _once: dict[str, Any] = field(default_factory=dict)

    def once(self, key: str, make: Callable[[], T]) -> T:
        """What `make` answers, made at the first call for a key; for what several checks need."""
        if key not in self._once:
            self._once[key] = make()
        made: T = self._once[key]
        return made

    @property
    def full_name(self) -> str:
        """`package:name`, as other processes, in other folders, know it too."""
        file = self.offer.file
        return f"{self.offer.package if file is None else file.absolute()}:{self.offer.name}"

    @property
    def env(self) -> Mapping[str, str]:
        """What other processes need in their environment to find it."""
        file = self.offer.file
        return {} if file is None else {FOLDER: str(file.absolute().parent)}

    def warnings(self) -> Sequence[str]:
        """Of parts of the API that go away, which it uses when it runs, as far as that was seen."""
        return ()

    @cached_property
    def load_error(self) -> str:
        """Why it cannot be loaded; empty if it can."""
        try:
            self.catalog.load(self.offer)
        except ImgfxError as error:
            return error.format_message()
        return ""

    @property
    def thing(self) -> Any:
        """What the hook answers for the name.

        Raises:
            NotReadyError: it cannot be loaded.
        """
        if self.load_error:
            raise NotReadyError("it cannot be loaded")
        return self.catalog.load(self.offer)


class StageSubject(Subject):
    """A source, filter or sink."""

    @property
    def command(self) -> StageCommand:
        """Its Click command.

        Raises:
            NotReadyError: it cannot be loaded.
        """
        command = self.thing
        assert isinstance(command, StageCommand), "the catalog checks kinds"
        return command

    @cached_property
    def words(self) -> list[str]:
        """The options it is run with: what was given, and values for what it cannot do without."""
        words = _absolute(self.given.words, self.command) if self.given.words else []
        if self.given.weights is not None and self.has_option("--weights"):
            words += ["--weights", str(self.given.weights)]
        return words if self.given.words else [*words, *self._needed()]

    def has_option(self, text: str) -> bool:
        """Whether its command has an option of this name."""
        return any(text in parameter.opts for parameter in self.command.params)

    def _needed(self) -> list[str]:
        """A made-up file or folder for each required parameter that looks like one."""
        words = []
        for parameter in self.command.params:
            if parameter.required and _takes_path(parameter):
                option = isinstance(parameter, click.Option)
                words += [*([parameter.opts[0]] if option else []), str(self.needed_path())]
        return words

    def needed_path(self) -> Path:
        """A path for a required parameter; for sinks a folder to write into."""
        return self.folder / "out"

    @cached_property
    def stage_error(self) -> str:
        """Why its options cannot be parsed; empty if they can."""
        try:
            bound(self.command, *self.words)
        except click.ClickException as error:
            return error.format_message()
        except TypeError as error:
            return str(error)
        return ""

    def bound(self, *more: str) -> Stage:
        """The stage with its options, and some more.

        Raises:
            NotReadyError: it cannot be loaded, or the options are wrong.
        """
        if self.stage_error:
            raise NotReadyError("it does not start")
        return bound(self.command, *self.words, *more)

    @property
    def line(self) -> list[str]:
        """The stage on a command line."""
        return [self.full_name, *self.words]


def _absolute(words: Sequence[str], command: click.Command) -> list[str]:
    """The words with the files and folders that are here named so that other folders find them."""
    with command.make_context(command.name, [], resilient_parsing=True) as context:
        try:
            values, _, _ = command.make_parser(context).parse_args(list(words))
        except click.UsageError:  # the check `start` says so
            return list(words)
    given = [values.get(p.name or "") for p in command.params if _takes_path(p)]
    paths = {text for value in given for text in _texts(value) if text and Path(text).exists()}
    return [_with_absolute(word, paths) for word in words]


def _texts(value: object) -> Iterator[str]:
    """The words of a parameter's value, of which there may be many."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _with_absolute(word: str, paths: Collection[str]) -> str:
    """A word such as `a.png` or `--mask=a.png` with its path, if it has one, made absolute."""
    option, equals, path = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}{Path(path).absolute()}" if path in paths else word


def _takes_path(parameter: click.Parameter) -> bool:
    """Whether a parameter's value is, by its type or its name, a path."""
    if isinstance(parameter.type, click.Path | click.File):
        return True
    words = f"{parameter.metavar or ''} {parameter.name or ''}".lower()
    is_text = isinstance(parameter.type, click.types.StringParamType)
    return is_text and any(word in words for word in ("path", "file", "dir", "folder", "target"))


def offers_named(catalog: Catalog, name: str) -> list[Offer]:
    """The offers of a name, of `package:name`, or all of a package.

    Raises:
        ImgfxError: nothing has that name.
    """
    found = [o for o in catalog.offers if name in (o.name, f"{o.package}:{o.name}")]
    found = found or [o for o in catalog.offers if o.package == name]
    if not found:
        raise ImgfxError(
            f"no plugin or package is named {name!r}; `imgfx plugins list` shows what there is"
        )
    return sorted(found, key=lambda offer: (KINDS.index(offer.kind), offer.name, offer.package))
