"""Comparisons pass what is equal, and say of the rest how much differs and where."""

import numpy as np
import pytest

from imgfx.image import Image
from imgfx.testing import assert_images_equal, difference, sample_image


def test_equal_images_pass_whatever_their_depth():
    image = sample_image(6, 5, alpha=True)
    assert_images_equal(image, image)
    assert_images_equal(image, Image(image.floats, image.alpha))
    assert_images_equal(image.pixels, image.floats)


def changed(image):
    pixels = image.floats.copy()
    pixels[2, 1:4, 1] += 0.25
    return image.with_pixels(pixels)


def test_a_failure_says_how_much_and_where():
    image = sample_image(6, 5, depth="float32")
    with pytest.raises(AssertionError) as failure:
        assert_images_equal(changed(image), image, max_error=0.01)
    text = str(failure.value)
    assert "pixels differ: largest error 0.25 (limit 0.01) at row 2, column" in text
    assert "channel 1" in text
    assert "3 of 90 values are beyond it, in rows 2 to 2 and columns 1 to 3" in text


def test_errors_up_to_the_limit_pass():
    image = sample_image(6, 5, depth="float32")
    assert_images_equal(changed(image), image, max_error=0.26, mean_error=0.26 * 3 / 90)
    with pytest.raises(AssertionError, match=r"mean error 0\.00833 is more than 0\.008"):
        assert_images_equal(changed(image), image, max_error=0.26, mean_error=0.008)


def test_not_a_number_equals_nothing():
    image = sample_image(6, 5, depth="float32")
    broken = image.pixels.copy()
    broken[3, 4] = np.nan
    with pytest.raises(AssertionError, match=r"largest error inf .* at row 3, column 4"):
        assert_images_equal(broken, image)


def test_shapes_and_alpha_are_compared_too():
    image = sample_image(6, 5)
    with pytest.raises(AssertionError, match=r"pixels: found \(6, 5, 3\), expected \(5, 6, 3\)"):
        assert_images_equal(image, sample_image(5, 6))
    with pytest.raises(AssertionError, match="alpha: found none, expected some"):
        assert_images_equal(image, sample_image(6, 5, alpha=True))
    other = sample_image(6, 5, alpha=True)
    with pytest.raises(AssertionError, match="alpha differ"):
        assert_images_equal(Image(image.pixels, other.alpha), Image(image.pixels, other.alpha // 2))


def test_the_difference_is_told():
    image = sample_image(6, 5, depth="float32")
    seen = difference(changed(image), image)
    assert seen.largest == pytest.approx(0.25, abs=1e-6)
    assert seen.mean == pytest.approx(0.25 * 3 / 90, abs=1e-6)
    assert (seen.place[0], seen.place[2]) == (2, 1)
    with pytest.raises(ValueError, match=r"found \(6, 5, 3\), expected \(1, 1, 3\)"):
        difference(image, np.zeros((1, 1, 3), np.uint8))
