"""Muon and its company: steps that are orthogonal, weights that are left to Adam."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from support_training import RECIPE, LineTask
from torch import nn

from imgfx.training.recipe import Recipe
from imgfx_superres_rednet.model import MODEL as REDNET
from imgfx_superres_rednet.model import rednet_spec
from imgfx_train.learner import Learner
from imgfx_train.optimizers import Muon, Optimizers, hidden_weights, orthogonal

pytestmark = pytest.mark.usefixtures("one_thread")

MUON = Recipe(task=RECIPE.task, metric="score", batch=1, steps=1, rate=0.01, muon=4.0)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(3, 6, 40), (2, 40, 6), (1, 8, 8)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    matrices = random(*shape)
    result = orthogonal(matrices)
    values = torch.linalg.svdvals(result)
    assert result.shape == shape
    assert values.max() < 1.3
    if shape[1] != shape[2]:  # a square random matrix may have a singular value near zero
        assert values.min() > 0.6
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    nearest = left @ right
    alike = (result * nearest).sum() / (result.norm() * nearest.norm())
    assert alike > 0.95


def test_scale_and_sign_of_a_gradient_do_not_count_but_its_direction():
    matrices = random(1, 6, 40)
    torch.testing.assert_close(orthogonal(1e-3 * matrices), orthogonal(matrices), rtol=0, atol=1e-3)
    torch.testing.assert_close(orthogonal(-matrices), -orthogonal(matrices))


def test_a_step_goes_down_at_the_size_that_adam_has():
    weight = nn.Parameter(random(16, 16, 3, 3))
    start = weight.detach().clone()
    muon = Muon([weight], rate=0.01)
    (weight * random(16, 16, 3, 3, seed=1)).sum().backward()
    muon.step()
    change = weight.detach() - start
    assert (change * weight.grad).sum() < 0
    assert change.square().mean().sqrt() == pytest.approx(0.2 * 0.01, rel=0.2)


def test_weights_of_a_shape_are_moved_as_if_they_were_alone():
    def moved(count):
        weights = [nn.Parameter(random(8, 4, 3, 3, seed=k)) for k in range(count)]
        muon = Muon(weights, rate=0.1)
        for _ in range(3):
            muon.zero_grad()
            sum(w.square().sum() for w in weights).backward()
            muon.step()
        return weights[0].detach()

    torch.testing.assert_close(moved(3), moved(1), rtol=0, atol=1e-5)


def test_momentum_remembers_former_gradients():
    weight = nn.Parameter(random(4, 9))
    muon = Muon([weight], rate=0.1)
    weight.grad = random(4, 9, seed=1)
    muon.step()
    before = weight.detach().clone()
    weight.grad = torch.zeros(4, 9)
    muon.step()
    assert (weight.detach() - before).abs().max() > 1e-3


def test_first_and_last_layer_and_biases_are_left_to_adam():
    network = REDNET.build(rednet_spec(8, 3))
    hidden = {id(weight) for weight in hidden_weights(network)}
    names = {name for name, weight in network.named_parameters() if id(weight) in hidden}
    assert names == {
        "convolutions.1.weight", "convolutions.2.weight",
        "deconvolutions.0.weight", "deconvolutions.1.weight",
    }  # fmt: skip


@pytest.mark.parametrize("muon", [0.0, 4.0])
def test_every_weight_is_moved_once(muon):
    network = REDNET.build(rednet_spec(8, 3))
    optimizers = Optimizers(network, dataclasses.replace(MUON, muon=muon))
    before = [p.detach().clone() for p in network.parameters()]
    network(random(1, 3, 12, 12)).square().sum().backward()
    optimizers.step()
    for old, new in zip(before, network.parameters(), strict=True):
        assert not torch.equal(old, new)
    optimizers.zero_grad()
    assert all(p.grad is None for p in network.parameters())


def test_no_rate_moves_nothing():
    network = REDNET.build(rednet_spec(8, 3))
    optimizers = Optimizers(network, MUON)
    optimizers.set_rate(0.0)
    before = [p.detach().clone() for p in network.parameters()]
    network(random(1, 3, 12, 12)).square().sum().backward()
    optimizers.step()
    for old, new in zip(before, network.parameters(), strict=True):
        assert torch.equal(old, new)


class DeepTask(LineTask):
    """The line, learned by three layers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 1))


def test_a_restored_learner_goes_on_as_if_nothing_had_happened():
    def learn(learner, task, rng, count):
        for _ in range(count):
            batch = {name: torch.from_numpy(part) for name, part in task.batch(rng).items()}
            task.step(learner, batch)
            learner.follow()
        return [p.detach().clone() for p in learner.shipped.parameters()]

    task = DeepTask()
    learner, rng = Learner(task, MUON, "cpu", "fp32"), np.random.default_rng(0)
    learn(learner, task, rng, 5)
    state, place = copy.deepcopy(learner.state()), rng.bit_generator.state
    expected = learn(learner, task, rng, 5)
    other = DeepTask()
    again = Learner(other, MUON, "cpu", "fp32")
    again.restore(state)
    rng.bit_generator.state = place
    for one, two in zip(learn(again, other, rng, 5), expected, strict=True):
        assert torch.equal(one, two)
