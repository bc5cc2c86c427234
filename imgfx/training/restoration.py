"""The task of every restoration model: undo a degradation, patch by patch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imgfx.errors import TrainingError
from imgfx.image import float_from_pixels, pixels_from_float
from imgfx.metrics import crop_border, psnr
from imgfx.training.photos import (
    Photo,
    centre_crop,
    hold_out,
    load_photos,
    random_crops,
    without,
)
from imgfx.training.recipe import Arrays, Learner, Rng, Teacher, Tensors
from imgfx.training.teaching import answered, check_alike, mixed

if TYPE_CHECKING:
    import torch
    from torch import nn

Float = npt.NDArray[np.float32]

_SHOWN = 192
_LITTLE = 1e-5

Degrade = Callable[[Float, Rng], tuple[Float, Float]]
"""(N, h, w, 3) clean crops and a generator -> network input (N, C, h', w') and target (N, 3, H, W),
both NCHW; it may use the crops' outer pixels as a margin."""


@dataclass(frozen=True)
class Probe:
    """One validation: a name for its figure, and how to make the pair from a clean image."""

    name: str
    pair: Callable[[Float, int], tuple[Float, Float]]
    """(H, W, 3) clean and a seed -> network input (C, h, w), target (H, W, 3)."""
    border: int = 0
    """Pixels cropped before measuring."""


Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""(output, target), both (N, C, H, W) float32 -> scalar."""


def l1_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute error."""
    return (output - target).abs().mean()


