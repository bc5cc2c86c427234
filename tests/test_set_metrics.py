"""Distances between sets of images, against what can be said of them without computing."""

import numpy as np
import pytest

from imgfx.set_metrics import frechet, manifold, nearest, radii, sliced_wasserstein


def normal(count, size=8, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


def slow_manifold(real, fake, k):
    """The definitions of Naeem et al., word by word."""

    def distance(a, b):
        return np.sqrt(((a - b) ** 2).sum())

    def radius(points, i):
        return sorted(distance(points[i], p) for j, p in enumerate(points) if j != i)[k - 1]

    within = [[distance(f, r) <= radius(real, i) for i, r in enumerate(real)] for f in fake]
    recalled = [any(distance(r, f) <= radius(fake, j) for j, f in enumerate(fake)) for r in real]
    inside = np.array(within)
    return (
        inside.sum() / (k * len(fake)),
        inside.any(0).mean(),
        inside.any(1).mean(),
        np.mean(recalled),
    )


def test_the_four_measures_are_those_of_their_definitions():
    real, fake = normal(25, 3), 1.3 * normal(20, 3, seed=1) + 0.4
    found = manifold(real, fake, k=3)
    expected = slow_manifold(real.astype(float), fake.astype(float), 3)
    values = (found.density, found.coverage, found.precision, found.recall)
    assert values == pytest.approx(expected)
    assert all(value > 0 for value in values)


def test_equal_distributions_are_dense_and_covered():
    found = manifold(normal(2500), normal(2500, seed=1))
    assert found.density == pytest.approx(1, abs=0.1)
    # The expectation for equal distributions: 1 - (N - 1)...(N - k) / ((2N - 1)...(2N - k)).
    assert found.coverage == pytest.approx(1 - 0.5**5, abs=0.02)


def test_one_real_image_repeated_is_precise_and_covers_nothing():
    real = normal(500)
    found = manifold(real, np.repeat(real[:1], 500, axis=0) + 1e-3 * normal(500))
    assert found.precision == 1
    assert found.coverage < 0.05
    assert found.recall < 0.05


def test_far_away_fakes_have_nothing_of_it():
    found = manifold(normal(300), normal(300, seed=1) + 100)
    assert (found.density, found.coverage, found.precision, found.recall) == (0, 0, 0, 0)


def test_large_numbers_do_not_drown_small_distances():
    real, fake = normal(300), normal(300, seed=1)
    near, far = manifold(real, fake), manifold(real + 1000, fake + 1000)
    assert far.density == pytest.approx(near.density, abs=0.02)


def test_a_point_is_no_neighbour_of_itself():
    line = np.float32([[0], [1], [3], [7]])
    np.testing.assert_allclose(radii(line, 1), [1, 1, 4, 16])
    np.testing.assert_allclose(radii(line, 2), [9, 4, 9, 36])


def test_the_nearest_come_in_order_over_many_parts():
    others = normal(2600, 4)
    found = nearest(others[[5, 2500]], others, 3)
    assert found[:, 0].tolist() == [5, 2500]
    for row, point in zip(found, others[[5, 2500]], strict=True):
        order = np.argsort(((others - point) ** 2).sum(axis=1))[:3]
        np.testing.assert_array_equal(row, order)


def test_the_frechet_distance_of_gaussians_is_their_formula():
    base = normal(4000, 3)
    base = (base - base.mean(0)) / base.std(0, ddof=1)
    assert frechet(base, base) == pytest.approx(0, abs=1e-6)
    assert frechet(base, base + np.float32([3, 0, 4])) == pytest.approx(25, rel=1e-4)
    # Of N(0, C) and N(0, 9 C): trace of C + 9 C - 6 C.
    assert frechet(base, 3 * base) == pytest.approx(4 * 3, rel=1e-3)


def test_equal_sets_are_at_no_distance_in_any_order():
    images = np.random.default_rng(0).random((10, 4, 4, 1), dtype=np.float32)
    assert sliced_wasserstein(images, images) == 0
    assert sliced_wasserstein(images, images[::-1]) == 0


def test_the_distance_grows_with_a_shift_and_is_that_along_each_direction():
    images = np.random.default_rng(0).random((10, 4, 4, 1), dtype=np.float32)
    near, far = (sliced_wasserstein(images, images + shift) for shift in (0.1, 0.3))
    assert far == pytest.approx(3 * near, rel=1e-4)
    # A shift by c along all 16 axes is one by 4 c; its mean share on a random direction is
    # Gamma(8) / (sqrt(pi) Gamma(8.5)), nearly 1 / 5.
    assert near == pytest.approx(4 * 0.1 * 0.2, rel=0.1)
