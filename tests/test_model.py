"""ModelSpec's text form, and the specs of the bundled models against their networks."""

import json

import pytest
import torch

from imgfx.model import ModelSpec
from imgfx_denoise_ae.model import MODEL as DENOISE
from imgfx_gan_generate.model import MODELS as GENERATORS
from imgfx_superres_fast.model import MODELS as FAST
from imgfx_superres_rednet.model import MODEL as REDNET

RESTORERS = [DENOISE, REDNET, *FAST.values()]
EVERY = [*RESTORERS, *GENERATORS.values()]


@pytest.mark.parametrize("model", EVERY, ids=lambda m: m.name)
def test_spec_survives_json(model):
    assert ModelSpec.from_json(model.spec.to_json()) == model.spec


def test_a_spec_that_keeps_the_mean_has_the_text_that_it_had_before_the_field():
    """The text is part of weights' digests."""
    spec = ModelSpec("x")
    assert "keeps_mean" not in json.loads(spec.to_json())
    brighter = ModelSpec("x", keeps_mean=False)
    assert json.loads(brighter.to_json())["keeps_mean"] is False
    assert ModelSpec.from_json(brighter.to_json()) == brighter


def test_fields_of_the_future_are_refused():
    text = json.dumps({"architecture": "x", "sparkle": 1})
    with pytest.raises(ValueError, match="sparkle"):
        ModelSpec.from_json(text)


@pytest.mark.parametrize("model", RESTORERS, ids=lambda m: m.name)
def test_halo_covers_the_receptive_field_and_wastes_little(model):
    """The gradient of one output pixel reaches as far as the halo says, and not further."""
    torch.manual_seed(0)
    network = model.build(model.spec)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.constant_(parameter, 1e-3)  # no path may cancel another
        else:
            torch.nn.init.constant_(parameter, 1.0)  # and no ReLU may close one
    halo, step, scale = model.spec.halo, model.spec.multiple_of, model.spec.scale
    size = 2 * halo + 6 * step
    channels = model.spec.channels + len(model.spec.conditions)
    reach = 0
    first = (halo + 2 * step) * scale
    for place in range(first, first + step * scale):  # each phase of the grid
        x = torch.ones(1, channels, 8, size, requires_grad=True)
        network(x)[0, 0, 4, place].backward()
        touched = x.grad[0].abs().sum((0, 1)).nonzero().flatten()
        centre = place // scale
        reach = max(reach, centre - int(touched.min()), int(touched.max()) - centre)
    assert reach <= halo
    assert halo < reach + 2 * step


def multiply_adds(network, shape):
    """Multiply-adds of convolutions on an input of this shape."""
    total = 0

    def count(layer, _inputs, output):
        nonlocal total
        weights = layer.weight.numel()
        if isinstance(layer, torch.nn.ConvTranspose2d) and layer.stride != (1, 1):
            total += weights * output[0, 0].numel() // (layer.stride[0] * layer.stride[1])
        else:
            total += weights * output[0, 0].numel()

    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(shape))
    return total


def test_denoise_ae_costs_less_than_a_fifth_of_a_million_a_pixel():
    cost = multiply_adds(DENOISE.build(DENOISE.spec), (1, 4, 64, 64)) / 64**2
    assert 50_000 < cost <= 200_000


@pytest.mark.parametrize("scale", FAST)
def test_superres_fast_costs_at_most_30_thousand_an_output_pixel(scale):
    model = FAST[scale]
    cost = multiply_adds(model.build(model.spec), (1, 3, 32, 32)) / (32 * scale) ** 2
    assert 20_000 < cost <= 30_000


@pytest.mark.parametrize("scale", FAST)
def test_superres_fast_starts_as_interpolation(scale):
    network = FAST[scale].build(FAST[scale].spec)
    x = torch.rand(1, 3, 9, 7)
    expected = torch.nn.functional.interpolate(x, scale_factor=scale, mode="bilinear")
    with torch.inference_mode():
        torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-6)


def test_denoise_ae_has_a_latent_smaller_than_the_image():
    sizes = []
    network = DENOISE.build(DENOISE.spec)
    network.latent.register_forward_hook(lambda _l, _i, output: sizes.append(output.numel()))
    with torch.inference_mode():
        network(torch.zeros(1, 4, 64, 64))
    assert sizes[0] < 3 * 64 * 64


def test_rednet_is_the_papers():
    network = REDNET.build(REDNET.spec)
    convolutions = list(network.convolutions)
    deconvolutions = list(network.deconvolutions)
    assert len(convolutions) == len(deconvolutions) == 15
    assert all(layer.kernel_size == (3, 3) for layer in [*convolutions, *deconvolutions])
    assert {layer.out_channels for layer in convolutions} == {64}
    assert sum(p.numel() for p in network.parameters() if p.ndim > 1) == 1_035_648
    assert multiply_adds(network, (1, 3, 32, 32)) // 32**2 >= 1_033_000


def test_rednet_adds_its_input_at_the_end():
    network = REDNET.build(REDNET.spec)
    torch.nn.init.zeros_(network.deconvolutions[-1].weight)
    torch.nn.init.zeros_(network.deconvolutions[-1].bias)
    x = torch.rand(1, 3, 20, 17)
    with torch.inference_mode():
        assert torch.equal(network(x), x)


def test_rednet_skips_join_mirrored_layers_before_the_relu():
    """Against the paper's wiring written out: conv 2k to deconv 15 - 2k, ReLU after the sum."""
    torch.manual_seed(0)
    network = REDNET.build(REDNET.spec)
    x = torch.rand(1, 3, 12, 12)
    with torch.inference_mode():
        outputs = [x]
        for layer in network.convolutions:
            outputs.append(torch.relu(layer(outputs[-1])))
        features = outputs[15]
        for number, layer in enumerate(network.deconvolutions, start=1):
            features = layer(features)
            if number % 2 == 1 and number < 15:
                features = features + outputs[15 - number]
            if number < 15:
                features = torch.relu(features)
        assert torch.allclose(network(x), x + features, atol=1e-6)
