"""What the discriminator is shown of an image: changed by chance, and gradients pass."""

import numpy as np
import pytest
import torch

from imgfx_gan_generate.augment import augmented


@pytest.fixture
def images():
    return torch.rand(32, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def test_each_image_is_changed_in_a_way_of_its_own(images):
    torch.manual_seed(0)
    same = augmented(images[:1].expand(32, -1, -1, -1))
    assert same.shape == images.shape
    assert len({image.numpy().tobytes() for image in same}) == 32


def test_gradients_come_back_to_what_stayed_in_sight(images):
    watched = images.clone().requires_grad_()
    augmented(watched).sum().backward()
    assert (watched.grad[:, :, 8, 12] != 0).all()  # the middle is never moved out


def test_an_image_is_moved_by_an_eighth_of_its_side_at_most():
    torch.manual_seed(0)
    point = torch.zeros(400, 3, 16, 16)
    point[:, :, 8, 8] = 1
    # Brightness shifts all alike, contrast only scales: the point stays the largest value.
    flat = augmented(point).sum(dim=1).flatten(1).argmax(dim=1).numpy()
    rows, columns = np.divmod(flat, 16)
    for places in (rows, columns):
        assert set(places) == set(range(6, 11))


def test_colours_are_changed_around_the_image_itself(images):
    torch.manual_seed(0)
    many = augmented(images[:1].expand(2000, -1, -1, -1))
    middle = many[:, :, 4:12, 4:20].mean()
    assert abs(middle - images[0, :, 4:12, 4:20].mean()) < 0.03
    assert many.mean(dim=(1, 2, 3)).std() > 0.05
