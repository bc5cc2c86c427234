"""Losses that are no numbers: the run goes back to its last good state, or ends with it saved."""

import math

import numpy as np
import pytest
from support_training import LINE, LineTask, after, no_show, recorded_steps, resumed, run_of

from imgfx.errors import TrainingError
from imgfx.weights import load_weights
from imgfx_train.schedule import rate_factor
from imgfx_train.state import load_state

pytestmark = pytest.mark.usefixtures("one_thread")


def test_after_a_bad_loss_training_goes_on_from_the_good_state_at_half_the_rate(tmp_path, capsys):
    task = LineTask(bad=[3, 6])
    run = run_of(tmp_path, task, steps=10)
    run.execute(no_show)
    assert capsys.readouterr().err.splitlines() == [
        "imgfx: step 3: non-finite loss of 'line'; going back to step 0 at half the learning rate",
        "imgfx: step 2: non-finite loss of 'line'; going back to step 0 at half the learning rate",
    ]
    first = [rate_factor(s, s / 10, warmup=5, final=0) * 0.05 for s in range(10)]
    assert task.rates[:4] == pytest.approx(first[:4])
    assert task.rates[4:7] == pytest.approx([0.5 * rate for rate in first[:3]])
    assert task.rates[7:] == pytest.approx([0.25 * rate for rate in first])
    assert run.learner.step == 10
    assert all(np.isfinite(t).all() for t in load_weights(run.plan.out).tensors.values())


def test_a_validation_makes_a_state_good(tmp_path, capsys):
    run = run_of(tmp_path, LineTask(bad=[3]), steps=5, validate_seconds=0)
    run.execute(no_show)
    assert "going back to step 3" in capsys.readouterr().err
    assert recorded_steps(run.plan.metrics_path) == [1, 2, 3, 4, 5]


def test_figures_that_are_no_numbers_make_no_state_good(tmp_path, capsys):
    task = LineTask(bad=[3])
    task.scores = [1.0, math.nan, math.nan, 1.0]
    run = run_of(tmp_path, task, steps=4, validate_seconds=0)
    run.execute(no_show)
    assert "going back to step 1" in capsys.readouterr().err


def test_a_loss_that_stays_bad_ends_the_run_with_the_good_state_saved(tmp_path, capsys):
    run_of(tmp_path, LineTask(), steps=10, stop=after(4)).execute(no_show)
    run = resumed(run_of(tmp_path, LineTask(bad=range(2, 99)), steps=10))
    with pytest.raises(TrainingError, match=r"'line' stays non-finite.*of step 4.*lower --rate"):
        run.execute(no_show)
    assert capsys.readouterr().err.count("going back to step 4") == 10
    task = LineTask()
    rest = resumed(run_of(tmp_path, task, steps=10))
    assert rest.learner.step == 4
    rest.execute(no_show)
    assert task.rates[0] == pytest.approx(rate_factor(4, 0.4, warmup=5, final=0) * 0.05)
    assert load_weights(rest.plan.out).training["steps"] == "10"


def test_the_good_state_is_saved_even_if_nothing_was_saved_before(tmp_path):
    run = run_of(tmp_path, LineTask(bad=range(99)), steps=10)
    with pytest.raises(TrainingError, match="of step 0"):
        run.execute(no_show)
    assert load_state(run.plan.state_path, LINE)["learner"]["step"] == 0
    assert all(np.isfinite(t).all() for t in load_weights(run.plan.out).tensors.values())
