"""TensorRT without a GPU: what the real builder says to every model, and what is refused.

TensorRT-RTX compiles ahead of time without a GPU, so the parser and the builder are the real ones.
What needs a device is marked `gpu`.
"""

import numpy as np
import pytest
import torch
from support import pixels
from support_models import TINY, write_weights

from imgfx.engines.base import Request
from imgfx.engines.cache import EngineCache
from imgfx.engines.onnx import onnx_from_model
from imgfx.engines.tensorrt_engine import TensorRtCompiler, TensorRtEngine
from imgfx.engines.torch_engine import TorchEngine
from imgfx.errors import EngineError
from imgfx.files import write_image
from imgfx.image import Image
from imgfx.plugins import Registry
from imgfx.weights import load_weights

pytest.importorskip("tensorrt_rtx")
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
BUNDLED = [
    model
    for model in map(Registry().model, Registry().names("model"))
    if model.weights is not None and "classifier" not in model.name
]
REDNET, SPEC = TINY["superres-rednet"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("IMGFX_CACHE", str(tmp_path / "cache"))
    return EngineCache()


@pytest.fixture
def weights(tmp_path):
    """Of a small RED-Net."""
    return write_weights(tmp_path / "rednet.safetensors", REDNET, SPEC)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("model", BUNDLED, ids=lambda model: model.name)
def test_the_real_builder_builds_every_bundled_model(model, precision):
    weights = load_weights(model.weights)
    compiler = TensorRtCompiler("tensorrt_rtx", precision, weights.spec)
    plan = compiler.compile(onnx_from_model(model, weights, half=compiler.half))
    parameters = sum(tensor.size for tensor in weights.tensors.values())
    assert len(plan) > parameters  # at least a byte for each


def test_a_plan_in_half_precision_is_smaller():
    sizes = {}
    for precision in ("fp32", "fp16"):
        compiler = TensorRtCompiler("tensorrt_rtx", precision, REDNET.spec)
        graph = onnx_from_model(REDNET, load_weights(REDNET.weights), half=compiler.half)
        sizes[precision] = len(compiler.compile(graph))
    assert sizes["fp16"] < 0.7 * sizes["fp32"]


def test_what_the_parser_refuses_is_said_in_its_words():
    compiler = TensorRtCompiler("tensorrt_rtx", "fp32", SPEC)
    with pytest.raises(EngineError, match="TensorRT cannot read the graph: ") as caught:
        compiler.compile(b"no graph at all")
    assert "\n" not in caught.value.format_message()


def test_a_graph_that_does_not_fit_the_profile_is_refused(weights):
    graph = onnx_from_model(REDNET, load_weights(weights))
    denoise = TINY["denoise-ae"][1]  # four planes, and the graph has three
    with pytest.raises(EngineError, match="TensorRT"):
        TensorRtCompiler("tensorrt_rtx", "fp32", denoise).compile(graph)


@NO_GPU
def test_without_a_gpu_it_compiles_ahead_and_does_not_run(imgfx, tmp_path, weights):
    own = {"IMGFX_CACHE": str(tmp_path / "cache")}
    words = ["superres-rednet", "--engine", "tensorrt"]
    built = imgfx("engine", "build", *words, "--weights", weights, **own)
    assert (built.code, built.out) == (0, b"superres-rednet: tensorrt on cuda in fp16\n"), built.err
    listed = imgfx("engine", "list", **own).out.decode()
    assert "not compared yet" in listed
    write_image(tmp_path / "a.png", Image(pixels(20, 24)))
    line = ["open", "a.png", *words, "--weights", weights, "save", "b.png"]
    ended = imgfx(*line, **own)
    assert ended.code == 1
    needed = "--engine tensorrt needs a CUDA device, and there is none here"
    assert ended.err == f"imgfx: error: {needed}\n"
    assert not (tmp_path / "b.png").exists()


@NO_GPU
def test_a_plan_cannot_be_loaded_without_a_gpu_and_that_is_said(weights):
    compiler = TensorRtCompiler("tensorrt_rtx", "fp32", SPEC)
    plan = compiler.compile(onnx_from_model(REDNET, load_weights(weights)))
    with pytest.raises(EngineError, match="TensorRT cannot load it"):
        compiler.load(plan)


def test_other_precisions_are_refused(cache, weights):
    with pytest.raises(EngineError, match="--engine tensorrt has no bf16; use fp16 or fp32"):
        TensorRtEngine().open(REDNET, load_weights(weights), Request("auto", "bf16"))


def test_building_twice_builds_once(cache, weights):
    said = []
    for _ in range(2):
        TensorRtEngine().build(REDNET, load_weights(weights), Request("cuda", "fp32", said.append))
    assert said == ["superres-rednet: compiling for tensorrt, once"]
    (listed,) = cache.entries()
    assert listed.entry.psnr is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("model", BUNDLED, ids=lambda model: model.name)
def test_on_a_gpu_results_are_pytorchs(cache, model, precision):
    weights = load_weights(model.weights)
    runner = TensorRtEngine().open(model, weights, Request("cuda", precision))
    reference = TorchEngine().open(model, weights, Request("cpu", "fp32"))
    spec = weights.spec
    shape = (3, spec.latent)
    if not spec.latent:
        side = 6 * spec.multiple_of
        shape = (3, spec.channels + len(spec.conditions), side, side)
    batch = np.random.default_rng(0).random(shape, dtype=np.float32)
    tolerance = {"fp32": 1e-3, "fp16": 2e-2}[precision]
    np.testing.assert_allclose(runner(batch), reference(batch), atol=tolerance)
