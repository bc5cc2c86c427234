"""Checks of filters: what rides along with the pixels is kept, and what came in is left alone."""

from __future__ import annotations

import numpy as np

from imgfx.image import Image
from imgfx.testing.kit import filters
from imgfx.testing.kit.complaints import all_of, blamed, pair_of, told
from imgfx.testing.kit.findings import (
    Check,
    Finding,
    NotReadyError,
    failed,
    passed,
    skipped,
    warned,
)
from imgfx.testing.kit.trials import FilterSubject

_LEAK = 0.03
"""Of hidden colours in visible pixels: dark fringes of enlarged pictures have 0.1 and more."""


def alpha(subject: FilterSubject) -> Finding:
    """Kept, and of the pixels' size."""
    refused = blamed(subject, "alpha")
    if refused:
        return failed(
            f"{told(refused)}; give it along: image.with_pixels(pixels, alpha), resized by "
            "imgfx.api.resize"
        )

    def lost(given: Image, result: Image) -> str:
        return "alpha is lost" if given.alpha is not None and result.alpha is None else ""

    found = all_of(subject, lost)
    if found.status == "fail":
        return failed(f"{found.reason}: answer image.with_pixels(pixels), which keeps it")
    changed = [k for k, (given, result) in subject.results.items() if _changes_alpha(given, result)]
    return warned(f"{', '.join(changed)}: alpha is changed") if changed else passed()


def _changes_alpha(given: Image, result: Image) -> bool:
    """Whether alpha of one size has other values; of another size, another mean."""
    if given.alpha is None or result.alpha is None:
        return False
    before, after = Image(given.alpha[..., None]).floats, Image(result.alpha[..., None]).floats
    if before.shape == after.shape:
        return not np.allclose(before, after, atol=1e-6)
    return abs(float(before.mean()) - float(after.mean())) > 0.05


def edges(subject: FilterSubject) -> Finding:
    """What nobody sees does not get into visible edges, where networks run or images grow."""
    found = subject.evidence
    on_black, on_white = (trial.result for trial in found.hidden)
    if on_black is None or on_white is None:
        raise NotReadyError("no image with hidden pixels came back")
    grows = on_black.pixels.shape[:2] != found.hidden[0].given.pixels.shape[:2]
    if not grows and not found.margins:
        return skipped("runs no network, and the size stays")
    if filters.repeat(subject).status != "pass":
        raise NotReadyError("what it makes is not the same each time")
    if on_black.alpha is None or on_black.pixels.shape != on_white.pixels.shape:
        raise NotReadyError("alpha is lost, or the size is not the same each time")
    shown = Image(on_black.alpha[..., None]).floats
    leak = float((np.abs(on_black.floats - on_white.floats) * shown).max())
    if leak <= _LEAK:
        return passed(f"to {leak:.1g}")
    trouble = f"colours below fully transparent pixels get into visible edges, by {leak:.2g}: "
    advice = "use LoadedModel.apply, or work on imgfx.api.with_carried_colours(image)"
    return (failed if grows else warned)(trouble + advice)


def metadata(subject: FilterSubject) -> Finding:
    """EXIF, XMP, ICC and resolution, and whatever else rides along, are kept."""
    given, result = pair_of(subject, "metadata")
    lost = [
        name
        for name, value in vars(given.metadata).items()
        if value is not None and getattr(result.metadata, name) is None
    ]
    if lost:
        return failed(f"{', '.join(lost)} are lost: answer image.with_pixels(pixels)")
    changed = [n for n, v in vars(given.metadata).items() if getattr(result.metadata, n) != v]
    return warned(f"{', '.join(changed)} are changed") if changed else passed()


def name(subject: FilterSubject) -> Finding:
    """The name of the output's file is kept."""

    def complaint(given: Image, result: Image) -> str:
        kept = (given.name, given.source, given.folder) == (
            result.name,
            result.source,
            result.folder,
        )
        return "" if kept else "the name is lost: answer image.with_pixels(pixels)"

    return all_of(subject, complaint)


def gray(subject: FilterSubject) -> Finding:
    """Gray stays gray, unless the stage makes colours on purpose."""
    _, result = pair_of(subject, "gray")
    return passed() if result.is_gray else warned("makes RGB of gray; all right if meant so")


def input_(subject: FilterSubject) -> Finding:
    """What went in is left as it was."""
    touched = [key for key, trial in subject.evidence.trials.items() if trial.touched]
    if touched:
        return failed(f"{', '.join(touched)}: the input's array is written to; work on a copy")
    return passed()


CHECKS = [
    Check("alpha", alpha),
    Check("edges", edges),
    Check("metadata", metadata),
    Check("name", name),
    Check("gray", gray),
    Check("input", input_),
]
