"""What a user asks of a run, and what is said of it afterwards."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgfx.errors import TrainingError

if TYPE_CHECKING:
    from imgfx_train.processes import Processes

VALIDATE_EVERY = 5.0
"""Minutes, where nothing else is asked for."""


@dataclass(frozen=True)
class Request:
    """The options, as they were given."""

    model: str
    data: tuple[Path, ...]
    exclude: tuple[str, ...]
    validation: tuple[Path, ...]
    out: Path
    steps: int | None
    minutes: float | None
    batch: int | None
    rate: float | None
    seed: int | None
    device: str
    precision: str
    threads: int | None
    init: Path | None
    grow: bool
    renew: tuple[str, ...]
    """Parts of the network that begin with fresh weights."""
    size: Mapping[str, int]
    """Options of the network's spec that are other than the model's own."""
    teachers: tuple[str, ...]
    resume: bool
    overwrite: bool
    licence: tuple[str, ...]
    validate_every: float | None
    """Minutes."""
    began: str = ""
    """Of a resumed run: the words of its first line that say from which weights."""

    @property
    def beginning(self) -> str:
        """The words that say from which weights it starts; empty for fresh ones."""
        if self.init is None:
            return self.began
        words = ["--init", self.init.name, *(["--grow"] if self.grow else [])]
        for name in self.renew:
            words += ["--renew", name]
        return shlex.join(words)


def remembered(request: Request) -> dict[str, Any]:
    """What a resumed run takes over that its plan does not tell; for `as_begun`."""
    return {
        "validation": [str(folder.absolute()) for folder in request.validation],
        "exclude": list(request.exclude),
        "licence": list(request.licence),
        "size": dict(request.size),
        "validate_every": request.validate_every,
    }


def with_defaults(request: Request) -> Request:
    """The request with a number wherever neither the line nor an earlier one gives one."""
    every = VALIDATE_EVERY if request.validate_every is None else request.validate_every
    return dataclasses.replace(request, seed=request.seed or 0, validate_every=every)


def as_begun(request: Request, state: Mapping[str, Any]) -> Request:
    """The request with what the run was begun with, wherever nothing else is asked for.

    Raises:
        TrainingError: another seed is asked for, when much has been drawn from the first.
    """
    begun = state.get("begun", {})
    if request.seed is not None and request.seed != begun.get("seed", request.seed):
        raise TrainingError(f"--seed: the run was begun with {begun['seed']}; leave it out")
    if request.steps is None and request.minutes is None:
        request = dataclasses.replace(
            request, steps=begun.get("steps"), minutes=begun.get("minutes")
        )
    return dataclasses.replace(
        request,
        batch=request.batch or begun.get("batch"),
        rate=request.rate or begun.get("rate"),
        precision=begun.get("precision", "auto")
        if request.precision == "auto"
        else request.precision,
        seed=begun.get("seed", request.seed),
        validate_every=request.validate_every or begun.get("validate_every"),
        teachers=request.teachers or tuple(str(begun.get("teachers", "")).split()),
        began=str(begun.get("beginning", "")),
        validation=request.validation or tuple(map(Path, begun.get("validation", ()))),
        exclude=request.exclude or tuple(begun.get("exclude", ())),
        licence=request.licence or tuple(begun.get("licence", ())),
        # For the card's command line alone: the network is built from the state's spec.
        size=request.size or begun.get("size", {}),
    )


def command_line(request: Request) -> str:
    """The line that repeats the run, with folders and files by their last names."""
    words = ["imgfx", "train", request.model]
    for folder in request.data:
        words += ["--data", folder.resolve().name]
    for folder in request.validation:
        words += ["--validation", folder.resolve().name]
    for pattern in request.exclude:
        words += ["--exclude", pattern]
    for name in ("steps", "minutes", "batch", "rate"):
        value = getattr(request, name)
        words += [f"--{name}", f"{value:.10g}"] if value is not None else []
    words += shlex.split(request.beginning)
    for name, value in request.size.items():
        words += ["--size", f"{name}={value}"]
    for teacher in request.teachers:
        words += ["--teacher", teacher]
    words += ["--precision", request.precision] if request.precision != "auto" else []
    for licence in request.licence:
        words += ["--licence", licence]
    return shlex.join([*words, "--seed", str(request.seed), "--out", request.out.name])


def processor(device: str, processes: Processes) -> str:
    """The name of what trains, with the number of threads or processes."""
    import platform

    import torch

    many = f", {processes.count} processes" if processes.count > 1 else ""
    if device == "cuda":
        return torch.cuda.get_device_name() + many
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    return f"{name}, {torch.get_num_threads()} threads{many}"
