"""Do to another image what made this one."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from imgfx.catalog import Catalog
from imgfx.errors import ImgfxError, printable, tell
from imgfx.formats import format_from_suffix
from imgfx.hookspecs import hookimpl
from imgfx.options import run_options
from imgfx.provenance import ProvenanceError, Run, Step, runs_of, text_of
from imgfx.written import Line, Values, Written, words_of
from imgfx_chains.chain_file import literally, write_chain
from imgfx_chains.remake import Remake
from imgfx_chains.run_command import typed_options

_PATH = click.Path(path_type=Path, allow_dash=True)


@click.command("replay")
@click.argument("image", type=click.Path(dir_okay=False, path_type=Path), metavar="IMAGE")
@click.option("--on", "on", type=_PATH, metavar="FILE", help="The image to do it to; - is stdin.")
@click.option(
    "--out",
    type=_PATH,
    metavar="FILE",
    help="Where the result goes; - is stdout. By default beside FILE, or IMAGE.",
)
@click.option("--overwrite", is_flag=True, help="Replace the result's file if it is there.")
@click.option(
    "--show", is_flag=True, help="Print what made IMAGE, with --json as JSON, and do nothing."
)
@click.option(
    "--save-chain",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write it as a chain file, and do nothing else.",
)
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE",
    help="A file that a stage used, such as weights, where it is neither beside IMAGE nor here.",
)
@click.option(
    "--anyway", is_flag=True, help="Go on with other weights and files, on whatever engine."
)
@click.pass_context
def replay(
    ctx: click.Context,
    /,
    image: Path,
    on: Path | None,
    out: Path | None,
    overwrite: bool,
    show: bool,
    save_chain: Path | None,
    files: tuple[Path, ...],
    anyway: bool,
    **options: Any,
) -> None:
    """Do to another image what was done to IMAGE, or make a generated IMAGE again.

    Images that imgfx has made carry the stages that made them, with all options, the digests of
    weights, and seeds. A generated image is made again with the same pixels, if it is on the
    engine and the device that it was made on, which are chosen where they can be had.

    \b
    Examples:
      imgfx replay out.png --on new.jpg
      imgfx replay out.png --on - --out - < new.jpg > new.png
      imgfx replay dress.png --out again.png
      imgfx replay out.png --show
    """
    catalog: Catalog = ctx.obj
    runs = _recorded(image)
    if show and options["json"]:
        click.echo(json.dumps(json.loads(text_of(runs)), indent=2))
        return
    if show:
        for line in _shown(runs, catalog):
            # Values may be a stranger's, and steer the terminal.
            click.echo(printable(line))
        return
    remake = Remake(image, runs, catalog, files, anyway)
    remake.check_kinds()
    lines = remake.lines()
    if save_chain is not None:
        _save(save_chain, lines, catalog, overwrite)
        return
    assert ctx.parent is not None, "run options stand before the command, too"
    typed = {**typed_options(ctx.parent), **typed_options(ctx)}
    settings, reason = remake.settings(typed)
    notes = [*remake.differences(), *([f"{reason}; auto is taken"] if reason else [])]
    for note in [] if typed.get("quiet") else notes:
        tell(f"warning: {image}: {note}; the pixels may differ")
    catalog.lines.run(_complete(lines, remake, on, out, overwrite), {**settings, **typed})


replay.params += run_options()


def _recorded(image: Path) -> list[Run]:
    from imgfx.files import read_provenance

    text = read_provenance(image)
    if text is None:
        raise ImgfxError(
            f"{image}: does not say how it was made: no filter of imgfx has been at it, "
            "--no-provenance was given, or a program or a format has lost it"
        )
    try:
        return list(runs_of(text))
    except ProvenanceError as error:
        raise ImgfxError(f"{image}: {error.format_message()}") from error


def _save(path: Path, lines: list[Line], catalog: Catalog, overwrite: bool) -> None:
    stages = [written for line in lines for written in line.stages]
    write_chain(path, Line(stages), catalog, overwrite=overwrite)
    if len(lines) > 1:
        tell(
            f"{path}: one chain of {len(lines)} runs; between them pixels were rounded, "
            "which one run does not do"
        )


def _complete(
    lines: list[Line], remake: Remake, on: Path | None, out: Path | None, overwrite: bool
) -> list[Line]:
    """The lines with their ends: where the image comes from, and where it goes."""
    lines = list(lines)
    if on is not None:
        _check_input(on)
        kept = lines[0].stages[1:] if remake.is_made else lines[0].stages
        lines[0] = replace(lines[0], stages=[Written("open", {"paths": [str(on)]}), *kept])
    elif not remake.is_made:
        raise ImgfxError(
            f"{remake.image}: was made from an image, which it does not carry; name one with --on"
        )
    target = _target(remake.image, on, out)
    if target is None:
        return lines
    if os.path.lexists(target) and not overwrite:
        raise ImgfxError(f"{target}: is there already; choose another --out, or --overwrite")
    values: Values = {"target": literally(str(target))}
    sink = Written("save", {**values, "overwrite": True} if overwrite else values)
    lines[-1] = replace(lines[-1], stages=[*lines[-1].stages, sink])
    return lines


def _check_input(on: Path) -> None:
    if on.is_dir():
        raise ImgfxError(
            f"{on}: is a folder; write a chain with --save-chain FILE, and do "
            f"`imgfx run --chain FILE open {shlex.quote(str(on))} save out`"
        )


def _target(image: Path, on: Path | None, out: Path | None) -> Path | None:
    """The result's file; None for stdout."""
    piped = on is not None and str(on) == "-"
    if str(out) == "-" or (out is None and piped):
        return None
    read = image if on is None or piped else on
    suffix = read.suffix if format_from_suffix(read.suffix) else ".png"
    name = f"{image.stem}_again" if on is None else f"{read.stem}_as_{image.stem}"
    if out is None:
        return read.with_name(name + suffix)
    if out.is_dir():
        return out / (name + suffix)
    if format_from_suffix(out.suffix) is None:
        raise ImgfxError(f"{out}: give the result a name that ends in .png, .jpg or the like")
    return out


def _shown(runs: list[Run], catalog: Catalog) -> Iterator[str]:
    """A line for a shell, and what it needs."""
    yield " | ".join(shlex.join(["imgfx", *_words(run, catalog)]) for run in runs)
    for run in runs:
        for step in run.steps:
            version = f"{step.version}" if step.version else f"of imgfx {run.imgfx}"
            yield f"{step.stage} {version}"
            for model in step.models:
                yield f"  model {model.model}, weights sha256 {model.weights}"
                yield f"  run by {model.engine} on {model.device} in {model.precision}"
            for used in step.files:
                yield f"  file {used.name} of {used.option}, sha256 {used.sha256}"


def _words(run: Run, catalog: Catalog) -> Iterator[str]:
    for step in run.steps:
        yield step.stage
        yield from _option_words(step, catalog)


def _option_words(step: Step, catalog: Catalog) -> list[str]:
    """The options as words, of a stage that is not installed as well as can be."""
    command = catalog.stage(step.stage)
    if command is not None:
        with suppress(ValueError):
            return words_of(command.params, step.options)
    words: list[str] = []
    for name, value in step.options.items():
        for part in value if isinstance(value, list) else [value]:
            words += [f"--{name}"] if isinstance(part, bool) else [f"--{name}", str(part)]
    return words


@hookimpl
def imgfx_commands() -> Sequence[click.Command]:
    """The command `replay`."""
    return [replay]
