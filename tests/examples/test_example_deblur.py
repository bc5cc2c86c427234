"""examples/imgfx-deblur, installed from its wheel: trained, run by two engines, measured."""

import json

import cv2
import numpy as np
import pytest
from support import PHOTOS, pixels
from support_examples import install


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return install("imgfx-deblur", tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def trained(installed, tmp_path_factory):
    """The weights that a few steps on three photographs make; and what was said."""
    folder = tmp_path_factory.mktemp("trained")
    ended = installed.runner(folder)(
        "train", "deblur", "--data", PHOTOS, "--steps", "6", "--batch", "2",
        "--precision", "fp32", "--out", "deblur.safetensors",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    return folder / "deblur.safetensors"


@pytest.fixture
def run(installed, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), pixels(90, 134, 3, "uint16"))
    return installed.runner(tmp_path)


def test_training_leaves_weights_and_a_card(trained):
    card = trained.with_suffix(".md").read_text()
    assert "NAFNet" in card
    assert "does not undo strong motion blur" in card
    validated = trained.with_suffix(".metrics.jsonl").read_text().splitlines()
    assert {"focus", "shake", "psnr"} <= json.loads(validated[-1]).keys()


def test_without_weights_it_says_how_to_make_some(run):
    ended = run("open", "a.png", "deblur", "save", "b.png")
    assert ended.code == 1
    assert "deblur has no weights of its own yet; train some with `imgfx train deblur`" in ended.err


def through(run, tmp_path, trained, *words):
    """The image through the stage: (H, W, 3) of 16 bits, in [0, 1]."""
    line = ["open", "a.png", "deblur", "--weights", trained, "save", "b.png"]
    ended = run(*line, "--precision", "fp32", *words)
    assert ended.code == 0, ended.err
    return cv2.imread(str(tmp_path / "b.png"), cv2.IMREAD_UNCHANGED) / 65535


@pytest.mark.slow
def test_both_engines_agree_and_tiles_leave_no_seams(run, tmp_path, trained):
    whole = through(run, tmp_path, trained, "--engine", "torch", "--tile", "0")
    assert np.abs(whole - pixels(90, 134, 3, "uint16") / 65535).max() > 1e-3
    for words in (["--engine", "torch"], ["--engine", "openvino"]):
        tiled = through(run, tmp_path, trained, *words, "--tile", "32")
        assert np.abs(tiled - whole).max() < 5e-5


def test_eval_measures_it(run, trained):
    ended = run(
        "eval", "deblur", "--data", PHOTOS, "--protocol", "lecture", "--weights", trained, "--json"
    )
    assert ended.code == 0, ended.err
    assert b"psnr" in ended.out


@pytest.mark.slow
def test_it_conforms(run, trained):
    ended = run("plugins", "test", "imgfx-deblur", "--weights", trained)
    assert ended.code == 0, ended.out.decode()


def test_its_own_tests_pass(installed):
    ended = installed.own_tests()
    assert ended.returncode == 0, ended.stdout
