"""Networks of another size: trained by an option, run by their stage, and grown."""

import cv2
import numpy as np
import pytest
from support import PHOTOS, pixels

from imgfx.weights import load_weights

SMALL = ["--size", "width=8", "--size", "depth=4"]


@pytest.fixture
def train(imgfx):
    """`train("small.safetensors", ...)`: two steps of superres-rednet."""

    def run(out, *options):
        ended = imgfx(
            "train", "superres-rednet", "--data", PHOTOS, "--out", out, "--batch", 2, "--steps", 2,
            *options,
        )  # fmt: skip
        assert ended.code == 0, ended.err

    return run


def test_a_small_network_is_trained_run_and_grown(train, imgfx, tmp_path):
    train("small.safetensors", *SMALL)
    small = load_weights(tmp_path / "small.safetensors")
    assert small.spec.options == {"width": 8, "depth": 4}
    assert small.spec.halo == 8
    assert "--size width=8 --size depth=4" in (tmp_path / "small.md").read_text()
    train("large.safetensors", "--init", "small.safetensors", "--grow", "--size", "width=12",
          "--size", "depth=4")  # fmt: skip
    assert load_weights(tmp_path / "large.safetensors").spec.options["width"] == 12
    cv2.imwrite(str(tmp_path / "a.png"), pixels(20, 30))
    for name in ("small", "large"):
        stage = ["superres-rednet", "--weights", f"{name}.safetensors"]
        assert imgfx("open", "a.png", *stage, "save", f"{name}.png").code == 0
        assert cv2.imread(str(tmp_path / f"{name}.png")).shape == (40, 60, 3)


@pytest.mark.parametrize(
    ("model", "size", "options"),
    [
        ("denoise-ae", ["--size", "fine=8", "--size", "coarse=16"], {"fine": 8, "coarse": 16}),
        ("superres-fast-x2", ["--size", "blocks=1"], {"blocks": 1, "width": 32}),
    ],
)
def test_every_restorer_has_sizes(imgfx, tmp_path, model, size, options):
    ended = imgfx(
        "train", model, "--data", PHOTOS, "--out", "w.safetensors", "--batch", 2, "--steps", 1,
        *size,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    weights = load_weights(tmp_path / "w.safetensors")
    assert options.items() <= weights.spec.options.items()
    assert all(np.isfinite(values).all() for values in weights.tensors.values())
