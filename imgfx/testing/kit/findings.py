"""Findings: what a check says of a subject, in one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Status = Literal["pass", "warn", "fail", "skip"]

S = TypeVar("S")


@dataclass(frozen=True)
class Finding:
    """What a check has found."""

    status: Status
    reason: str = ""
    """Of a failure and a warning what to do; of a skip what is missing."""


@dataclass(frozen=True)
class Check(Generic[S]):
    """One thing that is checked on subjects of a kind."""

    name: str
    """A word, the same in every release: CI may look for it."""
    run: Callable[[S], Finding]


@dataclass(frozen=True)
class Result:
    """A finding, with what was checked on what."""

    package: str
    """That offers it."""
    name: str
    """What users type."""
    kind: str
    """source, filter, sink, command, model, engine or runner."""
    check: str
    """The check's name."""
    status: Status
    reason: str = ""
    """One line; empty where there is nothing to say."""

    def __str__(self) -> str:
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.kind} {self.name}, {self.check}: {self.status}{reason}"


class NotReadyError(Exception):
    """What a check needs is not there, and another check says why: this one is skipped."""


def passed(reason: str = "") -> Finding:
    """All is well."""
    return Finding("pass", reason)


def warned(reason: str) -> Finding:
    """It may be meant so."""
    return Finding("warn", reason)


def failed(reason: str) -> Finding:
    """The plugin must be changed."""
    return Finding("fail", reason)


def skipped(reason: str) -> Finding:
    """It cannot be checked here."""
    return Finding("skip", reason)
