"""Tiles: every pixel kept once, from a window that holds all it depends on."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imgfx.model import ModelSpec
from imgfx.tiling import choose_tile, largest_tile, run_tiled, spans

SIZES = st.integers(1, 90)


@given(
    length=st.integers(1, 500),
    tile=st.integers(1, 200),
    halo=st.integers(0, 60),
    multiple=st.sampled_from([1, 2, 8]),
)
def test_spans_keep_each_pixel_once_with_its_halo(length, tile, halo, multiple):
    found = spans(length, tile, halo, multiple)
    assert found[0].keep_start == 0
    assert found[-1].keep_stop == length
    assert all(one.keep_stop == other.keep_start for one, other in pairwise(found))
    assert len({span.stop - span.start for span in found}) == 1
    for span in found:
        assert span.start % multiple == 0
        assert (span.stop - span.start) % multiple == 0
        assert span.start <= max(0, span.keep_start - halo)
        assert span.stop >= min(length, span.keep_stop + halo)
        assert 0 <= span.start < span.stop <= length + multiple - 1


@given(height=SIZES, width=SIZES, tile=st.integers(0, 60), batch=st.integers(1, 5))
def test_identity_network_gives_the_image_back(height, width, tile, batch):
    image = np.random.default_rng(0).random((height, width, 3), dtype=np.float32)
    spec = ModelSpec("identity", halo=3, multiple_of=4)

    def read(window):
        return image[window.top : window.bottom, window.left : window.right]

    result = run_tiled(read, height, width, spec, lambda x: x, tile=tile, batch=batch)
    np.testing.assert_array_equal(result, image)


@settings(deadline=None, max_examples=30)
@given(height=SIZES, width=SIZES, tile=st.integers(1, 40), scale=st.sampled_from([1, 2, 3]))
def test_a_convolution_sees_no_seam(height, width, tile, scale):
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 3 * scale**2, 7, padding=3), torch.nn.PixelShuffle(scale)]
    network = torch.nn.Sequential(*layers)
    image = np.random.default_rng(0).random((height, width, 3), dtype=np.float32)
    spec = ModelSpec("conv", halo=3, scale=scale)

    def read(window):
        return image[window.top : window.bottom, window.left : window.right]

    def run(batch):
        with torch.inference_mode():
            return network(torch.from_numpy(batch)).numpy()

    whole = run_tiled(read, height, width, spec, run, tile=0)
    assert whole.shape == (scale * height, scale * width, 3)
    tiled = run_tiled(read, height, width, spec, run, tile=tile, batch=3)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_conditions_are_constant_planes_behind_the_colours():
    seen = []
    spec = ModelSpec("probe", conditions=("sigma", "strength"))

    def run(batch):
        seen.append(batch)
        return batch[:, :3]

    black = np.zeros((5, 4, 3), np.float32)
    run_tiled(lambda _window: black, 5, 4, spec, run, conditions=(0.25, -1.0))
    (batch,) = seen
    assert batch.shape == (1, 5, 5, 4)
    assert (batch[:, 3] == 0.25).all()
    assert (batch[:, 4] == -1.0).all()


def test_windows_never_exceed_the_tile_and_its_halo():
    sizes = []
    spec = ModelSpec("probe", halo=10, multiple_of=8)

    def run(batch):
        sizes.append(batch.shape[2:])
        return batch

    def read(window):
        return np.zeros((window.bottom - window.top, window.right - window.left, 3), np.float32)

    run_tiled(read, 1000, 700, spec, run, tile=64)
    assert set(sizes) == {(64 + 2 * 16, 64 + 2 * 16)}


def test_the_image_is_divided_evenly():
    assert [s.keep_stop - s.keep_start for s in spans(512, 400, 30, 1)] == [256, 256]
    assert {s.stop - s.start for s in spans(512, 400, 30, 1)} == {256 + 60}


@pytest.mark.parametrize("floats", [16, 64, 640, 10_000])
def test_chosen_tile_bounds_the_memory_of_activations(floats):
    spec = ModelSpec("any", halo=30, multiple_of=8, floats_per_pixel=floats)
    side = choose_tile(spec)
    assert side % 8 == 0
    assert side == 32 or (side + 2 * 32) ** 2 * floats * 4 <= 512 << 20


@given(
    window=st.integers(64, 600), halo=st.integers(0, 20), multiple=st.sampled_from([1, 2, 8]),
    length=st.integers(1, 2000),
)  # fmt: skip
def test_windows_of_the_largest_tile_fit_what_an_engine_takes(window, halo, multiple, length):
    spec = ModelSpec("any", halo=halo, multiple_of=multiple)
    for span in spans(length, largest_tile(spec, window), halo, multiple):
        assert span.stop - span.start <= window
