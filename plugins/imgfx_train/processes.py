"""Several processes that train as one, as `torchrun` starts them.

Each process draws the same minibatch, works on its share of it, and averages its gradients with the
others, so N processes do what one does on the whole minibatch. Exceptions
are layers that look at the whole minibatch or at chance: batch normalisation sees each process's
share, and augmentation and dropout draw alike in each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed

from imgfx.errors import TrainingError
from imgfx.training.recipe import Arrays


class Processes:
    """The processes of a run; `rank` is this one's number. A single one needs no `torchrun`."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def leads(self) -> bool:
        """Whether this process tells, decides and writes for all."""
        return self.rank == 0

    def share(self, batch: Arrays) -> Arrays:
        """The rows of a minibatch that are this process's.

        Raises:
            TrainingError: the rows cannot be divided evenly.
        """
        if self.count == 1:
            return batch
        shares = {}
        for name, array in batch.items():
            if len(array) % self.count:
                raise TrainingError(
                    f"--batch {len(array)} cannot be divided among {self.count} processes"
                )
            rows = len(array) // self.count
            shares[name] = array[self.rank * rows : (self.rank + 1) * rows]
        return shares

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replaces each tensor by its mean over the processes, in one exchange."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.count
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def agree(self, *values: Any) -> list[Any]:
        """What the leading process says, in all of them: their clocks differ."""
        if self.count == 1:
            return list(values)
        said = [list(values)]
        distributed.broadcast_object_list(said, src=0)
        return said[0]


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that `torchrun` started, joined over NCCL or gloo; else this one alone.

    Raises:
        TrainingError: there are more processes on this machine than CUDA devices.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    if device == "cuda":
        _take_a_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), count)
    finally:
        distributed.destroy_process_group()


def _take_a_device(number: int) -> None:
    if number >= torch.cuda.device_count():
        raise TrainingError(
            f"process {number} finds only {torch.cuda.device_count()} CUDA devices; start no more "
            "processes on a machine than it has devices"
        )
    torch.cuda.set_device(number)
