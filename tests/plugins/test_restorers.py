"""What `denoise-ae` and `superres-rednet` promise of any image, at any size."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support_models import last_layer, silence, write_weights
from torch import nn

from imgfx.engines.torch_engine import TorchEngine
from imgfx.errors import ImageError
from imgfx.image import Image, float_from_pixels
from imgfx.resample import resize
from imgfx.session import Session
from imgfx.settings import Settings
from imgfx_denoise_ae.model import MODEL as DENOISE
from imgfx_denoise_ae.stage import denoise
from imgfx_superres_fast.model import MODELS as FAST
from imgfx_superres_fast.stage import superres as superres_fast
from imgfx_superres_rednet.model import MODEL as REDNET
from imgfx_superres_rednet.stage import superres

MODELS = {"denoise-ae": DENOISE, "superres-rednet": REDNET, "superres-fast": FAST[2]}
STAGES = {"denoise-ae": denoise, "superres-rednet": superres, "superres-fast": superres_fast}
ENLARGERS = ["superres-fast", "superres-rednet"]


def stir(network):
    """Random weights, so that every layer does something."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            fan_in = parameter[0].numel()
            nn.init.normal_(parameter, 0, 0.7 * fan_in**-0.5)
        else:
            nn.init.normal_(parameter, 0, 0.02)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """By model: a file of random weights at the true widths, whose every layer does something."""
    folder = tmp_path_factory.mktemp("weights")
    return {
        name: write_weights(folder / f"{name}.safetensors", model, change=stir)
        for name, model in MODELS.items()
    }


@pytest.fixture
def started(weights):
    """`started("denoise-ae", "--strength", "0.5")`: the stage, ready for images, in fp32."""
    opened = []

    def start(name, *words, tile=None):
        session = Session(
            Settings(device="cpu", precision="fp32", tile=tile), lambda _name: TorchEngine()
        )
        opened.append(session)
        command = STAGES[name]
        arguments = [*words, "--weights", str(weights[name])]
        with command.make_context(name, arguments) as context:
            return command.invoke(context).start(session)

    yield start
    for session in opened:
        session.__exit__(None, None, None)


def noise(height, width, channels=3):
    return np.random.default_rng(7).random((height, width, channels), dtype=np.float32)


SIZES = st.integers(1, 80)


@pytest.mark.parametrize("name", MODELS)
@settings(deadline=None, max_examples=8, suppress_health_check=list(HealthCheck))
@given(height=SIZES, width=SIZES, tile=st.integers(24, 64))
@example(height=1, width=1, tile=8)
@example(height=7, width=5, tile=8)
@example(height=321, width=481, tile=160)
def test_tiled_equals_whole(started, name, height, width, tile):
    image = Image(noise(height, width), depth="float32")
    words = ["--scale", "1"] if name == "superres-rednet" else []
    whole = started(name, *words, tile=0)(image).pixels
    tiled = started(name, *words, tile=tile)(image).pixels
    factor = MODELS[name].spec.scale
    assert whole.shape == (factor * height, factor * width, 3)
    plain = image.pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    assert np.abs(whole - plain).max() > 1e-3  # the network did something
    assert np.abs(tiled - whole).max() <= 1e-5


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_enlarged_tiles_equal_whole(started, scale):
    image = Image(noise(29, 17), depth="float32")
    whole = started("superres-rednet", "--scale", str(scale), tile=0)(image).pixels
    tiled = started("superres-rednet", "--scale", str(scale), tile=19)(image).pixels
    assert whole.shape == (29 * scale, 17 * scale, 3)
    assert np.abs(tiled - whole).max() <= 1e-5


