"""What is probed of each kind of network, and that it then runs tiled as whole."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import networks
import numpy as np
import numpy.typing as npt
import pytest
from imgfx_onnx.facts import Facts, examined
from imgfx_onnx.network import Network
from imgfx_onnx.stage import onnx

from imgfx.api import Image, ImgfxError
from imgfx.testing import apply, assert_images_equal, sample_image, sample_images

KINDS: dict[str, Callable[[Path], Path]] = {
    "blur": networks.blur,
    "double": networks.double,
    "nhwc": networks.nhwc,
    "uint8": networks.uint8,
    "strided": networks.strided,
    "cells": networks.cells,
    "gray": lambda path: networks.blur(path, 1, ("n", 1, "h", "w")),
    "free": lambda path: networks.blur(path, 1, (None, None, None, None)),
    "half": lambda path: networks.blur(path, dtype="float16"),
    "fixed": lambda path: networks.blur(path, shape=(1, 3, 48, 64)),
    "low": lambda path: networks.clipped(path, 1.0),
    "high": lambda path: networks.clipped(path, 255.0),
}
EXPECTED: dict[str, dict[str, object]] = {
    "blur": {"layout": "NCHW", "channels": 3, "multiple": 1, "scale": 1, "halo": 2},
    "double": {"scale": 2, "halo": 1, "multiple": 1},
    "nhwc": {"layout": "NHWC", "channels": 3, "halo": 1},
    "uint8": {"dtype": "uint8", "white": 255.0, "white_from": "probed", "halo": 0},
    "strided": {"multiple": 4, "smallest": 4, "scale": 1},
    "cells": {"multiple": 4, "scale": 1},
    "gray": {"layout": "NCHW", "channels": 1},
    "free": {"layout": "NCHW", "channels": 1},
    "half": {"dtype": "float16", "halo": 2},
    "fixed": {"fixed": (48, 64), "halo": 2, "smallest": 48},
    "low": {"white": 1.0, "white_from": "probed"},
    "high": {"white": 255.0, "white_from": "probed"},
}


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str], Path]:
    """Answers the file of a kind of network."""
    return lambda kind: KINDS[kind](tmp_path / f"{kind}.onnx")


def direct(network: Network, image: Image) -> npt.NDArray[np.float32]:
    """A float32 image through the network as it is, whole: (H, W, C)."""
    return np.moveaxis(network(np.moveaxis(image.pixels, 2, 0)[None])[0], 0, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_probed(made: Callable[[str], Path], kind: str) -> None:
    """As the networks were built."""
    facts = examined(made(kind)).facts
    assert {name: getattr(facts, name) for name in EXPECTED[kind]} == EXPECTED[kind]


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"fixed", "gray", "free"}))
def test_tiled_is_whole_is_the_network(made: Callable[[str], Path], kind: str) -> None:
    """At a size of many tiles."""
    path, image = made(kind), sample_image(96, 132, depth="float32")
    found = apply(onnx, image, "--model", path, tile=20)
    step = {"uint8": 1.01 / 255, "half": 2e-3}.get(kind, 1e-5)
    assert_images_equal(found.pixels, direct(examined(path).network, image), max_error=step)


def test_odd_sizes_are_extended_and_cut(made: Callable[[str], Path]) -> None:
    """Multiples of 4 are what the network takes; the image has none."""
    path, image = made("strided"), sample_image(45, 67, depth="float32")
    whole = apply(onnx, image, "--model", path)
    assert whole.pixels.shape == image.pixels.shape
    assert_images_equal(apply(onnx, image, "--model", path, tile=16), whole, max_error=1e-5)


@pytest.mark.parametrize("size", [(20, 30), (48, 64), (101, 150)])
def test_a_fixed_size_serves_images_of_any(
    made: Callable[[str], Path], tmp_path: Path, size: tuple[int, int]
) -> None:
    """As the same network of free size does, but at the borders that are extended."""
    image = sample_image(*size, depth="float32")
    found = apply(onnx, image, "--model", made("fixed"))
    free = apply(onnx, image, "--model", networks.blur(tmp_path / "any.onnx"))
    inner = (slice(0, size[0] - 2), slice(0, size[1] - 2))
    assert_images_equal(found.pixels[inner], free.pixels[inner], max_error=1e-5)


@pytest.mark.parametrize("kind", ["gray", "free"])
def test_a_gray_network_is_run_on_each_channel(made: Callable[[str], Path], kind: str) -> None:
    """And once on a gray image."""
    path, image = made(kind), sample_image(30, 40, depth="float32")
    found = apply(onnx, image, "--model", path, tile=16)
    network = examined(path).network
    for channel in range(3):
        plane = Image(np.ascontiguousarray(image.pixels[..., channel : channel + 1]))
        expected = direct(network, plane)
        assert_images_equal(found.pixels[..., channel : channel + 1], expected, max_error=1e-5)
        assert_images_equal(apply(onnx, plane, "--model", path).pixels, expected, max_error=1e-5)


@pytest.mark.parametrize("name", ["gray", "rgba", "16-bit", "1x1", "37x53"])
def test_images_of_all_kinds_keep_what_they_are(made: Callable[[str], Path], name: str) -> None:
    """Channels and depth; alpha grows along."""
    image = sample_images()[name]
    result = apply(onnx, image, "--model", made("double"))
    assert result.pixels.shape == (2 * image.height, 2 * image.width, image.pixels.shape[2])
    assert (result.depth, result.alpha is None) == (image.depth, image.alpha is None)


def test_a_range_that_cannot_be_told_is_assumed_and_can_be_given(
    made: Callable[[str], Path],
) -> None:
    """A convolution alone does the same in both."""
    facts = examined(made("blur")).facts
    assert (facts.white, facts.white_from) == (1.0, "assumed")
    facts = examined(made("blur"), white=255.0, halo=7).facts
    assert (facts.white, facts.white_from) == (255.0, "given")
    assert (facts.halo, facts.halo_from) == (7, "given")


def test_what_looks_at_whole_images_is_not_cut(tmp_path: Path) -> None:
    """Unless a halo is given; a tile that was asked for is refused."""
    path, image = networks.attention(tmp_path / "a.onnx"), sample_image(60, 90, depth="float32")
    assert examined(path).facts.halo is None
    found = apply(onnx, image, "--model", path)
    assert_images_equal(found, image.pixels * image.pixels.mean(axis=(0, 1)), max_error=1e-5)
    with pytest.raises(ImgfxError, match="--tile 32: it looks at images as a whole"):
        apply(onnx, image, "--model", path, tile=32)
    assert apply(onnx, image, "--model", path, "--halo", 4, tile=32).pixels.shape == (60, 90, 3)


def file_of(path: Path, kind: str) -> Path:
    """A file that is no image network, of each kind."""
    if kind == "text":
        path.write_text("not a network")
    elif kind == "two":
        networks.write(path, [networks.node("Add", "x z")], inputs=("x", "z"))
    elif kind == "vector":
        networks.write(path, [networks.node("Identity", "x")], shape=(1, 64))
    elif kind == "four":
        networks.blur(path, 4, (1, 4, "h", "w"))
    elif kind == "batch":
        networks.blur(path, 3, (8, 3, "h", "w"))
    elif kind == "classes":
        networks.write(path, [networks.node("GlobalAveragePool", "x")])
    elif kind == "doubles":
        networks.write(path, [networks.node("Identity", "x")], dtype="float64")
    else:
        networks.write(path, [networks.node("Reshape", "x s")], {"s": np.array([7, -1])})
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("text", "not an ONNX file that can be run: "),
        ("two", r"takes 2 inputs \(x, z\)"),
        ("vector", "takes 2 dimensions"),
        ("four", r"not an image-to-image network \(input 1x4x\?x\?\): no axis of 1 or 3"),
        ("batch", "takes 8 images at a time"),
        ("classes", "answers 1x1 for 37x41, no whole multiple"),
        ("doubles", r"takes tensor\(double\); export it for float32"),
        ("reshape", "cannot be run on 37x41: "),
    ],
)
def test_what_cannot_be_a_stage_is_one_clear_line(tmp_path: Path, kind: str, message: str) -> None:
    """Which file, and why."""
    path = file_of(tmp_path / "bad.onnx", kind)
    with pytest.raises(ImgfxError, match=message) as caught:
        examined(path)
    said = caught.value.format_message()
    assert said.startswith(str(path))
    assert "\n" not in said


def test_a_missing_runtime_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImgfxError, match="pip install onnxruntime"):
        examined(networks.blur(tmp_path / "a.onnx"))


def test_a_fixed_size_is_kept_or_refused(made: Callable[[str], Path]) -> None:
    """Neither a whole image nor a halo larger than it can be had."""
    image, path = sample_image(60, 90), made("fixed")
    with pytest.raises(ImgfxError, match="--tile 0: takes 64x48 pixels only"):
        apply(onnx, image, "--model", path, tile=0)
    with pytest.raises(ImgfxError, match="a halo of 30 leaves nothing"):
        apply(onnx, image, "--model", path, "--halo", 30)


def test_facts_are_of_plain_types(made: Callable[[str], Path]) -> None:
    """So that --json can write them."""
    facts = examined(made("blur")).facts
    assert isinstance(facts, Facts)
    assert facts.runs == "onnxruntime on cpu"
