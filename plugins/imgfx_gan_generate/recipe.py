"""How the generators are trained, and how far they are from the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from imgfx.errors import TrainingError
from imgfx.image import float_from_pixels, pixels_from_float
from imgfx.set_metrics import sliced_wasserstein
from imgfx.training.pictures import (
    Pictures,
    grid,
    load_pictures,
    split_pictures,
    without_copies,
)
from imgfx.training.recipe import Arrays, Learner, Recipe, Rng, Task, Tensors
from imgfx_gan_generate.augment import shifted
from imgfx_gan_generate.networks import Discriminator, Generator
from imgfx_gan_generate.step import Change, gradient_penalty, lecture_step

if TYPE_CHECKING:
    from torch import nn

_PENALTY_EVERY = 16
_VALIDATED = 2000


@dataclass(frozen=True)
class Variant:
    """What differs between the generators' recipes."""

    judge_width: int
    """Of the discriminator's first layer."""
    halvings: int
    """Of the resolution, by the discriminator."""
    penalty: float
    """Weight of R1. The more of it, the smoother the discriminator, and the less it sees."""
    mirror: bool = False
    """Whether a mirrored original is as likely an original."""
    change: Change | None = None
    """Augmentation of what the discriminator sees."""


@dataclass(frozen=True)
class GanTask:
    """The lecture's step over a set of images held in memory."""

    generator: Generator
    discriminator: nn.Module
    training: Pictures
    held_out: Pictures
    variant: Variant
    batch_size: int
    data: str

    @property
    def latent(self) -> int:
        """Length of the generator's input."""
        return self.generator.spec.latent

    def networks(self) -> Mapping[str, nn.Module]:
        """The generator, which is shipped, and its opponent."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def batch(self, rng: Rng) -> Arrays:
        """1. A minibatch of originals, NCHW, and as many latent vectors."""
        chosen = self.training[rng.integers(len(self.training), size=self.batch_size)]
        if self.variant.mirror:
            mirrored = rng.random(self.batch_size) < 0.5
            chosen[mirrored] = chosen[mirrored, :, ::-1]
        originals = np.ascontiguousarray(float_from_pixels(chosen).transpose(0, 3, 1, 2))
        shape = (self.batch_size, self.latent)
        return {"originals": originals, "latents": rng.standard_normal(shape, dtype=np.float32)}

    def step(self, learner: Learner, batch: Tensors) -> Mapping[str, torch.Tensor]:
        """2. to 6., with R1 on the discriminator every few steps."""
        penalty = None
        if learner.step % _PENALTY_EVERY == 0:
            weight = self.variant.penalty * _PENALTY_EVERY
            penalty = gradient_penalty(learner.networks["discriminator"], weight)
        return lecture_step(
            learner, batch["originals"], batch["latents"], penalty, self.variant.change
        )

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Sliced Wasserstein distance to held-out originals; `closeness` is its negative."""
        held_out = self.held_out[:_VALIDATED]
        fakes = _generate(network, self.latent, len(held_out))
        distance = sliced_wasserstein(fakes, float_from_pixels(held_out))
        return {"sliced_wasserstein": distance, "closeness": -distance}

    def samples(self, network: nn.Module) -> npt.NDArray[np.uint8]:
        """8 x 8 images of the same latent vectors each time."""
        return grid(pixels_from_float(_generate(network, self.latent, 64), "uint8"), 8)

    def describe_data(self) -> str:
        """Counts and folders."""
        size = "x".join(str(n) for n in self.training.shape[1:3])
        return (
            f"{len(self.training)} images of {size}, {len(self.held_out)} held out, of {self.data}"
        )


def _generate(network: nn.Module, latent: int, count: int) -> npt.NDArray[np.float32]:
    """(count, H, W, C) in [0, 1] from latent vectors that are always the same."""
    latents = np.random.default_rng(0).standard_normal((count, latent), dtype=np.float32)
    device = next(network.parameters()).device
    with torch.inference_mode():
        parts = [network(torch.from_numpy(part).to(device)) for part in np.array_split(latents, 8)]
    return torch.cat(parts).cpu().numpy().transpose(0, 2, 3, 1)


def make_task(
    folders: Sequence[Path],
    exclude: Sequence[str],
    batch: int | None,
    network: nn.Module,
    *,
    variant: Variant,
) -> Task:
    """The images of the folders at the generator's size."""
    assert isinstance(network, Generator)
    spec = network.spec
    size = spec.options["size"]
    held_out, others = split_pictures(load_pictures(folders, exclude, size, spec.channels))
    training = without_copies(others, held_out)
    if not len(training):
        where = ", ".join(map(str, folders))
        raise TrainingError(f"{where}: all images are copies of ones held out; add others")
    opponent = Discriminator(size, spec.channels, variant.judge_width, variant.halvings)
    names = ", ".join(folder.resolve().name for folder in folders)
    return GanTask(network, opponent, training, held_out, variant, batch or _BATCH, names)


_BATCH = 64
_VARIANTS = {
    "fashion": Variant(judge_width=64, halvings=3, penalty=0.5),
    "faces": Variant(judge_width=32, halvings=4, penalty=0.05, mirror=True, change=shifted),
}

RECIPES = {
    name: Recipe(
        task=partial(make_task, variant=variant),
        metric="closeness",
        batch=_BATCH,
        steps=30_000,
        rate=3e-4,
        betas=(0.5, 0.99),
        final_rate=0.1,
        warmup=1,
        ema=0.9995,
    )
    for name, variant in _VARIANTS.items()
}
"""By the names that `gan-generate --model` takes."""