def psnr_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Minus a tenth of the mean PSNR, to which patches with little noise count as much.

    An error of _LITTLE, about 50 dB, bends the logarithm, so that patches without any do not rule.
    Source: Chen et al., HINet, 2021, section 3.3.
    """
    errors = (output - target).square().mean(dim=(1, 2, 3))
    return (errors + _LITTLE).log10().mean()


@dataclass(frozen=True)
class RestorationTask:
    """Patches degraded, and a loss between the network's output and the clean patch."""

    network: nn.Module
    training: Sequence[Photo]
    validation: Sequence[Photo]
    degrade: Degrade
    probes: Sequence[Probe]
    batch_size: int
    crop: int
    """Side of the clean crops, margin included."""
    data: str
    loss: Loss = l1_loss
    held_out: str = ""
    """Where the validation photos come from; empty where they are some of the data."""
    teacher: nn.Module | None = None
    """A trained network that takes the same inputs; most of each target is what it answers."""
    multiple: int = 24
    """Sides of the photos' middles that are validated on are multiples of it."""

    def networks(self) -> Mapping[str, nn.Module]:
        """The one network."""
        return {"network": self.network}

    def batch(self, rng: Rng) -> Arrays:
        """Inputs and targets, NCHW."""
        clean = random_crops(self.training, self.batch_size, self.crop, rng)
        inputs, targets = self.degrade(clean, rng)
        return {"input": inputs, "target": targets}

    def step(self, learner: Learner, batch: Tensors) -> Mapping[str, torch.Tensor]:
        """One update on the loss; a teacher is asked first."""
        target = self.target(learner, batch)
        with learner.autocast():
            output = self.network(batch["input"])
        loss = self.loss(output.float(), target)
        learner.update("network", loss)
        return {"loss": loss}

    def target(self, learner: Learner, batch: Tensors) -> torch.Tensor:
        """What is to be answered: the clean patch, or mostly what the teacher does."""
        if self.teacher is None:
            return batch["target"]
        return mixed(answered(learner, self.teacher, batch["input"]), batch["target"])

    def taught_by(self, teachers: Sequence[Teacher]) -> RestorationTask:
        """See `Teachable`: one network that takes the same inputs.

        Raises:
            TrainingError: more than one, or one for other images.
        """
        import torch

        if len(teachers) > 1:
            names = " and ".join(teacher.model for teacher in teachers)
            raise TrainingError(f"{names} cannot teach the same inputs; name one --teacher")
        batch = self.batch(np.random.default_rng(0))
        inputs, clean = (torch.from_numpy(batch[name][:1]) for name in ("input", "target"))
        check_alike(teachers[0], inputs, clean)
        return replace(self, teacher=teachers[0].network)

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Mean RGB PSNR of each probe over the held-out photos, and their mean as `psnr`."""
        figures = {probe.name: self._probe(network, probe) for probe in self.probes}
        return {**figures, "psnr": float(np.mean(list(figures.values())))}

    def _probe(self, network: nn.Module, probe: Probe) -> float:
        values = []
        for seed, photo in enumerate(self.validation):
            inputs, clean = probe.pair(self._middle(photo), seed)
            restored = np.clip(run_network(network, inputs), 0, 1)
            pair = crop_border(restored, probe.border), crop_border(clean, probe.border)
            values.append(psnr(*pair))
        return float(np.mean(values))

    def samples(self, network: nn.Module) -> npt.NDArray[np.uint8]:
        """A row per held-out photo: input, output and target of the first probe."""
        rows = []
        for seed, photo in enumerate(self.validation[:4]):
            inputs, target = self.probes[0].pair(self._middle(photo), seed)
            output = run_network(network, inputs)
            shown = inputs[: target.shape[2]].transpose(1, 2, 0)  # without conditions
            rows.append([_fit(part, _SHOWN) for part in (shown, output, target)])
        return pixels_from_float(np.concatenate([np.concatenate(r, 1) for r in rows]), "uint8")

    def validated_on(self, folders: Sequence[Path]) -> RestorationTask:
        """The task with all photos of these folders for validation, and none held out.

        A photo among them is not trained on, wherever else it lies.

        Raises:
            TrainingError: a missing folder, none with usable photos, or none left to train on.
        """
        for folder in folders:
            if not folder.is_dir():
                raise TrainingError(
                    f"{folder}: no such folder to validate on; name another with --validation"
                )
        validation = list(load_photos(folders, smallest=self.multiple, fewest=1).values())
        training = without([*self.training, *self.validation], validation)
        if not training:
            raise TrainingError(f"{self.data}: all photos are among those to validate on")
        names = ", ".join(folder.resolve().name for folder in folders)
        return replace(
            self,
            training=training,
            validation=validation,
            held_out=f"validated on {len(validation)} of {names}",
        )

    def _middle(self, photo: Photo) -> Float:
        return float_from_pixels(centre_crop(photo, max(_SHOWN, self.multiple), self.multiple))

    def describe_data(self) -> str:
        """Counts and folders."""
        if self.held_out:
            return f"{len(self.training)} photos of {self.data}; {self.held_out}"
        return f"{len(self.training)} photos, {len(self.validation)} held out, of {self.data}"


def _fit(image: Float, size: int) -> Float:
    square = np.zeros((size, size, 3), np.float32)
    height, width = min(size, image.shape[0]), min(size, image.shape[1])
    square[:height, :width] = image[:height, :width]
    return square


def run_network(network: nn.Module, inputs: Float) -> Float:
    """(C, H, W) through a network in fp32 on its own device, as (H, W, C)."""
    import torch

    device = next(network.parameters()).device
    with torch.inference_mode():
        tensor = torch.from_numpy(np.ascontiguousarray(inputs))[None].to(device)
        output = network(tensor.contiguous(memory_format=torch.channels_last))
    return np.asarray(output[0].float().cpu().numpy().transpose(1, 2, 0))


def restoration_task(
    network: nn.Module,
    folders: Sequence[Path],
    exclude: Sequence[str],
    *,
    degrade: Degrade,
    probes: Sequence[Probe],
    batch_size: int,
    crop: int,
    loss: Loss = l1_loss,
    multiple: int = 24,
    smallest: int | None = None,
) -> RestorationTask:
    """A task over folders of photos; some are held out for validation.

    Photos are validated on by their middles, of at most 192 pixels on a side, cropped so that both
    sides are multiples of `multiple`. 24 serves for scales of 2, 3 and 4, and for networks that
    halve up to three times; a network with `multiple_of=16` in its spec needs 48, or 16 alone if
    it does not enlarge. Photos with a side under `smallest`, or under `crop` where it is left out,
    or under `multiple`, are not used.

    Raises:
        TrainingError: a missing folder, or too few usable photos.
    """
    photos = load_photos(folders, exclude, smallest=max(smallest or crop, multiple))
    training, validation = hold_out(photos)
    names = ", ".join(folder.resolve().name for folder in folders)
    if not training:
        raise TrainingError(f"{names}: all photos are copies of one that is held out; add others")
    return RestorationTask(
        network, training, validation, degrade, probes, batch_size, crop, names, loss,
        multiple=multiple,
    )  # fmt: skip
