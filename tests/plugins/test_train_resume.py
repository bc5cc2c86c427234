"""Resumed runs: they give what uninterrupted ones give, and go on with metrics and best figure."""

import json

import pytest
import torch
from support_models import TINY
from support_training import (
    FACTS,
    LineTask,
    after,
    assert_same,
    never,
    no_show,
    recorded_steps,
    resumed,
    run_of,
)

from imgfx.weights import load_weights

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", TINY)
def test_a_resumed_run_gives_the_weights_of_an_uninterrupted_one(tmp_path, shelf, name):
    model, spec = TINY[name]
    recipe, data = model.recipe(), shelf / ("png" if name == "gan-generate" else "photos")

    def run(folder, stop=never):
        torch.manual_seed(3)
        task = recipe.task([data], [], 2, model.build(spec))
        return run_of(
            folder, task, steps=12, stop=stop, model=model, recipe=recipe, spec=spec, facts=FACTS
        )

    whole = run(tmp_path / "whole")
    assert whole.execute(no_show) is True
    for stop in (5, 4):  # twice, so that what is saved after resuming counts too
        part = run(tmp_path / "parts", after(stop))
        if stop == 4:
            resumed(part)
        assert part.execute(no_show) is False
    rest = resumed(run(tmp_path / "parts"))
    assert rest.learner.step == 9
    assert rest.execute(no_show) is True
    one, other = load_weights(whole.plan.out), load_weights(rest.plan.out)
    assert one.digest == other.digest
    assert_same(whole.learner.state(), rest.learner.state())
    assert recorded_steps(rest.plan.metrics_path) == [5, 9, 12]


def test_a_stop_saves_what_is_learned_and_resuming_takes_a_longer_schedule(tmp_path):
    run = run_of(tmp_path, LineTask(), steps=10, stop=after(4))
    assert run.execute(no_show) is False
    assert run.progress == 0.4
    assert load_weights(run.plan.out).training["steps"] == "4"
    longer = resumed(run_of(tmp_path, LineTask(), steps=40))
    assert longer.progress == 0.1
    assert longer.execute(no_show) is True
    assert load_weights(run.plan.out).training["steps"] == "40"


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    run = run_of(tmp_path, LineTask(), steps=10)
    run.execute(no_show)
    before = run.digest
    again = resumed(run_of(tmp_path, LineTask(), steps=10))
    assert again.execute(no_show) is True
    assert again.digest == before == load_weights(run.plan.out).digest
    assert recorded_steps(again.plan.metrics_path) == [10]


def test_metrics_grow_after_resuming_from_an_older_state(tmp_path):
    run_of(tmp_path, LineTask(), steps=10, stop=after(3)).execute(no_show)
    run = run_of(tmp_path, LineTask(), steps=10, validate_seconds=0)
    old = run.plan.state_path.read_bytes()
    resumed(run).execute(no_show)
    run.plan.state_path.write_bytes(old)  # as if it had been killed before saving
    with run.plan.metrics_path.open("a") as file:
        file.write('{"step": 11, "minu')  # in the midst of a line
    again = resumed(run_of(tmp_path, LineTask(), steps=9, validate_seconds=0))
    again.execute(no_show)
    assert recorded_steps(again.plan.metrics_path) == [3, 4, 5, 6, 7, 8, 9]


def test_what_is_best_is_remembered_by_a_resumed_run(tmp_path):
    task = LineTask()
    task.scores = [5]
    run_of(tmp_path, task, steps=4, stop=after(1)).execute(no_show)
    again = LineTask()
    again.scores = [3]
    run = resumed(run_of(tmp_path, again, steps=4))
    run.execute(no_show)
    assert load_weights(run.plan.best_path).training["steps"] == "1"


def test_a_finished_run_that_is_resumed_keeps_its_last_losses(tmp_path):
    whole = run_of(tmp_path, LineTask(), steps=10)
    assert whole.execute(no_show) is True
    before = whole.plan.metrics_path.read_text()
    assert '"loss"' in before
    again = resumed(run_of(tmp_path, LineTask(), steps=10))
    assert again.execute(no_show) is True
    assert set(json.loads(again.plan.metrics_path.read_text())) == set(json.loads(before))
