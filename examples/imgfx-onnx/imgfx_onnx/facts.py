"""All that is found out about a file before the first image goes through it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from imgfx.api import ImgfxError
from imgfx_onnx.graph import RunError, open_graph
from imgfx_onnx.network import Network
from imgfx_onnx.reach import measured, multiple_for
from imgfx_onnx.sizes import Sizes, understood
from imgfx_onnx.white import told_white


@dataclass(frozen=True)
class Facts:
    """What the file says, what its network's answers say, and what the user said."""

    file: str
    runs: str
    """Where: onnxruntime on cpu."""
    input: str
    dtype: str
    layout: str
    channels: int
    fixed: tuple[int, int] | None
    """Height and width that it takes; None where it takes others, too."""
    multiple: int
    """What height, width and the places of cuts must be multiples of."""
    smallest: int
    """The shortest side that it takes."""
    scale: int
    white: float
    """The value of white: 1 or 255."""
    white_from: str
    """How that is known: probed, given, or assumed."""
    halo: int | None
    """Border that a tile needs around it, in input pixels; None where only whole images will do."""
    halo_from: str
    """How that is known: probed or given."""


@dataclass(frozen=True)
class Examined:
    """A network ready to run, with what is known of it."""

    network: Network
    facts: Facts


def examined(
    path: Path, device: str = "auto", white: float | None = None, halo: int | None = None
) -> Examined:
    """Opens a file and probes its network.

    Args:
        path: the ONNX file.
        device: auto, cpu or cuda.
        white: 1 or 255; None finds out.
        halo: in input pixels; None finds out.

    Raises:
        ImgfxError: it is no ONNX, or not an image-to-image network that can be run here.
    """
    graph = open_graph(path, device)
    network, sizes = understood(graph)
    try:
        told = white or told_white(network, sizes)
        network = replace(network, white=told or 1.0)
        reach, multiple = _cuts(network, sizes, halo)
    except (RunError, MemoryError) as error:
        raise ImgfxError(f"{path}: failed while it was probed: {error}") from error
    facts = Facts(
        str(path), f"onnxruntime on {graph.device}", graph.input, graph.dtype, network.layout,
        network.channels, network.fixed, multiple, sizes.smallest, sizes.scale, network.white,
        "given" if white else "probed" if told else "assumed", reach, _source(halo),
    )  # fmt: skip
    return Examined(network, facts)


def _source(given: int | None) -> str:
    return "probed" if given is None else "given"


def _cuts(network: Network, sizes: Sizes, halo: int | None) -> tuple[int | None, int]:
    """The halo, and the multiple that cuts must be at."""
    if halo is not None:
        return halo, multiple_for(network, sizes, halo) or sizes.multiple
    found = measured(network, sizes)
    return found or (None, sizes.multiple)
