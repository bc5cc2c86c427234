"""PyTorch: the reference engine, on CPUs and CUDA devices."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imgfx.engines.base import Choice, Engine, Request, Runner
from imgfx.engines.memory import (
    allocating,
    cuda_budget,
    processor_budget,
    return_what_is_freed,
)
from imgfx.errors import EngineError
from imgfx.hookspecs import hookimpl
from imgfx.model import Model
from imgfx.weights import Weights, network_from_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

# A bf16 matrix product must beat fp32 by this factor to be chosen by `auto`. Processors with the
# instructions differ: measured ratios run from 0.5 (AVX512-BF16 without AMX on some Xeons) to 2.4
# and more, so the flag alone says nothing.
_WORTHWHILE = 1.3


class TorchRunner:
    """One network on one device."""

    def __init__(self, network: nn.Module, choice: Choice, dtype: torch.dtype) -> None:
        import torch

        self.choice = choice
        self.largest = 0
        on_cuda = choice.device.startswith("cuda")
        self.batch = 8 if on_cuda else 1
        self.memory = cuda_budget() if on_cuda else processor_budget()
        return_what_is_freed()
        self._device, self._dtype = torch.device(choice.device), dtype
        network = fold_deconvolutions(network).to(self._device, dtype)
        self._network = network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def __call__(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """See `Runner`."""
        import torch

        # Autocast gives each layer its input in the weights' type, whatever the network does.
        half = self._dtype != torch.float32
        with (
            allocating(batch.shape, self.choice),
            torch.inference_mode(),
            torch.autocast(self._device.type, self._dtype, enabled=half),
        ):
            tensor = torch.from_numpy(batch).to(self._device)
            if tensor.ndim == 4:
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            return np.asarray(self._network(tensor).float().cpu().numpy())

    def close(self) -> None:
        """See `Runner`."""
        del self._network


class TorchEngine:
    """See `Engine`."""

    name = "torch"
    preference: Mapping[str, int] = {"cuda": 10, "cpu": 10}

    def missing(self) -> str:
        """See `Engine`."""
        return ""

    def open(self, model: Model, weights: Weights, request: Request) -> Runner:
        """See `Engine`. fp16 needs CUDA; bf16 runs anywhere."""
        device = choose_device(request.device)
        precision = _precision(request.precision, device)
        if precision == "fp32" and device == "cuda":
            forbid_tf32()
        network = network_from_weights(model, weights)
        return TorchRunner(network, Choice(self.name, device, precision), _dtype(precision))


def forbid_tf32() -> None:
    """fp32 is what it says: TF32 would round to 10 bits, and tiled and whole would differ."""
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def choose_device(wanted: str) -> str:
    """Cpu or cuda; `auto` takes CUDA where there is some.

    Raises:
        EngineError: CUDA is wanted and not there.
    """
    import torch

    available = bool(torch.cuda.is_available())
    if wanted == "cuda" and not available:
        raise EngineError("--device cuda: PyTorch finds no CUDA device here")
    return "cuda" if available and wanted != "cpu" else "cpu"


def _precision(wanted: str, device: str) -> str:
    if wanted == "fp16" and device == "cpu":
        raise EngineError("--precision fp16 needs a CUDA device; use bf16 or fp32")
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "fp16"
    return "bf16" if bf16_pays() else "fp32"


def _dtype(precision: str) -> torch.dtype:
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


@lru_cache(maxsize=1)
def bf16_pays() -> bool:
    """Whether this processor multiplies bf16 matrices faster than fp32; takes 50 milliseconds.

    Processor time of one thread is compared, so that other programs do not sway the answer.
    """
    import torch

    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = {torch.float32: math.inf, torch.bfloat16: math.inf}
        for dtype in 6 * list(seconds):
            seconds[dtype] = min(seconds[dtype], _matmul_seconds(dtype))
    finally:
        torch.set_num_threads(threads)
    return seconds[torch.float32] > _WORTHWHILE * seconds[torch.bfloat16]


def _matmul_seconds(dtype: torch.dtype) -> float:
    import torch

    matrix = torch.ones(512, 512, dtype=dtype)
    started = time.thread_time()
    torch.mm(matrix, matrix)
    return time.thread_time() - started


def fold_deconvolutions(network: nn.Module) -> nn.Module:
    """Replaces each stride-1 transposed convolution by the convolution that it equals.

    Channels are swapped, the kernel is turned by 180 degrees, and the padding becomes
    kernel - 1 - padding. The result differs by rounding only, and runs several times faster.
    """
    from torch import nn

    from imgfx.training.networks import StrideOneDeconvolution

    # Exactly these: the `forward` of a subclass may do anything, and so may hooks.
    kinds = (nn.ConvTranspose2d, StrideOneDeconvolution)
    for name, child in network.named_children():
        exact = type(child) in kinds and not _has_hooks(child)
        if exact and isinstance(child, nn.ConvTranspose2d) and child.stride == (1, 1):
            setattr(network, name, _folded(child))
        else:
            fold_deconvolutions(child)
    return network


def _has_hooks(layer: nn.Module) -> bool:
    """Whether something else runs with the layer, as weight normalisation of the older kind."""
    # There is no other way to ask.
    return bool(layer._forward_pre_hooks or layer._forward_hooks)  # noqa: SLF001


def _folded(layer: nn.ConvTranspose2d) -> nn.Module:
    import torch
    from torch import nn

    plain = (layer.groups, layer.dilation, layer.output_padding) == (1, (1, 1), (0, 0))
    if not plain or not isinstance(layer.padding, tuple):
        return layer
    padding = tuple(k - 1 - int(p) for k, p in zip(layer.kernel_size, layer.padding, strict=True))
    if min(padding) < 0:  # it cuts more off than a convolution can
        return layer
    folded = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (layer.kernel_size[0], layer.kernel_size[1]),
        padding=(padding[0], padding[1]),
        bias=layer.bias is not None,
    )
    with torch.no_grad():
        folded.weight.copy_(layer.weight.transpose(0, 1).flip(2, 3))
        if folded.bias is not None and layer.bias is not None:
            folded.bias.copy_(layer.bias)
    return folded


@hookimpl
def imgfx_engines() -> Sequence[Engine]:
    """The engine that is always there."""
    return [TorchEngine()]
