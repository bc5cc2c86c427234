"""A step of `imgfx train superres-rednet` against the same step in plain PyTorch.

Plain: transposed convolutions as they are, fp32, NCHW, Adam. Steps of both alternate, batch 16 of
50x50, and the medians are compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from imgfx.engines.torch_engine import bf16_pays
from imgfx.training.networks import StrideOneDeconvolution
from imgfx_superres_rednet.model import MODEL
from imgfx_superres_rednet.recipe import RECIPE
from imgfx_train.optimizers import Optimizers

_STEPS = 6


def main() -> None:
    """Medians and their ratio."""
    fast = "bf16" if bf16_pays() else "fp32"
    plain, ours = step_of(plainly(MODEL.build(MODEL.spec)), "plain"), step_of(ours_of(), fast)
    seconds: dict[str, list[float]] = {"plain": [], "imgfx": []}
    for _ in range(_STEPS + 1):
        for name, step in (("plain", plain), ("imgfx", ours)):
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    print(f"{torch.get_num_threads()} threads, batch 16 of 50x50")
    print(f"plain fp32 NCHW      {medians['plain']:.3f} s a step")
    print(f"imgfx {fast:4}           {medians['imgfx']:.3f} s a step")
    print(f"ratio                {medians['plain'] / medians['imgfx']:.2f}")


def ours_of() -> nn.Module:
    """The network as `imgfx train` has it."""
    return MODEL.build(MODEL.spec).to(memory_format=torch.channels_last)


def plainly(network: nn.Module) -> nn.Module:
    """The same network with transposed convolutions computed as such."""
    for layer in network.modules():
        if isinstance(layer, StrideOneDeconvolution):
            layer.__class__ = nn.ConvTranspose2d
    return network


def step_of(network: nn.Module, precision: str) -> Callable[[], None]:
    """Forward, backward and the optimizers' steps on fixed patches."""
    plain = torch.optim.Adam(network.parameters(), RECIPE.rate)
    optimizer = plain if precision == "plain" else Optimizers(network, RECIPE)
    form = torch.contiguous_format if precision == "plain" else torch.channels_last
    soft, sharp = (torch.rand(16, 3, 50, 50).contiguous(memory_format=form) for _ in range(2))

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            output = network(soft)
        nn.functional.l1_loss(output.float(), sharp).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
