"""`imgfx plugins new`: a package to start from."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgfx.errors import ImgfxError, PluginError
from imgfx.hookspecs import KINDS

if TYPE_CHECKING:
    from imgfx.catalog import Catalog
    from imgfx_plugins.package import Package

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 24


@click.command("new")
@click.argument("name", metavar="NAME")
@click.option("--model", is_flag=True, help="With a network, and a recipe to train it.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    metavar="DIR",
    help="Where the package's folder is made.",
)
@click.pass_obj
def new(catalog: Catalog, name: str, model: bool, folder: Path) -> None:
    """Start a package: a filter NAME, with tests, that works at once.

    Writes ./imgfx-NAME. Install it with `pip install -e imgfx-NAME`, then change it.

    \b
    Examples:
      imgfx plugins new sepia
      imgfx plugins new deblur --model --dir ~/src
    """
    from imgfx_plugins.package import Package

    package = Package(name, model)
    _check(catalog, package)
    place = package.write(folder)
    for line in _next_steps(package, place):
        click.echo(line)


def _check(catalog: Catalog, package: Package) -> None:
    """Whether the name can be had.

    Raises:
        click.UsageError: it is no name for a stage.
        ImgfxError: something has it already.
    """
    name = package.name
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise click.UsageError(
            f"{name!r} is no name for a stage: take small letters, digits and hyphens, at most "
            f"{_LONGEST}, such as 'tone-map'"
        )
    if name.startswith("imgfx-"):
        raise click.UsageError(f"leave out 'imgfx-'; the package will be named imgfx-{name[6:]}")
    owner = _owner(catalog, name)
    if owner:
        raise ImgfxError(f"{name!r} is offered by {owner} already; choose another name")
    if find_spec(package.module) is not None:
        raise ImgfxError(f"a module {package.module} is installed already; choose another name")


def _owner(catalog: Catalog, name: str) -> str:
    """The package that has the name, for whatever; empty if none has."""
    try:
        offer = catalog.find(name, *KINDS)
    except PluginError:  # several have it
        return "several packages"
    return offer.package if offer is not None else ""


def _next_steps(package: Package, place: Path) -> list[str]:
    name = package.name
    lines = [f"{place} is written. Go on with:", f"  pip install -e {place}"]
    if package.model:
        lines.append(f"  imgfx train {name} --data DIR")
        lines.append(f"  imgfx open a.jpg {name} --weights {name}.safetensors save b.png")
    else:
        lines.append(f"  imgfx open a.jpg {name} save b.jpg")
    return [*lines, f"  imgfx plugins test {name}"]
