"""Filters that are ready for images, and whose answers are checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from imgfx.errors import ImageError, ImgfxError, PluginError, confined, surprise
from imgfx.recorder import Recorded, Recorder, check_weights
from imgfx.stage import Apply, Stage

if TYPE_CHECKING:
    from imgfx.image import Image
    from imgfx.session import Session


def start_filters(stages: Sequence[Stage], session: Session) -> Sequence[StartedFilter]:
    """Filters that are ready for images, and whose answers are checked.

    Raises:
        ImgfxError: one cannot be started.
    """
    return [StartedFilter(stage.name, *started_stage(stage, session)) for stage in stages]


def recorder_of(
    filters: Sequence[StartedFilter], session: Session, source: Recorded | None = None
) -> Recorder:
    """What writes into images that they went through these filters."""
    steps = [filter_.recorded for filter_ in filters if filter_.recorded is not None]
    return Recorder(steps, source, session.settings.provenance)


def started_stage(stage: Stage, session: Session) -> tuple[Any, Recorded | None]:
    """What a stage is when it has been started, and how it is recorded."""
    before = len(session.asked)
    with confined(f"stage {stage.name!r}"):
        started = stage.start(session)
    _check_started(stage, started)
    models = session.asked[before:]
    check_weights(stage.name, stage.weights, models)
    return started, Recorded(stage.step, models) if stage.step is not None else None


_BRIGHTEST = 16.0
"""Four stops above white: what is further off is on the scale of 255, or of 65535."""
_PARTS = {"source": ("__iter__", "count"), "filter": ("__call__",),
          "sink": ("target", "encode", "write")}  # fmt: skip


def _check_started(stage: Stage, started: Any) -> None:
    """Whether a stage's function answered what its kind does.

    Raises:
        PluginError: it did not.
    """
    missing = [part for part in _PARTS[stage.kind] if not hasattr(started, part)]
    if not missing and stage.kind == "source" and not isinstance(started.count, int | None):
        missing = ["count"]  # a list's is a method
    if missing:
        raise PluginError(
            f"stage {stage.name!r}: a {stage.kind}'s function answers what has "
            f"{' and '.join(missing)}; this one's answer is of type {type(started).__name__}"
        )


@dataclass(frozen=True)
class StartedFilter:
    """A started filter whose answers are checked: rounding would turn a NaN into a black pixel."""

    name: str
    apply: Apply
    recorded: Recorded | None = None

    def __call__(self, image: Image) -> Image:
        """The filter's answer.

        Raises:
            ImageError: it is no image, or holds values that are not numbers; or the filter failed.
        """
        from imgfx.image import Image

        try:
            result = self.apply(image)
        except ImgfxError:
            raise
        except (Exception, SystemExit) as error:  # the plugin boundary
            raise ImageError(f"stage {self.name!r} failed: {surprise(error)}") from error
        if not isinstance(result, Image):
            raise ImageError(f"stage {self.name!r} answered {type(result).__name__}, no Image")
        return image if result is image else checked(result, f"stage {self.name!r}")


def checked(image: Image, made_by: str) -> Image:
    """An image that a plugin made, once its samples are known to be numbers; nobody changes it now.

    Raises:
        ImageError: they are not.
    """
    import math

    from imgfx.image import sealed

    arrays = [image.pixels] if image.alpha is None else [image.pixels, image.alpha]
    floats = [array for array in arrays if array.dtype.kind == "f"]
    # NaN and infinity pass to the extremes.
    ends = [float(end) for array in floats for end in (array.min(), array.max())]
    if not all(map(math.isfinite, ends)):
        raise ImageError(f"{made_by} answered values that are not finite numbers")
    if ends and max(ends) > _BRIGHTEST:
        note = f"{made_by} answered values of up to {max(ends):.4g}, where 1 is white"
        image = replace(image, notes=(*image.notes, note))
    return sealed(image)
