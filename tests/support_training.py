"""What tests of training share: an easy task and runs on it, data, and what a run has written."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support import picture
from torch import nn

from imgfx.files import write_image
from imgfx.image import Image
from imgfx.model import Model, ModelSpec
from imgfx.training.recipe import Recipe
from imgfx.weights import load_weights
from imgfx_train.learner import Learner
from imgfx_train.run import Plan, Run
from imgfx_train.schedule import Length
from imgfx_train.state import load_state


class Line(nn.Module):
    """Three weights and a bias, and a buffer that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen += len(x)
        return self.layer(x)


class LineTask:
    """Learns y = x . (1, 2, 3) + 4. Batches whose numbers are in `bad` have a loss of NaN."""

    def __init__(self, bad: Collection[int] = ()) -> None:
        torch.manual_seed(0)
        self.network, self.bad, self.drawn = Line(), bad, 0
        self.scores, self.rates = None, []

    def networks(self) -> dict[str, nn.Module]:
        return {"line": self.network}

    def batch(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        self.drawn += 1
        x = rng.standard_normal((16, 3), dtype=np.float32)
        factor = np.float32(math.nan if self.drawn - 1 in self.bad else 1)
        return {"x": x, "y": x @ np.float32([[1], [2], [3]]) + 4, "factor": factor.reshape(1)}

    def step(self, learner: Learner, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        self.rates.append(learner.optimizers["line"].rate)
        loss = (learner.networks["line"](batch["x"]) - batch["y"]).square().mean()
        learner.update("line", loss * batch["factor"].squeeze())
        return {"loss": loss}

    def validate(self, network: Line) -> dict[str, float]:
        truth = torch.tensor([1.0, 2.0, 3.0])
        error = float((network.layer.weight - truth).abs().mean())
        return {"score": self.scores.pop(0) if self.scores else -error, "error": error}

    def samples(self, network: Line) -> np.ndarray:
        return np.zeros((4, 4, 1), np.uint8)

    def describe_data(self) -> str:
        return "a line"


LINE = Model("line", ModelSpec("line-1"), build=lambda spec: Line(), describe="A line.")
RECIPE = Recipe(
    task=lambda *_: LineTask(), metric="score", batch=16, steps=100, rate=0.05, warmup=5, ema=0.9
)
FACTS = {
    "command": "imgfx train line --data 'my photos'",
    "data": "3 lines, 1 held out, of here",
    "licence": "CC0",
    "processor": "abacus, 1 threads",
    "precision": "fp32",
    "batch": "16",
    "rate": "0.05",
    "seed": "7",
}


# Runs, from inside.


def never() -> bool:
    """A stop that is not asked for."""
    return False


def after(run_steps: int) -> Callable[[], bool]:
    """A stop that is asked for after some steps."""
    calls = iter(range(run_steps + 1))
    return lambda: next(calls, run_steps) >= run_steps


def no_show(run: Run, losses: object) -> None:
    """Shows nothing of a step."""


def run_of(
    folder: Path,
    task: Any,
    *,
    steps: int = 20,
    stop: Callable[[], bool] = never,
    model: Model = LINE,
    recipe: Recipe = RECIPE,
    spec: ModelSpec | None = None,
    **plan: Any,
) -> Run:
    """A run at its start, which writes `a.safetensors` and its companions."""
    plan = {"checkpoint_seconds": 1e9, "validate_seconds": 1e9, "facts": FACTS, **plan}
    plan = Plan(
        model, spec or model.spec, recipe, folder / "a.safetensors", Length(steps=steps), 7, **plan
    )
    return Run(plan, task, Learner(task, recipe, "cpu", "fp32"), stop)


def resumed(run: Run) -> Run:
    """The run, where its state was saved."""
    run.resume(load_state(run.plan.state_path, run.plan.model))
    return run


def assert_same(one: Any, other: Any) -> None:
    """Nested states are equal bit by bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


# `imgfx train`.

QUICK = ("--batch", "2", "--threads", "1", "--device", "cpu", "--precision", "fp32")


def write_pictures(folder: Path, count: int, height: int, width: int, channels: int = 3) -> Path:
    """A folder of different pictures, named by their numbers."""
    for seed in range(count):
        image = Image(picture(height, width, channels, seed=seed))
        write_image(folder / f"{seed}.png", image)
    return folder


def idx_bytes(images: np.ndarray, magic: int = 0x803) -> bytes:
    """(N, H, W) uint8 as an IDX file."""
    return struct.pack(">IIII", magic, *images.shape) + images.tobytes()


def digits(count: int, size: int = 8) -> np.ndarray:
    """(count, size, size) images that can be told apart by their mean."""
    return np.random.default_rng(0).integers(0, 256, (count, size, size)).astype(np.uint8)


def records(path: Path = Path("a.metrics.jsonl")) -> list[dict[str, Any]]:
    """The lines of a run's metrics."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def recorded_steps(path: Path = Path("a.metrics.jsonl")) -> list[int]:
    """The steps that a run's metrics tell of."""
    return [record["step"] for record in records(path)]


def digest(path: str | Path = "a.safetensors") -> str:
    """The sha256 that names weights."""
    return load_weights(Path(path)).digest


def facts(path: str | Path = "a.safetensors") -> dict[str, str]:
    """What weights say of their training."""
    return dict(load_weights(Path(path)).training)
