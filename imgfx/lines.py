"""Lines of stages: as they are typed, as data, and run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING, Any

import click

from imgfx.chain import Piece, order_stages, parse_pieces, split_line
from imgfx.errors import ImgfxError
from imgfx.offers import STAGE_KINDS
from imgfx.options import run_options
from imgfx.plugins import Registry
from imgfx.stage import Stage, StageCommand
from imgfx.steps import PIPE, public_name, step_of, values_of
from imgfx.written import Line, Typed, Written, typed, words_of

if TYPE_CHECKING:
    from imgfx.image import Image
    from imgfx.settings import Settings

_TYPED = click.core.ParameterSource.COMMANDLINE


class TypedLines:
    """What reads, writes and runs lines. Satisfies `Lines`.

    Args:
        registry: the plugins.
        context: of the root command, with the run options that stand before everything else.
    """

    def __init__(self, registry: Registry, context: click.Context) -> None:
        self._registry, self._context = registry, context

    def parse(self, words: Sequence[str]) -> Line:
        """See `Lines`."""
        options = run_options()
        before = self._run_values(words)
        if not before.rest:
            raise click.UsageError("no stage is named; see 'imgfx --help'")
        pieces = split_line(before.rest, self._registry, options)
        stages, _ = parse_pieces(pieces, self._context, options)
        order_stages(stages, _END, _END)
        run = dict(before.given)
        written = []
        for piece in pieces:
            found = values_of(piece, options)
            run.update(found.run)
            written.append(Written(self.name(piece.command), found.given))
        return Line(written, run)

    def _run_values(self, words: Sequence[str]) -> Typed:
        """What the words before the first stage say of the run."""
        settings: dict[str, Any] = {"allow_interspersed_args": False, "allow_extra_args": True}
        with _run_command().make_context("imgfx", list(words), self._context, **settings):
            return typed(run_options(), words, interspersed=False)

    def words(self, line: Line) -> list[str]:
        """See `Lines`."""
        stages = self._stages([line])
        with _naming(line.origin):
            order_stages(stages, _END, _END)
        self._settings(line)
        words = _run_words(line)
        for written in line.stages:
            words.append(written.stage)
            words += self._piece(written, self._as_path).words
        return words

    def _as_path(self, word: str) -> str:
        """A word that bears a stage's name would begin the next stage."""
        return f"./{word}" if self._registry.find(word, *STAGE_KINDS) else word

    def name(self, command: StageCommand) -> str:
        """See `Lines`."""
        return public_name(command, self._registry)[0]

    def run_words(self, words: Sequence[str]) -> None:
        """The words of a line, from parsing to the last image."""
        options = run_options()
        with _printing_no_image():
            pieces = split_line(words, self._registry, options)
            stages, given = parse_pieces(pieces, self._context, options)
            named = [self._known(*pair, options) for pair in zip(pieces, stages, strict=True)]
        self._run(named, given)

    def _known(self, piece: Piece, stage: Stage, options: Sequence[click.Option] = ()) -> Stage:
        """A stage that knows how to be made elsewhere, and how provenance names it."""
        step = None if stage.kind == "sink" else step_of(piece, self._registry, options)
        return replace(stage, step=step, full_name=self._registry.full_name(piece.command))

    def run(self, lines: Sequence[Line], settings: Mapping[str, Any]) -> None:
        """See `Lines`."""
        stages = self._stages(lines)
        found: dict[str, Any] = {}
        for line in lines:
            found.update(self._settings(line))
        root = self._context
        typed_first = {k: v for k, v in root.params.items() if _is_typed(root, k)}
        self._run(stages, {**found, **typed_first, **settings})

    def _stages(self, lines: Sequence[Line]) -> list[Stage]:
        stages: list[Stage] = []
        for number, line in enumerate(lines):
            if number:
                stages.append(_rounding())
            stages += map(self._stage, line.stages)
        if not stages:
            raise click.UsageError("no stage is named; see 'imgfx --help'")
        return stages

    def _stage(self, written: Written) -> Stage:
        piece = self._piece(written)
        with _naming(written.origin):
            ((stage,), _) = parse_pieces([piece], self._context, [])
        return replace(self._known(piece, stage), weights=written.weights)

    def _piece(self, written: Written, argument: Callable[[str], str] = str) -> Piece:
        command = self._registry.stage(written.stage)
        if command is None:
            raise ImgfxError(f"{_prefix(written)}{self._unknown(written.stage)}")
        try:
            return Piece(command, words_of(command.params, written.values, argument))
        except ValueError as error:
            raise ImgfxError(f"{_prefix(written)}{error}") from error

    def _unknown(self, name: str) -> str:
        package, _, bare = name.rpartition(":")
        if package.endswith(".py"):
            return f"stage {bare!r} is not here; name the folder of {package} with --plugins-dir"
        if package:
            return f"stage {bare!r} is not installed; install its package: pip install {package}"
        there = ", ".join(self._registry.names(*STAGE_KINDS))
        return f"no stage named {name!r}{self._registry.hidden(name)}; there are {there}"

    def _settings(self, line: Line) -> dict[str, Any]:
        """The run options of a line, as parsed."""
        with (
            _naming(f"{line.origin}: [run]" if line.origin else ""),
            _run_command().make_context("imgfx", _run_words(line), self._context) as context,
        ):
            return {k: v for k, v in context.params.items() if _is_typed(context, k)}

    def _run(self, stages: Sequence[Stage], given: Mapping[str, Any]) -> None:
        from imgfx.settings import Settings

        settings = Settings(**{**self._context.params, **given})
        _check_together(settings)
        # From here on pixels are handled, and numpy and OpenCV are imported.
        from imgfx.batch import run_chain
        from imgfx.pipeline import Chain
        from imgfx.runners import Part
        from imgfx.stdio import stdin_stage, stdout_stage
        from imgfx.stdout import guarded_stdout

        chain = Chain(*order_stages(stages, stdin_stage(), stdout_stage()))
        parts = {id(stage): Part.of(stage) for stage in stages if stage.full_name}
        with guarded_stdout() as images_out:
            try:
                run_chain(chain, settings, self._registry, images_out, parts)
            finally:
                _flush_c_library()


