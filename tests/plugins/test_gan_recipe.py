"""The GAN's task: its data, figures and pictures."""

import dataclasses

import numpy as np
import pytest
import torch
from support_training import digits, idx_bytes

from imgfx_gan_generate.model import MODELS, generator_spec
from imgfx_gan_generate.networks import Generator
from imgfx_gan_generate.recipe import RECIPES

RECIPE = RECIPES["fashion"]


@pytest.fixture
def task(tmp_path):
    """A task over 70 images, of which 7 are held out."""
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(digits(70)))
    torch.manual_seed(0)
    generator = Generator(generator_spec(size=8, width=8, latent=4))
    return RECIPE.task([tmp_path], [], None, generator)


def test_held_out_images_are_not_trained_on(task):
    assert (len(task.training), len(task.held_out)) == (63, 7)
    held = {image.tobytes() for image in task.held_out}
    assert not held & {image.tobytes() for image in task.training}
    folder = task.data
    assert task.describe_data() == f"63 images of 8x8, 7 held out, of {folder}"


def test_a_task_learns_with_two_networks_the_first_of_which_is_shipped(task):
    assert list(task.networks()) == ["generator", "discriminator"]
    assert task.networks()["generator"] is task.generator
    assert task.batch_size == RECIPE.batch


def test_validation_is_the_same_each_time_and_names_the_recipes_metric(task):
    generator = task.generator.eval()
    figures = task.validate(generator)
    assert figures == task.validate(generator)
    assert figures[RECIPE.metric] == -figures["sliced_wasserstein"] < 0


def test_samples_are_64_of_the_generators_images(task):
    samples = task.samples(task.generator.eval())
    assert samples.shape == (64, 64, 1)
    assert samples.dtype == np.uint8
    tiles = samples.reshape(8, 8, 8, 8).swapaxes(1, 2).reshape(64, -1)
    assert len({tile.tobytes() for tile in tiles}) == 64


class Recorder:
    """A learner that takes the loss and leaves the networks alone."""

    def __init__(self, networks):
        self.networks, self.losses = networks, {}
        self.step = 0

    def autocast(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=False)

    def update(self, name, loss):
        self.losses[name] = loss.item()


def test_the_discriminator_is_penalised_every_sixteenth_step(task):
    learner = Recorder(task.networks())
    batch = task.batch(np.random.default_rng(0))
    batch = {name: torch.from_numpy(part) for name, part in batch.items()}
    penalised = []
    for learner.step in range(17):
        figures = task.step(learner, batch)
        if learner.losses["discriminator"] > figures["loss"].item() + 1e-9:
            penalised.append(learner.step)
    assert penalised == [0, 16]


def test_every_generator_has_a_recipe_that_makes_its_pictures():
    assert MODELS.keys() == RECIPES.keys()


def test_faces_are_mirrored_by_chance_and_clothes_never(task):
    def drawn(*, mirror):
        changed = dataclasses.replace(task.variant, mirror=mirror)
        batch = dataclasses.replace(task, variant=changed).batch(np.random.default_rng(0))
        return [np.rint(255 * image).astype(np.uint8).tobytes() for image in batch["originals"]]

    known = {image.tobytes() for image in task.training}
    mirrored = {image[:, ::-1].tobytes() for image in task.training}
    assert set(drawn(mirror=False)) <= known
    assert set(drawn(mirror=True)) <= known | mirrored
    assert 0.2 < np.mean([image in known for image in drawn(mirror=True)]) < 0.8


def test_the_discriminator_sees_changed_images_where_the_recipe_says_so(task):
    shown = []

    def change(images):
        shown.append(len(images))
        return images

    changing = dataclasses.replace(task, variant=dataclasses.replace(task.variant, change=change))
    learner = Recorder(changing.networks())
    batch = changing.batch(np.random.default_rng(0))
    changing.step(learner, {name: torch.from_numpy(part) for name, part in batch.items()})
    count = task.batch_size
    assert shown == [2 * count, count]  # the extended minibatch, then the fakes alone
