"""Run a chain that is kept in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from imgfx.catalog import Catalog
from imgfx.hookspecs import hookimpl
from imgfx.options import run_options
from imgfx.written import Line, Written
from imgfx_chains.chain_file import read_chain


@click.command("run")
@click.option(
    "--chain",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The chain file, as `imgfx chain save` writes it.",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[STAGE]...")
@click.pass_context
def run(ctx: click.Context, /, file: Path | None, words: tuple[str, ...], **_options: Any) -> None:
    """Run a chain from a file; without a source or sink, as a filter in a pipe.

    Stages that are typed behind the options are added: a source goes before the file's chain, a
    filter behind it, a sink to the end. A source or sink takes the place of the file's own. Run
    options that are typed go before those of the file.

    \b
    Examples:
      imgfx run --chain restore.toml < a.png > b.png
      imgfx run --chain restore.toml open photos save out
      imgfx run --chain restore.toml --device cpu open a.jpg superres-fast save b.png
    """
    catalog: Catalog = ctx.obj
    lines = catalog.lines
    behind = lines.parse(words) if words else Line()
    line = behind
    if file is not None:
        chain = read_chain(file, catalog)
        lines.words(chain)  # refuses what would not be a line by itself
        line = joined(chain, behind, catalog)
    lines.run([line], typed_options(ctx))


run.params += run_options()
run.allow_interspersed_args = False  # behind the first stage they are the line's


def joined(chain: Line, around: Line, catalog: Catalog) -> Line:
    """A chain with the stages of another line in their places."""
    stages: list[Written] = []
    for kind in ("source", "filter", "sink"):
        own, added = (_of_kind(line, kind, catalog) for line in (chain, around))
        stages += own + added if kind == "filter" else added or own
    return Line(stages, {**chain.run, **around.run}, chain.origin)


def _of_kind(line: Line, kind: str, catalog: Catalog) -> list[Written]:
    """Stages of a kind; what is not known counts as a filter, and is refused when it is run."""
    found = []
    for written in line.stages:
        command = catalog.stage(written.stage)
        if (command.kind if command is not None else "filter") == kind:
            found.append(written)
    return found


def typed_options(ctx: click.Context) -> dict[str, Any]:
    """The run options that a command was given."""
    typed = click.core.ParameterSource.COMMANDLINE
    names = [option.name for option in run_options() if option.name]
    return {name: ctx.params[name] for name in names if ctx.get_parameter_source(name) == typed}


@hookimpl
def imgfx_commands() -> Sequence[click.Command]:
    """The command `run`."""
    return [run]
