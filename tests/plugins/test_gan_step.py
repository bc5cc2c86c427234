"""The lecture's step of a GAN, point by point, on small real networks."""

import copy
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from imgfx_gan_generate.model import generator_spec
from imgfx_gan_generate.networks import Discriminator, Generator
from imgfx_gan_generate.recipe import GanTask, Variant
from imgfx_gan_generate.step import gradient_penalty, lecture_step

COUNT = 6
SPEC = generator_spec(size=8, channels=1, width=8, latent=4)


class Calls:
    """What went into a network and came out of it."""

    def __init__(self, network):
        self.inputs, self.outputs = [], []
        network.register_forward_hook(self._note)

    def _note(self, _network, arguments, output):
        if output.requires_grad:
            output.retain_grad()
        self.inputs.append(arguments[0])
        self.outputs.append(output)


class RecordingLearner:
    """A learner with plain gradient descent that keeps what happened."""

    def __init__(self, **networks):
        self.networks = networks
        self.step = 0
        self.calls = {name: Calls(network) for name, network in networks.items()}
        self.updates = []

    def autocast(self):
        return nullcontext()

    def update(self, name, loss):
        before = {key: copy.deepcopy(n.state_dict()) for key, n in self.networks.items()}
        self.networks[name].zero_grad()
        loss.backward()
        grads = {
            key: [None if p.grad is None else p.grad.clone() for p in network.parameters()]
            for key, network in self.networks.items()
        }
        with torch.no_grad():
            for parameter in self.networks[name].parameters():
                parameter -= 0.1 * parameter.grad
        after = {key: copy.deepcopy(n.state_dict()) for key, n in self.networks.items()}
        self.updates.append((name, loss.detach().clone(), before, after, grads))


def changed(before, after):
    return any(not torch.equal(before[key], after[key]) for key in before)


@pytest.fixture
def learner():
    torch.manual_seed(0)
    return RecordingLearner(generator=Generator(SPEC), discriminator=Discriminator(8, 1, 4, 2))


