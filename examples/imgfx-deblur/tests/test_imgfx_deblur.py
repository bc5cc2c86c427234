"""The network's halo, its degradation, and the stage with a small network's weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from imgfx_deblur.blur import RADIUS, blurred, degrade, kernel, probe_pair
from imgfx_deblur.model import MODEL, deblur_spec, receptive_radius
from imgfx_deblur.network import build_network
from imgfx_deblur.recipe import PROBES, RECIPE, loss
from imgfx_deblur.stage import deblur

from imgfx.api import load_weights, network_from_weights, save_weights, weights_from_network
from imgfx.testing import apply, assert_images_equal, sample_image, sample_images

SMALL = deblur_spec(width=6, levels=2, blocks=1, middle=1)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Of a small network, untrained, that changes what it is given."""
    torch.manual_seed(0)
    network = build_network(SMALL)
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    path = tmp_path / "deblur.safetensors"
    save_weights(path, weights_from_network(network, SMALL, MODEL.name, {}))
    return path


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 1, 1), (2, 2, 3)])
def test_the_halo_covers_what_an_output_sees_and_wastes_little(size: tuple[int, int, int]) -> None:
    """By the gradient, at each place of a cell."""
    spec = deblur_spec(4, *size)
    torch.manual_seed(0)
    network, step = build_network(spec), spec.multiple_of
    assert spec.halo == receptive_radius(*size)
    first = -(-spec.halo // step) * step + step
    seen = 0
    for place in range(first, first + step):
        x = torch.rand(1, 3, 2 * step, 2 * first + step, requires_grad=True)
        network(x)[0, 0, step, place].backward()
        assert x.grad is not None
        touched = x.grad[0].abs().sum((0, 1)).nonzero().flatten()
        seen = max(seen, place - int(touched.min()), int(touched.max()) - place)
    assert seen <= spec.halo < seen + step


def test_other_sizes_are_rebuilt_from_the_weights(weights: Path) -> None:
    """The spec in the file's header decides."""
    loaded = load_weights(weights)
    assert loaded.spec.options == {"width": 6, "levels": 2, "blocks": 1, "middle": 1}
    assert network_from_weights(MODEL, loaded)(torch.zeros(1, 3, 8, 4)).shape == (1, 3, 8, 4)


def test_kernels_are_of_sum_1_and_as_wide_as_they_say() -> None:
    """Along rows at angle 0."""
    values = kernel(0.8, 2.0, 0.0)
    offsets = np.arange(-RADIUS, RADIUS + 1)
    assert values.sum() == pytest.approx(1, abs=1e-5)
    assert (values.sum(0) * offsets**2).sum() == pytest.approx(4.0, rel=0.01)
    assert (values.sum(1) * offsets**2).sum() == pytest.approx(0.64, rel=0.01)


def test_the_blur_is_a_convolution() -> None:
    """A point becomes the kernel."""
    point = np.zeros((1, 40, 30, 1), np.float32)
    point[0, 20, 15] = 1
    shape = kernel(0.7, 1.5, 0.4)
    found = blurred(point, shape[None])[0, ..., 0]
    assert found.shape == (40 - 2 * RADIUS, 30 - 2 * RADIUS)
    expected = np.zeros((40 + 2 * RADIUS, 30 + 2 * RADIUS), np.float32)
    expected[20 : 20 + len(shape), 15 : 15 + len(shape)] = shape
    inner = expected[2 * RADIUS : -2 * RADIUS, 2 * RADIUS : -2 * RADIUS]
    np.testing.assert_allclose(found, inner, atol=1e-6)


def test_patches_are_blurred_in_place_and_the_same_each_time() -> None:
    """The sharp patch is the crop's middle, and nothing is shifted."""
    clean = np.stack([sample_image(60, 60, seed=n, depth="float32").pixels for n in range(2)])
    soft, sharp = degrade(clean, np.random.default_rng(1))
    assert soft.shape == sharp.shape == (2, 3, 60 - 2 * RADIUS, 60 - 2 * RADIUS)
    assert soft.dtype == sharp.dtype == np.float32
    errors = [np.abs(np.roll(soft, shift, axis=3) - sharp).mean() for shift in (-2, 0, 2)]
    assert errors[1] < min(errors[0], errors[2])
    np.testing.assert_array_equal(degrade(clean, np.random.default_rng(1))[0], soft)


def test_probes_keep_the_size_and_the_brightness_at_borders() -> None:
    """A white image stays white."""
    soft, clean = probe_pair(np.ones((24, 30, 3), np.float32), 0, shape=kernel(1.5, 1.5, 0.0))
    assert (soft.shape, clean.shape) == ((3, 24, 30), (24, 30, 3))
    assert soft.min() > 0.97
    assert {probe.name for probe in PROBES} == {"focus", "shake"}


def test_the_loss_counts_lost_detail_more_than_lost_brightness() -> None:
    """Of the same mean absolute error."""
    target = torch.zeros(1, 3, 16, 16)
    checks = torch.tensor([0.1, -0.1]).repeat(8)[None, None, None] + target
    random = 0.1 * torch.sign(torch.rand(1, 3, 16, 16) - 0.5)
    assert float(loss(target, target)) < 0.002
    assert float(loss(random, target)) > float(loss(checks, target)) > 0.09
    assert RECIPE.metric == "psnr"


@pytest.mark.parametrize("name", ["gray", "rgba", "16-bit", "1x1", "37x53"])
def test_images_of_all_kinds_keep_what_they_are(weights: Path, name: str) -> None:
    """Size, channels, depth and alpha."""
    image = sample_images()[name]
    result = apply(deblur, image, "--weights", weights)
    assert result.pixels.shape == image.pixels.shape
    assert (result.depth, result.alpha is None) == (image.depth, image.alpha is None)


def test_tiled_is_whole_and_strength_mixes(weights: Path) -> None:
    """At an odd size; half the strength is half the change."""
    image = sample_image(75, 101, depth="float32")
    whole = apply(deblur, image, "--weights", weights, tile=0)
    assert_images_equal(apply(deblur, image, "--weights", weights, tile=24), whole, max_error=1e-5)
    half = apply(deblur, image, "--weights", weights, "--strength", 0.5)
    assert_images_equal(half.pixels, (image.pixels + whole.pixels) / 2, max_error=1e-5)
    assert np.abs(whole.pixels - image.pixels).max() > 0.01
