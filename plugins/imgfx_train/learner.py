"""Networks, optimizers and the moving average: all that learns, and its saved state."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from imgfx.training.recipe import Recipe, Task
from imgfx_train.optimizers import Optimizers
from imgfx_train.processes import Processes
from imgfx_train.schedule import average_decay


class NonFiniteLossError(ArithmeticError):
    """A loss or a gradient was not a number; nothing was updated by it."""


class Learner:
    """Holds what one run changes. Satisfies `imgfx.training.recipe.Learner`."""

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        device: str,
        precision: str,
        processes: Processes | None = None,
    ) -> None:
        self.networks: Mapping[str, nn.Module] = task.networks()
        self.device = torch.device(device)
        self.step = 0
        self._recipe = recipe
        self._precision = precision
        self._processes = processes or Processes()
        for network in self.networks.values():
            network.to(self.device).train()
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizers = {
            name: Optimizers(network, recipe) for name, network in self.networks.items()
        }
        self.average = copy.deepcopy(self.shipped).eval().requires_grad_(requires_grad=False)

    @property
    def shipped(self) -> nn.Module:
        """The network that is averaged and saved as weights: the task's first."""
        return next(iter(self.networks.values()))

    def autocast(self) -> torch.autocast:
        """Forward passes in bf16 where the precision says so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._precision == "bf16")

    def set_rate(self, rate: float) -> None:
        """The learning rate of every optimizer."""
        for optimizer in self.optimizers.values():
            optimizer.set_rate(rate)

    def update(self, name: str, loss: torch.Tensor) -> None:
        """One optimizer step of one network.

        Raises:
            NonFiniteLossError: before anything is changed.
        """
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        # The loss goes along, so that all processes find it finite or none does.
        parameters = list(self.networks[name].parameters())
        total = loss.detach().clone()
        self._processes.average([total, *(p.grad for p in parameters if p.grad is not None)])
        limit = self._recipe.clip or float("inf")
        norm = nn.utils.clip_grad_norm_(parameters, limit)
        if not (torch.isfinite(total) and torch.isfinite(norm)):
            raise NonFiniteLossError(name)
        optimizer.step()

    def follow(self) -> None:
        """Moves the average towards the shipped network; counts the step."""
        keep = average_decay(self.step, self._recipe.ema)
        floating = [buffer for buffer in self.shipped.buffers() if buffer.is_floating_point()]
        if floating:
            self._processes.average(floating)
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.shipped.parameters(), strict=True)
            for mean, value in pairs:
                mean.lerp_(value, 1.0 - keep)
            buffers = zip(self.average.buffers(), self.shipped.buffers(), strict=True)
            for copied, current in buffers:
                copied.copy_(current)
        self.step += 1

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on as if nothing had happened."""
        return {
            "step": self.step,
            "networks": {name: n.state_dict() for name, n in self.networks.items()},
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "average": self.average.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Puts back what `state` answered."""
        self.step = int(state["step"])
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
            # Copied, because the optimizer keeps the tensors it is given and writes to them.
            self.optimizers[name].load_state_dict(copy.deepcopy(state["optimizers"][name]))
        self.average.load_state_dict(state["average"])
        torch.set_rng_state(state["torch_rng"].cpu())
        if self.device.type == "cuda" and state.get("cuda_rng") is not None:
            torch.cuda.set_rng_state(state["cuda_rng"].cpu())
