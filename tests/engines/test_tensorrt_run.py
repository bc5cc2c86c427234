"""Running TensorRT engines: on a double that computes on the processor, and on a GPU, if any.

The double shows that addresses, shapes, order and lifetimes are right; what a GPU makes of them
only the tests marked `gpu` can show.
"""

import gc
import re

import numpy as np
import pytest
import support_tensorrt as double
import torch
from support import pixels
from support_models import TINY, write_weights

from imgfx.cli import main
from imgfx.engines.base import Request
from imgfx.engines.cache import EngineCache
from imgfx.engines.tensorrt_engine import TensorRtCompiler, TensorRtEngine
from imgfx.engines.torch_engine import TorchEngine
from imgfx.errors import EngineError
from imgfx.files import read_image, write_image
from imgfx.image import Image
from imgfx.weights import load_weights

pytest.importorskip("onnxruntime")
REAL = pytest.param(
    "real",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    ],
)
REDNET, SPEC = TINY["superres-rednet"]


@pytest.fixture(params=["double", REAL])
def place(request, monkeypatch, tmp_path):
    """Where engines run; their cache is the test's own."""
    monkeypatch.setenv("IMGFX_CACHE", str(tmp_path / "cache"))
    if request.param == "double":
        double.install(monkeypatch)
    return request.param


@pytest.fixture
def doubled(monkeypatch, tmp_path):
    """The double alone: for what a real GPU cannot be made to do."""
    monkeypatch.setenv("IMGFX_CACHE", str(tmp_path / "cache"))
    double.install(monkeypatch)


def weights_of(name, folder):
    return load_weights(write_weights(folder / f"{name}.safetensors", *TINY[name]))


def batch_of(spec, number, side=24):
    shape = (number, spec.latent)
    if not spec.latent:
        shape = (number, spec.channels + len(spec.conditions), side, side + spec.multiple_of)
    return np.random.default_rng(number).random(shape, dtype=np.float32)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", TINY)
def test_results_are_pytorchs_for_batches_of_any_size(place, tmp_path, name, precision):
    model, spec = TINY[name]
    weights = weights_of(name, tmp_path)
    reference = TorchEngine().open(model, weights, Request("cpu", "fp32"))
    runner = TensorRtEngine().open(model, weights, Request("cuda", precision))
    assert str(runner.choice) == f"tensorrt on cuda in {precision}"
    for number, side in [(1, 24), (2, 64), (2, 48), (1, 24)]:
        batch = batch_of(spec, number, side)
        tolerance = {"fp32": 1e-5, "fp16": 5e-3}[precision]
        np.testing.assert_allclose(runner(batch), reference(batch), atol=tolerance)
    runner.close()


def test_results_stay_when_the_next_batch_is_run(place, tmp_path):
    weights = weights_of("superres-rednet", tmp_path)
    runner = TensorRtEngine().open(REDNET, weights, Request("cuda", "fp32"))
    first, second = batch_of(SPEC, 1), batch_of(SPEC, 2)
    result = runner(first)
    kept = result.copy()
    runner(second)
    np.testing.assert_array_equal(result, kept)
    np.testing.assert_allclose(runner(first), kept, atol=1e-6)


