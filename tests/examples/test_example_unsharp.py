"""examples/imgfx-unsharp, installed from its wheel."""

import cv2
import numpy as np
import pytest
from support import pixels
from support_examples import install


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return install("imgfx-unsharp", tmp_path_factory.mktemp("site"))


@pytest.fixture
def run(installed, tmp_path):
    return installed.runner(tmp_path)


def test_it_sharpens_in_a_chain(run, tmp_path):
    image = cv2.GaussianBlur(pixels(60, 80), (0, 0), 1.5)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    ended = run("open", "a.png", "unsharp", "--radius", "1.5", "--amount", "1", "save", "b.png")
    assert (ended.code, ended.err) == (0, "")
    found = cv2.imread(str(tmp_path / "b.png")).astype(np.float64)
    low = cv2.GaussianBlur(image.astype(np.float64), (13, 13), 1.5, borderType=cv2.BORDER_REFLECT)
    expected = np.clip(2.0 * image - low, 0, 255)
    assert np.abs(found - expected).max() <= 1


def test_gray_with_16_bits_stays_so_in_a_pipe(run, tmp_path):
    image = pixels(20, 30, 1, "uint16")
    data = cv2.imencode(".png", image)[1].tobytes()
    ended = run("unsharp", "--amount", "0", stdin=data)
    found = cv2.imdecode(np.frombuffer(ended.out, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found, image[..., 0])


@pytest.mark.parametrize("words", [["--radius", "0"], ["--amount", "-1"], ["--threshold", "300"]])
def test_impossible_values_are_wrong_usage(run, words):
    ended = run("unsharp", *words)
    assert ended.code == 2
    assert "is not in the range" in ended.err


def test_it_conforms(run):
    ended = run("plugins", "test", "imgfx-unsharp")
    assert ended.code == 0, ended.out.decode()


def test_its_own_tests_pass(installed):
    ended = installed.own_tests()
    assert ended.returncode == 0, ended.stdout
