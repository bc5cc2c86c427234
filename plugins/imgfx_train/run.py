"""One training run: from data to weights, resumable at any step."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from imgfx.errors import ImgfxError, TrainingError, confined, tell
from imgfx.files import write_file, write_image
from imgfx.image import Image
from imgfx.model import Model, ModelSpec
from imgfx.training.reach import measured_reach
from imgfx.training.recipe import Recipe, Task
from imgfx.weights import Weights, save_weights, weights_from_network
from imgfx_train.curves import can_draw, draw_curves
from imgfx_train.learner import Learner, NonFiniteLossError
from imgfx_train.processes import Processes
from imgfx_train.schedule import Length, rate_factor
from imgfx_train.state import save_state

_MOST_STEPS_BACK = 10


@dataclass(frozen=True)
class Plan:
    """What the user asked of a run."""

    model: Model
    spec: ModelSpec
    recipe: Recipe
    out: Path
    length: Length
    seed: int
    checkpoint_seconds: float
    validate_seconds: float
    facts: Mapping[str, str] = field(default_factory=dict)
    """For the weights' header and the card: data, command line, machine."""
    remembered: Mapping[str, Any] = field(default_factory=dict)
    """What else a resumed run is to be given by the state."""

    @property
    def state_path(self) -> Path:
        """The file that `--resume` goes on from."""
        return self.out.with_suffix(".state")

    @property
    def metrics_path(self) -> Path:
        """One JSON object a line: losses and validation figures."""
        return self.out.with_suffix(".metrics.jsonl")

    @property
    def best_path(self) -> Path:
        """The weights with the best figure so far."""
        return self.out.with_suffix(".best.safetensors")

    @property
    def curves_path(self) -> Path:
        """A picture of the metrics, where matplotlib is installed."""
        return self.out.with_suffix(".curves.png")

    @property
    def card_path(self) -> Path:
        """The model card."""
        return self.out.with_suffix(".md")

    @property
    def samples_path(self) -> Path:
        """The newest picture of what the network does."""
        return self.out.with_suffix(".samples.png")


class Means:
    """Means of the losses since they were last taken: a single minibatch's say little."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        """By name: a task may tell of some only now and then."""

    def add(self, losses: Mapping[str, float]) -> None:
        """One step's losses."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means; the next ones start anew."""
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means


