"""RED-Net taught by networks that enlarge small images, each by its own scale, and by itself.

A photo's fine detail cannot be told from its small image; a target that holds it makes each step's
gradient mostly noise. What a trained network answers holds what can be told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imgfx.errors import TrainingError
from imgfx.training.photos import random_crops
from imgfx.training.recipe import Arrays, Learner, Rng, Teacher, Tensors
from imgfx.training.restoration import RestorationTask
from imgfx.training.teaching import answered, mixed
from imgfx_superres_rednet.recipe import SCALES, drawn_scales, small_and_soft

if TYPE_CHECKING:
    import torch
    from torch import nn

Float = npt.NDArray[np.float32]

_CROP = 144
_MARGIN = 24
"""Pixels of a crop thrown away on each side: a teacher's answer is worse at the border."""
_MIDDLE = (..., slice(_MARGIN, -_MARGIN), slice(_MARGIN, -_MARGIN))
_SMALLEST_SCALE = 2


@dataclass(frozen=True)
class SoftTask(RestorationTask):
    """RED-Net's task; with teachers, most of the target of their scales is what they answer."""

    teachers: Mapping[int, nn.Module] = field(default_factory=dict)

    @classmethod
    def of(cls, task: RestorationTask) -> SoftTask:
        """The task, which can be taught."""
        fields = {f.name: getattr(task, f.name) for f in dataclasses.fields(task)}
        return cls(**fields)

    def taught_by(self, teachers: Sequence[Teacher]) -> SoftTask:
        """See `Teachable`: networks that enlarge RGB images 2, 3 or 4 times, each for its scale.

        One that takes the enlarged image teaches the scales that are left.
        """
        alike = [teacher for teacher in teachers if teacher.spec.scale == 1]
        task = super().taught_by(alike) if alike else self
        others = [teacher for teacher in teachers if teacher.spec.scale != 1]
        for teacher in others:
            spec = teacher.spec
            if spec.scale not in (2, 3, 4) or spec.channels != 3 or spec.conditions or spec.latent:
                raise TrainingError(
                    f"{teacher.model} cannot teach: it does not enlarge RGB images 2, 3 or 4 times"
                )
        if not others:
            return dataclasses.replace(self, teacher=task.teacher)
        known = {teacher.spec.scale: teacher.network for teacher in others}
        return dataclasses.replace(self, teachers=known, teacher=task.teacher)

    def batch(self, rng: Rng) -> Arrays:
        """Inputs and targets, NCHW; for teachers the scales, the small images and whole crops."""
        if not self.teachers:
            return super().batch(rng)
        clean = random_crops(self.training, self.batch_size, _CROP, rng)
        sharp = np.ascontiguousarray(clean.transpose(0, 3, 1, 2))
        scales = drawn_scales(rng, len(sharp))
        side = _CROP // _SMALLEST_SCALE
        small, soft = np.zeros((len(sharp), 3, side, side), np.float32), np.empty_like(sharp)
        for scale in np.unique(scales):
            rows = scales == scale
            part, soft[rows] = small_and_soft(sharp[rows], int(scale))
            small[rows, :, : part.shape[2], : part.shape[3]] = part
        return {
            "input": np.ascontiguousarray(soft[_MIDDLE]),
            "target": np.ascontiguousarray(sharp[_MIDDLE]),
            "small": small,
            "scale": scales.astype(np.float32),
        }

    def target(self, learner: Learner, batch: Tensors) -> torch.Tensor:
        """What is to be answered: mostly what a scale's teacher does, or else the common one."""
        if not self.teachers:
            return super().target(learner, batch)
        target = batch["target"].clone()
        for scale in SCALES:
            rows = (batch["scale"] == scale).nonzero()[:, 0]
            answer = self._answer(learner, batch, scale, rows) if len(rows) else None
            if answer is not None:
                target[rows] = mixed(answer, target[rows])
        return target

    def _answer(
        self, learner: Learner, batch: Tensors, scale: int, rows: torch.Tensor
    ) -> torch.Tensor | None:
        if scale in self.teachers:
            side = _CROP // scale
            small = batch["small"][rows, :, :side, :side]
            return answered(learner, self.teachers[scale], small)[_MIDDLE]
        if self.teacher is not None:
            return answered(learner, self.teacher, batch["input"][rows])
        return None
