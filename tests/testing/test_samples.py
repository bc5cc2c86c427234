"""The sample images are what their names say, and survive a file."""

import numpy as np
import pytest

from imgfx.files import decode, encode
from imgfx.formats import format_from_name
from imgfx.image import float_from_pixels
from imgfx.testing import assert_images_equal, sample_image, sample_images

IMAGES = sample_images()


def test_every_kind_is_there():
    shapes = {key: image.pixels.shape for key, image in IMAGES.items()}
    assert shapes["gray"][2] == shapes["gray-alpha"][2] == 1
    assert (shapes["1x1"], shapes["7x5"], shapes["37x53"]) == ((1, 1, 3), (7, 5, 3), (37, 53, 3))
    assert IMAGES["16-bit"].pixels.dtype == np.uint16
    assert IMAGES["float32"].pixels.dtype == np.float32
    assert (IMAGES["black"].pixels.max(), IMAGES["white"].pixels.min()) == (0, 255)
    assert {key for key, image in IMAGES.items() if image.alpha is not None} == {
        "rgba",
        "gray-alpha",
    }
    assert {key for key, image in IMAGES.items() if image.metadata} == {"metadata"}
    assert all(image.name == key for key, image in IMAGES.items())


def test_they_are_the_same_each_time_and_nobody_elses():
    again = sample_images()
    for key, image in IMAGES.items():
        assert_images_equal(again[key], image, max_error=0)
        assert again[key].pixels is not image.pixels


def test_the_picture_does_not_depend_on_the_depth():
    images = [sample_image(9, 8, depth=depth, alpha=True) for depth in ("uint8", "uint16")]
    exact = sample_image(9, 8, depth="float32", alpha=True)
    for image in images:
        assert_images_equal(image, exact, max_error=0.51 / 255)
    assert not np.array_equal(exact.pixels, sample_image(9, 8, depth="float32", seed=1).pixels)
    assert 0 <= exact.pixels.min() < exact.pixels.max() <= 1


@pytest.mark.parametrize("key", IMAGES)
def test_all_of_it_survives_a_png(key):
    """Also the made-up EXIF, XMP and ICC, so that tests may write the images to files."""
    image = IMAGES[key]
    if image.depth == "float32":
        pytest.skip("PNG has no floats")
    data, notes = encode(image, format_from_name("png"))
    read = decode(data, "x")
    assert notes == ()
    np.testing.assert_array_equal(read.pixels, image.pixels)
    if image.metadata:
        kept = read.metadata
        assert (kept.icc, kept.xmp, kept.dpi is not None) == (
            image.metadata.icc,
            image.metadata.xmp,
            True,
        )
        assert kept.exif.startswith(b"II*\0")
    assert float_from_pixels(read.pixels).max() <= 1
