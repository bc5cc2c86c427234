"""The reference engine: folding, precision, devices."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from imgfx.engines.base import Request
from imgfx.engines.torch_engine import TorchEngine, bf16_pays, choose_device, fold_deconvolutions
from imgfx.errors import EngineError
from imgfx.weights import weights_from_network
from imgfx_denoise_ae.model import MODEL as DENOISE
from imgfx_denoise_ae.model import denoise_spec
from imgfx_superres_rednet.model import MODEL as REDNET
from imgfx_superres_rednet.model import rednet_spec

SPECS = {"superres-rednet": rednet_spec(width=8, depth=5), "denoise-ae": denoise_spec((8, 8, 8))}
MODELS = {model.name: model for model in (DENOISE, REDNET)}


def random_weights(name):
    """Untrained weights of a small network whose every layer does something."""
    torch.manual_seed(0)
    network = MODELS[name].build(SPECS[name])
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0, 0.1)
    return weights_from_network(network, SPECS[name], name, {})


@settings(deadline=None, max_examples=40)
@given(
    kernel=st.integers(1, 6),
    padding=st.integers(0, 3),
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 4),
    bias=st.booleans(),
)
def test_a_folded_deconvolution_computes_the_same(kernel, padding, inputs, outputs, bias):
    padding = min(padding, kernel - 1)
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(inputs, outputs, kernel, padding=padding, bias=bias)
    x = torch.randn(2, inputs, 9, 7)
    with torch.inference_mode():
        expected = layer(x)
        folded = fold_deconvolutions(nn.Sequential(layer))
        assert isinstance(folded[0], nn.Conv2d)
        torch.testing.assert_close(folded(x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "options", [{"stride": 2}, {"groups": 2}, {"dilation": 2}, {"stride": 2, "output_padding": 1}]
)
def test_other_deconvolutions_are_left_alone(options):
    layer = nn.ConvTranspose2d(2, 2, 3, **options)
    assert fold_deconvolutions(nn.Sequential(layer))[0] is layer


class Doubling(nn.ConvTranspose2d):
    """A deconvolution with a forward of its own."""

    def forward(self, x, output_size=None):
        return 2 * super().forward(x, output_size)


def hooked(layer):
    layer.register_forward_hook(lambda _layer, _inputs, output: output + 1)
    return layer


@pytest.mark.parametrize(
    "layer",
    [
        Doubling(2, 2, 3, padding=1),
        hooked(nn.ConvTranspose2d(2, 2, 3, padding=1)),
        nn.utils.spectral_norm(nn.ConvTranspose2d(2, 2, 3, padding=1)),
        nn.utils.parametrizations.weight_norm(nn.ConvTranspose2d(2, 2, 3, padding=1)),
        nn.ConvTranspose2d(2, 2, 3, padding=3),
    ],
    ids=["subclass", "hook", "spectral norm", "weight norm", "padding"],
)
def test_deconvolutions_that_do_more_compute_what_they_did(layer):
    network = nn.Sequential(layer).eval()
    x = torch.randn(1, 2, 9, 7)
    with torch.inference_mode():
        expected = network(x)
        torch.testing.assert_close(fold_deconvolutions(network)(x), expected)


def test_folding_reaches_nested_layers():
    network = nn.Sequential(nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(1, 1, 3)))
    assert isinstance(fold_deconvolutions(network)[0][1], nn.Conv2d)


@pytest.mark.parametrize("name", SPECS)
def test_the_engine_computes_what_the_network_does(name):
    weights = random_weights(name)
    runner = TorchEngine().open(MODELS[name], weights, Request("cpu", "fp32"))
    channels = 3 + len(weights.spec.conditions)
    batch = np.random.default_rng(0).random((2, channels, 16, 24), dtype=np.float32)
    network = MODELS[name].build(weights.spec)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.tensors.items()})
    with torch.inference_mode():
        expected = network(torch.from_numpy(batch)).numpy()
    assert runner.choice.precision == "fp32"
    np.testing.assert_allclose(runner(batch), expected, atol=1e-5)
    runner.close()


@pytest.mark.parametrize("name", SPECS)
def test_bf16_stays_near_fp32_because_the_image_is_never_rounded(name):
    weights = random_weights(name)
    channels = 3 + len(weights.spec.conditions)
    batch = np.random.default_rng(0).random((1, channels, 32, 32), dtype=np.float32)
    exact, rounded = (
        TorchEngine().open(MODELS[name], weights, Request("cpu", precision))(batch)
        for precision in ("fp32", "bf16")
    )
    change = np.abs(exact - batch[:, :3]).max()
    assert 0 < np.abs(rounded - exact).max() < 0.03 * max(1.0, change)


def test_fp16_on_a_processor_is_refused():
    with pytest.raises(EngineError, match="fp16 needs a CUDA device"):
        TorchEngine().open(REDNET, random_weights("superres-rednet"), Request("cpu", "fp16"))


def test_cuda_is_had_or_refused():
    if torch.cuda.is_available():
        assert choose_device("cuda") == choose_device("auto") == "cuda"
    else:
        with pytest.raises(EngineError, match="--device cuda"):
            choose_device("cuda")
        assert choose_device("auto") == "cpu"
    assert choose_device("cpu") == "cpu"


def test_the_probe_for_bf16_answers_and_keeps_the_threads():
    threads = torch.get_num_threads()
    assert bf16_pays() in (True, False)
    assert torch.get_num_threads() == threads


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", SPECS)
def test_cuda_agrees_with_the_processor(name, precision):
    weights = random_weights(name)
    channels = 3 + len(weights.spec.conditions)
    batch = np.random.default_rng(0).random((2, channels, 32, 32), dtype=np.float32)
    expected = TorchEngine().open(MODELS[name], weights, Request("cpu", "fp32"))(batch)
    found = TorchEngine().open(MODELS[name], weights, Request("cuda", precision))(batch)
    np.testing.assert_allclose(found, expected, atol=1e-3 if precision == "fp32" else 0.1)
