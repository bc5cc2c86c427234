"""Complaints: what is wrong with the images that came back, and of which samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from imgfx.image import Image
from imgfx.testing.kit.findings import Finding, NotReadyError, failed, passed
from imgfx.testing.kit.trials import FilterSubject

Complaint = Callable[[Image, Image], str]
"""(given, result) -> what is wrong; empty if nothing."""


def told(complaints: Mapping[str, str]) -> str:
    """Complaints with the samples that each is about."""
    samples: dict[str, list[str]] = {}
    for key, complaint in complaints.items():
        samples.setdefault(complaint, []).append(key)
    return "; ".join(f"{', '.join(keys)}: {complaint}" for complaint, keys in samples.items())


def all_of(subject: FilterSubject, complaint: Complaint) -> Finding:
    """A failure where there is something to complain of."""
    found = {k: complaint(given, result) for k, (given, result) in subject.results.items()}
    found = {key: text for key, text in found.items() if text}
    return failed(told(found)) if found else passed()


def blamed(subject: FilterSubject, check: str) -> dict[str, str]:
    """Samples whose error is for this check."""
    trials = subject.evidence.trials.items()
    return {key: trial.error for key, trial in trials if trial.error and trial.blamed == check}


def pair_of(subject: FilterSubject, key: str) -> tuple[Image, Image]:
    """(given, result) of a sample.

    Raises:
        NotReadyError: nothing came back.
    """
    pair = subject.results.get(key)
    if pair is None:
        raise NotReadyError(f"no image of {key} came back")
    return pair
