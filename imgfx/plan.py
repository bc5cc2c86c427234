"""What a run would do, without doing it: `--dry-run`."""

from __future__ import annotations

import errno
import functools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from imgfx.errors import ImageError, ImgfxError, confined, printable
from imgfx.files import Outline, outline_of
from imgfx.formats import format_from_suffix
from imgfx.image import Image
from imgfx.in_place import in_place_loss
from imgfx.stage import Journaled
from imgfx.stdout import write_all

if TYPE_CHECKING:
    from imgfx.outcomes import Ledger
    from imgfx.pipeline import Chain, StartedChain
    from imgfx.session import Session
    from imgfx.stage import Item

_PROBE = 256, 256
_Look = Callable[[Path], Outline]


@dataclass(frozen=True)
class PlannedImage:
    """What would become of one image."""

    input: str
    output: str | None
    action: str
    """write, overwrite, keep (done by an earlier run), or fail."""
    size: tuple[int, int] | None = None
    """Width and height of the input, as far as its file tells."""
    reason: str | None = None
    """Why it would fail."""


@dataclass(frozen=True)
class Plan:
    """What a run would do."""

    chain: list[str]
    models: Sequence[Mapping[str, str | bool]]
    """Each model, what runs it, and whether that is compiled already."""
    images: list[PlannedImage] = field(default_factory=list)
    stream: bool = False
    """Images would be read from a pipe, as they come."""
    seconds: float | None = None
    """About how long the filters would take."""
    notes: list[str] = field(default_factory=list)
    """What was said while models were loaded, of engines compiled and passed over."""


def plan_of(chain: Chain, started: StartedChain, session: Session, ledger: Ledger | None) -> Plan:
    """The plan of a chain that is started; reads files' headers and writes nothing."""
    names = [stage.name for stage in (chain.source, *chain.filters, chain.sink)]
    models: list[Mapping[str, str | bool]] = [
        {"model": loaded.model.name, "runs": str(loaded.choice), "compiled": loaded.built}
        for loaded in session.models
    ]
    if started.items.count is None:
        return Plan(names, models, stream=True, notes=session.notes)
    images = []
    # Once a file: of a video each frame is an item.
    look = functools.cache(functools.partial(outline_of, most_pixels=session.settings.most_pixels))
    with confined(f"stage {chain.source.name!r}"):
        for index, item in enumerate(started.items):
            with confined(f"stage {chain.sink.name!r}"):
                images.append(_planned(started, item, index, ledger, look))
    trial = _tried(started) if all(loaded.built for loaded in session.models) else None
    if trial is not None:
        images = [_within_limits(image, trial) for image in images]
    left = sum(_pixels(image) for image in images if image.action in ("write", "overwrite"))
    seconds = left * trial.seconds if left and models and trial is not None else None
    return Plan(names, models, images, seconds=seconds, notes=session.notes)


def _pixels(image: PlannedImage) -> int:
    return image.size[0] * image.size[1] if image.size else 0


@dataclass(frozen=True)
class _Trial:
    """What the filters did to a small image."""

    seconds: float
    """A pixel of the input."""
    width: float
    """Of the output, in units of the input's."""
    height: float


def _tried(started: StartedChain) -> _Trial | None:
    """The filters, tried on an image of noise, the first time to warm up; None if they fail."""
    probe = Image(np.random.default_rng(0).integers(0, 256, (*_PROBE, 3), dtype=np.uint8))
    seconds = 0.0
    image = probe
    for _ in range(2):
        image, begun = probe, time.monotonic()
        try:
            for apply in started.filters:
                image = apply(image)
        except ImgfxError:  # a filter may refuse noise, and take photos
            return None
        seconds = time.monotonic() - begun
    per_pixel = seconds / (_PROBE[0] * _PROBE[1])
    return _Trial(per_pixel, image.width / _PROBE[1], image.height / _PROBE[0])


def _within_limits(image: PlannedImage, trial: _Trial) -> PlannedImage:
    """The image, failing where its format cannot hold what the filters would make of it."""
    if image.size is None or image.output is None or image.action == "keep":
        return image
    target = format_from_suffix(Path(image.output).suffix)
    made = round(image.size[0] * trial.width), round(image.size[1] * trial.height)
    if target is None or max(made) <= target.largest_side:
        return image
    reason = (
        f"{image.output}: {made[0]}x{made[1]} would be too large for {target.name} (at most "
        f"{target.largest_side} a side); choose another format"
    )
    return replace(image, output=None, action="fail", reason=reason)


