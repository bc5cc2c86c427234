"""RED-Net-30 is trained from the outside in: its inner layers join when they are worth it."""

import types

import pytest
import torch

from imgfx_superres_rednet.network import OUTER, RedNet
from imgfx_superres_rednet.recipe import deepen


def narrow(depth=15):
    torch.manual_seed(0)
    return RedNet(8, depth)


def test_a_fresh_network_answers_the_same_shallow_and_whole():
    network, x = narrow(), torch.rand(2, 3, 20, 17)
    whole = network(x)
    assert (whole - x).abs().max() > 1e-3
    network.shallow = True
    torch.testing.assert_close(network(x), whole, atol=0, rtol=0)


def test_a_shallow_network_runs_and_trains_the_outer_layers_alone():
    network = narrow()
    network.shallow = True
    network(torch.rand(1, 3, 8, 8)).square().mean().backward()
    layers = [*network.convolutions, *network.deconvolutions]
    trained = [number for number, layer in enumerate(layers) if layer.weight.grad is not None]
    assert trained == [*range(OUTER), *range(30 - OUTER, 30)]


def test_inner_layers_join_late_in_the_run_and_stay():
    network = narrow()
    for progress, shallow in [(0.0, True), (0.59, True), (0.6, False), (0.1, True)]:
        deepen(network, progress)
        assert network.shallow is shallow
    deepen(network, 0.7)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.rand(1, 3, 8, 8)).square().mean().backward()
    optimizer.step()
    deepen(network, 0.1)  # as after resuming towards a later end
    assert not network.shallow


@pytest.mark.parametrize("depth", [2, 4, 5, 6, 7, 8, 15])
def test_any_depth_has_a_shallow_form(depth):
    network, x = narrow(depth), torch.rand(1, 3, 9, 9)
    whole = network(x)
    deepen(network, 0.0)
    assert network.shallow is (depth > OUTER)
    torch.testing.assert_close(network(x), whole, atol=0, rtol=0)


def test_weights_to_go_on_from_are_trained_whole():
    network = narrow()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
    deepen(network, 0.0)
    assert not network.shallow


def test_the_task_switches_before_each_step():
    from imgfx.training.restoration import RestorationTask

    network, seen = narrow(), []
    task = RestorationTask(
        network, [], [], lambda *_: None, [], 1, 8, "none",
        prepare=lambda given, progress: seen.append((given is network, progress)),
    )  # fmt: skip
    learner = types.SimpleNamespace(
        progress=0.25,
        autocast=lambda: torch.autocast("cpu", enabled=False),
        update=lambda name, loss: seen.append(name),
    )
    batch = {"input": torch.rand(1, 3, 8, 8), "target": torch.rand(1, 3, 8, 8)}
    task.step(learner, batch)
    assert seen == [(True, 0.25), "network"]
