"""Small networks written as ONNX files, for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper, save

Axes = Sequence[int | str | None]
Tensors = dict[str, npt.NDArray[np.generic]]

FREE: Axes = ("n", 3, "h", "w")
_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
    "float64": TensorProto.DOUBLE,
}


def write(
    path: Path,
    nodes: Sequence[NodeProto],
    tensors: Tensors | None = None,
    *,
    shape: Axes = FREE,
    dtype: str = "float32",
    inputs: Sequence[str] = ("x",),
) -> Path:
    """A file of these nodes, from `x` to `y`, whose output is of the input's rank and type."""
    kind, rank = _TYPES[dtype], [None] * len(shape)
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info(name, kind, shape) for name in inputs],
        [helper.make_tensor_value_info("y", kind, rank)],
        [numpy_helper.from_array(value, name) for name, value in (tensors or {}).items()],
    )
    opset = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def node(kind: str, inputs: str, output: str = "y", **settings: Any) -> NodeProto:
    """A node; the inputs' names are separated by spaces."""
    return helper.make_node(kind, inputs.split(), [output], **settings)


def weights(outputs: int, inputs: int, size: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Of a convolution that keeps the mean about, with some of everything."""
    values = np.random.default_rng(seed).random((outputs, inputs, size, size), np.float32)
    return np.asarray(values / values.sum(axis=(1, 2, 3), keepdims=True), np.float32)


def blur(
    path: Path, channels: int = 3, shape: Axes = FREE, dtype: str = "float32", size: int = 5
) -> Path:
    """One convolution of `size` x `size`, zeros beyond the border."""
    tensors: Tensors = {"k": weights(channels, channels, size).astype(dtype)}
    conv = node("Conv", "x k", pads=[size // 2] * 4)
    return write(path, [conv], tensors, shape=shape, dtype=dtype)


def double(path: Path) -> Path:
    """Twice as large by a convolution of 3x3 and DepthToSpace."""
    nodes = [node("Conv", "x k", "f", pads=[1] * 4), node("DepthToSpace", "f", blocksize=2)]
    return write(path, nodes, {"k": weights(12, 3, 3)})


def nhwc(path: Path) -> Path:
    """A blur that has its channels last."""
    nodes = [
        node("Transpose", "x", "planes", perm=[0, 3, 1, 2]),
        node("Conv", "planes k", "blurred", pads=[1] * 4),
        node("Transpose", "blurred", perm=[0, 2, 3, 1]),
    ]
    return write(path, nodes, {"k": weights(3, 3, 3)}, shape=("n", "h", "w", 3))


def uint8(path: Path) -> Path:
    """A negative of 8 bits."""
    nodes = [
        node("Cast", "x", "f", to=TensorProto.FLOAT),
        node("Sub", "white f", "negative"),
        node("Cast", "negative", to=TensorProto.UINT8),
    ]
    return write(path, nodes, {"white": np.array(255, np.float32)}, dtype="uint8")


def clipped(path: Path, white: float) -> Path:
    """A blur in the range up to `white`, clipped to it, after a little has been added."""
    nodes = [
        node("Conv", "x k", "f", pads=[1] * 4),
        node("Add", "f bias", "g"),
        node("Clip", "g zero white"),
    ]
    values = {"bias": 0.01 * white, "zero": 0.0, "white": white}
    scalars: Tensors = {name: np.array(value, np.float32) for name, value in values.items()}
    return write(path, nodes, {"k": weights(3, 3, 3), **scalars})


def strided(path: Path) -> Path:
    """Halved twice and enlarged by transposed convolutions; needs multiples of 4 by its skip."""
    tensors: Tensors = {
        "a": weights(6, 3, 2), "b": weights(8, 6, 2), "c": weights(8, 6, 2), "d": weights(6, 3, 2),
    }  # fmt: skip
    nodes = [
        node("Conv", "x a", "half", strides=[2, 2]),
        node("Conv", "half b", "quarter", strides=[2, 2]),
        node("ConvTranspose", "quarter c", "up", strides=[2, 2]),
        node("Add", "up half", "sum"),
        node("ConvTranspose", "sum d", "full", strides=[2, 2]),
        node("Add", "full x"),
    ]
    return write(path, nodes, tensors)


def cells(path: Path) -> Path:
    """Takes any size, and answers for each cell of 4x4 its mean: cuts must be at cells."""
    tensors: Tensors = {"s": np.array([1, 1, 4, 4], np.float32)}
    nodes = [
        node("AveragePool", "x", "mean", kernel_shape=[4, 4], strides=[4, 4], ceil_mode=1),
        node("Resize", "mean  s", mode="nearest"),
    ]
    nodes[1].ClearField("input")
    nodes[1].input.extend(["mean", "", "s"])
    nodes.append(node("Shape", "x", "size"))
    nodes[1].output[0] = "large"
    tensors |= {"start": np.zeros(2, np.int64), "axes": np.array([2, 3], np.int64)}
    tensors |= {"two": np.array([2], np.int64), "four": np.array([4], np.int64)}
    nodes += [node("Slice", "size two four", "ends"), node("Slice", "large start ends axes")]
    return write(path, nodes, tensors)


def attention(path: Path) -> Path:
    """Each channel is multiplied by its mean over the whole image."""
    nodes = [node("GlobalAveragePool", "x", "mean"), node("Mul", "x mean")]
    return write(path, nodes)
