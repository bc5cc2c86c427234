"""Every model that ships with weights runs with them, and does some good."""

from dataclasses import replace

import numpy as np
import pytest
from support import PHOTOS

from imgfx.degradations import add_noise, crop_to_multiple, enlarge, shrink
from imgfx.files import read_image, write_image
from imgfx.image import Image, float_from_pixels, pixels_from_float
from imgfx.metrics import psnr
from imgfx.plugins import Registry
from imgfx.weights import load_weights, network_from_weights

MODELS = [
    model
    for model in map(Registry().model, Registry().names("model"))
    if model.weights is not None and "imgfx_weights" in str(model.weights)
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_bundled_weights_are_of_their_model_and_its_spec(model):
    weights = load_weights(model.weights)
    assert weights.model == model.name
    assert replace(weights.spec, reach=0) == model.spec
    network_from_weights(model, weights)
    assert int(weights.training["steps"]) > 100


def test_all_stages_have_weights():
    assert {model.name for model in MODELS} >= {
        "denoise-ae", "superres-rednet", "superres-fast-x2", "superres-fast-x3",
        "superres-fast-x4", "gan-generate", "gan-generate-faces", "fashion-classifier",
    }  # fmt: skip


@pytest.fixture(scope="module")
def clean():
    """A photo that no training has seen, cut to a size that all scales divide."""
    photo = float_from_pixels(read_image(PHOTOS / "koalas.webp").pixels)
    return np.ascontiguousarray(crop_to_multiple(photo[:192, :192], 24))


def restored(imgfx, tmp_path, image, *words):
    write_image(tmp_path / "a.png", Image(pixels_from_float(image, "uint8")))
    ended = imgfx("open", "a.png", *words, "save", "b.png")
    assert ended.code == 0, ended.err
    return float_from_pixels(read_image(tmp_path / "b.png").pixels)


@pytest.mark.parametrize("sigma", [5, 25, 50])
def test_noise_is_removed(imgfx, tmp_path, clean, sigma):
    noisy = add_noise(clean, sigma, 0)
    gain = psnr(restored(imgfx, tmp_path, noisy, "denoise-ae"), clean) - psnr(noisy, clean)
    assert gain > {5: 0.1, 25: 4, 50: 6}[sigma]


def test_a_clean_image_is_left_nearly_as_it_is(imgfx, tmp_path, clean):
    assert psnr(restored(imgfx, tmp_path, clean, "denoise-ae"), clean) > 42


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("stage", ["superres-rednet", "superres-fast"])
def test_enlarging_beats_bicubic_interpolation(imgfx, tmp_path, clean, stage, scale):
    small = shrink(clean, scale)
    found = restored(imgfx, tmp_path, small, stage, "--scale", scale)
    assert psnr(found, clean) > psnr(enlarge(small, scale), clean) + 0.3


@pytest.mark.parametrize("stage", ["superres-rednet", "superres-fast", "denoise-ae"])
def test_the_self_ensemble_is_better(imgfx, tmp_path, clean, stage):
    words, image = ([stage], add_noise(clean, 25, 0))
    if stage != "denoise-ae":
        words, image = [stage, "--scale", 2], shrink(clean, 2)
    once = psnr(restored(imgfx, tmp_path, image, *words), clean)
    assert psnr(restored(imgfx, tmp_path, image, *words, "--self-ensemble"), clean) > once + 0.02


def test_generated_pictures_differ(imgfx, tmp_path):
    for model in ("fashion", "faces"):
        ended = imgfx("gan-generate", "--model", model, "--count", 4, "save", model)
        assert ended.code == 0, ended.err
        pictures = [read_image(path).pixels for path in (tmp_path / model).glob("*.png")]
        assert len(pictures) == 4
        assert np.std(pictures, axis=0).mean() > 10
