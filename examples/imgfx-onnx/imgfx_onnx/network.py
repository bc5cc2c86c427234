"""A graph as a function of planes in [0, 1], whatever layout, type and range it has itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from imgfx_onnx.graph import Graph, RunError

Float = npt.NDArray[np.float32]
Layout = Literal["NCHW", "NHWC"]

_INVERSE = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 3, 1, 2)}
_FORWARD = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 2, 3, 1)}
_SPATIAL = {"NCHW": (2, 3), "NHWC": (1, 2)}
_CHANNELS = {"NCHW": 1, "NHWC": 3}


@dataclass(frozen=True)
class Network:
    """(1, channels, h, w) float32 in [0, 1] -> (1, channels, scale * h, scale * w) float32."""

    graph: Graph
    layout: Layout
    channels: int
    """1 gray, 3 RGB."""
    white: float = 1.0
    """The value of white in its input and output: 1 or 255."""

    @property
    def fixed(self) -> tuple[int, int] | None:
        """The height and width that it takes, where it takes no others."""
        height, width = (self.graph.shape[axis] for axis in _SPATIAL[self.layout])
        return None if height is None or width is None else (height, width)

    def __call__(self, planes: Float) -> Float:
        """Runs the graph once.

        Raises:
            RunError: it does not take this size, or answers no image of as many channels.
            MemoryError: there is too little memory.
        """
        values = np.ascontiguousarray(self._given(planes).transpose(_FORWARD[self.layout]))
        answer = self.graph(values)
        if answer.ndim != 4:
            raise RunError(f"answers {answer.shape} for {values.shape}, which is no image")
        turned = answer.transpose(_INVERSE[self.layout])
        if turned.shape[:2] != planes.shape[:2]:
            raise RunError(f"answers {answer.shape} for {values.shape}: other channels")
        return self._taken(turned)

    def _given(self, planes: Float) -> npt.NDArray[Any]:
        if self.graph.dtype == "uint8":
            return np.asarray(np.rint(np.clip(planes, 0, 1) * np.float32(255)), np.uint8)
        scaled: npt.NDArray[Any] = (planes * np.float32(self.white)).astype(self.graph.dtype)
        return scaled

    def _taken(self, answer: npt.NDArray[Any]) -> Float:
        white = 255.0 if answer.dtype == np.uint8 else self.white
        return np.ascontiguousarray(answer, np.float32) / np.float32(white)


def readings(graph: Graph) -> list[Network]:
    """The ways in which the shape of a graph's input can be understood, the likeliest first.

    An axis of 1 or 3 that the file states is that of channels; of free axes the second may be it,
    then the last, and three channels are likelier than one. Height and width are both free, or both
    stated: one of each would be channels of another number.
    """
    found: list[tuple[bool, Network]] = []
    layouts: tuple[Layout, ...] = ("NCHW", "NHWC")
    for layout in layouts:
        stated = graph.shape[_CHANNELS[layout]]
        free = {graph.shape[axis] is None for axis in _SPATIAL[layout]}
        fitting = [channels for channels in (3, 1) if stated in (channels, None) and len(free) == 1]
        found += ((stated is None, Network(graph, layout, channels)) for channels in fitting)
    return [network for _, network in sorted(found, key=lambda each: each[0])]
