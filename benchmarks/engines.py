"""Every engine and precision on one network and tile, against plain PyTorch, in one run.

Plain: eager, NCHW, fp32, transposed convolutions as they are. Runs alternate, so that a noisy
machine is noisy for all; the ratio is of the medians. ONNX Runtime and ncnn take part where they
are installed (`pip install onnxruntime ncnn pnnx`).

    python benchmarks/engines.py [--model superres-rednet] [--tile 256] [--rounds 7]
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from imgfx.engines.base import Request
from imgfx.engines.onnx import INPUT, OUTPUT, onnx_from_model
from imgfx.engines.torch_engine import TorchEngine, bf16_pays, fold_deconvolutions
from imgfx.errors import EngineError
from imgfx.files import read_image
from imgfx.image import float_from_pixels
from imgfx.model import Model
from imgfx.plugins import Registry
from imgfx.training.networks import StrideOneDeconvolution
from imgfx.weights import Weights, load_weights, network_from_weights

Float = npt.NDArray[np.float32]
Run = Callable[[Float], Float]
PHOTO = Path(__file__).parent.parent / "examples" / "photos" / "row-houses.webp"


def main() -> None:
    """One table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="superres-rednet")
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    registry = Registry()
    model = registry.model(options.model)
    assert model.weights is not None
    weights = load_weights(model.weights)
    batch = tile_of(weights, options.tile)
    runs = dict(runners(model, weights, registry))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    results = {}
    for _ in range(options.rounds + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            results[name] = run(batch)
            seconds[name].append(time.perf_counter() - started)
    print_table(model, weights, batch, {n: s[1:] for n, s in seconds.items()}, results)


def tile_of(weights: Weights, side: int) -> Float:
    """(1, C, side, side): a part of a photograph, and conditions as for 'unknown'."""
    pixels = float_from_pixels(read_image(PHOTO).pixels)[:side, :side].transpose(2, 0, 1)
    planes = [np.full((1, side, side), -1, np.float32) for _ in weights.spec.conditions]
    return np.ascontiguousarray(np.concatenate([pixels, *planes])[None])


def runners(model: Model, weights: Weights, registry: Registry) -> Iterator[tuple[str, Run]]:
    """Everything that runs it here, the baseline first."""
    yield "plain PyTorch fp32", plain(model, weights)
    for precision in ("fp32", "bf16") if bf16_pays() else ("fp32",):
        yield f"torch {precision}", TorchEngine().open(model, weights, Request("cpu", precision))
    for name in registry.names("engine"):
        if name == "torch":
            continue
        for precision in ("fp32", "bf16", "fp16", "int8"):
            with contextlib.suppress(EngineError):
                engine = registry.engine(name)
                yield f"{name} {precision}", engine.open(model, weights, Request("cpu", precision))
    with contextlib.suppress(ImportError):
        yield "ONNX Runtime fp32", onnx_runtime(model, weights)
    with contextlib.suppress(ImportError):
        yield "ncnn fp32", ncnn_runtime(model, weights)


def plain(model: Model, weights: Weights) -> Run:
    """The network as a plain script would run it."""
    network = network_from_weights(model, weights)
    for layer in network.modules():
        if isinstance(layer, StrideOneDeconvolution):
            layer.__class__ = torch.nn.ConvTranspose2d

    def run(batch: Float) -> Float:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(batch)).numpy())

    return run


def onnx_runtime(model: Model, weights: Weights) -> Run:
    """The exported graph in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        onnx_from_model(model, weights), options, providers=["CPUExecutionProvider"]
    )
    return lambda batch: np.asarray(session.run([OUTPUT], {INPUT: batch})[0])


def ncnn_runtime(model: Model, weights: Weights) -> Run:
    """The network converted by pnnx, in ncnn; for a tile of the size of the first call."""
    import ncnn
    import pnnx

    nets: list[ncnn.Net] = []

    def converted(batch: Float) -> ncnn.Net:
        network = fold_deconvolutions(network_from_weights(model, weights))
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            with Path("log").open("w") as log, contextlib.redirect_stdout(log):
                pnnx.export(network, "network.pt", torch.from_numpy(batch), fp16=False)
            net = ncnn.Net()
            net.opt.num_threads = torch.get_num_threads()
            net.load_param("network.ncnn.param")
            net.load_model("network.ncnn.bin")
        return net

    def run(batch: Float) -> Float:
        if not nets:
            nets.append(converted(batch))
        extractor = nets[0].create_extractor()
        extractor.input("in0", ncnn.Mat(batch[0]).clone())
        return np.array(extractor.extract("out0")[1])[None]

    return run


def print_table(
    model: Model,
    weights: Weights,
    batch: Float,
    seconds: dict[str, list[float]],
    results: dict[str, Float],
) -> None:
    """Times, ratios, agreement and the share of what a matrix product reaches."""
    baseline = next(iter(seconds))
    flops = float_operations(model, weights, batch)
    peaks = {name: product_peak(kind) for name, kind in PRODUCTS.items()}
    shown = ", ".join(f"{name} {peak / 1e9:.0f}" for name, peak in peaks.items())
    print(f"{model.name}, {batch.shape[3]}x{batch.shape[2]}, {torch.get_num_threads()} threads")
    print(f"2048^3 matrix product in PyTorch, GFLOP/s: {shown}\n")
    print("| engine | ms | times plain | dB from plain | of the product's speed |")
    print("|---|---|---|---|---|")
    for name, values in seconds.items():
        median = statistics.median(values)
        ratio = statistics.median(seconds[baseline]) / median
        error = float(np.square(results[name] - results[baseline]).mean(dtype=np.float64))
        peak = peaks["bf16" if "bf16" in name else "fp32"]
        print(
            f"| {name} | {1e3 * median:.0f} | {ratio:.2f} | "
            f"{10 * np.log10(1 / error) if error else np.inf:.1f} | {flops / median / peak:.0%} |"
        )


PRODUCTS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def product_peak(kind: torch.dtype) -> float:
    """Operations a second in a large matrix product, the best of five."""
    matrix = torch.ones(2048, 2048, dtype=kind)
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        torch.mm(matrix, matrix)
        best = min(best, time.perf_counter() - started)
    return 2 * 2048**3 / best


def float_operations(model: Model, weights: Weights, batch: Float) -> float:
    """Of one run of the network."""
    from torch.utils.flop_counter import FlopCounterMode

    network = network_from_weights(model, weights)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.from_numpy(batch))
    return float(counter.get_total_flops())


if __name__ == "__main__":
    main()