def _planned(
    started: StartedChain, item: Item, index: int, ledger: Ledger | None, look: _Look
) -> PlannedImage:
    target = started.sink.target(item, index)
    known = ledger.known(item, index) if ledger is not None else None
    if known is not None and known.error is None:
        return PlannedImage(item.origin, target, "keep")
    if known is not None:
        return PlannedImage(item.origin, None, "fail", reason=known.error)
    try:
        outline = None if item.path is None else look(item.path)
    except ImageError as error:
        return PlannedImage(item.origin, None, "fail", reason=error.format_message())
    size = None if outline is None else outline.size
    if not isinstance(started.sink, Journaled):  # its targets are no files
        return PlannedImage(item.origin, target, "write", size)
    reason = None
    if outline is not None:
        lost = in_place_loss(Path(target), item.path, outline.unread)
        reason = lost or _unwritable(Path(target))
    if reason is not None:
        return PlannedImage(item.origin, None, "fail", size, reason)
    action = "overwrite" if os.path.lexists(target) else "write"
    return PlannedImage(item.origin, target, action, size)


def _unwritable(target: Path) -> str | None:
    """Why nothing can be written there, as far as it can be seen."""
    with suppress(OSError):
        if target.is_dir():
            return f"{target}: is a folder"
    folder = target.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        return f"{target}: {folder} is no folder"
    if os.name == "posix" and len(os.fsencode(target.name)) > os.pathconf(folder, "PC_NAME_MAX"):
        return f"{target}: cannot write: {os.strerror(errno.ENAMETOOLONG)}"
    return None if os.access(folder, os.W_OK) else f"{target}: {folder} is not writable"


def show_plan(plan: Plan, json_to: int | None) -> None:
    """Lines for people on stderr, or JSON to this descriptor."""
    with suppress(OSError) if json_to is None else nullcontext():  # as of all that stderr is told
        _show_plan(plan, json_to)


def _show_plan(plan: Plan, json_to: int | None) -> None:
    if json_to is not None:
        write_all(json_to, (json.dumps(_as_json(plan), indent=2) + "\n").encode())
        return
    for model in plan.models:
        first = "" if model["compiled"] else ", to be compiled first"
        click.echo(f"model   {model['model']}: {model['runs']}{first}", err=True)
    click.echo(f"chain   {' | '.join(plan.chain)}", err=True)
    if plan.stream:
        click.echo("images  from stdin, as they come", err=True)
        return
    for image in plan.images:
        click.echo(_line(image), err=True)
    if len(plan.images) > 1:
        click.echo(f"total   {_totals(plan)}", err=True)


def _line(image: PlannedImage) -> str:
    if image.action == "fail":
        return printable(f"fail    {image.reason}")
    size = f" ({image.size[0]}x{image.size[1]})" if image.size else ""
    verb = {"write": "image", "overwrite": "over", "keep": "keep"}[image.action]
    return printable(f"{verb:7} {image.input}{size} -> {image.output}")


def _totals(plan: Plan) -> str:
    counts = {
        action: sum(image.action == action for image in plan.images)
        for action in ("write", "overwrite", "keep", "fail")
    }
    words = [f"{count} to {action}" for action, count in counts.items() if count]
    pixels = sum(map(_pixels, plan.images))
    read = f"; {pixels / 1e6:.1f} megapixels to read" if pixels else ""
    about = f"; about {_duration(plan.seconds)}" if plan.seconds else ""
    return ", ".join(words) + read + about


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _as_json(plan: Plan) -> Mapping[str, Any]:
    return {
        "chain": plan.chain,
        "models": plan.models,
        "notes": plan.notes,
        "stream": plan.stream,
        "seconds": None if plan.seconds is None else round(plan.seconds, 1),
        "images": [
            {
                "input": image.input,
                "output": image.output,
                "action": image.action,
                "width": image.size[0] if image.size else None,
                "height": image.size[1] if image.size else None,
                "reason": image.reason,
            }
            for image in plan.images
        ],
    }
