"""One export for every compiled engine: a network as an ONNX graph of any batch and size.

The graph is fp32, stride-1 deconvolutions are folded to convolutions, and height and width stay
symbolic, so that one graph serves windows of every size; engines that want fixed ones set them.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgfx.engines.torch_engine import fold_deconvolutions
from imgfx.errors import EngineError
from imgfx.model import Model, ModelSpec
from imgfx.weights import Weights, network_from_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

OPSET = 20
"""Of the graph: the version of ONNX's operators."""
INPUT, OUTPUT = "input", "output"
_LARGEST = 1 << 15
_EXAMPLE = 32
"""At least so many pixels a side has the input that the network is traced with."""


def missing_packages() -> str:
    """What must be installed before a network can be exported; empty if nothing."""
    names = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    return f"pip install {' '.join(names)}" if names else ""


def onnx_from_model(model: Model, weights: Weights, *, half: bool = False) -> bytes:
    """The model's network with these weights, serialized.

    Input `input`: (N, channels + conditions, H, W), or (N, latent) of a generator; output `output`;
    both fp32. With `half` the weights, and the layers between, are fp16.

    Raises:
        EngineError: packages are missing, or the network cannot be exported.
        WeightsError: the weights do not fit the model.
    """
    import torch

    if needed := missing_packages():
        raise EngineError(f"{model.name}: to compile it for the first time, {needed}")
    network = fold_deconvolutions(network_from_weights(model, weights))
    if half:
        _halve(network)
    example, dimensions = _example(weights.spec)
    with _silenced(), tempfile.TemporaryDirectory() as folder:
        try:
            program = torch.onnx.export(
                network, (example,), dynamo=True, dynamic_shapes=(dimensions,), verbose=False,
                opset_version=OPSET, input_names=[INPUT], output_names=[OUTPUT],
            )  # fmt: skip
            assert program is not None
            path = Path(folder) / "network.onnx"
            program.save(str(path))
        except Exception as error:  # the exporter raises many kinds, of torch and of onnxscript
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise EngineError(f"{model.name}: cannot be exported to ONNX: {reason}") from error
        return path.read_bytes()


def _halve(network: nn.Module) -> None:
    """Makes the weights fp16, and each layer's input too, as autocast does for the torch engine.

    So a network need not know of precisions; what it adds up between layers stays as it was.
    """
    import torch

    def feed(_layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            x.half() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in inputs
        )

    network.half()
    for layer in network.modules():
        if next(layer.children(), None) is None and next(layer.parameters(), None) is not None:
            layer.register_forward_pre_hook(feed)


def _example(spec: ModelSpec) -> tuple[torch.Tensor, dict[int, Any]]:
    """An input to trace with, and which of its dimensions stay symbolic."""
    import torch
    from torch.export import Dim

    batch = Dim("batch", min=1, max=_LARGEST)
    if spec.latent:
        return torch.zeros(2, spec.latent), {0: batch}
    multiple = spec.multiple_of
    # Not square, and of more than one multiple: equal numbers would be taken for the same one.
    parts = max(2, -(-_EXAMPLE // multiple))
    example = torch.zeros(
        2, spec.channels + len(spec.conditions), parts * multiple, (parts + 1) * multiple
    )
    height, width = (Dim(name, min=2, max=_LARGEST) for name in ("height", "width"))
    if multiple == 1:
        return example, {0: batch, 2: height, 3: width}
    return example, {0: batch, 2: multiple * height, 3: multiple * width}


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """The exporter's progress, warnings and log lines are about its own insides."""
    quiet = io.StringIO()
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(quiet),
            contextlib.redirect_stderr(quiet),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
