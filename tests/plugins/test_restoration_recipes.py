"""The recipes of the restorers: pairs that are aligned, in range and repeatable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import picture, pixels

from imgfx.degradations import add_noise, enlarge, lecture, shrink
from imgfx.files import write_image
from imgfx.image import Image
from imgfx.training.recipe import Recipe
from imgfx_denoise_ae import recipe as denoise
from imgfx_denoise_ae.model import UNKNOWN, denoise_spec
from imgfx_denoise_ae.network import build_network as denoise_network
from imgfx_superres_rednet import recipe as rednet
from imgfx_superres_rednet.model import rednet_spec
from imgfx_superres_rednet.network import build_network as rednet_network

CROPS = {denoise: 192, rednet: 120}
BOTH = pytest.mark.parametrize("recipe", [denoise, rednet], ids=["denoise-ae", "superres-rednet"])


def crops(count, size, seed=0):
    """(count, size, size, 3) clean crops."""
    return np.stack([picture(size, size, seed=seed + n) for n in range(count)])


@BOTH
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_pairs_have_the_shapes_ranges_and_depth_that_networks_need(recipe, seed):
    channels, size = (4, 192) if recipe is denoise else (3, 96)
    inputs, targets = recipe.degrade(crops(6, CROPS[recipe]), np.random.default_rng(seed))
    assert inputs.shape == (6, channels, size, size)
    assert targets.shape == (6, 3, size, size)
    for part in (inputs[:, :3], targets):
        assert part.dtype == np.float32
        assert part.min() >= 0
        assert part.max() <= 1
    assert inputs.flags.c_contiguous
    assert targets.flags.c_contiguous


@BOTH
def test_pairs_depend_on_the_crops_and_the_generator_alone(recipe):
    clean = crops(8, CROPS[recipe])
    before = clean.copy()
    first, again, other = (recipe.degrade(clean, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(clean, before)  # the caller's crops are not written to
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert (first[0] != other[0]).any()


@BOTH
def test_the_target_is_the_crop_and_the_input_shows_the_same_place(recipe):
    rng = np.random.default_rng(0)
    clean = rng.random((30, CROPS[recipe], CROPS[recipe], 3), dtype=np.float32)
    inputs, targets = recipe.degrade(clean, rng)
    margin = (CROPS[recipe] - targets.shape[2]) // 2
    inner = clean[:, margin : CROPS[recipe] - margin, margin : CROPS[recipe] - margin]
    coloured = targets.std(axis=1).mean(axis=(1, 2)) > 1e-6
    assert coloured.sum() >= 20
    np.testing.assert_array_equal(targets[coloured], inner.transpose(0, 3, 1, 2)[coloured])
    for patch, target in zip(inputs[:, :3], targets, strict=True):
        assert peak_of_correlation(patch.mean(axis=0), target.mean(axis=0)) == (0, 0)


def peak_of_correlation(one, other):
    """By how much `one` is shifted against `other`."""
    spectra = (np.fft.fft2(part - part.mean()) for part in (one, other))
    correlation = np.fft.ifft2(next(spectra) * np.conj(next(spectra))).real
    return tuple(int(n) for n in np.unravel_index(correlation.argmax(), correlation.shape))


@BOTH
def test_gray_crops_stay_gray(recipe):
    clean = crops(12, CROPS[recipe]).mean(axis=3, keepdims=True).repeat(3, axis=3)
    inputs, targets = recipe.degrade(clean, np.random.default_rng(0))
    np.testing.assert_allclose(targets, targets[:, :1].repeat(3, axis=1), atol=1e-6)
    if recipe is rednet:
        np.testing.assert_array_equal(inputs, inputs[:, :1].repeat(3, axis=1))


def test_a_tenth_of_the_noisy_patches_is_gray_in_noise_and_target():
    inputs, targets = denoise.degrade(crops(200, 64), np.random.default_rng(0))
    gray = np.ptp(targets, axis=1).max(axis=(1, 2)) < 1e-6
    assert 8 <= gray.sum() <= 35
    assert np.ptp(inputs[gray, :3], axis=1).max() < 1e-6
    assert (np.ptp(inputs[~gray, :3], axis=1).max(axis=(1, 2)) > 0.01).all()


def test_the_sigma_plane_tells_the_noise_or_that_it_is_unknown():
    clean = np.full((300, 64, 64, 3), 0.5, np.float32)
    inputs, _ = denoise.degrade(clean, np.random.default_rng(0))
    planes = inputs[:, 3]
    assert (np.ptp(planes, axis=(1, 2)) == 0).all()
    values = planes[:, 0, 0]
    told = values != UNKNOWN
    assert 0.15 < told.mean() < 0.4  # 35 % of the three quarters that are Gaussian
    assert 55 < values[told].max() * 75 <= 75
    told &= values * 75 < 50  # louder noise is clipped, and measures less than it was
    measured = 255 * (inputs[told, :3] - 0.5).std(axis=(1, 2, 3))
    np.testing.assert_allclose(values[told] * 75, measured, rtol=0.06, atol=0.35)


def test_some_inputs_are_left_clean_and_marked_unknown():
    inputs, targets = denoise.degrade(crops(200, 64), np.random.default_rng(0))
    same = (inputs[:, :3] == targets).all(axis=(1, 2, 3))
    assert 1 <= same.sum() <= 20
    assert (inputs[same, 3] == UNKNOWN).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_variance_of_sensor_noise_grows_evenly_with_the_signal(seed):
    dark, middle, light = (
        denoise._sensor_deviation(np.full((1, 1, 3), value), np.random.default_rng(seed))[0, 0, 0]
        ** 2
        for value in (0.0, 0.4, 0.8)
    )
    assert 0 <= dark <= (12 / 255) ** 2
    assert 0.4 * 10**-3.5 < middle - dark < 0.4 * 10**-1.8
    assert light - middle == pytest.approx(middle - dark, rel=1e-3)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("value", [0, 77, 255])
def test_softening_a_constant_leaves_it(scale, value):
    image = np.full((3, 72, 72), value / 255, np.float32)
    np.testing.assert_allclose(rednet.soften(image, scale), image, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_softening_a_crop_is_softening_the_whole_image_away_from_borders(scale):
    whole = picture(144, 168)
    soft = lecture(whole) if scale == 1 else enlarge(shrink(whole, scale), scale)
    crop = whole[36:108, 48:120].transpose(2, 0, 1)
    inner = rednet.soften(crop, scale)[:, 12:-12, 12:-12].transpose(1, 2, 0)
    difference = np.abs(inner - soft[48:96, 60:108]) * 255
    # Sums in another order may round to the neighbouring level, now and then.
    assert difference.max() < 1.01
    assert (difference > 0.5).mean() < 0.01


def test_all_four_scales_are_drawn_in_their_shares():
    clean = np.broadcast_to(picture(120, 120, seed=5), (400, 120, 120, 3))
    inputs, _ = rednet.degrade(clean, np.random.default_rng(0))
    softened = [
        rednet.soften(clean[0].transpose(2, 0, 1), s)[:, 12:-12, 12:-12] for s in (1, 2, 3, 4)
    ]
    distances = np.stack([np.abs(inputs - soft).mean(axis=(1, 2, 3)) for soft in softened])
    assert distances.min(axis=0).max() < 1e-3
    shares = np.bincount(distances.argmin(axis=0), minlength=4) / 400
    np.testing.assert_allclose(shares, (0.25, 0.55, 0.1, 0.1), atol=0.06)


@pytest.fixture
def small_photos(tmp_path):
    """Two photos of the least side that a recipe takes, and of no round size."""
    for side in (96, 107):
        write_image(tmp_path / f"{side}.png", Image(pixels(side, side + 2)))
    return tmp_path


def tiny_autoencoder():
    return denoise_network(denoise_spec((8, 8, 8), 1, 1))


def tiny_rednet():
    return rednet_network(rednet_spec(4, 2))


TASKS = [
    (denoise, tiny_autoencoder, ["sigma25", "sigma15", "sigma50"]),
    (rednet, tiny_rednet, ["lecture", "x2", "x3", "x4"]),
]


@pytest.mark.parametrize(("recipe", "network", "names"), TASKS, ids=["denoise-ae", "rednet"])
def test_tasks_make_batches_and_figures_from_small_photos(small_photos, recipe, network, names):
    task = recipe.RECIPE.task([small_photos], [], 3, network())
    assert isinstance(recipe.RECIPE, Recipe)
    batch = task.batch(np.random.default_rng(0))
    assert {len(part) for part in batch.values()} == {3}
    figures = task.validate(task.network)
    assert list(figures) == [*names, "psnr"]
    assert recipe.RECIPE.metric in figures
    assert all(12 < value < 60 for value in figures.values())
    assert task.samples(task.network).shape == (192, 576, 3)


def test_without_a_batch_size_the_recipes_own_is_taken(small_photos):
    for recipe, network, _ in TASKS:
        task = recipe.RECIPE.task([small_photos], [], None, network())
        assert task.batch_size == recipe.RECIPE.batch


def test_probes_are_the_degradations_of_eval():
    clean = picture(48, 72)
    np.testing.assert_array_equal(
        denoise._noise_probe(25).pair(clean, 3)[0],
        denoise.network_input(add_noise(clean, 25, 3)),
    )
    for scale in (2, 3, 4):
        soft, target = rednet._probe("x", rednet._resized(scale), scale).pair(clean, 0)
        assert target is clean
        expected = enlarge(shrink(clean, scale), scale).transpose(2, 0, 1)
        np.testing.assert_array_equal(soft, expected)


def test_network_input_appends_the_sigma_plane():
    clean = picture(10, 12)
    plain, told = denoise.network_input(clean), denoise.network_input(clean, 25 / 75)
    assert plain.shape == (4, 10, 12)
    np.testing.assert_array_equal(plain[:3].transpose(1, 2, 0), clean)
    assert (plain[3] == UNKNOWN).all()
    np.testing.assert_allclose(told[3], 1 / 3)
