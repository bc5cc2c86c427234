"""Save a chain as a file, and show one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from imgfx.catalog import Catalog
from imgfx.hookspecs import hookimpl
from imgfx_chains.chain_file import read_chain, write_chain

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("chain")
def chain() -> None:
    """Keep chains of stages in files, to be run with `imgfx run --chain FILE`.

    \b
    Examples:
      imgfx chain save restore.toml denoise-ae --strength 0.6 superres-rednet --scale 2
      imgfx chain show restore.toml
      imgfx run --chain restore.toml open photos save out
    """


@chain.command("save")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it is there.")
@click.argument("file", type=_FILE, metavar="FILE")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="STAGE...")
@click.pass_obj
def save(catalog: Catalog, overwrite: bool, file: Path, words: tuple[str, ...]) -> None:
    """Write the line STAGE [OPTIONS] [STAGE [OPTIONS]]... as the chain file FILE.

    Only the options that are given are written, run options among them. Relative paths are written
    as paths from FILE's folder.

    \b
    Examples:
      imgfx chain save restore.toml denoise-ae --strength 0.6 superres-rednet --scale 2
      imgfx chain save --overwrite restore.toml open scans denoise-ae save out --format png
    """
    if words[0] == "--overwrite":  # before the line's first stage it is nobody else's
        overwrite, words = True, words[1:]
    write_chain(file, catalog.lines.parse(words), catalog, overwrite=overwrite)


save.allow_interspersed_args = False  # behind FILE they are the line's


@chain.command("show")
@click.argument("file", type=_FILE, metavar="FILE")
@click.pass_obj
def show(catalog: Catalog, file: Path) -> None:
    """Print the chain of FILE as a line that can be pasted into a shell."""
    words = catalog.lines.words(read_chain(file, catalog))
    click.echo(shlex.join(["imgfx", *words]))


@hookimpl
def imgfx_commands() -> Sequence[click.Command]:
    """The command `chain`."""
    return [chain]