@pytest.fixture
def originals():
    return torch.rand(COUNT, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def latents():
    return torch.randn(COUNT, 4, generator=torch.Generator().manual_seed(2))


def test_1_a_minibatch_of_originals_is_taken_from_the_data(learner):
    training = np.arange(40, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2)
    held_out = training + 100
    networks = learner.networks["generator"], learner.networks["discriminator"]
    task = GanTask(*networks, training, held_out, Variant(4, 2, 0.5), batch_size=64, data="here")
    batch = task.batch(np.random.default_rng(0))
    assert batch["originals"].shape == (64, 1, 8, 8)
    assert batch["originals"].dtype == batch["latents"].dtype == np.float32
    assert batch["latents"].shape == (64, 4)
    values = np.rint(batch["originals"] * 255)
    assert (np.ptp(values, axis=(1, 2, 3)) == 0).all()
    assert set(values[:, 0, 0, 0]) <= set(range(40))
    assert len(set(values[:, 0, 0, 0])) > 20


def test_2_the_generator_makes_as_many_fakes_as_there_are_originals(learner, originals, latents):
    lecture_step(learner, originals, latents)
    calls = learner.calls["generator"]
    assert len(calls.inputs) == 1
    assert calls.inputs[0] is latents
    assert calls.outputs[0].shape == originals.shape


def test_3_originals_and_fakes_go_through_the_discriminator_at_once(learner, originals, latents):
    lecture_step(learner, originals, latents)
    fakes = learner.calls["generator"].outputs[0]
    extended = learner.calls["discriminator"].inputs[0]
    assert extended.shape == (2 * COUNT, 1, 8, 8)
    assert torch.equal(extended[:COUNT], originals)
    assert torch.equal(extended[COUNT:], fakes)
    assert learner.calls["discriminator"].outputs[0].shape == (2 * COUNT,)


def test_4_labels_are_one_for_originals_and_zero_for_fakes(learner, originals, latents):
    lecture_step(learner, originals, latents)
    # The gradient of the loss with respect to a logit is negative where the label is 1.
    grad = learner.calls["discriminator"].outputs[0].grad
    assert (grad[:COUNT] < 0).all()
    assert (grad[COUNT:] > 0).all()


def test_5_the_loss_is_the_sigmoid_cross_entropy_of_logits_and_labels(learner, originals, latents):
    figures = lecture_step(learner, originals, latents)
    logits = learner.calls["discriminator"].outputs[0]
    share = torch.sigmoid(logits.detach())
    labels = torch.tensor([1.0] * COUNT + [0.0] * COUNT)
    expected = -(labels * share.log() + (1 - labels) * (1 - share).log()).mean()
    assert figures["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(logits.grad, (share - labels) / (2 * COUNT))


def test_6_the_discriminator_learns_without_changing_the_generator(learner, originals, latents):
    figures = lecture_step(learner, originals, latents)
    name, loss, before, after, grads = learner.updates[0]
    assert name == "discriminator"
    assert loss == figures["loss"]
    assert changed(before["discriminator"], after["discriminator"])
    assert not changed(before["generator"], after["generator"])
    assert grads["generator"] == [None] * len(grads["generator"])  # the fakes were detached


def test_6_the_generator_learns_from_fakes_labelled_as_originals(learner, originals, latents):
    figures = lecture_step(learner, originals, latents)
    assert [update[0] for update in learner.updates] == ["discriminator", "generator"]
    _, loss, before, after, grads = learner.updates[1]
    assert changed(before["generator"], after["generator"])
    assert not changed(before["discriminator"], after["discriminator"])
    assert all(grad is not None and grad.abs().max() > 0 for grad in grads["generator"])
    calls = learner.calls["discriminator"]
    assert calls.inputs[1] is learner.calls["generator"].outputs[0]
    assert figures["generator_loss"] == loss
    # Through the discriminator as it is after its own update.
    discriminator = Discriminator(8, 1, 4, 2)
    discriminator.load_state_dict(before["discriminator"])
    fooled = discriminator(calls.inputs[1].detach())
    assert loss.item() == pytest.approx(functional.softplus(-fooled).mean().item(), rel=1e-5)


def test_the_share_judged_rightly_counts_both_kinds(learner, originals, latents):
    for bias, expected in ((100.0, 0.5), (-100.0, 0.5)):
        with torch.no_grad():
            learner.networks["discriminator"].judge.bias.fill_(bias)
        assert lecture_step(learner, originals, latents)["rightly"] == expected


def test_the_discriminator_comes_to_tell_originals_from_noise(learner):
    originals = torch.full((COUNT, 1, 8, 8), 0.9)
    draw = torch.Generator().manual_seed(0)
    figures = [
        lecture_step(learner, originals, torch.randn(COUNT, 4, generator=draw)) for _ in range(60)
    ]
    fakes = learner.calls["generator"].outputs
    # The generator is drawn towards the originals, and the discriminator's task gets harder.
    assert (fakes[-1] - 0.9).abs().mean() < 0.5 * (fakes[0] - 0.9).abs().mean()
    assert all(torch.isfinite(value) for step in figures for value in step.values())


def test_a_penalty_is_added_to_what_the_discriminator_minimises(learner, originals, latents):
    seen = []

    def penalty(images):
        seen.append(images)
        return torch.tensor(7.0)

    figures = lecture_step(learner, originals, latents, penalty)
    assert seen == [originals]
    assert learner.updates[0][1] == pytest.approx(figures["loss"].item() + 7)
    assert learner.updates[1][1] == figures["generator_loss"]


class Linear(nn.Module):
    """Logits w . x + 3: their gradient is w everywhere."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.arange(1.0, 13).reshape(3, 2, 2))

    def forward(self, images):
        return (images * self.weight).sum(dim=(1, 2, 3)) + 3


def test_r1_of_a_linear_discriminator_is_half_its_squared_weights():
    discriminator = Linear()
    value = gradient_penalty(discriminator, 0.25)(torch.rand(5, 3, 2, 2))
    squares = sum(n * n for n in range(1, 13))
    assert value.item() == pytest.approx(0.5 * 0.25 * squares)
    value.backward()
    torch.testing.assert_close(discriminator.weight.grad, 0.25 * discriminator.weight.data)


def test_r1_is_the_mean_over_originals():
    # Logits sum of squares: the gradient is 2 x, its square 4 |x|^2.
    originals = torch.rand(4, 1, 3, 3)
    value = gradient_penalty(lambda x: x.square().sum(dim=(1, 2, 3)), 1.0)(originals)
    expected = 0.5 * 4 * originals.square().sum(dim=(1, 2, 3)).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert not originals.requires_grad
