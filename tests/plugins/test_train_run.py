"""A training run, from inside: what it learns, measures, keeps as best and writes."""

import json
import math

import numpy as np
import pytest
import torch
from support_training import FACTS, LINE, LineTask, after, no_show, recorded_steps, records, run_of

from imgfx.errors import TrainingError, WeightsError
from imgfx.weights import load_weights
from imgfx_train.card import card_text
from imgfx_train.run import Means

pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_easy_task_is_learned(tmp_path):
    losses = []
    run = run_of(tmp_path, LineTask(), steps=500)
    assert run.execute(lambda _, values: losses.append(values["loss"])) is True
    assert len(losses) == 500
    assert np.mean(losses[-10:]) < 1e-3 * np.mean(losses[:10])
    weights = load_weights(run.plan.out)
    np.testing.assert_allclose(weights.tensors["layer.weight"], [[1, 2, 3]], atol=0.05)
    np.testing.assert_allclose(weights.tensors["layer.bias"], [4], atol=0.05)


def test_metrics_hold_losses_and_figures_of_growing_steps(tmp_path):
    run, losses = run_of(tmp_path, LineTask(), steps=5, validate_seconds=0), []
    run.execute(lambda _, values: losses.append(values["loss"]))
    assert recorded_steps(run.plan.metrics_path) == [1, 2, 3, 4, 5]
    written = records(run.plan.metrics_path)
    assert [record["loss"] for record in written] == pytest.approx(losses, abs=1e-5)
    for record in written:
        assert set(record) == {"step", "minutes", "data_share", "loss", "score", "error"}
        assert 0 <= record["data_share"] <= 1


def test_figures_that_json_does_not_know_are_null(tmp_path):
    task = LineTask()
    task.scores = [math.inf] * 3
    run = run_of(tmp_path, task, steps=2)
    run.execute(no_show)
    text = run.plan.metrics_path.read_text()
    assert json.loads(text, parse_constant=pytest.fail)["score"] is None
    assert "| score | not finite |" in card_text(run, finished=True)


def test_figures_may_be_numpy_s_numbers(tmp_path):
    task = LineTask()
    task.scores = [np.mean(np.float32([20, 30]))]
    run = run_of(tmp_path, task, steps=1)
    run.execute(no_show)
    (record,) = records(run.plan.metrics_path)
    assert record["score"] == 25
    best = load_weights(run.plan.best_path).training
    assert json.loads(best["metrics"])["score"] == 25


def test_the_best_weights_are_those_with_the_best_figure(tmp_path):
    task = LineTask()
    task.scores = [1, 5, 2, 4, 4]
    run = run_of(tmp_path, task, steps=4, validate_seconds=0)
    run.execute(no_show)
    best = load_weights(run.plan.best_path).training
    assert (best["steps"], json.loads(best["metrics"])["score"]) == ("2", 5)
    assert load_weights(run.plan.out).training["steps"] == "4"


def test_the_weights_are_the_average_and_say_how_they_were_made(tmp_path):
    task = LineTask()
    run = run_of(tmp_path, task, steps=6)
    run.execute(no_show)
    weights = load_weights(run.plan.out)
    average = run.learner.average.layer.weight.numpy()
    np.testing.assert_array_equal(weights.tensors["layer.weight"], average)
    assert not torch.equal(run.learner.average.layer.weight, task.network.layer.weight)
    assert weights.model == "line"
    assert weights.spec == LINE.spec
    assert set(FACTS) | {"steps", "minutes", "metrics"} == set(weights.training)


@pytest.mark.parametrize(
    ("finished", "licence", "expected"),
    [
        (True, "CC0", ["| licence of the data | CC0 |", "12 of 16 examples each, the whole run"]),
        (False, "", ["| licence of the data | not stated", "60 % of the run"]),
    ],
)
def test_the_card_says_what_the_weights_are(tmp_path, finished, licence, expected):
    run = run_of(
        tmp_path, LineTask(), steps=12 if finished else 20, stop=after(12),
        facts={**FACTS, "licence": licence},
    )  # fmt: skip
    assert run.execute(no_show) is finished
    text = card_text(run, finished)
    error = run.figures["error"]
    for part in [
        *expected, "# line\n\nA line.\n", "| parameters | 4 |", "abacus", "0.05, 7",
        "3 lines, 1 held out, of here", load_weights(run.plan.out).digest, "(a.samples.png)",
        f"| error | {error:.3f} |", "\n    imgfx train line --data 'my photos'\n",
    ]:  # fmt: skip
        assert part in text, part


def test_a_new_run_leaves_nothing_of_an_older_one_but_its_weights(tmp_path):
    old = run_of(tmp_path, LineTask(), steps=3)
    old.execute(no_show)
    (tmp_path / "a.md").write_text("of the older one")
    older = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    run = run_of(tmp_path, LineTask())
    run.start_anew()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == older
    run.save()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"a.safetensors", "a.state", "a.samples.png"}
    assert (tmp_path / "a.state").read_bytes() != older["a.state"]


def test_a_folder_that_cannot_be_made_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    run = run_of(tmp_path / "file", LineTask(), steps=1)
    with pytest.raises((TrainingError, WeightsError)) as raised:
        run.save()
    assert "a.safetensors: cannot write" in raised.value.format_message()


def test_means_are_of_the_steps_that_told_them():
    means = Means()
    for step in range(16):
        means.add({"loss": float(step), **({"penalty": 8.0} if step == 0 else {})})
    assert means.take() == {"loss": 7.5, "penalty": 8.0}
    assert means.take() == {}