@pytest.mark.parametrize("scale", [1, 2])
def test_strength_lies_between_interpolation_and_the_network(started, scale):
    image = Image(noise(21, 30), depth="float32")
    none, half, full = (
        started("superres-rednet", "--scale", str(scale), "--strength", strength)(image).pixels
        for strength in ("0", "0.5", "1")
    )
    enlarged = np.clip(resize(image.pixels, 21 * scale, 30 * scale), 0, 1)
    np.testing.assert_allclose(none, enlarged, atol=1e-6)
    assert np.abs(full - none).max() > 1e-3
    np.testing.assert_allclose(half, (none + full) / 2, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_the_self_ensemble_restores_a_turned_image_as_it_does_the_image(started, name):
    image = Image(noise(48, 32), depth="float32")  # no padding, which is not turned along
    turned = image.with_pixels(np.ascontiguousarray(np.rot90(image.pixels)))
    apply = started(name, "--self-ensemble", tile=0)
    whole = apply(image).pixels
    assert np.abs(whole - started(name, tile=0)(image).pixels).max() > 1e-3
    assert np.abs(np.rot90(whole) - apply(turned).pixels).max() <= 1e-5
    tiled = started(name, "--self-ensemble", tile=24)(image).pixels
    assert np.abs(tiled - whole).max() <= 1e-5


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_kind_and_depth_stay(started, name, dtype, channels):
    values = noise(9, 11, channels)
    stored = values if dtype == "float32" else (values * np.iinfo(dtype).max).astype(dtype)
    image = Image(stored, depth=dtype, name="kept")
    result = started(name)(image)
    assert result.pixels.shape[2] == channels
    assert result.pixels.dtype == np.float32
    assert (result.depth, result.name) == (dtype, "kept")


def test_denoising_leaves_alpha_alone(started):
    alpha = np.arange(99, dtype=np.uint8).reshape(9, 11)
    result = started("denoise-ae")(Image(noise(9, 11), alpha))
    np.testing.assert_array_equal(result.alpha, alpha)


@pytest.mark.parametrize("name", ENLARGERS)
def test_alpha_is_enlarged_with_the_image(started, name):
    alpha = np.zeros((12, 10), np.uint8)
    alpha[:, 5:] = 255
    result = started(name, "--scale", "2")(Image(noise(12, 10), alpha))
    assert result.pixels.shape == (24, 20, 3)
    assert result.alpha.shape == (24, 20)
    assert np.abs(result.alpha[:, :8]).max() < 0.01
    assert np.abs(result.alpha[:, 12:] - 1).max() < 0.01


def test_strength_mixes_the_result_with_the_input(started):
    image = Image(noise(20, 22), depth="float32")
    full = started("denoise-ae")(image).pixels
    none = started("denoise-ae", "--strength", "0")(image).pixels
    half = started("denoise-ae", "--strength", "0.5")(image).pixels
    np.testing.assert_array_equal(none, image.pixels)
    np.testing.assert_allclose(half, (full + image.pixels) / 2, atol=1e-6)


def test_strength_0_passes_every_bit(started):
    image = Image(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    result = started("denoise-ae", "--strength", "0")(image)
    assert result.pixels is image.pixels


def test_a_known_sigma_reaches_the_network(started):
    image = Image(noise(24, 24), depth="float32")
    blind = started("denoise-ae")(image).pixels
    told = started("denoise-ae", "--sigma", "50")(image).pixels
    assert np.abs(told - blind).max() > 1e-3


def test_the_network_works_on_the_bicubic_enlargement(started, weights, tmp_path, monkeypatch):
    """With the network's correction taken away, what is left is bicubic interpolation."""
    path = write_weights(
        tmp_path / "silent.safetensors", REDNET, change=lambda network: silence(last_layer(network))
    )
    monkeypatch.setitem(weights, "superres-rednet", path)
    image = Image((noise(11, 13) * 255).astype(np.uint8))
    result = started("superres-rednet", "--scale", "2")(image).pixels
    expected = np.clip(resize(float_from_pixels(image.pixels), 22, 26), 0, 1)
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3.0])
def test_an_output_without_sense_fails_the_image(tmp_path, value, precision):
    path = write_weights(
        tmp_path / "bad.safetensors", DENOISE, change=lambda network: network.tail.bias.fill_(value)
    )
    black = Image(np.zeros((16, 16, 3), np.float32))
    with Session(
        Settings(device="cpu", precision=precision), lambda _name: TorchEngine()
    ) as session:
        loaded = session.load(DENOISE, path)
        with pytest.raises(ImageError, match="output makes no sense \\(torch on cpu"):
            loaded.restore(black, conditions=(-1.0,))
