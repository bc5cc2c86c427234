"""Geometric self-ensemble: eight positions, each undone, and their mean."""

import numpy as np
import pytest
from support import picture

from imgfx.ensemble import POSITIONS, _back, _placed, self_ensembled


@pytest.fixture
def batch():
    """(N, C, h, w), neither square nor symmetric."""
    return np.stack([picture(9, 14), picture(9, 14)[::-1]]).transpose(0, 3, 1, 2)


def shifting(batch):
    """A network that knows left from right and above from below: it moves what it sees."""
    return np.pad(batch, ((0, 0), (0, 0), (1, 0), (2, 0)), mode="edge")[:, :, :-1, :-2]


def doubling(batch):
    return batch.repeat(2, axis=2).repeat(2, axis=3)


def test_the_positions_are_the_eight_of_a_square_and_each_is_undone(batch):
    placed = [_placed(batch, *position) for position in POSITIONS]
    assert len({part.tobytes() for part in placed}) == 8
    assert {part.shape[2:] for part in placed} == {(9, 14), (14, 9)}
    for part, position in zip(placed, POSITIONS, strict=True):
        np.testing.assert_array_equal(_back(part, *position), batch)


def test_what_treats_all_positions_alike_is_left_as_it_is(batch):
    mean = self_ensembled(doubling)(batch)
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, doubling(batch), atol=1e-6)


def test_the_mean_treats_all_positions_alike_whatever_the_network(batch):
    mean = self_ensembled(shifting)
    there = mean(batch)
    assert np.abs(there - shifting(batch)).max() > 0.01
    for position in POSITIONS:
        np.testing.assert_allclose(
            _back(mean(_placed(batch, *position)), *position), there, atol=1e-6
        )


def test_a_network_may_answer_in_the_same_array_each_time(batch):
    kept = {}

    def run(part):
        kept.setdefault(part.shape, np.empty_like(part))[...] = shifting(part)
        return kept[part.shape]

    np.testing.assert_array_equal(self_ensembled(run)(batch), self_ensembled(shifting)(batch))


def test_the_batch_is_left_alone(batch):
    before = batch.copy()
    self_ensembled(lambda part: part)(batch)
    np.testing.assert_array_equal(batch, before)
