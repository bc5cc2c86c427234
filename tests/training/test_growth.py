"""A larger network grown from the weights of a smaller one answers the same, and learns on."""

from pathlib import Path

import pytest
import torch
from torch import nn

from imgfx.errors import TrainingError, WeightsError
from imgfx.model import Model, ModelSpec
from imgfx.training.growth import grown_network, renew
from imgfx.weights import network_from_weights, weights_from_network
from imgfx_denoise_ae.model import MODEL, denoise_spec

SMALL = denoise_spec((8, 12, 16), blocks=1, middle=1)
LARGE = denoise_spec((12, 16, 24), blocks=2, middle=3)


def with_spec(spec):
    return Model("denoise-ae", spec, build=MODEL.build)


def trained(spec=SMALL):
    """Weights none of which is zero."""
    torch.manual_seed(0)
    network = MODEL.build(spec)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    return weights_from_network(network, spec, "denoise-ae", {})


@pytest.mark.parametrize(
    "spec",
    [
        LARGE,
        SMALL,
        denoise_spec((8, 12, 16), blocks=3, middle=1),
        denoise_spec((8, 12, 30), blocks=1, middle=1),
        MODEL.spec,
    ],
    ids=["wider-and-deeper", "same", "deeper", "wider", "bundled"],
)
def test_a_grown_network_answers_what_the_smaller_one_does(spec):
    weights = trained()
    grown = grown_network(with_spec(spec), weights, Path("small"))
    x = torch.rand(2, 4, 40, 48)
    expected = network_from_weights(MODEL, weights)(x)
    assert (expected - x[:, :3]).abs().max() > 0.01
    torch.testing.assert_close(grown(x), expected, atol=1e-5, rtol=0)


def test_what_is_renewed_is_fresh_and_nothing_else():
    weights = trained(LARGE)
    network, old = (network_from_weights(MODEL, weights) for _ in range(2))
    fresh = MODEL.build(LARGE)
    renew(network, fresh, ["latent", "decode_half.1"])
    sources = {"latent": fresh, "decode_half.1": fresh}
    for name, value in network.state_dict().items():
        part = next((p for p in sources if name.startswith(f"{p}.")), None)
        expected = old if part is None else fresh
        assert torch.equal(value, expected.state_dict()[name]), name
    with pytest.raises(TrainingError, match="--renew nothing: the network has no such part"):
        renew(network, fresh, ["nothing"])


def test_what_was_added_learns():
    grown = grown_network(with_spec(LARGE), trained(), Path("small"))
    optimizer = torch.optim.SGD(grown.parameters(), lr=0.1)
    before = {name: value.clone() for name, value in grown.named_parameters()}
    for _ in range(3):  # a layer behind one that was zero follows a step later
        optimizer.zero_grad()
        grown(torch.rand(2, 4, 16, 16)).square().mean().backward()
        optimizer.step()
    still = [name for name, value in grown.named_parameters() if (value == before[name]).all()]
    assert not still
    added = grown.get_parameter("decode_fine.0.first.weight")
    assert (added[8:, 8:] != before["decode_fine.0.first.weight"][8:, 8:]).any()


def test_weights_of_a_larger_network_are_refused():
    with pytest.raises(WeightsError, match=r"large: \S+ has no place in the larger network"):
        grown_network(with_spec(SMALL), trained(LARGE), Path("large"))


def test_a_network_whose_new_layers_change_the_answer_is_refused():
    class Chain(nn.Module):
        def __init__(self, depth):
            super().__init__()
            self.layers = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(depth)))

        def forward(self, x):
            return self.layers(x)

    def model(depth):
        spec = ModelSpec("chain-1", options={"depth": depth})
        return Model("chain", spec, build=lambda spec: Chain(spec.options["depth"]))

    one = model(1)
    weights = weights_from_network(one.build(one.spec), one.spec, "chain", {})
    grown_network(one, weights, Path("chain"))
    with pytest.raises(WeightsError, match="cannot be grown from these weights"):
        grown_network(model(2), weights, Path("chain"))


def test_generators_grow_too():
    class Generator(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.inner = nn.Linear(5, width)
            self.up = nn.ConvTranspose2d(width, width + 1, 4)
            self.norm = nn.BatchNorm2d(width + 1)
            self.last = nn.Conv2d(width + 1, 3, 1)

        def forward(self, x):
            x = torch.relu(self.inner(x))[..., None, None]
            return self.last(torch.relu(self.norm(self.up(x))))

    def model(width):
        spec = ModelSpec("g-1", latent=5, options={"width": width})
        return Model("g", spec, build=lambda spec: Generator(spec.options["width"]))

    small = model(4)
    network = small.build(small.spec)
    network(torch.randn(16, 5))  # moves the running statistics
    weights = weights_from_network(network, small.spec, "g", {})
    x = torch.randn(3, 5)
    grown = grown_network(model(9), weights, Path("g"))
    torch.testing.assert_close(grown(x), network.eval()(x), atol=1e-5, rtol=0)
