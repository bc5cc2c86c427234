"""Trials: a filter on sample images, and what came back; the checks only look at these."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import click
import numpy as np

from imgfx.errors import ApiDeprecationWarning, ImageError, confined, surprise
from imgfx.files import write_image
from imgfx.image import Image, sealed
from imgfx.stage import Apply
from imgfx.testing.kit.findings import NotReadyError
from imgfx.testing.kit.subjects import StageSubject
from imgfx.testing.kit.untrained import TrialSession
from imgfx.testing.samples import sample_image, sample_images

_BLAMED = {"pixels are": "dtype", "depth is": "dtype", "alpha is": "alpha"}
"""How the messages of what `Image` refuses begin, and the check that is for it."""


@dataclass(frozen=True)
class Trial:
    """One image through a filter."""

    given: Image
    result: Image | None
    """None where there is no image."""
    error: str = ""
    """Why not."""
    refused: bool = False
    """Whether the stage said so itself, by an ImageError."""
    blamed: str = "images"
    """The check that the error is for."""
    touched: bool = False
    """Whether the arrays that went in were written to."""


def copied(image: Image) -> Image:
    """The image with arrays of its own."""
    alpha = None if image.alpha is None else image.alpha.copy()
    return replace(image, pixels=image.pixels.copy(), alpha=alpha)


def with_edges(hidden: int) -> Image:
    """A picture of 8 bits, opaque in the middle; around it nothing is seen, all of one value."""
    image = sample_image(30, 36, alpha=True)
    shown = np.zeros((30, 36), bool)
    shown[9:21, 10:26] = True
    pixels = np.where(shown[..., None], image.pixels, np.uint8(hidden))
    return replace(image, pixels=pixels, alpha=np.where(shown, np.uint8(255), np.uint8(0)))


def tried(apply: Apply, given: Image) -> Trial:
    """An image through a started filter; whatever that raises is told."""
    own = copied(given)
    try:
        result = apply(own)
    except ImageError as error:
        return Trial(given, None, error.format_message(), refused=True, touched=_differ(own, given))
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the plugin boundary
        blamed = next((b for text, b in _BLAMED.items() if str(error).startswith(text)), "images")
        return Trial(given, None, surprise(error), blamed=blamed, touched=_differ(own, given))
    touched = _differ(own, given)
    if not isinstance(result, Image):
        return Trial(given, None, f"answers {type(result).__name__}, no Image", touched=touched)
    # As a run has it: what a filter answers is imgfx's, and it cannot write there again.
    return Trial(given, sealed(result), touched=touched)


def _differ(one: Image, other: Image) -> bool:
    """Whether pixels or alpha are not the same to the bit."""
    if not np.array_equal(one.pixels, other.pixels, equal_nan=True):
        return True
    if one.alpha is None or other.alpha is None:
        return one.alpha is not other.alpha
    return not np.array_equal(one.alpha, other.alpha, equal_nan=True)


@dataclass(frozen=True)
class Evidence:
    """All trials of one filter."""

    trials: Mapping[str, Trial]
    """By the sample's name."""
    again: Trial
    """The sample `rgb` once more, behind all others."""
    anew: Trial
    """The sample `rgb`, first in a filter that was started anew."""
    hidden: tuple[Trial, Trial]
    """A picture with an edge of alpha, on black pixels that nobody sees, and on white ones."""
    margins: Sequence[int]
    """Of the models that it runs: the border that a tile needs."""
    made: Sequence[Path]
    """Weights that were made for models without any."""
    warnings: Sequence[str]
    """Of parts of the API that go away."""


def start_error(subject: StageSubject) -> str:
    """Why a stage does not start; empty if it does."""
    if subject.stage_error:
        return subject.stage_error
    try:
        with TrialSession(subject.folder) as opened, confined("it"):
            subject.bound().start(opened)
    except click.ClickException as error:
        return error.format_message()
    return ""


class FilterSubject(StageSubject):
    """A filter, tried when a check first asks."""

    @cached_property
    def words(self) -> list[str]:
        """See `StageSubject`; with a seed where there can be one."""
        found = super().words
        seeded = self.has_option("--seed") and "--seed" not in found
        return [*found, "--seed", "1"] if seeded else found

    def needed_path(self) -> Path:
        """A sample image."""
        path = self.folder / "needed.png"
        write_image(path, sample_images()["rgb"])
        return path

    @cached_property
    def start_error(self) -> str:
        """Why it does not start; empty if it does."""
        return start_error(self)

    @cached_property
    def evidence(self) -> Evidence:
        """The trials.

        Raises:
            NotReadyError: it does not start.
        """
        if self.start_error:
            raise NotReadyError("it does not start")
        with warnings.catch_warnings(record=True) as caught, TrialSession(self.folder) as opened:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", ApiDeprecationWarning)
            samples = sample_images()
            apply: Apply = self.bound().start(opened)
            trials = {key: tried(apply, image) for key, image in samples.items()}
            again = tried(apply, samples["rgb"])
            hidden = tried(apply, with_edges(0)), tried(apply, with_edges(255))
            anew = tried(self.bound().start(opened), samples["rgb"])
            margins = [loaded.spec.margin for loaded in opened.models]
            made = list(opened.made)
        told = tuple(dict.fromkeys(str(warning.message) for warning in caught))
        return Evidence(trials, again, anew, hidden, margins, made, told)

    def warnings(self) -> Sequence[str]:
        """See `Subject`."""
        return () if self.load_error or self.start_error else self.evidence.warnings

    @property
    def results(self) -> Mapping[str, tuple[Image, Image]]:
        """(given, result) of each sample that came back."""
        found = self.evidence.trials
        pairs = {key: (t.given, t.result) for key, t in found.items() if t.result is not None}
        if not pairs:
            raise NotReadyError("no image came back")
        return pairs

    def result(self, key: str) -> Image:
        """What came back of a sample, if it is fit to be compared.

        Raises:
            NotReadyError: nothing did, or it holds values that are no numbers.
        """
        result = self.evidence.trials[key].result
        if result is None or not np.isfinite(result.pixels).all():
            raise NotReadyError(f"no good image of {key} came back")
        return result

    @property
    def line(self) -> list[str]:
        """See `StageSubject`; with the weights that were made for it."""
        made = self.evidence.made
        if not made:
            return super().line
        if len(made) > 1 or not self.has_option("--weights"):
            raise NotReadyError("its models have no weights yet; give some behind `--`")
        return [*super().line, "--weights", str(made[0])]
