"""The command `engine`: what compiled engines there are, and making them ahead of time."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from importlib import metadata
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgfx import __version__
from imgfx.errors import EngineError, ImgfxError, WeightsError, confined, tell
from imgfx.settings import Settings

if TYPE_CHECKING:
    from imgfx.catalog import Catalog
    from imgfx.engines.base import Builds, Request
    from imgfx.engines.cache import EngineCache, Listed
    from imgfx.model import Model


@click.group("engine")
def engine() -> None:
    """Compile models ahead of time; list and clear what has been compiled.

    Engines such as openvino compile a model when it is first used and keep the result in a private
    folder: `engines` in IMGFX_CACHE, or in the user's folder of caches.

    \b
    Examples:
      imgfx engine build superres-fast-x2 --engine openvino
      imgfx engine list
      imgfx engine clear --stale
    """


@engine.command("build")
@click.argument("model", metavar="MODEL")
@click.option("--engine", "name", required=True, metavar="NAME", help="The engine to compile for.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option(
    "--tile",
    type=click.IntRange(1),
    metavar="PIXELS",
    help="For runs with this --tile. Chosen by memory when left out.",
)
@click.option("--batch", type=click.IntRange(1), metavar="N", help="For runs with this --batch.")
@click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Compile these weights in place of the model's own.",
)
@click.pass_obj
def build(
    catalog: Catalog,
    model: str,
    name: str,
    precision: str,
    device: str,
    tile: int | None,
    batch: int | None,
    weights: Path | None,
) -> None:
    """Compile MODEL now, so that its first use is as fast as any.

    TensorRT compiles for windows up to a size; a run finds what was compiled for its own --tile and
    --batch, or without them. With TensorRT-RTX no GPU is needed here.

    \b
    Examples:
      imgfx engine build superres-fast-x2 --engine openvino
      imgfx engine build denoise-ae --engine tensorrt --precision fp16 --tile 1024 --batch 4
    """
    from imgfx.engines.base import Builds, Request
    from imgfx.session import Session

    found = catalog.model(model)
    compiling = catalog.engine(name)
    if isinstance(compiling, Builds):
        request = Request(device, precision, tell, tile, batch)
        click.echo(f"{model}: {_built(compiling, found, weights, request)}")
        return
    settings = Settings(device=device, engine=name, precision=precision, tile=tile, batch=batch)
    with (
        Session(settings, catalog.engine, engines=catalog.names("engine"), say=tell) as session,
        confined(f"model {model!r}"),
    ):
        loaded = session.load(found, weights)
        plain = "; it runs as it is, there is nothing to compile" if name == "torch" else ""
        click.echo(f"{model}: {loaded.choice}{plain}")


def _built(compiling: Builds, model: Model, path: Path | None, request: Request) -> str:
    """Without running it: the GPU may be another machine's."""
    from imgfx.weights import load_weights

    file = path or model.weights
    if file is None:
        raise WeightsError(f"{model.name} has no weights of its own yet; name some with --weights")
    with confined(f"model {model.name!r}"):
        return compiling.build(model, load_weights(file), request)


@engine.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(catalog: Catalog, as_json: bool) -> None:
    """List engines and what has been compiled, with its error against PyTorch in fp32."""
    from imgfx.engines.cache import EngineCache

    cache = EngineCache()
    engines = {name: _state(catalog, name) for name in catalog.names("engine")}
    compiled = [_row(listed) for listed in cache.entries()]
    if as_json:
        result = {"folder": str(cache.folder), "engines": engines, "compiled": compiled}
        click.echo(json.dumps(result, indent=2))
        return
    for name, state in engines.items():
        click.echo(f"{name:12} {state}")
    click.echo(f"\n{cache.folder}: {len(compiled)} compiled")
    for row in compiled:
        click.echo(_line(row))


def _state(catalog: Catalog, name: str) -> str:
    from imgfx.engines.choice import gpus

    try:
        found = catalog.engine(name)
        missing = found.missing()
    except EngineError as error:
        return error.format_message()
    if missing:
        return f"not installed: {missing}"
    if set(found.preference) == {"cuda"} and not gpus():
        return "installed; runs on CUDA devices, and there is none here"
    return "installed"


def _row(listed: Listed) -> dict[str, Any]:
    row: dict[str, Any] = {"file": listed.path.name, "bytes": listed.bytes, "usable": False}
    with suppress(OSError):  # another process may take it away
        written = datetime.fromtimestamp(listed.path.lstat().st_mtime).astimezone()
        row["written"] = written.isoformat(timespec="seconds")
    if listed.entry is not None:
        known = listed.entry
        finite = known.psnr is not None and isfinite(known.psnr)
        row |= {
            **known.key.__dict__,
            "psnr": known.psnr if finite else None,
            "seconds": known.seconds,
            "usable": not known.refused,
            "refused": known.refused,
        }
    return row


def _line(row: dict[str, Any]) -> str:
    size = f"{row['bytes'] / 1e6:6.1f} MB"
    if not row["usable"] and not row.get("refused"):
        return f"  {row['file']}  {size}  damaged or not private; it will be compiled anew"
    name = row["engine"].split(",")[0]
    agreed = "not compared yet" if row["psnr"] is None else f"{row['psnr']:5.1f} dB"
    if row["refused"]:
        agreed = "refused, for its results are not PyTorch's"
    when = row.get("written", "").replace("T", " ")[:16]
    own = f"; {row['options']}" if row["options"] else ""
    return (
        f"  {row['model']:20} {row['precision']:5} {name:20} {size}  {agreed}  "
        f"{row['seconds']:.1f} s to compile, {when}{own}"
    )


@engine.command("clear")
@click.option(
    "--stale",
    is_flag=True,
    help="Only what is not used any more: damaged, of another version of imgfx or of the engine, "
    "or of an engine that is not installed.",
)
@click.pass_obj
def clear(catalog: Catalog, stale: bool) -> None:
    """Remove all that has been compiled; it is compiled anew when it is next used."""
    from imgfx.engines.cache import EngineCache

    cache = EngineCache()
    count, size = _cleared_of_stale(cache, catalog) if stale else cache.clear()
    click.echo(f"{count} compiled engines removed, {size / 1e6:.1f} MB")


def _cleared_of_stale(cache: EngineCache, catalog: Catalog) -> tuple[int, int]:
    """How many engines were removed, and how many bytes; see `EngineCache.clear`."""
    count = size = 0
    for listed in cache.entries():
        if listed.entry is not None and not _is_stale(listed.entry.key.engine, catalog):
            continue
        try:
            listed.path.unlink(missing_ok=True)
        except OSError as error:
            raise EngineError(f"{listed.path}: cannot remove: {error.strerror}") from error
        count, size = count + 1, size + listed.bytes
    return count, size


def _is_stale(made_by: str, catalog: Catalog) -> bool:
    """Whether no run here takes what these versions made; False where that is not known.

    Args:
        made_by: of an `EngineKey`, such as `openvino 2026.4.1, imgfx 0.1.0`.
        catalog: the engines.
    """
    engine, _, of_imgfx = made_by.rpartition(", imgfx ")
    if of_imgfx != __version__:
        return True
    words = engine.split() or [""]
    if words[0] not in catalog.names("engine"):
        return True
    with suppress(ImgfxError):
        if catalog.engine(words[0]).missing():
            return True
    # The version stands last, behind the module that it is of.
    module, version = words[-2:] if len(words) > 1 else ("", "")
    there = [metadata.version(name) for name in metadata.packages_distributions().get(module, ())]
    return bool(there) and not any(found.startswith(version) for found in there)