class Run:
    """The loop and its bookkeeping. `execute` answers True when the run came to its end."""

    def __init__(
        self,
        plan: Plan,
        task: Task,
        learner: Learner,
        stop: Callable[[], bool],
        processes: Processes | None = None,
    ) -> None:
        self.plan, self.task, self.learner = plan, task, learner
        self._stop = stop
        self._processes = processes or Processes()
        self._rng = np.random.default_rng(plan.seed)
        self.seconds = 0.0
        self.data_seconds = 0.0
        self._rate_scale = 1.0
        self._steps_back = 0
        self._undrawn: set[Path] = set()
        self.figures: dict[str, float] = {}
        self.best = float("-inf")
        self.saved = False
        """Whether anything of this run is on the disk."""
        self._replaces = False
        self._good: dict[str, Any] | None = None
        self._losses = Means()
        self.reach = 0
        """Of the averaged network, in input pixels; measured at the end."""

    def execute(self, show: Callable[[Run, Mapping[str, float]], None]) -> bool:
        """Trains until the run's length is reached or a stop is asked for; saves either way.

        Raises:
            TrainingError: the loss stays non-finite, or a file cannot be written.
        """
        saved = validated = time.monotonic()
        first = self.learner.step
        self._keep_good()
        while True:
            now = time.monotonic()
            due = now - validated >= self.plan.validate_seconds and self.learner.step > first
            self.seconds, stopped, due = self._processes.agree(self.seconds, self._stop(), due)
            if stopped or self.progress >= 1.0:
                break
            if due:
                self._validate()
                self.save()
                saved = validated = time.monotonic()
            elif now - saved >= self.plan.checkpoint_seconds:
                self.save()
                saved = time.monotonic()
            show(self, self._one_step())
        if self.learner.step > first or self.progress >= 1.0:
            self.save()  # at once, in case that whoever stops the run does not wait
            self._validate()
            if self._processes.leads:
                self.reach = measured_reach(self.learner.average, self.plan.spec)
            self.save()
        return self.progress >= 1.0

    @property
    def progress(self) -> float:
        """0 to 1."""
        return self.plan.length.progress(self.learner.step, self.seconds)

    def _one_step(self) -> dict[str, float]:
        started = time.monotonic()
        recipe = self.plan.recipe
        factor = rate_factor(
            self.learner.step, self.progress, warmup=recipe.warmup, final=recipe.final_rate
        )
        self.learner.set_rate(recipe.rate * factor * self._rate_scale)
        arrays = self._processes.share(self.task.batch(self._rng))
        batch = {name: _to_device(array, self.learner.device) for name, array in arrays.items()}
        self.data_seconds += time.monotonic() - started
        try:
            losses = {k: float(v.detach()) for k, v in self.task.step(self.learner, batch).items()}
            self.learner.follow()
            self._losses.add(losses)
        except NonFiniteLossError as error:
            losses = self._step_back(str(error))
        self.seconds += time.monotonic() - started
        return losses

    def _step_back(self, network: str) -> dict[str, float]:
        """After a non-finite loss: back to the last good state, at half the learning rate."""
        assert self._good is not None
        failed = self.learner.step
        self.learner.restore(self._good)
        self._steps_back += 1
        if self._steps_back > _MOST_STEPS_BACK:
            self._rate_scale = 1.0  # for the --rate that the resumed run is given
            self.save()
            raise TrainingError(
                f"the loss of {network!r} stays non-finite; the last good state, of step "
                f"{self.learner.step}, is saved: go on with --resume and a lower --rate"
            )
        self._rate_scale *= 0.5
        if self._processes.leads:
            tell(
                f"step {failed}: non-finite loss of {network!r}; going back to step "
                f"{self.learner.step} at half the learning rate"
            )
        return {}

    def _keep_good(self) -> None:
        self._good = copy.deepcopy(self.learner.state())

    def _validate(self) -> None:
        if self._replaces:  # before anything is added to what an older run left
            self.save()
        figures = self.task.validate(self.learner.average)
        # A task may answer NumPy's numbers, which JSON does not know.
        self.figures = {name: float(value) for name, value in figures.items()}
        if not any(map(math.isnan, self.figures.values())):
            self._keep_good()
        share = self.data_seconds / max(1e-9, self.seconds)
        times = {"minutes": round(self.seconds / 60, 3), "data_share": round(share, 4)}
        values = _plain({**self._losses.take(), **self.figures}, 5)
        self._record({"step": self.learner.step, **times, **values})
        if self._processes.leads:
            self._draw()
        score = self.figures[self.plan.recipe.metric]
        if score > self.best or score == self.best == math.inf:
            self.best = score
            self._save_weights(self.plan.best_path)

    def _draw(self) -> None:
        """The pictures; one that cannot be drawn is not worth hours of training."""
        plan, samples = self.plan, Image(self.task.samples(self.learner.average))
        self._picture(plan.samples_path, lambda: write_image(plan.samples_path, samples))
        if can_draw():
            self._picture(
                plan.curves_path, lambda: draw_curves(plan.metrics_path, plan.curves_path)
            )

    def _picture(self, path: Path, draw: Callable[[], object]) -> None:
        try:
            with confined("drawing"):
                draw()
        except ImgfxError as error:
            if path not in self._undrawn:
                self._undrawn.add(path)
                tell(f"warning: {path}: {error.format_message()}")

    def _record(self, record: Mapping[str, Any]) -> None:
        """Adds a line to the metrics, in place of those of steps that are done again.

        There are some after a step back, and after resuming from a state older than they are.
        """
        if not self._processes.leads:
            return
        lines = []
        if self.plan.metrics_path.is_file():
            lines = self.plan.metrics_path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _step_of(line) < record["step"]]
        for line in lines:
            if _step_of(line) == record["step"]:  # losses, of which no step since has told
                record = {**json.loads(line), **record}
        text = "".join(line + "\n" for line in [*kept, json.dumps(record)])
        write_file(self.plan.metrics_path, text.encode())

    def save(self) -> None:
        """Writes weights and state, each by a rename, so a kill leaves the older ones whole."""
        if not self._processes.leads:
            return
        if self._replaces:  # of data and a licence that are not those of the new weights
            self.plan.card_path.unlink(missing_ok=True)
        self._save_weights(self.plan.out)
        self.saved = True
        if self._replaces:
            self._remove_older()
        state = {
            "model": self.plan.model.name,
            "spec": self.plan.spec.to_json(),
            "learner": self.learner.state(),
            "rng": json.dumps(self._rng.bit_generator.state),
            "seconds": self.seconds,
            "data_seconds": self.data_seconds,
            "rate_scale": self._rate_scale,
            "best": self.best,
            "begun": {
                "steps": self.plan.length.steps,
                "minutes": self.plan.length.minutes,
                "batch": self.plan.recipe.batch,
                "rate": self.plan.recipe.rate,
                "precision": self.plan.facts.get("precision", "auto"),
                "seed": self.plan.seed,
                "origin": self.plan.facts.get("origin", ""),
                "data": self.plan.facts.get("data", ""),
                "teachers": self.plan.facts.get("teachers", ""),
                "beginning": self.plan.facts.get("beginning", ""),
                **self.plan.remembered,
            },
        }
        save_state(self.plan.state_path, state)

    def start_anew(self) -> None:
        """What an older run of the same name left goes once this one's first weights are there."""
        self._replaces = self._processes.leads

    def _remove_older(self) -> None:
        """Removes what belongs to an older run's weights, which have just been replaced.

        Its state would otherwise be resumed if this run were killed now.
        """
        self._replaces = False
        plan = self.plan
        for path in (
            plan.state_path,
            plan.best_path,
            plan.metrics_path,
            plan.curves_path,
        ):
            path.unlink(missing_ok=True)

    def resume(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `load_state` answered.

        Raises:
            TrainingError: it does not fit the run.
        """
        try:
            self.learner.restore(state["learner"])
            self._rng.bit_generator.state = json.loads(state["rng"])
            self.seconds, self.data_seconds = state["seconds"], state["data_seconds"]
            self._rate_scale, self.best = state["rate_scale"], state["best"]
            if not self._is_of_last_data(state):  # figures on other photos do not compare
                self.best = float("-inf")
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            path = self.plan.state_path
            raise TrainingError(f"{path}: the state does not fit this model") from error

    def _is_of_last_data(self, state: Mapping[str, Any]) -> bool:
        """Whether the run was trained and validated on the same as now, as far as it is known."""
        now = self.plan.remembered.get("last_data")
        return bool(state.get("begun", {}).get("last_data", now) == now)

    def facts(self) -> dict[str, str]:
        """What the header and the card say of the run."""
        return {
            **self.plan.facts,
            "steps": str(self.learner.step),
            "minutes": f"{self.seconds / 60:.1f}",
            "metrics": json.dumps(_plain(self.figures, 3)),
        }

    def _save_weights(self, path: Path) -> None:
        if self._processes.leads:
            save_weights(path, self._weights())

    def _weights(self) -> Weights:
        spec = dataclasses.replace(self.plan.spec, reach=self.reach)
        return weights_from_network(self.learner.average, spec, self.plan.model.name, self.facts())

    @property
    def digest(self) -> str:
        """The sha256 that names the averaged weights as they are now."""
        return self._weights().digest


def _step_of(line: str) -> float:
    """The step of a line of metrics; infinite if the line was cut off."""
    try:
        return float(json.loads(line)["step"])
    except (KeyError, TypeError, ValueError):
        return math.inf


def _plain(figures: Mapping[str, float], digits: int) -> dict[str, float | None]:
    """Rounded for JSON, which knows neither NaN nor infinity: the PSNR of equal images is null."""
    return {k: round(v, digits) if math.isfinite(v) else None for k, v in figures.items()}


def _to_device(array: np.ndarray[Any, Any], device: torch.device) -> torch.Tensor:
    tensor = torch.from_numpy(array).to(device)
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
