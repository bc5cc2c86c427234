"""Networks under the probe: what they take, what they answer, how far they see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from imgfx.model import ModelSpec

CANDIDATES = (1, 2, 4, 8, 16, 32, 64)
"""Multiples that sides may have to be."""
_CHANNELS = (1, 3, 4)
_LEAST = 32
"""Pixels a side, about, of a probe."""
_FARTHEST = 512
"""Input pixels that influence is looked for at each side; what sees further sees everything."""
_PHASES = 8
"""Of a grid of output pixels, whose reaches are measured."""


def shape_of(
    network: nn.Module, spec: ModelSpec, height: int, width: int, channels: int | None = None
) -> tuple[int, ...] | str:
    """The shape that a network answers for one image of this size; or why it does not."""
    planes = (spec.channels if channels is None else channels) + len(spec.conditions)
    try:
        with torch.inference_mode():
            answer = network(torch.full((1, planes, height, width), 0.5))
    except Exception as error:  # noqa: BLE001  # a network raises anything
        lines = str(error).strip().splitlines()
        return lines[0] if lines else type(error).__name__
    return tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__


def side_for(multiple: int) -> int:
    """A side of a few multiples."""
    return max(2, -(-_LEAST // multiple)) * multiple


def fitting_channels(network: nn.Module, spec: ModelSpec) -> int | None:
    """With how many channels it does run; None with none of the usual numbers."""
    side = side_for(CANDIDATES[-1])
    runs = (c for c in _CHANNELS if not isinstance(shape_of(network, spec, side, side, c), str))
    return next(runs, None)


def trouble_at_multiples(network: nn.Module, spec: ModelSpec, multiple: int) -> str:
    """Why it does not enlarge all sizes of a multiple as its spec says; empty if it does."""
    for rows, columns in ((1, 1), (1, 2), (3, 1), (5, 3)):
        height, width = rows * multiple, columns * multiple
        found = shape_of(network, spec, height, width)
        expected = (1, spec.channels, spec.scale * height, spec.scale * width)
        if isinstance(found, str):
            return f"{height}x{width}: {found}"
        if found != expected:
            return f"{height}x{width}: answers {found} in place of {expected}"
    return ""


def fitting_multiple(network: nn.Module, spec: ModelSpec) -> int | None:
    """The least multiple that it does run with."""
    runs = (m for m in CANDIDATES if not trouble_at_multiples(network, spec, m))
    return next(runs, None)


@dataclass(frozen=True)
class Reach:
    """How far one output pixel sees, in input pixels."""

    pixels: int
    everywhere: bool
    """Whether it reached the probe's end, however large that was."""


def measured_radius(build: Callable[[ModelSpec], nn.Module], spec: ModelSpec) -> Reach:
    """How far the layers can see, by the gradient of output pixels of a network of made-up weights.

    All weights are alike and positive, and biases are 1, so that no path cancels another and no
    ReLU closes one.
    """
    network = _opened(build(spec))
    half = max(2 * spec.halo, _LEAST)
    while True:
        half = -(-half // spec.multiple_of) * spec.multiple_of
        reach = max(_radius(network, spec, half, across) for across in (True, False))
        if reach < half - spec.multiple_of:
            return Reach(reach, everywhere=False)
        if half >= _FARTHEST:
            return Reach(reach, everywhere=True)
        half *= 2


@torch.no_grad()
def _opened(network: nn.Module) -> nn.Module:
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1 / parameter[0].numel() if parameter.ndim > 1 else 1.0)
    return network.eval()


def _radius(network: nn.Module, spec: ModelSpec, half: int, across: bool) -> int:
    """Along one axis of a strip: how far output pixels near the middle see."""
    thick = -(-8 // spec.multiple_of) * spec.multiple_of
    long = 2 * half + 2 * spec.multiple_of
    size = (thick, long) if across else (long, thick)
    generator = torch.Generator().manual_seed(0)
    planes = spec.channels + len(spec.conditions)
    image = (0.5 + 0.5 * torch.rand((1, planes, *size), generator=generator)).requires_grad_()
    line = network(image).sum(dim=(0, 1, 2 if across else 3))
    reach = 0
    for place in _places(half, spec):
        (gradient,) = torch.autograd.grad(line[place], image, retain_graph=True)
        seen = gradient[0].nan_to_num(0).abs().sum(dim=(0, 1 if across else 2))
        touched = seen.nonzero().flatten()
        if touched.numel():
            centre = place // spec.scale
            reach = max(reach, centre - int(touched.min()), int(touched.max()) - centre)
    return reach


def _places(half: int, spec: ModelSpec) -> Iterator[int]:
    """Output pixels near the middle, of each phase of the grid, at most some."""
    phases = spec.multiple_of * spec.scale
    first = half * spec.scale
    steps = sorted({round(k * (phases - 1) / max(1, _PHASES - 1)) for k in range(_PHASES)})
    yield from (first + step for step in steps)


@torch.inference_mode()
def border_error(network: nn.Module, spec: ModelSpec, border: int) -> float:
    """By how much the output of a window with this border differs from that of the whole image."""
    multiple = spec.multiple_of
    kept, border = side_for(multiple), -(-border // multiple) * multiple
    beyond = -(-_LEAST // multiple) * multiple
    side = kept + 2 * (border + beyond)
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand((1, spec.channels, side, side), generator=generator)
    image = torch.cat([noise, torch.full((1, len(spec.conditions), side, side), 0.3)], dim=1)
    window = slice(beyond, side - beyond)
    inner = slice(spec.scale * border, spec.scale * (border + kept))
    whole = slice(spec.scale * (beyond + border), spec.scale * (beyond + border + kept))
    found = network(image[..., window, window].contiguous())[..., inner, inner]
    return float((found - network(image)[..., whole, whole]).abs().max())
