"""The network as imgfx's sessions run one: windows of RGB in, windows of RGB out."""

from __future__ import annotations

import numpy as np

from imgfx.api import Choice, ImageError, OutOfMemoryError
from imgfx_onnx.facts import Examined
from imgfx_onnx.graph import RunError
from imgfx_onnx.network import Float, Network

_MEMORY = 512 << 20
"""Bytes that one call may take, with the spec's estimate of what a pixel takes."""
_PRECISIONS = {"float32": "fp32", "float16": "fp16", "uint8": "uint8"}


class OnnxRunner:
    """Satisfies `imgfx.api.Runner`."""

    batch = 1
    largest = 0
    memory = _MEMORY

    def __init__(self, examined: Examined) -> None:
        facts = examined.facts
        self._network: Network = examined.network
        self._fixed, self._smallest, self._multiple = facts.fixed, facts.smallest, facts.multiple
        self._scale, self._whole = facts.scale, facts.halo is None
        self.choice = Choice("onnxruntime", self._network.graph.device, _PRECISIONS[facts.dtype])

    def __call__(self, batch: Float) -> Float:
        """(N, 3, h, w) -> (N, 3, scale * h, scale * w), both float32 in [0, 1].

        Raises:
            OutOfMemoryError: smaller windows may do.
            ImageError: the network does not take it.
        """
        return np.concatenate([self._window(window[None]) for window in batch])

    def _window(self, window: Float) -> Float:
        if self._network.channels == 3:
            return self._run(window)
        planes = [window[:, channel : channel + 1] for channel in range(3)]
        if all(np.array_equal(planes[0], other) for other in planes[1:]):  # a gray image
            return np.repeat(self._run(planes[0]), 3, axis=1)
        return np.concatenate([self._run(plane) for plane in planes], axis=1)

    def _run(self, planes: Float) -> Float:
        height, width = planes.shape[2:]
        try:
            answer = self._network(self._extended(planes))
        except MemoryError as error:
            raise self._too_little(height, width) from error
        except RunError as error:
            file = self._network.graph.path
            raise ImageError(f"{file}: failed on {width}x{height} pixels: {error}") from error
        return answer[..., : self._scale * height, : self._scale * width]

    def _extended(self, planes: Float) -> Float:
        """Mirrored at the bottom and at the right up to the size that the network takes."""
        height, width = planes.shape[2:]
        least = -(-self._smallest // self._multiple) * self._multiple
        tall, wide = self._fixed or (max(height, least), max(width, least))
        if (tall, wide) == (height, width):
            return planes
        margins = ((0, 0), (0, 0), (0, tall - height), (0, wide - width))
        return np.pad(planes, margins, mode="symmetric")

    def _too_little(self, height: int, width: int) -> ImageError | OutOfMemoryError:
        said = f"too little memory for {width}x{height} pixels (onnxruntime)"
        if self._whole:
            file = self._network.graph.path
            return ImageError(f"{file}: {said}; with --halo it can be cut into tiles")
        return OutOfMemoryError(said, height * width)

    def close(self) -> None:
        """Nothing outlives the object."""
