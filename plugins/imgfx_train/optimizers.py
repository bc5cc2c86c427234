"""What moves a network's weights: Adam, and where a recipe asks for it Muon on hidden layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from imgfx.training.recipe import Recipe

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_ADAM_LIKE = 0.2
"""Root mean square of a step at rate 1, that of Adam's in practice."""


class Muon(torch.optim.Optimizer):
    """Gradient descent with momentum, each step made orthogonal.

    A weight counts as the matrix (first dimension, all others). Of the step's singular values all
    become about one, so rare directions are learned as fast as common ones.

    Sources: Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024; the
    step's size, Liu et al., Muon is Scalable for LLM Training, 2025, eq. 4.
    """

    def __init__(self, parameters: list[nn.Parameter], rate: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": rate, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; weights of the same shape are made orthogonal together."""
        assert closure is None
        for group in self.param_groups:
            alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    direction = self._direction(weight, group["momentum"])
                    alike.setdefault(weight.shape, []).append((weight, direction))
            for shape, pairs in alike.items():
                steps = orthogonal(torch.stack([d.reshape(shape[0], -1) for _, d in pairs]))
                size = _ADAM_LIKE * math.sqrt(max(steps.shape[1:]))
                for (weight, _), step in zip(pairs, steps, strict=True):
                    weight.add_(step.view(shape), alpha=-group["lr"] * size)

    def _direction(self, weight: nn.Parameter, momentum: float) -> Tensor:
        """Nesterov's: the gradient mixed with its moving average, that one brought up to date."""
        assert weight.grad is not None
        gradient: Tensor = weight.grad
        state = self.state[weight]
        if "average" not in state:
            state["average"] = torch.zeros_like(weight)
        average: Tensor = state["average"]
        average.lerp_(gradient, 1 - momentum)
        return gradient.lerp(average, momentum)


def orthogonal(matrices: Tensor) -> Tensor:
    """(N, rows, columns) -> the same, singular values brought near one by Newton-Schulz steps.

    Each step multiplies x by a polynomial of x x^T; these commute, so the small square matrices are
    iterated and x itself is multiplied once, at the end.
    """
    wide = matrices.shape[1] <= matrices.shape[2]
    x: Tensor = matrices if wide else matrices.transpose(1, 2)
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    square = x @ x.transpose(1, 2)
    product = identity = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        factor = a * identity + b * square + c * square @ square
        product = factor @ product
        square = factor @ square @ factor
    x = product @ x
    return x if wide else x.transpose(1, 2)


class Optimizers:
    """All that moves one network, as if it were one optimizer."""

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        hidden = hidden_weights(network) if recipe.muon else []
        known = {id(weight) for weight in hidden}
        others = [weight for weight in network.parameters() if id(weight) not in known]
        self.rate = recipe.rate
        self._parts: dict[str, tuple[torch.optim.Optimizer, float]] = {}
        if others:
            self._parts["adam"] = torch.optim.Adam(others, self.rate, recipe.betas, fused=True), 1.0
        if hidden:
            self._parts["muon"] = Muon(hidden, recipe.muon * self.rate), recipe.muon

    def set_rate(self, rate: float) -> None:
        """Adam's learning rate; Muon's follows in proportion."""
        self.rate = rate
        for optimizer, factor in self._parts.values():
            for group in optimizer.param_groups:
                group["lr"] = rate * factor

    def zero_grad(self) -> None:
        """Forgets all gradients."""
        for optimizer, _ in self._parts.values():
            optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Moves all weights."""
        for optimizer, _ in self._parts.values():
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs."""
        return {name: optimizer.state_dict() for name, (optimizer, _) in self._parts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts back what `state_dict` answered."""
        for name, (optimizer, _) in self._parts.items():
            optimizer.load_state_dict(state[name])


def hidden_weights(network: nn.Module) -> list[nn.Parameter]:
    """Weights of convolutions and linear layers but for the first and the last one.

    Those two map from and to pixels or numbers with meanings of their own, which Adam's step for
    each weight suits better.
    """
    weights = [weight for weight in network.parameters() if weight.ndim > 1]
    return weights[1:-1]
