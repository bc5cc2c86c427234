"""The command `train`: options in, a run out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgfx.ranges import FiniteRange
from imgfx_train.launch import launch
from imgfx_train.request import Request
from imgfx_train.sizes import sizes_of

if TYPE_CHECKING:
    from imgfx.catalog import Catalog


@click.command("train")
@click.argument("model", metavar="MODEL")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    metavar="DIR",
    help="A folder of images, with its sub-folders; may be given again.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Leave out files with such names, or such paths from DIR on; may be given again.",
)
@click.option(
    "--validation",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Validate on, and show, the images of this folder in place of some held-out data.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The weights to write.  [default: MODEL.safetensors]",
)
@click.option("--steps", type=click.IntRange(1), help="Length of the run in steps.")
@click.option(
    "--minutes",
    type=FiniteRange(0, min_open=True),
    metavar="MIN",
    help="Length of the run in minutes of training, in place of --steps.",
)
@click.option("--batch", type=click.IntRange(1), help="Examples a step.  [default: the recipe's]")
@click.option(
    "--rate",
    type=FiniteRange(0, min_open=True),
    metavar="RATE",
    help="Peak learning rate.  [default: the recipe's]",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="[default: 0]")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="Of the forward pass; auto takes bf16 where it is faster.",
)
@click.option("--threads", type=click.IntRange(1), help="Processor threads.  [default: all]")
@click.option(
    "--init",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="WEIGHTS",
    help="Start from these weights.",
)
@click.option(
    "--grow",
    is_flag=True,
    help="With --init: from weights of a narrower or shallower network to the model's own size.",
)
@click.option(
    "--renew",
    multiple=True,
    metavar="PART",
    help="With --init: this part of the network, as the weights name it, begins anew, such as a "
    "layer that has died; may be given again.",
)
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    metavar="MODEL",
    help="Learn from the answers of this model too, with its own weights, where the recipe can; "
    "may be given again.",
)
@click.option(
    "--size",
    multiple=True,
    metavar="NAME=N",
    callback=lambda _ctx, _parameter, values: sizes_of(values),
    help="Train a network of another size, such as width=32; may be given again. The names are "
    "those of the model card; stages take such weights as any others.",
)
@click.option("--resume", is_flag=True, help="Go on with the run that --out belongs to.")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Start anew even if --out, or another file of its run, exists.",
)
@click.option(
    "--licence",
    multiple=True,
    metavar="TEXT",
    help="Licence of the data, for the model card; may be given again.",
)
@click.option(
    "--validate-every",
    type=FiniteRange(0, min_open=True),
    metavar="MIN",
    help="Minutes between validations.  [default: 5]",
)
@click.pass_obj
def train(catalog: Catalog, /, model: str, out: Path | None, **options: Any) -> None:
    """Train MODEL on folders of images, by the recipe that its plugin offers.

    Writes the weights, a model card, metrics (JSON lines), pictures of samples and, where
    matplotlib is installed, of the curves, the best weights and the state that --resume goes on
    from; state and weights at least once a minute. Ctrl-C stops after the step and saves.

    \b
    Examples:
      imgfx train denoise-ae --data photos --minutes 60 --out denoise.safetensors
      imgfx train denoise-ae --data photos --minutes 60 --out denoise.safetensors --resume
      torchrun --nproc-per-node 4 -m imgfx train denoise-ae --data photos --out denoise.safetensors
      imgfx open a.jpg denoise-ae --weights denoise.safetensors save b.png
    """
    request = Request(model=model, out=out or Path(f"{model}.safetensors"), **options)
    _refuse_contradictions(request)
    came = launch(catalog, request)
    if came is not None:
        raise click.exceptions.Exit(128 + came)  # what a shell reports of a signal


def _refuse_contradictions(request: Request) -> None:
    if request.steps is not None and request.minutes is not None:
        raise click.UsageError("--steps and --minutes exclude each other")
    if request.resume and request.overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other")
    if request.resume and request.init is not None:
        raise click.UsageError("--resume goes on from the saved state; leave out --init")
    if request.grow and request.init is None:
        raise click.UsageError("--grow needs --init, the weights to grow from")
    if request.size and request.resume:
        raise click.UsageError("--resume goes on with the network that was begun; leave out --size")
    if request.renew and request.init is None:
        raise click.UsageError("--renew needs --init, the weights of all other parts")
    if request.size and request.init is not None and not request.grow:
        raise click.UsageError("--init brings its own size; leave out --size, or --grow to it")
    if request.out.suffix != ".safetensors":
        # The other files of the run are named after it; one must not be named like another.
        raise click.UsageError(f"--out {request.out}: the name must end in .safetensors")
    if request.out.stem.endswith(".best"):
        plain = request.out.with_suffix("").with_suffix(".safetensors").name
        raise click.UsageError(
            f"--out {request.out}: so are the best weights of {plain} named; choose another name"
        )
