"""Run a stage on an image in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imgfx.filters import start_filters
from imgfx.image import Image
from imgfx.plugins import Registry
from imgfx.session import Session
from imgfx.settings import Settings
from imgfx.stage import Stage, StageCommand


def apply(
    stage: StageCommand | str, image: Image, *words: object, tile: int | None = None
) -> Image:
    """An image through a filter: `apply(sepia, image, "--amount", 0.5)`.

    Networks run in PyTorch, on the CPU, in fp32, so that results are the same everywhere.

    Args:
        stage: what `image_filter`, `learned_filter` or `model_filter` made, or the name of an
            installed one.
        image: goes in; nothing of it is rounded on the way.
        words: the stage's options as they are typed; paths and numbers are written as text.
        tile: as --tile: the side of the tiles that a network is run on; 0 for the whole image.

    Raises:
        click.UsageError: there is no such option.
        ImageError: the stage answers no image, or values that are not finite.
        ValueError: the stage is no filter, or unknown.
    """
    command = _command(stage)
    if command.kind != "filter":
        raise ValueError(f"{command.name!r} is no filter but a {command.kind}")
    with session(tile=tile) as opened:
        (started,) = start_filters([bound(command, *words)], opened)
        return started(image)


def _command(stage: StageCommand | str) -> StageCommand:
    if not isinstance(stage, str):
        return stage
    command = Registry().stage(stage)
    if command is None:
        raise ValueError(f"no stage named {stage!r} is installed")
    return command


def bound(command: StageCommand, *words: object) -> Stage:
    """The stage of a command with its options as typed.

    Raises:
        click.UsageError: there is no such option.
        TypeError: the command answers no stage.
    """
    with command.make_context(command.name, [str(word) for word in words]) as context:
        stage = command.invoke(context)
    if not isinstance(stage, Stage):
        raise TypeError(f"{command.name!r} answered {type(stage).__name__}, no Stage")
    return stage


@contextmanager
def session(*, tile: int | None = None) -> Iterator[Session]:
    """A session in which networks run in PyTorch, on the CPU, in fp32."""
    settings = Settings(device="cpu", engine="torch", precision="fp32", tile=tile)
    with Session(settings, Registry().engine) as opened:
        yield opened
