"""What INT8 by NNCF would gain and lose in OpenVINO, against bf16: speed and PSNR, in one run.

    pip install nncf
    python benchmarks/int8.py MODEL --calibration DIR --data DIR [--sigma 25]

Post-training quantisation, calibrated on crops of the photographs in one folder, measured on the
images of another. The first and the last convolution stay in bf16 in the second variant.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imgfx.degradations import add_noise, crop_to_multiple, enlarge, round_to_8_bits, shrink
from imgfx.engines.onnx import onnx_from_model
from imgfx.files import read_image
from imgfx.image import float_from_pixels
from imgfx.metrics import psnr
from imgfx.plugins import Registry
from imgfx.weights import load_weights

Float = npt.NDArray[np.float32]
_CROP = 192
_CALIBRATED_ON = 60
_ROUNDS = 7


def main() -> None:
    """A row a variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sigma", type=int, default=25)
    options = parser.parse_args()
    model = Registry().model(options.model)
    assert model.weights is not None
    weights = load_weights(model.weights)
    photos = images(options.calibration)[:_CALIBRATED_ON]
    crops = [degraded(p[:_CROP, :_CROP], model.name, n, options.sigma)[0] for n, p in photos]
    inputs = [tensor(crop, len(weights.spec.conditions)) for crop in crops]
    compiled = variants(onnx_from_model(model, weights), inputs)
    times = seconds(compiled, np.tile(inputs[0], (1, 1, 2, 2))[..., :256, :256])
    print(f"{'variant':28} {'ms':>6} {'of bf16':>8} {'PSNR dB':>8}")
    for name, request in compiled.items():
        found = []
        for number, photo in images(options.data):
            given, clean = degraded(photo, model.name, number, options.sigma)
            output = request.infer({0: tensor(given, len(weights.spec.conditions))})[0][0]
            found.append(psnr(np.clip(output.transpose(1, 2, 0), 0, 1), clean))
        ratio = times["bf16"] / times[name]
        print(f"{name:28} {1000 * times[name]:6.0f} {ratio:8.2f} {np.mean(found):8.3f}")


def images(folder: Path) -> list[tuple[int, Float]]:
    """RGB in [0, 1], numbered."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".png", ".jpg", ".webp"))
    found = (float_from_pixels(read_image(path).pixels) for path in paths)
    return [(n, np.broadcast_to(p, (*p.shape[:2], 3))) for n, p in enumerate(found)]


def degraded(photo: Float, model: str, number: int, sigma: int) -> tuple[Float, Float]:
    """What the model is given, and the truth."""
    clean = crop_to_multiple(photo, 24)
    if model == "superres-rednet":
        scale = 2 + number % 3
        return round_to_8_bits(enlarge(round_to_8_bits(shrink(clean, scale)), scale)), clean
    if model.startswith("superres-fast-x"):
        return round_to_8_bits(shrink(clean, int(model[-1]))), clean
    return add_noise(clean, sigma, number), clean


def tensor(image: Float, conditions: int) -> Float:
    """(1, C, H, W); conditions as for 'unknown'."""
    planes = np.full((*image.shape[:2], conditions), -1, np.float32)
    return np.ascontiguousarray(np.concatenate([image, planes], 2).transpose(2, 0, 1)[None])


def variants(graph: bytes, inputs: list[Float]) -> dict[str, Any]:
    """Inference requests by name."""
    import nncf
    import openvino

    core = openvino.Core()

    def read() -> Any:
        return core.read_model(io.BytesIO(graph))

    def compiled(network: Any, hint: str) -> Any:
        settings = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": 1}
        return core.compile_model(network, "CPU", settings).create_infer_request()

    layers = [op for op in read().get_ordered_ops() if "Convolution" in op.get_type_name()]
    ends = [layers[0].get_friendly_name(), layers[-1].get_friendly_name()]
    data, mixed = nncf.Dataset(inputs), nncf.QuantizationPreset.MIXED
    size = len(inputs)
    whole = nncf.quantize(read(), data, preset=mixed, subset_size=size)
    scope = nncf.IgnoredScope(names=ends)
    inner = nncf.quantize(read(), data, preset=mixed, subset_size=size, ignored_scope=scope)
    return {
        "fp32": compiled(read(), "f32"),
        "bf16": compiled(read(), "bf16"),
        "int8": compiled(whole, "bf16"),
        "int8, first and last bf16": compiled(inner, "bf16"),
    }


def seconds(compiled: dict[str, Any], batch: Float) -> dict[str, float]:
    """The median of each; runs alternate."""
    times: dict[str, list[float]] = {name: [] for name in compiled}
    for _ in range(_ROUNDS + 2):
        for name, request in compiled.items():
            started = time.perf_counter()
            request.infer({0: batch})
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values[2:]) for name, values in times.items()}


if __name__ == "__main__":
    main()
