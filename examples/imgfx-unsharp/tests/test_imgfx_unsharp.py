"""The unsharp mask: scikit-image's, at borders, with alpha, in bands, at any depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from imgfx_unsharp import mask as module
from imgfx_unsharp.gaussian import blurred_band, mirrored, reach
from imgfx_unsharp.mask import Mask, sharpened
from imgfx_unsharp.stage import unsharp
from scipy.ndimage import gaussian_filter
from skimage.filters import unsharp_mask

from imgfx.api import Image
from imgfx.testing import apply, assert_images_equal, sample_image

reference: Any = unsharp_mask  # has no types


@pytest.mark.parametrize("sigma", [0.3, 1.5, 4.0])
@pytest.mark.parametrize("shape", [(40, 50, 3), (3, 70, 1), (1, 1, 3)])
def test_the_blur_is_scipys_borders_included(shape: tuple[int, int, int], sigma: float) -> None:
    """Also where the kernel is many times larger than the image."""
    values = np.random.default_rng(0).random(shape, np.float32)
    rows = mirrored(np.arange(-reach(sigma), shape[0] + reach(sigma)), shape[0])
    expected = gaussian_filter(values, (sigma, sigma, 0), mode="reflect")
    np.testing.assert_allclose(blurred_band(values[rows], sigma), expected, atol=2e-6)


@pytest.mark.parametrize(("radius", "amount"), [(1.5, 0.7), (5.0, 2.0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_scikit_images_mask(channels: int, radius: float, amount: float) -> None:
    """Which works in gamma light and clips, too."""
    image = sample_image(45, 61, channels, depth="float32")
    planes = np.moveaxis(image.pixels, 2, 0)
    expected = np.stack([reference(plane, radius, amount) for plane in planes], axis=2)
    found = apply(unsharp, image, "--radius", radius, "--amount", amount)
    assert_images_equal(found.pixels, expected, max_error=1e-5)


def test_small_differences_are_left_and_none_jumps() -> None:
    """A step of 4 levels is below a threshold of 4; one of 40 is sharpened by what is over."""
    for step, moved in ((4, False), (40, True)):
        pixels = np.full((8, 40, 1), 100, np.uint8)
        pixels[:, 20:] += np.uint8(step)
        result = apply(unsharp, Image(pixels), "--threshold", 4, "--amount", 1).pixels
        change = np.abs(result - pixels / np.float32(255))
        assert bool(change.max() > 1e-6) is moved
        flat = apply(unsharp, Image(pixels), "--amount", 1).pixels - pixels / np.float32(255)
        assert np.all(np.abs(flat) - change < 4 / 255 + 1e-6)


@pytest.mark.parametrize("depth", ["uint8", "uint16", "float32"])
def test_every_depth_gives_the_same_picture(depth: str) -> None:
    """And the image keeps its depth, its name and its alpha."""
    image = sample_image(20, 30, depth="float32", alpha=True)
    peak = {"uint8": 255, "uint16": 65535, "float32": 1}[depth]
    assert image.alpha is not None
    pixels = np.rint(image.pixels * peak) if peak > 1 else image.pixels
    other = Image(pixels.astype(depth), image.alpha, depth, name="a")  # type: ignore[arg-type]
    result = apply(unsharp, other)
    assert (result.depth, result.name, result.is_gray) == (depth, "a", False)
    np.testing.assert_array_equal(result.alpha, image.alpha)
    np.testing.assert_allclose(result.pixels, apply(unsharp, image).pixels, atol=0.005)


def test_hidden_colours_do_not_leak_into_visible_edges() -> None:
    """A gray disc over hidden black stays as it is: seen by itself, it is flat."""
    pixels = np.zeros((20, 20, 3), np.uint8)
    alpha = np.zeros((20, 20), np.uint8)
    pixels[5:15, 5:15], alpha[5:15, 5:15] = 120, 255
    result = apply(unsharp, Image(pixels, alpha), "--amount", 2)
    np.testing.assert_allclose(result.pixels, pixels / np.float32(255), atol=1e-5)
    plain = apply(unsharp, Image(pixels), "--amount", 2)
    assert np.abs(plain.pixels - pixels / np.float32(255)).max() > 0.1


def test_opaque_alpha_changes_nothing() -> None:
    """As if there were none."""
    image = sample_image(20, 30)
    opaque = image.with_pixels(image.pixels, np.full((20, 30), 255, np.uint8))
    np.testing.assert_allclose(
        apply(unsharp, opaque).pixels, apply(unsharp, image).pixels, atol=1e-5
    )


@pytest.mark.parametrize("alpha", [False, True])
def test_bands_have_no_seams(monkeypatch: pytest.MonkeyPatch, alpha: bool) -> None:
    """Bands of a few rows give what one band gives."""
    image = sample_image(50, 20, alpha=alpha)
    whole = apply(unsharp, image)
    monkeypatch.setattr(module, "_BAND", 1)
    assert_images_equal(apply(unsharp, image), whole)


def test_large_results_are_kept_in_16_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the file holds floats."""
    monkeypatch.setattr(module, "_LARGE", 100)
    pixels = sample_image(20, 30).pixels
    small = sharpened(pixels, None, Mask(1, 1), "uint8")
    assert small.dtype == np.uint16
    exact = sharpened(pixels, None, Mask(1, 1), "float32")
    np.testing.assert_allclose(small / 65535, exact, atol=1e-5)


def test_nothing_of_it_is_the_image_itself() -> None:
    """No copy is made."""
    image = sample_image(5, 5)
    assert apply(unsharp, image, "--amount", 0).pixels is image.pixels
