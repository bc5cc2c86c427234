"""How near a set of generated images is to a set of real ones.

All but the sliced Wasserstein distance compare features, (N, D) arrays with a row for each image,
of any network; which one must be said beside the figure. Distances are Euclidean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.floating]

_ROWS = 1024
"""Of a distance matrix that are held at once."""
_PROJECTIONS = 256
_NEIGHBOURS = 5


@dataclass(frozen=True)
class Manifold:
    """How two sets cover each other, by balls that reach to each point's k-th neighbour."""

    density: float
    """How many real balls a fake lies in, over k; near 1 for equal distributions, may exceed it."""
    coverage: float
    """Share of the real balls that hold a fake."""
    precision: float
    """Share of the fakes that lie in a real ball."""
    recall: float
    """Share of the real images that lie in a fake's ball."""


def manifold(real: Float, fake: Float, k: int = _NEIGHBOURS) -> Manifold:
    """Density, coverage, precision and recall of (N, D) real and (M, D) fake features; N, M > k.

    Sources: Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020,
    eq. 4 and 6; Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative
    Models, NeurIPS 2019, eq. 1.
    """
    real_radii, fake_radii = radii(real, k), radii(fake, k)
    within = np.zeros(len(fake), np.int64)
    recalled, covered = [], []
    for rows, distances in _squared_distances(real, fake):
        inside = distances <= real_radii[rows, None]
        within += inside.sum(axis=0)
        covered.append(inside.any(axis=1))
        recalled.append((distances <= fake_radii).any(axis=1))
    return Manifold(
        density=float(within.mean() / k),
        coverage=float(np.concatenate(covered).mean()),
        precision=float((within > 0).mean()),
        recall=float(np.concatenate(recalled).mean()),
    )


def radii(points: Float, k: int) -> npt.NDArray[np.float64]:
    """(N,) squared distances from each of (N, D) points to its k-th nearest other one."""
    parts = []
    for rows, distances in _squared_distances(points, points):
        distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = np.inf
        parts.append(np.partition(distances, k - 1, axis=1)[:, k - 1])
    return np.concatenate(parts)


def nearest(points: Float, others: npt.NDArray[Any], count: int) -> npt.NDArray[np.intp]:
    """(N, count) indices of the rows of `others` nearest to each of (N, D) points, nearest first.

    The others are gone through in parts, so there may be many.
    """
    best = np.full((len(points), count), np.inf)
    indices = np.zeros((len(points), count), np.intp)
    for rows, distances in _squared_distances(others, points):
        numbers = np.broadcast_to(np.arange(rows.start, rows.stop), distances.T.shape)
        near = np.concatenate([best, distances.T], axis=1)
        known = np.concatenate([indices, numbers], axis=1)
        order = np.argsort(near, axis=1, kind="stable")[:, :count]
        best = np.take_along_axis(near, order, axis=1)
        indices = np.take_along_axis(known, order, axis=1)
    return indices


def _squared_distances(
    points: npt.NDArray[Any], others: npt.NDArray[Any]
) -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
    """The distance matrix in parts: a slice of rows, and their distances to all others."""
    # Around their mean, lest small distances of large numbers drown in rounding.
    middle = others.mean(axis=0, dtype=np.float64)
    right = others - middle
    squares = np.square(right).sum(axis=1)
    for start in range(0, len(points), _ROWS):
        rows = slice(start, min(len(points), start + _ROWS))
        left = points[rows] - middle  # floats, of whatever the points are
        distances = np.square(left).sum(axis=1)[:, None] + squares - 2 * (left @ right.T)
        yield rows, np.maximum(distances, 0)


def frechet(real: Float, fake: Float) -> float:
    """Squared Fréchet distance of the Gaussians fitted to two sets of features; 0 for equal ones.

    Source: Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NIPS 2017, eq. 6. There the
    features are Inception's; figures in other features cannot be compared with those.
    """
    shift = real.mean(axis=0, dtype=np.float64) - fake.mean(axis=0, dtype=np.float64)
    one, other = (np.atleast_2d(np.cov(part, rowvar=False)) for part in (real, fake))
    root = _square_root(one)
    cross = _square_root(root @ other @ root)
    return float(max(0.0, shift @ shift + np.trace(one) + np.trace(other) - 2 * np.trace(cross)))


def _square_root(matrix: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Of a symmetric positive semidefinite matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    scaled = vectors * np.sqrt(np.maximum(values, 0))
    return np.asarray(scaled @ vectors.T, dtype=np.float64)


def sliced_wasserstein(images: Float, others: Float) -> float:
    """Mean distance of two sets of images along random directions in pixel space; 0 if equal.

    Both are (N, H, W, C) with the same N.

    Source: Rabin, Peyre, Delon, Bernot, Wasserstein Barycenter and its Application to Texture
    Mixing, 2011, eq. 9.
    """
    flat, other = images.reshape(len(images), -1), others.reshape(len(others), -1)
    directions = np.random.default_rng(0).standard_normal((flat.shape[1], _PROJECTIONS))
    directions = (directions / np.linalg.norm(directions, axis=0)).astype(np.float32)
    along, beside = np.sort(flat @ directions, axis=0), np.sort(other @ directions, axis=0)
    return float(np.abs(along - beside).mean())
