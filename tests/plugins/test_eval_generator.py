"""`imgfx eval` of generators: what is compared with what, the sheets, and what is refused."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from support_models import write_weights
from support_training import digits, idx_bytes

from imgfx.engines.torch_engine import TorchEngine
from imgfx.session import Session
from imgfx.settings import Settings
from imgfx_eval.generator import generated, measure
from imgfx_gan_generate.model import CLASSIFIER_MODEL, FASHION, classifier_spec, generator_spec
from imgfx_gan_generate.stage import generate


@pytest.fixture
def data(tmp_path):
    """300 pictures of noise, of which 30 are held out."""
    folder = tmp_path / "noise"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(digits(300, 28)))
    return folder


@pytest.fixture
def weights(tmp_path):
    return write_weights(tmp_path / "gan.safetensors", FASHION, generator_spec(28, 1, 8, latent=8))


@pytest.fixture
def loaded(weights):
    with Session(Settings(device="cpu"), lambda _name: TorchEngine()) as session:
        yield session.load(FASHION, weights)


def test_real_images_are_nearer_to_real_ones_than_an_untrained_generators(
    imgfx, tmp_path, data, weights
):
    ended = imgfx("eval", "gan-generate", "--data", data, "--weights", weights, "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    names = {"density", "coverage", "precision", "recall", "frechet", "sliced_wasserstein"}
    assert result["generated"].keys() == result["real"].keys() == names
    assert (
        "30 images of seed 0, temperature 0.85, against 30 held-out ones of noise"
        in result["convention"]
    )
    assert "features of fashion-classifier, k = 5" in result["convention"]
    assert result["generated"]["coverage"] < 0.2 < result["real"]["coverage"]
    for name in ("frechet", "sliced_wasserstein"):
        assert result["generated"][name] > 2 * result["real"][name]


def test_what_is_measured_is_what_the_stage_makes(loaded, weights):
    words = ["--count", "3", "--weights", str(weights)]
    with (
        generate.make_context("gan-generate", words) as line,
        Session(Settings(device="cpu"), lambda _name: TorchEngine()) as session,
    ):
        items = list(generate.invoke(line).start(session))
        made = [item.load().pixels for item in items]
    measured = generated(loaded, 3)
    np.testing.assert_allclose(measured, np.stack(made), atol=0.5 / 255 + 1e-5)


def test_the_judge_measures_in_its_features_and_without_one_pixels_are_left(loaded, data, tmp_path):
    path = write_weights(tmp_path / "c.safetensors", CLASSIFIER_MODEL, classifier_spec(4))
    judge = dataclasses.replace(CLASSIFIER_MODEL, weights=path)
    with_judge = measure(loaded, judge, data, 25, None)
    without = measure(loaded, None, data, 25, None)
    assert set(without.fakes) == {"sliced_wasserstein"}
    assert without.fakes["sliced_wasserstein"] == with_judge.fakes["sliced_wasserstein"]
    assert "25 images" in without.convention
    assert "features" not in without.convention


def test_sheets_show_samples_and_the_real_images_nearest_to_them(
    imgfx, tmp_path, data, weights, loaded
):
    ended = imgfx("eval", "gan-generate", "--data", data, "--weights", weights, "--save", "out")
    assert ended.code == 0, ended.err
    assert b"generated        real" in ended.out
    samples, sheet = (
        cv2.imread(str(tmp_path / "out" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        for name in ("samples", "nearest")
    )
    real = digits(300, 28)
    assert samples.shape == (4 * 28 - 28, 8 * 28)  # 30 samples: three whole rows
    assert sheet.shape == (16 * 28, 8 * 28)
    fake, near = sheet[:28, :28], sheet[:28, 28:56]
    errors = np.square(real.astype(float) - fake).sum(axis=(1, 2))
    np.testing.assert_array_equal(near, real[errors.argmin()])
    np.testing.assert_array_equal(samples[:28, :28], fake)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--sigma", "25"], 2, "--degraded and --self-ensemble are for filters"),
        (["--count", "3"], 2, "3 is not in the range"),
        (["--data", "nowhere"], 1, "nowhere: no such folder"),
        (["--data", "."], 1, "0 usable images"),
    ],
)
def test_what_cannot_be_measured_is_refused(imgfx, tmp_path, data, weights, words, code, message):
    (tmp_path / "empty").mkdir()
    line = ["eval", "gan-generate", "--weights", weights]
    line += words if "--data" in words else ["--data", data, *words]
    line = [tmp_path / "empty" if word == "." else word for word in line]
    ended = imgfx(*line)
    assert ended.code == code
    assert message in ended.err


def test_too_few_images_to_hold_any_out_are_named(imgfx, tmp_path, weights):
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "train-images-idx3-ubyte").write_bytes(idx_bytes(digits(100, 28)))
    ended = imgfx("eval", "gan-generate", "--data", "few", "--weights", weights)
    assert ended.code == 1
    assert "few: 100 images, of which 10 are held out; at least 20 of these" in ended.err


def test_sheets_are_not_written_among_the_data(imgfx, data, weights):
    words = ["--data", data, "--weights", weights, "--save", data / "out"]
    ended = imgfx("eval", "gan-generate", *words)
    assert ended.code == 2
    assert "--save must not be in --data" in ended.err
    assert not (data / "out").exists()


def test_a_judge_that_cannot_judge_is_one_line(imgfx, tmp_path, data):
    small = write_weights(tmp_path / "s.safetensors", FASHION, generator_spec(4, 1, 8, latent=8))
    ended = imgfx("eval", "gan-generate", "--data", data, "--weights", small)
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line.startswith("imgfx: error: model 'gan-generate'")


def test_a_count_of_images_is_for_generators(imgfx, data):
    ended = imgfx("eval", "denoise-ae", "--data", data, "--sigma", "25", "--count", "20")
    assert ended.code == 2
    assert "--count is for generators" in ended.err
