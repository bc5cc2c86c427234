"""The command `eval`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgfx.errors import BatchError, ImageError, ImgfxError, PluginError, confined, surprise, tell
from imgfx.ranges import FiniteRange
from imgfx.settings import Settings
from imgfx_eval.data import named_images, partners
from imgfx_eval.report import Report, Row

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from imgfx.catalog import Catalog
    from imgfx.model import Model
    from imgfx.session import Session
    from imgfx.stage import Apply, Stage, StageCommand
    from imgfx_eval.generator import Measured
    from imgfx_eval.protocol import Protocol

    Float = npt.NDArray[np.float32]


@click.command("eval")
@click.argument("stage", metavar="STAGE|MODEL")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="A folder of clean images.",
)
@click.option(
    "--sigma",
    type=FiniteRange(0, 75),
    metavar="0..75",
    help="Measure denoising: Gaussian noise of this level is added.",
)
@click.option(
    "--scale",
    type=click.IntRange(2, 4),
    metavar="2..4",
    help="Measure super-resolution: images are shrunk this many times, bicubic.",
)
@click.option(
    "--protocol",
    type=click.Choice(["lecture"]),
    help="lecture: 2x down and 2x up, bilinear without antialiasing; measured on RGB.",
)
@click.option(
    "--degraded",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Measure on the images of the same names there; with --scale they are that much smaller.",
)
@click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Measure these weights in place of the model's own.",
)
@click.option(
    "--self-ensemble",
    is_flag=True,
    help="Filters: restore each image turned and mirrored in eight ways, and take the mean.",
)
@click.option(
    "--count",
    type=click.IntRange(20),
    metavar="N",
    help="Generators: images to measure.  [default: all held out in training, at most 10000]",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option("--engine", default="auto", show_default=True, metavar="NAME", envvar="IMGFX_ENGINE")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--save",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep there, as PNG, what is measured: each image before and after.",
)
@click.pass_obj
def evaluate(
    catalog: Catalog,
    stage: str,
    data: Path,
    sigma: float | None,
    scale: int | None,
    protocol: str | None,
    degraded: Path | None,
    weights: Path | None,
    self_ensemble: bool,
    count: int | None,
    device: str,
    engine: str,
    precision: str,
    as_json: bool,
    save: Path | None,
) -> None:
    """Measure a filter by its STAGE on clean images, or a generator by its MODEL against real ones.

    A filter's images are degraded, or come in pairs (--degraded), are restored and compared.
    Prints PSNR and SSIM before and after, for each image and on the mean, and the convention. The
    images go through the same stage as in a chain. In JSON null stands for a figure that is
    infinite or undefined.

    A generator's images are compared with the part of --data that training on just that folder
    holds out, and as many other real ones are, to show what can be reached: density, coverage,
    precision, recall and Fréchet distance in the features of a small classifier, where the model
    names one, and sliced Wasserstein distance. --save keeps sheets of samples and of the real
    images nearest to them.

    \b
    Examples:
      imgfx eval denoise-ae --data photos --sigma 25
      imgfx eval superres-rednet --data Set5 --scale 2 --json
      imgfx eval superres-rednet --data Set5 --protocol lecture --save out
      imgfx eval denoise-ae --data SIDD/clean --degraded SIDD/noisy
      imgfx eval gan-generate --data fashion-mnist --save out
      imgfx eval gan-generate-faces --data faces
    """  # fmt: skip
    settings = Settings(device=device, engine=engine, precision=precision)
    if engine != "auto":
        catalog.engine(engine)  # refused even where the stage would not ask for it
    for option, folder in (("--data", data), ("--degraded", degraded)):
        if save and folder and save.resolve().is_relative_to(folder.resolve()):
            raise click.UsageError(f"--save must not be in {option}, or the next run measures it")
    generator = _generator(catalog, stage)
    if generator is not None:
        if (sigma, scale, protocol, degraded, self_ensemble) != (*(None,) * 4, False):
            raise click.UsageError(
                "--sigma, --scale, --protocol, --degraded and --self-ensemble are for filters"
            )
        measured = _generated(catalog, generator, settings, data, count, weights, save)
        (measured.print_json if as_json else measured.print_table)()
        return
    if count is not None:
        raise click.UsageError("--count is for generators")
    command = _filter(catalog, stage)
    chosen: Protocol = (
        _protocol(sigma, scale, protocol)
        if degraded is None
        else _given(data, degraded, scale, sigma, protocol)
    )
    words = _words(command, chosen, weights, self_ensemble)
    _measure_filter(catalog, command, words, chosen, settings, data, save, as_json)


def _generator(catalog: Catalog, name: str) -> Model | None:
    """The generator of a name; None if it is no generator's."""
    model = catalog.model(name) if name in catalog.names("model") else None
    return model if model is not None and model.spec.latent else None


def _filter(catalog: Catalog, name: str) -> StageCommand:
    command = catalog.stage(name)
    if command is None or command.kind != "filter":
        generators = [model for model in catalog.names("model") if _generator(catalog, model)]
        raise PluginError(
            f"no filter or generator named {name!r}; there are "
            f"{', '.join([*catalog.names('filter'), *generators])}"
        )
    return command


