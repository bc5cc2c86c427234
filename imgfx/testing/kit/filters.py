"""Checks of filters: what comes back of each sample image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from imgfx.image import Image
from imgfx.testing.compare import Difference, difference
from imgfx.testing.kit.complaints import all_of, blamed, told
from imgfx.testing.kit.findings import Check, Finding, NotReadyError, failed, passed, warned
from imgfx.testing.kit.trials import FilterSubject, Trial

_BEYOND = 0.25
"""Networks overshoot by less; sinks clip. What is further off is on another scale."""
_SAME_PICTURE = 0.02
"""Mean error up to which results of 8 bits, 16 bits and floats are the same picture."""
_REPEATED = 1e-6
_FEW = 16
"""Different values, of which an image is made on purpose."""


def starts(subject: FilterSubject) -> Finding:
    """Started with its default options on the CPU."""
    if subject.start_error:
        needs = not subject.given.words and any(p.required for p in subject.command.params)
        hint = f"; give options behind `{subject.offer.name} --`" if needs else ""
        return failed(f"{subject.start_error}{hint}")
    made = [path.stem.removeprefix("untrained-") for path in subject.evidence.made]
    return passed(f"tried with untrained weights of {', '.join(made)}" if made else "")


def images(subject: FilterSubject) -> Finding:
    """An image comes back of each."""
    wrong = {k: t for k, t in subject.evidence.trials.items() if t.error and t.blamed == "images"}
    broken = {key: trial.error for key, trial in wrong.items() if not trial.refused}
    if broken:
        return failed(told(broken))
    if len(wrong) == len(subject.evidence.trials) and subject.evidence.made:
        raise NotReadyError(f"its weights are untrained: {_first(wrong)}")
    if len(wrong) == len(subject.evidence.trials):
        return failed(f"refuses every sample: {_first(wrong)}")
    if wrong:
        return warned(f"refuses {told({key: trial.error for key, trial in wrong.items()})}")
    return passed(f"{len(subject.evidence.trials)} kinds")


def _first(trials: Mapping[str, Trial]) -> str:
    return next(iter(trials.values())).error


def dtype(subject: FilterSubject) -> Finding:
    """Pixels of a dtype that an image can have; the depth to write is kept."""
    refused = blamed(subject, "dtype")
    if refused:
        return failed(f"{told(refused)}; answer .astype(np.float32)")

    def changed(given: Image, result: Image) -> str:
        kept = given.depth == result.depth
        return "" if kept else f"depth {given.depth} becomes {result.depth}: use image.with_pixels"

    return all_of(subject, changed)


def finite(subject: FilterSubject) -> Finding:
    """No NaN, no infinity."""

    def complaint(_given: Image, result: Image) -> str:
        wrong = int((~np.isfinite(result.pixels)).sum())
        return f"{wrong} values are NaN or infinite: divisions by 0 or logarithms" if wrong else ""

    return all_of(subject, complaint)


def range_(subject: FilterSubject) -> Finding:
    """Floats are in [0, 1], but for a little overshoot that sinks clip."""

    def complaint(_given: Image, result: Image) -> str:
        values = result.floats[np.isfinite(result.floats)]
        if not values.size or (values.min() >= -_BEYOND and values.max() <= 1 + _BEYOND):
            return ""
        low, high = float(values.min()), float(values.max())
        return f"floats from {low:.4g} to {high:.4g}: they mean [0, 1]; begin with image.floats"

    return all_of(subject, complaint)


def rounding(subject: FilterSubject) -> Finding:
    """Rounded once, in the sink: what comes with more than 8 bits leaves with more."""

    def complaint(given: Image, result: Image) -> str:
        if given.pixels.dtype == np.uint8 or result.pixels.dtype != np.uint8:
            return ""
        return f"{given.pixels.dtype} is rounded to uint8: answer floats, sinks round"

    found = all_of(subject, complaint)
    if found.status == "pass" and _on_8_bits(subject):
        return warned("floats are multiples of 1/255: do not round, sinks do")
    return found


def _on_8_bits(subject: FilterSubject) -> bool:
    """Whether floats come back rounded; a few different values may be meant so."""
    pair = subject.results.get("float32")
    if pair is None or not np.isfinite(pair[1].pixels).all():
        return False
    values = 255 * pair[1].floats
    rounded = np.abs(values - np.rint(values)).max() < 1e-3
    return bool(rounded and len(np.unique(np.rint(values))) > _FEW)


def depth(subject: FilterSubject) -> Finding:
    """The same picture comes out alike, whatever the depth it comes in."""
    plain = subject.result("rgb")
    in_range = range_(subject).status == "pass"
    if not in_range:
        raise NotReadyError("values are out of range")
    for key in ("16-bit", "float32"):
        other = subject.result(key)
        if other.pixels.shape == plain.pixels.shape:
            error = difference(other, plain).mean
            if error > _SAME_PICTURE:
                return failed(
                    f"{key} comes out otherwise than 8 bits, by {error:.3f} on average: "
                    "begin with image.floats, which are in [0, 1] at every depth"
                )
    return passed()


def repeat(subject: FilterSubject) -> Finding:
    """The same image comes out the same, behind others and in a new start."""
    first = subject.result("rgb")
    found = subject.evidence
    for trial, when in ((found.again, "behind other images"), (found.anew, "started anew")):
        error = _error(trial, first)
        if error > _REPEATED:
            advice = "give it a --seed, and draw from a generator of each image's own"
            return failed(f"{when} the same image comes out otherwise, by {error:.3g}: {advice}")
    return passed()


def _error(trial: Trial, first: Image) -> float:
    if trial.result is None or trial.result.pixels.shape != first.pixels.shape:
        return float("inf")
    seen: Difference = difference(trial.result, first)
    return seen.largest


CHECKS = [
    Check("start", starts),
    Check("images", images),
    Check("dtype", dtype),
    Check("finite", finite),
    Check("range", range_),
    Check("rounding", rounding),
    Check("depth", depth),
    Check("repeat", repeat),
]
