"""A network of a plugin's own: cut and stitched as any model's, its results believed."""

import numpy as np
import pytest
from support import picture, pixels

from imgfx.engines.base import Choice
from imgfx.errors import ImageError
from imgfx.image import Image
from imgfx.model import ModelSpec
from imgfx.session import Session, no_engine
from imgfx.settings import Settings


class Doubling:
    """Negates and enlarges twice by repetition; notes the sizes of its windows."""

    choice = Choice("own", "cpu", "fp16")
    batch, largest, memory = 1, 0, 1 << 30

    def __init__(self, change=lambda x: 1 - x):
        self.change, self.sizes, self.closed = change, [], False

    def __call__(self, batch):
        self.sizes.append(batch.shape[2:])
        return self.change(batch).repeat(2, axis=2).repeat(2, axis=3)

    def close(self):
        self.closed = True


SPEC = ModelSpec("doubling", scale=2, halo=2)


def session_with(tile=None):
    return Session(Settings(tile=tile), no_engine)


def test_it_is_tiled_kept_in_the_report_and_closed():
    runner = Doubling()
    with session_with(tile=20) as session:
        loaded = session.adopt("mine", SPEC, runner, digest="abc")
        image = Image(picture(50, 70))
        result = loaded.apply(image)
        np.testing.assert_allclose(
            result.pixels, (1 - image.pixels).repeat(2, 0).repeat(2, 1), atol=1e-6
        )
        assert len(runner.sizes) == 12
        assert session.models == (loaded,)
        assert str(loaded.choice) == "own on cpu in fp16"
        other = session.adopt("mine", SPEC, Doubling(), digest="abd")
        assert loaded.weights.digest != other.weights.digest
    assert runner.closed


def test_the_network_may_decide_the_tile():
    runner = Doubling()
    with session_with(tile=20) as session:
        session.adopt("mine", SPEC, runner, tile=0).apply(Image(picture(50, 70)))
    assert runner.sizes == [(50, 70)]


def test_alpha_gray_and_depth_are_kept():
    alpha = pixels(9, 7, 1, "uint16")[..., 0]
    image = Image(pixels(9, 7, 1, "uint16"), alpha, depth="uint16")
    with session_with() as session:
        result = session.adopt("mine", SPEC, Doubling()).apply(image)
    assert (result.pixels.shape, result.alpha.shape) == ((18, 14, 1), (18, 14))
    assert result.depth == "uint16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x * np.nan, "mine: the network's output makes no sense"),
        (lambda x: x[:, :, 1:], "mine: the network answered .* against its spec"),
    ],
)
def test_what_is_no_image_fails(change, message):
    with session_with() as session:
        loaded = session.adopt("mine", SPEC, Doubling(change))
        with pytest.raises(ImageError, match=message):
            loaded.apply(Image(picture(5, 5)))


def test_notes_are_said_and_kept():
    said = []
    session = Session(Settings(), no_engine, say=said.append)
    session.note("so it is")
    assert said == session.notes == ["so it is"]
