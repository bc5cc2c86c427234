"""Which sizes a network takes, and how much it enlarges: found by running it on small inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from imgfx.api import ImgfxError
from imgfx_onnx.graph import Graph, RunError
from imgfx_onnx.network import Float, Network, readings

MULTIPLES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96, 128)
"""Of which sides may have to be multiples: strides, and windows of attention."""
_LARGEST_SCALE = 16


@dataclass(frozen=True)
class Sizes:
    """What a network does with sizes."""

    scale: int
    """Output pixels per input pixel along one axis."""
    multiple: int
    """Height and width must be multiples of this."""
    smallest: int
    """The shortest side on which it ran; smaller images are extended."""
    side: int
    """A side with which it ran when probed, or the shorter one of its fixed size."""


def understood(graph: Graph) -> tuple[Network, Sizes]:
    """The graph as an image network, and its sizes.

    Raises:
        ImgfxError: it is none, or cannot be run; says why.
    """
    if graph.shape[0] not in (1, None):
        raise ImgfxError(f"{graph.path}: takes {graph.shape[0]} images at a time; export it for 1")
    reasons: list[str] = []
    for network in readings(graph):
        network = replace(network, white=255.0 if graph.dtype == "uint8" else 1.0)
        found = _fixed(network, reasons) if network.fixed else _free(network, reasons)
        if found is not None:
            return network, found
    shape = "x".join("?" if size is None else str(size) for size in graph.shape)
    why = reasons[0] if reasons else "no axis of 1 or 3 channels"
    raise ImgfxError(f"{graph.path}: not an image-to-image network (input {shape}): {why}")


def noise(height: int, width: int, channels: int) -> Float:
    """(1, channels, height, width), every value in [0, 1] as likely as any."""
    return np.random.default_rng(0).random((1, channels, height, width), np.float32)


def _fixed(network: Network, reasons: list[str]) -> Sizes | None:
    assert network.fixed is not None
    scale = _scale(network, *network.fixed, reasons)
    side = min(network.fixed)
    return None if scale is None else Sizes(scale, 1, side, side)


def _free(network: Network, reasons: list[str]) -> Sizes | None:
    for multiple in MULTIPLES:
        height, width = _sides(multiple)
        scale = _scale(network, height, width, reasons)
        if scale is not None:
            smallest = _smallest(network, multiple, height)
            return Sizes(scale, multiple, smallest, height)
    return None


def _sides(multiple: int) -> tuple[int, int]:
    """Two different multiples, of no larger candidate, and not tiny."""
    if multiple < 4:
        return 37 * multiple, 41 * multiple
    if multiple < 12:
        return 11 * multiple, 13 * multiple
    return 5 * multiple, 7 * multiple


def _scale(network: Network, height: int, width: int, reasons: list[str]) -> int | None:
    """How much it enlarges such an input; None, with the reason noted, where it does not do so."""
    try:
        answer = network(noise(height, width, network.channels))
    except (RunError, MemoryError) as error:
        reasons.append(f"cannot be run on {height}x{width}: {error}")
        return None
    found = answer.shape[2:]
    scale = int(found[0]) // height
    if found == (scale * height, scale * width) and 1 <= scale <= _LARGEST_SCALE:
        return scale
    reasons.append(f"answers {found[0]}x{found[1]} for {height}x{width}, no whole multiple")
    return None


def _smallest(network: Network, multiple: int, ran: int) -> int:
    """The least side with which it runs, of some; `ran` is one that does."""
    side = multiple
    while side < ran:
        if _scale(network, side, side, []) is not None:
            return side
        side *= 2
    return ran
