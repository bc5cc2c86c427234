"""What the discriminator is shown of an image: moved by chance, and gradients pass."""

import numpy as np
import pytest
import torch

from imgfx_gan_generate.augment import shifted


@pytest.fixture
def images():
    return torch.rand(32, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def test_each_image_is_moved_in_a_way_of_its_own(images):
    torch.manual_seed(0)
    same = shifted(images[:1].expand(32, -1, -1, -1))
    assert same.shape == images.shape
    assert len({image.numpy().tobytes() for image in same}) > 8


def test_gradients_come_back_to_what_stayed_in_sight(images):
    watched = images.clone().requires_grad_()
    shifted(watched).sum().backward()
    assert (watched.grad[:, :, 4:12, 4:20] == 1).all()  # the middle is never moved out
    assert set(watched.grad.unique().tolist()) == {0.0, 1.0}


def test_an_image_is_moved_by_an_eighth_of_its_side_at_most():
    torch.manual_seed(0)
    point = torch.zeros(400, 3, 16, 16)
    point[:, :, 8, 8] = 1
    flat = shifted(point).sum(dim=1).flatten(1).argmax(dim=1).numpy()
    for places in np.divmod(flat, 16):
        assert set(places) == set(range(6, 11))


def test_colours_stay_what_they_are():
    torch.manual_seed(0)
    red = torch.zeros(20, 3, 16, 16)
    red[:, 0] = 0.7
    moved = shifted(red)
    torch.testing.assert_close(moved[:, 0].unique(), torch.tensor([0.0, 0.7]))
    assert not moved[:, 1:].any()