def test_batches_that_are_not_contiguous_are_run_as_what_they_show(place, tmp_path):
    weights = weights_of("superres-rednet", tmp_path)
    runner = TensorRtEngine().open(REDNET, weights, Request("cuda", "fp32"))
    batch = batch_of(SPEC, 2)
    turned = np.ascontiguousarray(batch.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert not turned.flags.c_contiguous
    np.testing.assert_allclose(runner(turned), runner(batch), atol=1e-6)


def test_a_chain_runs_tile_by_tile(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_weights(tmp_path / "r.safetensors", REDNET, SPEC)
    write_image(tmp_path / "a.png", Image(pixels(90, 70, dtype="uint16")))
    for engine in ("tensorrt", "torch"):
        line = ["open", "a.png", "superres-rednet", "--weights", path, "save", f"{engine}.png"]
        run = ["--engine", engine, "--precision", "fp32", "--tile", "32"]
        assert main([*map(str, line), *run]) == 0
    ours, theirs = (read_image(tmp_path / f"{n}.png").pixels for n in ("tensorrt", "torch"))
    assert ours.shape == (180, 140, 3)
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 3  # of 65535


@pytest.mark.parametrize("size", [(1, 5), (5, 1), (8, 8), (7, 9)])
@pytest.mark.parametrize("name", ["superres-rednet", "denoise-ae"])
def test_images_of_a_few_pixels_are_run_too(place, tmp_path, monkeypatch, name, size):
    monkeypatch.chdir(tmp_path)
    path = write_weights(tmp_path / "w.safetensors", *TINY[name])
    write_image(tmp_path / "a.png", Image(pixels(*size, dtype="uint16")))
    stage = [name, "--weights", str(path)]
    for engine in ("tensorrt", "torch"):
        line = ["open", "a.png", *stage, "save", f"{engine}.png"]
        assert main([*line, "--engine", engine, "--precision", "fp32"]) == 0
    ours, theirs = (read_image(tmp_path / f"{n}.png").pixels for n in ("tensorrt", "torch"))
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 3  # of 65535


def test_the_second_start_builds_nothing(doubled, tmp_path):
    weights = weights_of("denoise-ae", tmp_path)
    model = TINY["denoise-ae"][0]
    said = []
    for _ in range(2):
        TensorRtEngine().open(model, weights, Request("cuda", "fp32", said.append)).close()
    assert double.Builder.builds == 1
    assert said == ["denoise-ae: compiling for tensorrt, once"]
    (listed,) = EngineCache().entries()
    assert listed.entry.psnr > 80


def test_a_window_larger_than_the_profile_is_refused_with_tensorrts_reason(doubled, tmp_path):
    runner = TensorRtEngine().open(REDNET, weights_of("superres-rednet", tmp_path), Request("cuda"))
    with pytest.raises(EngineError, match=r"refuses the input's shape: input: \(5, 3, .*profile"):
        runner(batch_of(SPEC, 5))


REFUSALS = [
    (double.Builder, "create_network", None, "no network: "),
    (double.Builder, "create_builder_config", None, "no configuration: "),
    (double.Builder, "build_serialized_network", None, "TensorRT cannot build it: "),
    (double.OnnxParser, "parse", False, "TensorRT cannot read the graph: "),
    (double.IBuilderConfig, "add_optimization_profile", -1, "TensorRT refuses the profile: "),
    (double.Runtime, "deserialize_cuda_engine", None, "TensorRT cannot load it: "),
    (double.ICudaEngine, "create_execution_context", None, "no context: "),
    (double.IExecutionContext, "set_input_shape", False, "TensorRT refuses the input's shape: "),
    (double.IExecutionContext, "get_tensor_shape", (1, -1), "refuses the output's shape: "),
    (double.IExecutionContext, "set_tensor_address", False, "TensorRT refuses the input: "),
    (double.IExecutionContext, "execute_async_v3", False, "TensorRT refuses to run: "),
]
"""Class, method, what it answers instead, and what the user is told."""


@pytest.mark.parametrize(("owner", "method", "answer", "said"), REFUSALS)
def test_every_no_of_tensorrt_is_an_error_with_its_reason(
    doubled, tmp_path, monkeypatch, owner, method, answer, said
):
    loggers = []
    remember = double.Builder.__init__, double.Runtime.__init__

    def keep(original):
        def init(self, logger):
            loggers.append(logger)
            original(self, logger)

        return init

    monkeypatch.setattr(double.Builder, "__init__", keep(remember[0]))
    monkeypatch.setattr(double.Runtime, "__init__", keep(remember[1]))

    def refuse(self, *arguments):
        loggers[-1].log(double.ILogger.Severity.WARNING, "just a warning")
        loggers[-1].log(double.ILogger.Severity.ERROR, f"the reason\n   of {method}")
        loggers[-1].log(double.ILogger.Severity.INFO, "some gossip")
        return answer

    monkeypatch.setattr(owner, method, refuse)
    weights = weights_of("superres-rednet", tmp_path)
    expected = re.escape(said) + f".*the reason of {method}"
    with pytest.raises(EngineError, match=expected) as caught:
        TensorRtEngine().open(REDNET, weights, Request("cuda", "fp32"))
    assert "\n" not in caught.value.format_message()
    assert not [listed for listed in EngineCache().entries() if listed.entry.psnr is not None]


def test_an_engine_that_computes_nonsense_is_refused(doubled, tmp_path, monkeypatch):
    right = double.IExecutionContext._run
    monkeypatch.setattr(double.IExecutionContext, "_run", lambda self, x: right(self, x) + 0.01)
    with pytest.raises(EngineError, match=r"refused: its results in fp32 are 40\.0 dB"):
        TensorRtEngine().open(
            REDNET, weights_of("superres-rednet", tmp_path), Request("cuda", "fp32")
        )


def test_the_work_is_enqueued_on_a_stream_of_its_own(doubled, tmp_path, monkeypatch):
    handles = []
    run = double.IExecutionContext.execute_async_v3

    def noted(self, stream_handle):
        handles.append(stream_handle)
        return run(self, stream_handle)

    monkeypatch.setattr(double.IExecutionContext, "execute_async_v3", noted)
    weights = weights_of("superres-rednet", tmp_path)
    runners = [TensorRtEngine().open(REDNET, weights, Request("cuda", "fp32")) for _ in range(2)]
    handles.clear()
    for runner in runners:
        runner(batch_of(SPEC, 1))
    assert 0 not in handles
    assert len(set(handles)) == 2


def test_closing_frees_context_and_engine_in_their_order(doubled, tmp_path, monkeypatch):
    gc.collect()  # of what other tests have left
    freed = []
    for owner in (double.IExecutionContext, double.ICudaEngine, double.Runtime):
        monkeypatch.setattr(
            owner, "__del__", lambda self, name=owner.__name__: freed.append(name), raising=False
        )
    weights = weights_of("superres-rednet", tmp_path)
    runner = TensorRtEngine().open(REDNET, weights, Request("cuda", "fp32"))
    gc.collect()
    assert freed == []
    runner.close()
    gc.collect()
    assert freed[0] == "IExecutionContext"
    assert set(freed) == {"IExecutionContext", "ICudaEngine", "Runtime"}


def test_the_double_finds_memory_that_was_freed_too_early(doubled, tmp_path):
    compiler = TensorRtCompiler("tensorrt", "fp32", SPEC)
    from imgfx.engines.onnx import onnx_from_model

    blob = compiler.compile(onnx_from_model(REDNET, weights_of("superres-rednet", tmp_path)))
    program = compiler.load(blob)
    with torch.cuda.stream(program._stream):
        source = torch.from_numpy(batch_of(SPEC, 1)).cuda()
        target = program._enqueued(source)
        del source
        gc.collect()
        with pytest.raises(AssertionError, match="input's memory was freed"):
            target.cpu()


def test_the_double_computes_nothing_before_the_stream_is_waited_for(doubled, tmp_path):
    from imgfx.engines.onnx import onnx_from_model

    compiler = TensorRtCompiler("tensorrt", "fp32", SPEC)
    blob = compiler.compile(onnx_from_model(REDNET, weights_of("superres-rednet", tmp_path)))
    program = compiler.load(blob)
    source = torch.from_numpy(batch_of(SPEC, 1)).cuda()
    target = program._enqueued(source)
    target.fill_(7)
    assert bool((target.cpu() == 7).all())  # on another stream than its own
    with torch.cuda.stream(program._stream):
        assert not bool((target.cpu() == 7).any())


def test_what_was_built_ahead_for_a_tile_and_a_batch_is_found_by_runs_with_them(doubled, tmp_path):
    weights = weights_of("denoise-ae", tmp_path)
    model, spec = TINY["denoise-ae"]
    asked = Request("cuda", "fp32", tile=300, batch=3)
    TensorRtEngine().build(model, weights, asked)
    runner = TensorRtEngine().open(model, weights, asked)
    assert double.Builder.builds == 1
    assert (runner.batch, runner.largest) == (3, 304 + 2 * spec.halo)
    batch = batch_of(spec, 3, runner.largest - spec.multiple_of)
    reference = TorchEngine().open(model, weights, Request("cpu", "fp32"))
    np.testing.assert_allclose(runner(batch), reference(batch), atol=1e-5)
    TensorRtEngine().open(model, weights, Request("cuda", "fp32"))
    assert double.Builder.builds == 2


@pytest.mark.parametrize("model", [model for model, _ in TINY.values()], ids=lambda m: m.name)
def test_the_largest_window_is_what_memory_allows(doubled, model):
    compiler = TensorRtCompiler("tensorrt", "fp16", model.spec)
    if model.spec.latent:
        assert (compiler.batch, compiler.largest) == (64, 0)
        return
    needed = 2 * model.spec.floats_per_pixel * compiler.batch * compiler.largest**2
    assert (1 << 29) < needed <= 1 << 30
    assert compiler.largest % model.spec.multiple_of == 0