def _measure_filter(
    catalog: Catalog,
    command: StageCommand,
    words: Sequence[str],
    protocol: Protocol,
    settings: Settings,
    data: Path,
    save: Path | None,
    as_json: bool,
) -> None:
    from imgfx.session import Session
    from imgfx.stdout import guarded_stdout

    images = named_images(data)
    # What a stage prints must not get between the figures.
    with (
        guarded_stdout(),
        Session(settings, catalog.engine, engines=catalog.names("engine"), say=tell) as session,
    ):
        with confined(f"stage {command.name!r}"):
            apply = _started(command, words, protocol, session)
        rows, failed = _measured(apply, protocol, images, save)
        ran = [f"{loaded.model.name}: {loaded.choice}" for loaded in session.models]
    if rows:
        eight = "; with --self-ensemble" if "--self-ensemble" in words else ""
        report = Report(rows, protocol.convention + eight, ran, failed)
        (report.print_json if as_json else report.print_table)()
    _raise_for_failures(failed, len(images))


def _generated(
    catalog: Catalog,
    model: Model,
    settings: Settings,
    data: Path,
    count: int | None,
    weights: Path | None,
    save: Path | None,
) -> Measured:
    from imgfx.session import Session
    from imgfx.stdout import guarded_stdout
    from imgfx_eval.generator import measure

    judge = catalog.model(model.judge) if model.judge else None
    with (
        guarded_stdout(),
        Session(settings, catalog.engine, engines=catalog.names("engine"), say=tell) as session,
        confined(f"model {model.name!r}"),
    ):
        return measure(session.load(model, weights), judge, data, count, save)


def _protocol(sigma: float | None, scale: int | None, name: str | None) -> Protocol:
    from imgfx_eval import protocol

    if sum(option is not None for option in (sigma, scale, name)) != 1:
        raise click.UsageError("give one of --sigma, --scale, --protocol and --degraded")
    if sigma is not None:
        return protocol.noise(sigma)
    return protocol.lecture() if scale is None else protocol.shrunk(scale)


def _given(
    data: Path, degraded: Path, scale: int | None, sigma: float | None, protocol: str | None
) -> Protocol:
    from imgfx_eval.protocol import given

    if (sigma, protocol) != (None, None):
        raise click.UsageError("--degraded has the inputs; leave out --sigma and --protocol")
    clean = [path for _, path in named_images(data)]
    return given(partners(clean, data, degraded, scale), scale)


def _words(
    command: StageCommand, protocol: Protocol, weights: Path | None, self_ensemble: bool
) -> list[str]:
    """The stage's options: the scale where it has one, and what the user asked for.

    Raises:
        UsageError: the stage does not have what was asked for.
    """
    known = {option for parameter in command.params for option in parameter.opts}
    words: list[str] = []
    if protocol.scale is not None and "--scale" in known:
        words += ["--scale", str(protocol.scale)]
    asked = {"--weights": weights is not None, "--self-ensemble": self_ensemble}
    for option in (option for option, given in asked.items() if given):
        if option not in known:
            raise click.UsageError(f"{command.name} has no {option}")
        words += [option, str(weights)] if option == "--weights" else [option]
    return words


def _started(
    command: StageCommand, words: Sequence[str], protocol: Protocol, session: Session
) -> Apply:
    """The stage, started with these options."""
    try:
        with command.make_context(command.name, list(words)) as context:
            stage: Stage = command.invoke(context)
    except click.BadParameter as error:
        if error.param is None or error.param.name != "scale":
            raise
        raise click.UsageError(
            f"{command.name} does not work at scale {protocol.scale}; say with --scale how many "
            "times it enlarges"
        ) from error
    apply: Apply = stage.start(session)
    return apply


def _measured(
    apply: Apply, protocol: Protocol, images: Sequence[tuple[str, Path]], save: Path | None
) -> tuple[list[Row], list[str]]:
    """A row for each image that can be measured, a message for each that cannot."""
    rows: list[Row] = []
    failed: list[str] = []
    for seed, (name, path) in enumerate(images):
        try:
            rows.append(_row(apply, protocol, seed, name, path, save))
        except PluginError:
            raise
        except ImgfxError as error:
            text = error.format_message()
            failed.append(text if str(path) in text else f"{path}: {text}")
        except Exception as error:  # noqa: BLE001  # the plugin boundary
            failed.append(f"{path}: {surprise(error)}")
    return rows, failed


def _raise_for_failures(failed: Sequence[str], count: int) -> None:
    if not failed:
        return
    if count == 1:
        raise ImageError(failed[0])
    for message in failed:
        tell(message)
    if len(failed) == count:
        raise ImageError(f"all {count} images failed")
    raise BatchError(f"{len(failed)} of {count} images failed; the figures are of the others")


def _row(
    apply: Apply, protocol: Protocol, seed: int, name: str, path: Path, save: Path | None
) -> Row:
    import numpy as np

    from imgfx.image import float_from_pixels

    clean, degraded = protocol.example(path, seed)
    if min(clean.shape[:2]) <= 2 * protocol.border:
        raise ImageError(f"{path}: too small to be measured so")
    before = protocol.baseline(float_from_pixels(degraded.pixels))
    after = float_from_pixels(apply(degraded).pixels)
    if after.shape != clean.shape:
        larger = after.shape[0] > clean.shape[0]
        hint = "; what enlarges is measured with --scale" if larger else ""
        raise PluginError(f"{path}: the stage answered {after.shape}, expected {clean.shape}{hint}")
    if not np.isfinite(after).all():
        raise ImageError(f"{path}: the stage answered values that are not numbers")
    if save is not None:
        _save(save, f"{name}_before.png", before)
        _save(save, f"{name}_after.png", after)
    figures = *protocol.measure(before, clean), *protocol.measure(after, clean)
    psnr_before, ssim_before, psnr_after, ssim_after = figures
    return Row(name, psnr_before, psnr_after, ssim_before, ssim_after)


def _save(folder: Path, name: str, values: Float) -> None:
    from imgfx.files import write_image
    from imgfx.image import Image, pixels_from_float

    write_image(folder / name, Image(pixels_from_float(values, "uint8")))
