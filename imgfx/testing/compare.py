"""Compare images; where they differ, say by how much and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imgfx.image import Image, float_from_pixels

_ROUNDING = 1e-6
"""By which values of different depths differ when they mean the same."""


@dataclass(frozen=True)
class Difference:
    """How two arrays of one shape differ; errors are those of values in [0, 1]."""

    largest: float
    """Largest absolute error; infinite where one of the two is no number."""
    mean: float
    """Mean absolute error."""
    place: tuple[int, ...]
    """Of the largest: row, column and, where there are channels, the channel."""
    values: tuple[float, float]
    """(found, expected) there."""


def difference(found: Image | npt.NDArray[Any], expected: Image | npt.NDArray[Any]) -> Difference:
    """How the pixels of two images, or two arrays of pixels, differ.

    Raises:
        ValueError: they have not the same shape.
    """
    one, other = (float_from_pixels(_pixels(image)) for image in (found, expected))
    if one.shape != other.shape:
        raise ValueError(f"found {one.shape}, expected {other.shape}")
    return _difference(one, other)


def _difference(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> Difference:
    errors = np.abs(one.astype(np.float64) - other)
    errors[np.isnan(errors)] = np.inf
    place = tuple(int(part) for part in np.unravel_index(int(errors.argmax()), errors.shape))
    values = float(one[place]), float(other[place])
    return Difference(float(errors[place]), float(errors.mean()), place, values)


def assert_images_equal(
    found: Image | npt.NDArray[Any],
    expected: Image | npt.NDArray[Any],
    *,
    max_error: float = _ROUNDING,
    mean_error: float | None = None,
) -> None:
    """Asserts that two images have the same pixels and the same alpha.

    Depths may differ: values are compared in [0, 1]. Arrays stand for images without alpha.

    Args:
        found: what a stage answered.
        expected: what it should have.
        max_error: of any value; 1 / 255 is one step of 8 bits.
        mean_error: of all values, when given.

    Raises:
        AssertionError: they differ; it says by how much and where.
    """
    _assert_equal("pixels", _pixels(found), _pixels(expected), max_error, mean_error)
    alphas = _alpha(found), _alpha(expected)
    if alphas[0] is None or alphas[1] is None:
        one, other = ("none" if alpha is None else "some" for alpha in alphas)
        if one != other:
            raise AssertionError(f"alpha: found {one}, expected {other}")
        return
    _assert_equal("alpha", alphas[0], alphas[1], max_error, mean_error)


def _assert_equal(
    what: str,
    found: npt.NDArray[Any],
    expected: npt.NDArray[Any],
    max_error: float,
    mean_error: float | None,
) -> None:
    if found.shape != expected.shape:
        raise AssertionError(f"{what}: found {found.shape}, expected {expected.shape}")
    one, other = float_from_pixels(found), float_from_pixels(expected)
    seen = _difference(one, other)
    if seen.largest > max_error:
        beyond = ~(np.abs(one.astype(np.float64) - other) <= max_error)
        raise AssertionError(f"{what} differ: {_told(seen, max_error)}; {_where(beyond)}")
    if mean_error is not None and seen.mean > mean_error:
        raise AssertionError(
            f"{what} differ: mean error {seen.mean:.3g} is more than {mean_error:.3g}; "
            f"{_told(seen, max_error)}"
        )


def _told(seen: Difference, limit: float) -> str:
    row, column, *channel = seen.place
    place = f"row {row}, column {column}" + "".join(f", channel {c}" for c in channel)
    found, expected = seen.values
    return (
        f"largest error {seen.largest:.3g} (limit {limit:.3g}) at {place}: "
        f"found {found:.6g}, expected {expected:.6g}"
    )


def _where(beyond: npt.NDArray[np.bool_]) -> str:
    """How many values are beyond the limit, and in which rows and columns."""
    rows, columns = np.nonzero(beyond)[:2]
    return (
        f"{int(beyond.sum())} of {beyond.size} values are beyond it, in rows {rows.min()} to "
        f"{rows.max()} and columns {columns.min()} to {columns.max()}"
    )


def _pixels(image: Image | npt.NDArray[Any]) -> npt.NDArray[Any]:
    return image.pixels if isinstance(image, Image) else image


def _alpha(image: Image | npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    return image.alpha if isinstance(image, Image) else None
