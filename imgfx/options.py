"""The options of a whole run, which stand before the first stage or behind any."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from imgfx.ranges import FiniteRange


def run_options() -> list[click.Option]:
    """The options of a whole run."""
    return [*_of_models(), *_of_images(), *_of_what_is_said()]


def _of_models() -> list[click.Option]:
    """What runs networks, where, and how much at a time."""
    return [
        click.Option(
            ["--device"], type=click.Choice(["auto", "cpu", "cuda"]), default="auto",
            show_default=True, help="Where models run; cuda fails when there is none.",
        ),
        click.Option(
            ["--engine"], default="auto", show_default=True, metavar="NAME", envvar="IMGFX_ENGINE",
            show_envvar=True,
            help="What runs models: auto, torch, openvino, tensorrt, or a plugin's.",
        ),
        click.Option(
            ["--precision"], type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
            default="auto", show_default=True, help="Of the models' arithmetic.",
        ),
        click.Option(
            ["--tile"], type=click.IntRange(0), metavar="PIXELS",
            help="Side of a tile; 0 runs images whole. Chosen by memory when left out.",
        ),
        click.Option(
            ["--batch"], type=click.IntRange(1), metavar="N",
            help="Tiles of an image that run at a time. Chosen by engine and memory when left out.",
        ),
        click.Option(
            ["--jobs"], type=click.IntRange(1, 64), default=2, show_default=True,
            help="Images decoded and encoded beside the one in the network.",
        ),
        click.Option(
            ["--runner"], default="local", show_default=True, metavar="NAME",
            help="Where the chain runs: local, ray (a cluster), or a plugin's.",
        ),
        click.Option(
            ["--ray-address", "runner_address"], metavar="ADDRESS",
            help="With --runner ray: the cluster; else RAY_ADDRESS, or a Ray of one's own.",
        ),
    ]  # fmt: skip


def _of_images() -> list[click.Option]:
    """Which images are made, and what goes into them."""
    return [
        click.Option(
            ["--max-pixels"], type=FiniteRange(0), default=500.0, show_default=True,
            metavar="MEGAPIXELS", callback=_no_nan,
            help="Refuse to read larger images; 0 reads whatever there is.",
        ),
        click.Option(
            ["--on-error"], type=click.Choice(["continue", "stop"]), default="continue",
            show_default=True, help="What a failed image does to the others.",
        ),
        click.Option(
            ["--retry-failed"], is_flag=True,
            help="Try again what failed in an earlier run of the same batch.",
        ),
        click.Option(
            ["--redo"], is_flag=True,
            help="Make every image of a batch, also what an earlier run has done.",
        ),
        click.Option(
            ["--provenance/--no-provenance"], default=True, show_default=True,
            help="Write into each image how it was made; --no-provenance also removes what it says "
            "of earlier runs.",
        ),
    ]  # fmt: skip


def _of_what_is_said() -> list[click.Option]:
    """Reports and plans."""
    return [
        click.Option(
            ["--report"], type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
            callback=_no_image, help="Write a JSON report.",
        ),
        click.Option(
            ["-n", "--dry-run"], is_flag=True, help="Show what would be done, and do nothing."
        ),
        click.Option(["--json"], is_flag=True, help="With --dry-run: the plan as JSON on stdout."),
        click.Option(["-q", "--quiet"], is_flag=True, help="Say nothing but errors."),
        click.Option(["-v", "--verbose"], is_flag=True, help="Say what runs where, and times."),
    ]  # fmt: skip


def _no_image(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """Refuses the name of an image, which is where a forgotten FILE leads."""
    if value is None:
        return None
    if str(value) == "-":
        raise click.BadParameter("write /dev/stdout for stdout, or ./- for a file", ctx, parameter)
    if not value.name:
        raise click.BadParameter("the name is empty", ctx, parameter)
    from imgfx.formats import format_from_suffix, sniff

    image = False
    with contextlib.suppress(OSError):  # which is said when it is written
        if value.is_file():  # a pipe would be waited for
            with value.open("rb") as file:
                image = sniff(file.read(16)) is not None
    if image or format_from_suffix(value.suffix):
        raise click.BadParameter(f"{value} is an image, and the report is JSON", ctx, parameter)
    return value


def _no_nan(ctx: click.Context, parameter: click.Parameter, value: float) -> float:
    if value != value:
        raise click.BadParameter("nan is no number of megapixels", ctx, parameter)
    return value
