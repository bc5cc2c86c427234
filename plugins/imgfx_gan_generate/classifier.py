"""How the classifier is trained, in whose features generated clothes are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from imgfx.errors import TrainingError
from imgfx.image import float_from_pixels
from imgfx.training.pictures import (
    Pictures,
    grid,
    idx_files,
    read_idx_images,
    read_idx_labels,
    split_pictures,
)
from imgfx.training.recipe import Arrays, Learner, Recipe, Rng, Task, Tensors
from imgfx_gan_generate.networks import Classifier

if TYPE_CHECKING:
    from torch import nn

Labels = npt.NDArray[np.uint8]

_FEWEST = 64
_SHOWN = 64
_FURTHEST = 2
"""Pixels that a picture is shifted by, so that the network learns shapes and not places."""


@dataclass(frozen=True)
class ClassifierTask:
    """Cross-entropy of labels over pictures held in memory."""

    network: nn.Module
    training: tuple[Pictures, Labels]
    held_out: tuple[Pictures, Labels]
    batch_size: int
    data: str

    def networks(self) -> Mapping[str, nn.Module]:
        """The one network."""
        return {"network": self.network}

    def batch(self, rng: Rng) -> Arrays:
        """Pictures, each shifted a little, and their labels."""
        pictures, labels = self.training
        chosen = rng.integers(len(pictures), size=self.batch_size)
        shifts = rng.integers(-_FURTHEST, _FURTHEST + 1, size=(self.batch_size, 2))
        moved = [np.roll(p, s, (0, 1)) for p, s in zip(pictures[chosen], shifts, strict=True)]
        inputs = float_from_pixels(np.stack(moved)).transpose(0, 3, 1, 2)
        return {"input": np.ascontiguousarray(inputs), "label": labels[chosen].astype(np.float32)}

    def step(self, learner: Learner, batch: Tensors) -> Mapping[str, torch.Tensor]:
        """One update."""
        with learner.autocast():
            logits = self.network(batch["input"])
        loss = functional.cross_entropy(logits, batch["label"].long())
        learner.update("network", loss)
        return {"loss": loss}

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """The share of held-out pictures that are told rightly."""
        pictures, labels = self.held_out
        return {"accuracy": float((_answers(network, pictures) == labels).mean())}

    def samples(self, network: nn.Module) -> npt.NDArray[np.uint8]:
        """Held-out pictures in the order of what they were taken for, a row for each kind."""
        pictures = self.held_out[0]
        answers = _answers(network, pictures)
        rows = []
        for kind in range(int(answers.max()) + 1):
            row = pictures[answers == kind][: _SHOWN // 4]
            blank = np.zeros((_SHOWN // 4 - len(row), *row.shape[1:]), np.uint8)
            rows.append(np.concatenate([row, blank]))
        return grid(np.concatenate(rows), _SHOWN // 4)

    def describe_data(self) -> str:
        """Counts and folders."""
        size = "x".join(str(n) for n in self.training[0].shape[1:3])
        return (
            f"{len(self.training[0])} labelled images of {size}, {len(self.held_out[0])} held out, "
            f"of {self.data}"
        )


def _answers(network: nn.Module, pictures: Pictures) -> npt.NDArray[np.int64]:
    device = next(network.parameters()).device
    answers = []
    with torch.inference_mode():
        for part in np.array_split(pictures, -(-len(pictures) // 1000)):
            images = np.ascontiguousarray(float_from_pixels(part).transpose(0, 3, 1, 2))
            answers.append(network(torch.from_numpy(images).to(device)).argmax(dim=1))
    return torch.cat(answers).cpu().numpy()


def make_task(
    folders: Sequence[Path], exclude: Sequence[str], batch: int | None, network: nn.Module
) -> Task:
    """The labelled pictures of the folders' IDX files.

    Raises:
        TrainingError: no such files, or images and labels that do not match.
    """
    del exclude  # names of pictures; these have none
    pairs = [pair for folder in folders for pair in _labelled(folder)]
    where = ", ".join(map(str, folders))
    if not pairs:
        raise TrainingError(f"{where}: no IDX files '*-images-idx3-ubyte*' with labels")
    if len({images.shape[1:] for images, _ in pairs}) > 1:
        raise TrainingError(f"{where}: images of different sizes")
    pictures = np.concatenate([images for images, _ in pairs])
    labels = np.concatenate([labels for _, labels in pairs])
    if len(pictures) < _FEWEST:
        raise TrainingError(f"{where}: {len(pictures)} images, at least {_FEWEST} needed")
    assert isinstance(network, Classifier)
    if labels.max() >= network.classes:
        raise TrainingError(
            f"{where}: a label {labels.max()}, but the classifier knows 0 to {network.classes - 1}"
        )
    held_out, training = split_pictures(pictures)
    count = len(held_out)
    names = ", ".join(folder.resolve().name for folder in folders)
    split = (training, labels[count:]), (held_out, labels[:count])
    return ClassifierTask(network, *split, batch or RECIPE.batch, names)


def _labelled(folder: Path) -> list[tuple[Pictures, Labels]]:
    if not folder.is_dir():
        raise TrainingError(f"{folder}: no such folder of training data")
    pairs = []
    for path in idx_files(folder):
        other = path.with_name(path.name.replace("-images-idx3-", "-labels-idx1-"))
        images, labels = read_idx_images(path)[..., None], read_idx_labels(other)
        if len(images) != len(labels):
            raise TrainingError(f"{other}: {len(labels)} labels for {len(images)} images")
        pairs.append((images, labels))
    return pairs


RECIPE = Recipe(
    task=make_task,
    metric="accuracy",
    batch=128,
    steps=4_000,
    rate=2e-3,
    muon=2.0,
    warmup=100,
    ema=0.999,
)
