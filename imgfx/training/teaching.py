"""Targets that a trained network answers, in place of what no network could tell from the input.

Source: Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2015.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from imgfx.errors import TrainingError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from imgfx.training.recipe import Learner, Teacher

OWN_SHARE = 0.2
"""Share of the clean image itself in a taught target, so that the teacher can be surpassed."""
_SYMMETRIES = 8


def turned(images: torch.Tensor, symmetry: int) -> torch.Tensor:
    """(N, C, H, W) in a symmetry of the square, 0 to 7; from 4 on H and W change places."""
    if symmetry & 1:
        images = images.flip(-1)
    if symmetry & 2:
        images = images.flip(-2)
    return images.transpose(-1, -2) if symmetry & 4 else images


def turned_back(images: torch.Tensor, symmetry: int) -> torch.Tensor:
    """What `turned` made of them as they were."""
    if symmetry & 4:
        images = images.transpose(-1, -2)
    if symmetry & 2:
        images = images.flip(-2)
    return images.flip(-1) if symmetry & 1 else images


def answered(learner: Learner, teacher: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """The teacher's answer, float32, to inputs (N, C, H, W) in a symmetry drawn at random.

    A network answers a turned image a little differently. Over many steps a pupil learns the mean
    of all eight answers, which is better than each (Timofte, Rothe, Van Gool, Seven ways to improve
    example-based single image super resolution, 2016, section 3.5), for the cost of one.
    """
    import torch

    symmetry = int(torch.randint(_SYMMETRIES, ()))
    with torch.no_grad(), learner.autocast():
        seen = turned(inputs, symmetry).contiguous(memory_format=torch.channels_last)
        return turned_back(teacher(seen).float(), symmetry)


def mixed(answer: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """The target of a taught step: mostly the answer."""
    return answer + OWN_SHARE * (clean - answer)


def check_alike(teacher: Teacher, inputs: torch.Tensor, clean: torch.Tensor) -> None:
    """Whether a teacher takes a task's inputs (N, C, h, w) and answers like its targets.

    Raises:
        TrainingError: it does not.
    """
    import torch

    answer = None
    if not teacher.spec.latent:
        where = next(teacher.network.parameters(), inputs).device
        with contextlib.suppress(RuntimeError), torch.no_grad():
            answer = teacher.network(inputs.to(where))
    if answer is None or answer.shape != clean.shape:
        raise TrainingError(
            f"{teacher.model} cannot teach: it does not take this model's inputs, or answers in "
            "another size"
        )
