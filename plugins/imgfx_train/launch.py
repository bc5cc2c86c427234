"""From a request to a run, and the run to its end or to an interrupt."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgfx.atomic import ENDING
from imgfx.errors import TrainingError, WeightsError, confined, tell
from imgfx.interrupts import is_ignored
from imgfx_train.held import held
from imgfx_train.progress import shown
from imgfx_train.request import (
    Request,
    as_begun,
    command_line,
    processor,
    remembered,
    with_defaults,
)
from imgfx_train.sizes import sized_model

if TYPE_CHECKING:
    from torch import nn

    from imgfx.catalog import Catalog
    from imgfx.model import Model, ModelSpec
    from imgfx.training.recipe import Recipe, Task
    from imgfx.weights import Weights
    from imgfx_train.processes import Processes
    from imgfx_train.run import Plan, Run


def launch(catalog: Catalog, request: Request) -> int | None:
    """Runs to the end, or to the first interrupt; answers the signal, or None at the end."""
    import torch

    from imgfx.engines.torch_engine import choose_device
    from imgfx_train.learner import Learner
    from imgfx_train.processes import joined
    from imgfx_train.run import Run

    model = sized_model(catalog.model(request.model), request.size)
    if model.recipe is None:
        raise TrainingError(f"{model.name} offers no recipe to train it by")
    state = _state(model, request)
    if state is not None:
        request = as_begun(request, state)
    request = with_defaults(request)
    assert request.seed is not None
    with confined(f"the recipe of {model.name}"):
        recipe = _recipe(model.recipe(), request)
    device = choose_device(request.device)
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    torch.manual_seed(request.seed)
    with (
        _without_denormals(),
        joined(device) as processes,
        held(request.out) if processes.leads else nullcontext(),
    ):
        plan, task = _prepared(catalog, model, recipe, request, state, device, processes)
        if processes.leads:
            said = f"{plan.facts['data']}; {device}, {plan.facts['precision']}"
            tell(f"{model.name}: {said}")
        learner = Learner(task, recipe, device, plan.facts["precision"], processes)
        with _interrupts() as interrupted:
            run = Run(plan, task, learner, lambda: bool(interrupted), processes)
            if _executed(run, state, processes):
                return None
            if processes.leads:
                tell(_stopped(run))
            return next(iter(interrupted), signal.SIGINT)


def _prepared(
    catalog: Catalog,
    model: Model,
    recipe: Recipe,
    request: Request,
    state: Mapping[str, Any] | None,
    device: str,
    processes: Processes,
) -> tuple[Plan, Task]:
    """What is to be done, and the data loaded; an interrupt until here changes no file."""
    network, spec = _network(model, request, state)
    with confined(f"the recipe of {model.name}"):
        task = _taught(_task(recipe, request, network), catalog, request, device)
    # One process's measurement of what is faster must do for all.
    (precision,) = processes.agree(_precision(request, recipe, device))
    data = task.describe_data()
    known = {"data": _data_so_far(data, state), "origin": _origin(request, state)}
    plan = _plan(model, spec, recipe, request, known, device, precision, processes)
    plan = dataclasses.replace(plan, remembered={**plan.remembered, "last_data": data})
    return plan, task


def _data_so_far(data: str, state: Mapping[str, Any] | None) -> str:
    """What a run has learned from, and what from before it was resumed on other data."""
    begun = state.get("begun", {}) if state is not None else {}
    last = begun.get("last_data", data)
    if last == data:
        return str(begun.get("data", data))
    tell(f"other data than before: {last}; the best weights are chosen anew")
    return f"{data}; before that {begun.get('data', last)}"


def _executed(run: Run, state: Mapping[str, Any] | None, processes: Processes) -> bool:
    """Runs from the start, or from where the state was saved; answers whether to the end."""
    from imgfx_train.card import write_card

    if state is None:
        run.start_anew()
    else:
        run.resume(state)
    with (
        confined(f"training {run.plan.model.name}"),
        shown(run.plan.length, quiet=not processes.leads) as show,
    ):
        finished = run.execute(show)
    if run.saved:
        write_card(run, finished)
        tell(_result(run))
    return finished


def _stopped(run: Run) -> str:
    """How to go on with a run that an interrupt has ended."""
    if run.saved or run.learner.step:
        return f"stopped; go on with --resume --out {run.plan.out}"
    return "stopped before the first step; nothing is saved"


def _result(run: Run) -> str:
    """Where the weights are, and how good."""
    figures = ", ".join(f"{name} {value:.4g}" for name, value in run.figures.items())
    measured = f": {figures}" if figures else ""
    return f"{run.plan.out}, after {run.learner.step} steps{measured}; its card is beside it"


def _task(recipe: Recipe, request: Request, network: nn.Module) -> Task:
    from imgfx.training.recipe import ValidatedOn

    task = recipe.task(request.data, request.exclude, request.batch, network)
    if not request.validation:
        return task
    if not isinstance(task, ValidatedOn):
        raise click.UsageError(f"{request.model} has no use for --validation")
    return task.validated_on(request.validation)


def _taught(task: Task, catalog: Catalog, request: Request, device: str) -> Task:
    """The task with the teachers that are asked for.

    Raises:
        TrainingError: it cannot be taught, or not by these.
    """
    from imgfx.training.recipe import Teachable
    from imgfx_train.teachers import teacher_of

    if not request.teachers:
        return task
    if not isinstance(task, Teachable):
        raise TrainingError(f"--teacher: {request.model} cannot be taught; leave it out")
    return task.taught_by([teacher_of(catalog.model(name), device) for name in request.teachers])


def _recipe(recipe: Recipe, request: Request) -> Recipe:
    changes: dict[str, Any] = {}
    if request.rate is not None:
        changes["rate"] = request.rate
    if request.batch is not None:
        changes["batch"] = request.batch
    return dataclasses.replace(recipe, **changes)


def _state(model: Model, request: Request) -> Mapping[str, Any] | None:
    """The state to resume from; None for a new run, whose files must not exist yet."""
    from imgfx_train.state import load_state

    if request.resume:
        return load_state(request.out.with_suffix(".state"), model)
    _refuse_loss(request)
    return None


def _refuse_loss(request: Request) -> None:
    """Refuses to remove what an older run left, unless that is asked for.

    Raises:
        TrainingError: something of it is there, or the run begins with its weights.
    """
    out = request.out
    ends = [".safetensors", ".state", ".best.safetensors", ".metrics.jsonl"]
    ends += [".md", ".samples.png", ".curves.png"]
    for old in filter(Path.exists, map(out.with_suffix, ends)):
        if request.init is not None and old.samefile(request.init):
            raise TrainingError(f"--init {request.init}: would be replaced; choose another --out")
        if not request.overwrite:
            resume = "go on with --resume, " if out.with_suffix(".state").exists() else ""
            raise TrainingError(f"{old} exists; {resume}choose another --out, or --overwrite")


def _network(
    model: Model, request: Request, state: Mapping[str, Any] | None
) -> tuple[nn.Module, ModelSpec]:
    from imgfx.training.growth import grown_network, renew
    from imgfx.weights import load_weights, network_from_weights
    from imgfx_train.state import spec_of

    if request.init is not None:
        weights = load_weights(request.init)
        _refuse_no_numbers(weights, request.init)
        if request.grow:
            spec, network = model.spec, grown_network(model, weights, request.init)
        else:
            # What the weights reached is measured anew when they have changed.
            spec = dataclasses.replace(weights.spec, reach=0)
            network = network_from_weights(model, weights, request.init)
        renew(network, model.build(spec), request.renew)
        return network, spec
    spec = model.spec if state is None else spec_of(state)
    return model.build(spec), spec


def _refuse_no_numbers(weights: Weights, path: Path) -> None:
    """Refuses weights from which no rate, however low, leads anywhere.

    Raises:
        WeightsError: they hold values that are not finite.
    """
    import numpy as np

    for name, tensor in weights.tensors.items():
        if not np.isfinite(tensor).all():
            raise WeightsError(f"--init {path}: {name} holds values that are not finite numbers")


def _origin(request: Request, state: Mapping[str, Any] | None) -> str:
    """Which weights the run began with; empty if with fresh ones."""
    from imgfx.weights import load_weights

    if request.init is None:
        return "" if state is None else str(state.get("begun", {}).get("origin", ""))
    weights = load_weights(request.init)
    steps, minutes = (weights.training.get(name, "?") for name in ("steps", "minutes"))
    before = weights.training.get("origin", "")
    text = f"weights of {steps} steps, {minutes} minutes, sha256 `{weights.digest[:16]}...`"
    return f"{text}, those from {before}" if before else text


def _precision(request: Request, recipe: Recipe, device: str) -> str:
    """Of the forward pass."""
    from imgfx.engines.torch_engine import bf16_pays, forbid_tf32

    precision = recipe.precision if request.precision == "auto" else request.precision
    if precision == "auto":
        precision = "bf16" if (_has_bf16() if device == "cuda" else bf16_pays()) else "fp32"
    if precision == "fp32" and device == "cuda":
        forbid_tf32()
    return precision


def _has_bf16() -> bool:
    """Whether the GPU computes in bf16, and does not only pretend to."""
    import torch

    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _plan(
    model: Model, spec: ModelSpec, recipe: Recipe, request: Request,
    known: Mapping[str, str], device: str, precision: str, processes: Processes,
) -> Plan:  # fmt: skip
    from imgfx_train.run import Plan
    from imgfx_train.schedule import Length

    length = Length(minutes=request.minutes)
    if request.minutes is None:
        length = Length(steps=request.steps or recipe.steps)
    facts = {
        "command": command_line(request),
        **known,
        "licence": "; ".join(request.licence),
        "processor": processor(device, processes),
        "precision": precision,
        "batch": str(recipe.batch),
        "rate": f"{recipe.rate:g}",
        "seed": str(request.seed),
        **({"teachers": " ".join(request.teachers)} if request.teachers else {}),
        **({"beginning": request.beginning} if request.beginning else {}),
    }
    assert request.seed is not None
    assert request.validate_every is not None
    return Plan(
        model, spec, recipe, request.out, length, request.seed,
        checkpoint_seconds=45.0, validate_seconds=60 * request.validate_every, facts=facts,
        remembered=remembered(request),
    )  # fmt: skip


@contextmanager
def _without_denormals() -> Iterator[None]:
    """Takes the smallest numbers for zero.

    Gradients of layers that learn nothing any more fade to them, and processors take a hundred
    times as long for them. Threads that are begun within take it over.
    """
    import torch

    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """What came of SIGINT, SIGTERM, SIGHUP, unless they are ignored; a second one ends at once."""
    came: list[int] = []

    def note(number: int, _frame: object) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    heeded = [n for n in (signal.SIGINT, *ENDING) if not is_ignored(n)]
    old = {number: signal.signal(number, note) for number in heeded}
    try:
        yield came
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
