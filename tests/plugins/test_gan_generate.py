"""The stage `gan-generate`: the same seed, the same image, whatever else is asked for."""

import click
import cv2
import numpy as np
import pytest
from support_models import write_weights

from imgfx.engines.torch_engine import TorchEngine
from imgfx.latents import TEMPERATURE
from imgfx.session import Session
from imgfx.settings import Settings
from imgfx_gan_generate.model import MODELS
from imgfx_gan_generate.stage import generate

MODEL = MODELS["fashion"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained generator whose outputs differ."""
    return write_weights(tmp_path_factory.mktemp("weights") / "gan.safetensors", MODEL)


@pytest.fixture
def images(weights):
    """`images("--count", "3")`: the images of a line's options."""

    def make(*words):
        command = generate
        with (
            Session(Settings(device="cpu"), lambda _name: TorchEngine()) as session,
            command.make_context("gan-generate", [*words, "--weights", str(weights)]) as context,
        ):
            items = command.invoke(context).start(session)
            assert items.count == len(list(items))
            return [item.load() for item in items]

    return make


def test_image_k_does_not_depend_on_count(images):
    many, few = images("--count", "9", "--seed", "5"), images("--count", "2", "--seed", "5")
    for one, other in zip(few, many, strict=False):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert one.name == other.name
    assert len({image.name for image in many}) == 9
    assert len({image.pixels.tobytes() for image in many}) == 9


def test_another_seed_gives_other_images(images):
    (one,), (other,) = images("--seed", "1"), images("--seed", "2")
    assert np.abs(one.pixels - other.pixels).max() > 1e-3


def test_the_lower_the_temperature_the_less_images_differ(images):
    spread = {}
    for temperature in ("0", "0.5", "1.5"):
        made = images("--count", "6", "--temperature", temperature)
        spread[temperature] = np.ptp([image.pixels for image in made], axis=0).mean()
    assert spread["0"] == 0 < spread["0.5"] < spread["1.5"]
    (usual,), (named,) = images(), images("--temperature", str(TEMPERATURE))
    np.testing.assert_array_equal(usual.pixels, named.pixels)


def test_images_are_gray_28_pixels_a_side_and_in_range(images):
    (image,) = images()
    assert image.pixels.shape == (28, 28, 1)
    assert 0 <= image.pixels.min() < image.pixels.max() <= 1
    assert image.depth == "uint8"


def test_generated_images_go_down_a_chain(imgfx, tmp_path, weights):
    ended = imgfx("gan-generate", "--count", 3, "--weights", weights, "save", "out")
    assert ended.code == 0, ended.err
    files = sorted((tmp_path / "out").glob("*.png"))
    assert [file.name for file in files] == [f"fashion_0_{k:04d}.png" for k in range(3)]
    assert cv2.imread(str(files[0]), cv2.IMREAD_UNCHANGED).shape == (28, 28)


def test_numbers_that_are_none_any_more_are_refused(images):
    most = 2**63 - 1
    assert len(images("--first", str(most))) == 1
    with pytest.raises(click.UsageError, match=f"lead beyond number {most}"):
        images("--first", str(most), "--count", "2")
