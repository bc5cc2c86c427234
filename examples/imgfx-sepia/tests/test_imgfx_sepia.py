"""Sepia of colours, gray, 16 bits and alpha."""

import numpy as np
import pytest
from imgfx_sepia import sepia

from imgfx.api import Image
from imgfx.testing import apply


def test_white_is_toned_and_black_stays() -> None:
    """Red and green of white are full, blue is not."""
    pixels = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    np.testing.assert_allclose(
        apply(sepia, Image(pixels)).pixels, [[[0, 0, 0], [1, 1, 0.937]]], atol=1e-6
    )


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_gray_becomes_rgb_and_keeps_its_depth(dtype: str) -> None:
    """Whatever the depth, the colours are the same."""
    half = 0.5 if dtype == "float32" else np.iinfo(dtype).max // 2
    result = apply(sepia, Image(np.full((2, 3, 1), half, dtype), depth=dtype, name="a"))
    assert result.pixels.shape == (2, 3, 3)
    assert (result.depth, result.name) == (dtype, "a")
    np.testing.assert_allclose(result.pixels[0, 0], [0.6755, 0.6015, 0.4685], atol=0.003)


def test_alpha_is_kept() -> None:
    """Not a bit of it changes."""
    alpha = np.arange(6, dtype=np.uint8).reshape(2, 3)
    result = apply(sepia, Image(np.full((2, 3, 3), 9, np.uint8), alpha), "--amount", "0.3")
    np.testing.assert_array_equal(result.alpha, alpha)


def test_amount_mixes_with_the_original() -> None:
    """Half of it is the mean, none of it the original."""
    image = Image(np.random.default_rng(0).random((4, 5, 3), np.float32), depth="float32")
    half, full = apply(sepia, image, "--amount", "0.5"), apply(sepia, image)
    np.testing.assert_allclose(half.pixels, (image.pixels + full.pixels) / 2, atol=1e-6)
    assert apply(sepia, image, "--amount", "0") is image
