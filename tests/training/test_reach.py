"""How far a network really sees, measured."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from imgfx.model import ModelSpec
from imgfx.tiling import Limits, run_tiled
from imgfx.training.reach import measured_reach


class Blur(nn.Module):
    """A kernel of this radius whose outer ring has this weight."""

    def __init__(self, radius, ring, scale=1, planes=0):
        super().__init__()
        side = 2 * radius + 1
        self.layer = nn.Conv2d(3 + planes, 3 * scale**2, side, padding=radius)
        self.shuffle = nn.PixelShuffle(scale)
        nn.init.constant_(self.layer.weight, 0.5 / side**2)
        with torch.no_grad():
            for edge in (0, -1):
                self.layer.weight[..., edge, :] = self.layer.weight[..., :, edge] = ring

    def forward(self, x):
        return self.shuffle(self.layer(x))


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize(("ring", "reach"), [(1e-3, 7), (1e-12, 6), (0.0, 6)])
def test_what_is_below_rounding_is_not_reached(ring, reach, scale):
    spec = ModelSpec("blur", halo=10, scale=scale)
    assert measured_reach(Blur(7, ring, scale), spec) == reach


def test_it_is_never_more_than_the_halo():
    assert measured_reach(Blur(7, 1e-3), ModelSpec("blur", halo=5)) == 5


def test_it_is_a_multiple_of_what_windows_are():
    assert measured_reach(Blur(7, 1e-3), ModelSpec("blur", halo=20, multiple_of=4)) == 8
    assert measured_reach(Blur(7, 1e-3), ModelSpec("blur", halo=13, multiple_of=8)) == 8


def test_conditions_are_planes_of_the_input():
    spec = ModelSpec("blur", halo=10, conditions=("sigma",))
    assert measured_reach(Blur(7, 1e-3, planes=1), spec) == 7


def test_generators_and_networks_without_halo_have_none():
    assert measured_reach(nn.Identity(), ModelSpec("g", latent=4)) == 0
    assert measured_reach(nn.Identity(), ModelSpec("pointwise")) == 0


def test_tiles_with_the_measured_border_equal_the_whole():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 3, 5, padding=2) for _ in range(6)]
    for layer in layers:
        nn.init.normal_(layer.weight, std=0.02)
        with torch.no_grad():
            layer.weight[:, :, 2, 2] += 0.3 * torch.eye(3)
    network = nn.Sequential(*layers)
    spec = ModelSpec("deep", halo=12)
    reach = measured_reach(network, spec)
    assert 3 < reach < 12
    image = np.random.default_rng(0).integers(0, 2, (90, 70, 3)).astype(np.float32)
    results = []
    for cut, limits in ((spec, Limits(tile=0)), (replace(spec, reach=reach), Limits(tile=20))):
        results.append(result := np.empty_like(image))

        def keep(window, part, result=result):
            result[window.top : window.bottom, window.left : window.right] = part

        run_tiled(
            lambda w: image[w.top : w.bottom, w.left : w.right], 90, 70, cut,
            lambda batch: network(torch.from_numpy(batch)).detach().numpy(), keep, limits=limits,
        )  # fmt: skip
    np.testing.assert_allclose(*results, atol=1e-5)


def test_the_spec_keeps_what_was_measured_and_old_texts_stay_as_they_were():
    spec = ModelSpec("any", halo=30)
    assert "reach" not in spec.to_json()
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert spec.margin == 30
    measured = replace(spec, reach=24)
    assert ModelSpec.from_json(measured.to_json()) == measured
    assert measured.margin == 24