def _check_together(settings: Settings) -> None:
    """Refuses options that would do nothing without another one."""
    if settings.json and not settings.dry_run:
        raise click.UsageError(
            "--json is for --dry-run; --report FILE writes what was done as JSON"
        )
    if settings.runner_address is not None and settings.runner == "local":
        raise click.UsageError("--ray-address is for --runner ray, which is not given")


def _run_command() -> click.Command:
    """Parses run options and nothing else."""
    return click.Command("imgfx", params=list(run_options()), add_help_option=False)


def _run_words(line: Line) -> list[str]:
    try:
        return words_of(run_options(), line.run)
    except ValueError as error:
        raise ImgfxError(f"{line.origin}: [run]: {error}") from error


def _is_typed(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) == _TYPED


def _prefix(written: Written) -> str:
    return f"{written.origin}: " if written.origin else ""


@contextmanager
def _naming(origin: str) -> Iterator[None]:
    """What is wrong with words that nobody typed is said of where they stand."""
    try:
        yield
    except click.UsageError as error:
        if not origin:
            raise
        raise ImgfxError(f"{origin}: {error.format_message()}") from error


_END = Stage("end", "sink", lambda _session: None)
"""For looking at an order alone."""


def _rounding() -> Stage:
    """What a pipe does to pixels."""
    return Stage("pipe", "filter", lambda _session: _rounded, step=PIPE, parallel=True)


def _rounded(image: Image) -> Image:
    from imgfx.image import pixels_from_float

    alpha = None if image.alpha is None else pixels_from_float(image.alpha, image.depth)
    return image.with_pixels(pixels_from_float(image.pixels, image.depth), alpha)


@contextmanager
def _printing_no_image() -> Iterator[None]:
    """While a line is parsed: what its options print goes to stderr.

    Only where the program ends with that, as with --help, it is for stdout.
    """
    printed, ends = StringIO(), False
    try:
        with redirect_stdout(printed):
            yield
    except click.exceptions.Exit:
        ends = True
        raise
    finally:
        if printed.getvalue():
            click.echo(printed.getvalue(), nl=False, err=not ends)


def _flush_c_library() -> None:
    """Writes what C code has printed; else it follows the images when the process ends."""
    import ctypes

    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)
