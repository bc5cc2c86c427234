"""Transparency when enlarging: edges stay in place, and hidden colours stay hidden."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import picture, pixels

import imgfx.result
from imgfx.alpha import _ROUNDS, _sum_of_neighbours, enlarged_alpha, with_carried_colours
from imgfx.image import Image, float_from_pixels
from imgfx.resample import resize


def red_square(hidden):
    """A red square of 12 pixels in the middle of 32, on invisible pixels of a colour."""
    pixels = np.full((32, 32, 3), hidden, np.uint8)
    pixels[10:22, 10:22] = (200, 0, 0)
    alpha = np.zeros((32, 32), np.uint8)
    alpha[10:22, 10:22] = 255
    return Image(pixels, alpha)


def test_hidden_colours_do_not_leak_into_the_enlarged_edge():
    carried = with_carried_colours(red_square(hidden=0))
    enlarged = resize(carried.pixels, 64, 64)
    visible = enlarged_alpha(carried, 2) > 0.02
    np.testing.assert_allclose(enlarged[visible], [[200 / 255, 0, 0]] * visible.sum(), atol=1e-6)


@given(hidden=st.integers(0, 255))
def test_visible_pixels_keep_every_bit(hidden):
    image = red_square(hidden)
    carried = with_carried_colours(image)
    shown = image.alpha > 0
    np.testing.assert_array_equal(carried.pixels[shown], image.pixels[shown])
    np.testing.assert_array_equal(carried.alpha, image.alpha)


def test_images_without_hidden_pixels_pass_as_they_are():
    pixels = np.zeros((5, 5, 1), np.uint8)
    for image in (
        Image(pixels),
        Image(pixels, np.full((5, 5), 1, np.uint8)),
        Image(pixels, np.zeros((5, 5), np.uint8)),
    ):
        assert with_carried_colours(image) is image


def test_alpha_keeps_its_size_at_scale_1():
    image = red_square(0)
    assert enlarged_alpha(image, 1) is image.alpha
    assert enlarged_alpha(Image(image.pixels), 2) is None


def carried_as_a_whole(image):
    """What is meant, written down plainly: each round over all of the image, in float32."""
    known = image.alpha > 0
    colours = np.where(known[..., None], float_from_pixels(image.pixels), np.float32(0))
    for _ in range(_ROUNDS):
        weight = _sum_of_neighbours(known.astype(np.float32))
        reached = (weight > 0) & ~known
        colours[reached] = _sum_of_neighbours(colours)[reached] / weight[reached, None]
        known |= reached
    return colours


def corner(height, width):
    """Opaque but for 5x5 pixels."""
    alpha = np.full((height, width), 255, np.uint8)
    alpha[:5, :5] = 0
    return alpha


def blots(height, width):
    """Visible and invisible areas of all sizes, at the image's borders too."""
    waves = picture(height, width, 1)[..., 0]
    alpha = np.where(waves > 0.6, 255, 0).astype(np.uint8)
    alpha[::37, ::41] = 0
    alpha[11::53, 7::61] = 9
    return alpha


@pytest.mark.parametrize("shape", [corner, blots])
@pytest.mark.parametrize("size", [(300, 411), (129, 128), (9, 270)])
def test_colours_are_carried_the_same_in_tiles(shape, size):
    image = Image(picture(*size), shape(*size), "float32")
    assert (image.alpha == 0).any()
    np.testing.assert_array_equal(with_carried_colours(image).pixels, carried_as_a_whole(image))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_carried_colours_are_rounded_to_the_images_own_depth(dtype):
    image = Image(pixels(140, 150, dtype=dtype), blots(140, 150))
    carried = with_carried_colours(image)
    assert carried.pixels.dtype == dtype
    step = 1 / np.iinfo(dtype).max
    found, expected = float_from_pixels(carried.pixels), carried_as_a_whole(image)
    np.testing.assert_allclose(found, expected, atol=0.5 * step + 1e-6)
    assert not np.shares_memory(carried.pixels, image.pixels)


def peak_of(function):
    """Bytes that a call holds at its most, its result included."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_carrying_takes_the_memory_of_one_more_image():
    image = Image(pixels(700, 900), blots(700, 900))
    # In float32 the image alone would take four times its bytes.
    assert peak_of(lambda: with_carried_colours(image)) < 2.5 * image.pixels.nbytes


def test_alpha_is_enlarged_the_same_in_bands(monkeypatch):
    image = Image(pixels(60, 70), blots(60, 70))
    expected = np.clip(resize(image.alpha, 180, 210), 0, 1)
    monkeypatch.setattr("imgfx.alpha._BAND", 1000)
    np.testing.assert_array_equal(enlarged_alpha(image, 3), expected)


@pytest.mark.parametrize(("depth", "dtype"), [("uint8", "uint16"), ("float32", "float32")])
def test_large_alpha_is_kept_as_the_pixels_are(monkeypatch, depth, dtype):
    monkeypatch.setattr(imgfx.result, "_LARGE", 10_000)
    image = Image(picture(60, 70), blots(60, 70), depth)
    found = enlarged_alpha(image, 2)
    assert found.dtype == dtype
    expected = np.clip(resize(image.alpha, 120, 140), 0, 1)
    np.testing.assert_allclose(float_from_pixels(found), expected, atol=0.51 / 65535)


def test_enlarging_alpha_takes_little_more_than_its_result(monkeypatch):
    monkeypatch.setattr(imgfx.result, "_LARGE", 10_000)
    monkeypatch.setattr("imgfx.alpha._BAND", 1 << 14)
    image = Image(pixels(400, 500), blots(400, 500))
    result = enlarged_alpha(image, 4)
    assert peak_of(lambda: enlarged_alpha(image, 4)) < 1.5 * result.nbytes


@pytest.mark.parametrize("value", [0, 7, 255])
def test_alpha_that_is_the_same_everywhere_costs_nothing(value):
    image = Image(pixels(5, 6), np.full((5, 6), value, np.uint8))
    found = enlarged_alpha(image, 2)
    np.testing.assert_array_equal(found, np.full((10, 12), value, np.uint8))
    assert found.dtype == np.uint8
