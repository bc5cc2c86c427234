"""Tiles: every pixel kept once, from a window that holds all it depends on."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imgfx.model import ModelSpec
from imgfx.tiling import Limits, divided, run_tiled, spans

SIZES = st.integers(1, 90)


UNLIMITED = Limits()


def tiled(image, spec, run, limits=UNLIMITED, **options):
    """An image, or the reader of one of this shape, run by tiles and put together."""
    height, width, channels = image.shape
    result = np.full((spec.scale * height, spec.scale * width, channels), np.nan, np.float32)

    def read(window):
        return image[window.top : window.bottom, window.left : window.right]

    def keep(window, part):
        rows = slice(spec.scale * window.top, spec.scale * window.bottom)
        place = result[rows, spec.scale * window.left : spec.scale * window.right]
        assert np.isnan(place).all()  # each pixel once
        place[...] = part

    run_tiled(read, height, width, spec, run, keep, limits=limits, **options)
    return result


def random_image(height, width):
    return np.random.default_rng(0).random((height, width, 3), dtype=np.float32)


LIMITS = st.builds(
    Limits,
    tile=st.one_of(st.none(), st.integers(0, 60)),
    side=st.one_of(st.just(0), st.integers(1, 100)),
    pixels=st.one_of(st.just(0), st.integers(1, 10_000)),
)


@given(
    length=st.integers(1, 500),
    parts=st.integers(1, 40),
    halo=st.integers(0, 60),
    multiple=st.sampled_from([1, 2, 8]),
)
def test_spans_keep_each_pixel_once_with_its_halo(length, parts, halo, multiple):
    found = spans(length, parts, halo, multiple)
    assert len(found) <= parts
    assert found[0].keep_start == 0
    assert found[-1].keep_stop == length
    assert all(one.keep_stop == other.keep_start for one, other in pairwise(found))
    for span in found:
        assert span.start % multiple == 0
        assert (span.stop - span.start) % multiple == 0
        assert span.start <= max(0, span.keep_start - halo)
        assert span.stop >= min(length, span.keep_stop + halo)
        assert 0 <= span.start < span.stop <= length + multiple - 1


@given(height=SIZES, width=SIZES, limits=LIMITS, batch=st.integers(1, 5))
def test_identity_network_gives_the_image_back(height, width, limits, batch):
    image = random_image(height, width)
    spec = ModelSpec("identity", halo=3, multiple_of=4)
    result = tiled(image, spec, lambda x: x, limits, batch=batch)
    np.testing.assert_array_equal(result, image)


@settings(deadline=None, max_examples=30)
@given(height=SIZES, width=SIZES, limits=LIMITS, scale=st.sampled_from([1, 2, 3]))
def test_a_convolution_sees_no_seam(height, width, limits, scale):
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 3 * scale**2, 7, padding=3), torch.nn.PixelShuffle(scale)]
    network = torch.nn.Sequential(*layers)
    image = random_image(height, width)
    spec = ModelSpec("conv", halo=3, scale=scale)

    def run(batch):
        with torch.inference_mode():
            return network(torch.from_numpy(batch)).numpy()

    whole = tiled(image, spec, run, Limits(tile=0))
    assert whole.shape == (scale * height, scale * width, 3)
    np.testing.assert_allclose(tiled(image, spec, run, limits, batch=3), whole, atol=1e-5)


def test_conditions_are_constant_planes_behind_the_colours():
    seen = []
    spec = ModelSpec("probe", conditions=("sigma", "strength"))

    def run(batch):
        seen.append(batch)
        return batch[:, :3]

    tiled(np.zeros((5, 4, 3), np.float32), spec, run, conditions=(0.25, -1.0))
    (batch,) = seen
    assert batch.shape == (1, 5, 5, 4)
    assert (batch[:, 3] == 0.25).all()
    assert (batch[:, 4] == -1.0).all()


def windows_of(height, width, spec, limits, batch=1):
    """The shapes of the batches that an image is run in."""
    shapes = []

    def run(windows):
        shapes.append(windows.shape)
        return windows

    tiled(np.zeros((height, width, 3), np.float32), spec, run, limits, batch=batch)
    return shapes


def test_windows_never_exceed_the_tile_and_its_halo():
    spec = ModelSpec("probe", halo=10, multiple_of=8)
    shapes = windows_of(1000, 700, spec, Limits(tile=64))
    assert max(max(shape[2:]) for shape in shapes) == 64 + 2 * 16
    assert shapes[0][2:] == (64 + 16, 64 + 16)  # none at the image's border


def test_the_image_is_divided_evenly():
    found = spans(512, 2, 30, 1)
    assert [s.keep_stop - s.keep_start for s in found] == [256, 256]
    assert [s.stop - s.start for s in found] == [286, 286]


@given(
    height=st.integers(1, 3000), width=st.integers(1, 3000), halo=st.integers(0, 40),
    multiple=st.sampled_from([1, 2, 8]), side=st.sampled_from([0, 200, 512]),
    pixels=st.integers(150 * 150, 10**6),
)  # fmt: skip
def test_windows_are_within_the_limits(height, width, halo, multiple, side, pixels):
    spec = ModelSpec("any", halo=halo, multiple_of=multiple)
    limits = Limits(side=side, pixels=pixels)
    down, across = divided(height, width, spec, limits)
    tall = max(s.stop - s.start for s in spans(height, down, halo, multiple))
    wide = max(s.stop - s.start for s in spans(width, across, halo, multiple))
    assert tall * wide <= pixels
    assert not side or max(tall, wide) <= side


@pytest.mark.parametrize("pixels", [300_000, 1_000_000, 4_000_000])
@pytest.mark.parametrize("shape", [(4000, 6000), (1000, 9000), (3000, 3000)])
def test_no_other_cut_within_the_memory_costs_less(shape, pixels):
    spec = ModelSpec("any", halo=100, multiple_of=8)

    def cost(cut):
        axes = [spans(n, k, 100, 8) for n, k in zip(shape, cut, strict=True)]
        sides = [[span.stop - span.start for span in axis] for axis in axes]
        return sum(sides[0]) * sum(sides[1]), max(sides[0]) * max(sides[1])

    chosen = cost(divided(*shape, spec, Limits(pixels=pixels)))
    others = [cost((down, across)) for down in range(1, 40) for across in range(1, 40)]
    assert chosen[1] <= pixels
    assert chosen[0] == min(total for total, window in others if window <= pixels)


def test_an_image_that_fits_is_run_whole():
    spec = ModelSpec("any", halo=100, multiple_of=8)
    assert divided(1000, 1500, spec, Limits(pixels=1000 * 1504)) == (1, 1)
    assert divided(1000, 1500, spec, Limits(pixels=1000 * 1504 - 1)) != (1, 1)
    assert divided(1000, 1500, spec, Limits()) == (1, 1)


def test_too_little_memory_for_anything_takes_the_smallest_tiles():
    down, across = divided(320, 640, ModelSpec("any", halo=100), Limits(pixels=10))
    assert (down, across) == (10, 20)
    assert divided(5, 5, ModelSpec("any", halo=100), Limits(pixels=10)) == (1, 1)


def test_a_batch_is_of_windows_of_one_size_and_within_the_memory():
    spec = ModelSpec("any", halo=4)
    shapes = windows_of(64, 400, spec, Limits(tile=32), batch=8)
    assert {shape[0] for shape in shapes} == {1, 8, 3}
    assert sum(shape[0] for shape in shapes) == 2 * 13
    bounded = windows_of(64, 400, spec, Limits(tile=32, pixels=3 * 40 * 36), batch=8)
    assert max(shape[0] for shape in bounded) == 3
    assert sum(shape[0] for shape in bounded) == 2 * 13
