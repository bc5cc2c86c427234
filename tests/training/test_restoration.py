"""The restoration task: the loss that is minimised, and figures that mean what they say."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support import picture, pixels
from torch import nn

from imgfx.errors import TrainingError
from imgfx.files import write_image
from imgfx.image import Image, float_from_pixels
from imgfx.metrics import psnr
from imgfx.training.restoration import (
    Probe,
    RestorationTask,
    psnr_loss,
    restoration_task,
    run_network,
)


class Brighter(nn.Module):
    """Adds one learned number; keeps what it was given."""

    def __init__(self, amount=0.0):
        super().__init__()
        self.amount = nn.Parameter(torch.tensor(amount))
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        return x[:, :3] + self.amount


def darker(amount, border=0):
    """A probe whose input is the clean image less some."""
    return Probe(
        f"less{amount}", lambda clean, seed: (clean.transpose(2, 0, 1) - amount, clean), border
    )


def halve(clean, rng):
    """A degradation: half as bright."""
    target = clean.transpose(0, 3, 1, 2)
    return target * np.float32(0.5), target


def task_of(network, probes=(), sizes=((200, 230), (64, 72))):
    photos = [pixels(*size) for size in sizes]
    return RestorationTask(
        network, photos, photos, halve, probes, batch_size=4, crop=32, data="here"
    )


def test_a_batch_is_degraded_crops_and_the_same_crops():
    batch = task_of(Brighter()).batch(np.random.default_rng(0))
    assert batch["input"].shape == batch["target"].shape == (4, 3, 32, 32)
    np.testing.assert_array_equal(batch["input"], batch["target"] * 0.5)


def test_a_step_updates_on_the_mean_absolute_error():
    network, updates = Brighter(0.25), []
    learner = SimpleNamespace(
        networks={"network": network},
        step=0,
        autocast=lambda: torch.autocast("cpu", torch.bfloat16, enabled=False),
        update=lambda name, loss: updates.append((name, loss)),
    )
    batch = {"input": torch.zeros(2, 4, 8, 8), "target": torch.full((2, 3, 8, 8), 0.75)}
    figures = task_of(network).step(learner, batch)
    ((name, loss),) = updates
    assert name == "network"
    assert figures == {"loss": loss}
    assert loss.item() == pytest.approx(0.5)
    loss.backward()
    assert network.amount.grad.item() == pytest.approx(-1)  # the output is too dark everywhere


def test_the_psnr_loss_is_minus_a_tenth_of_the_mean_psnr():
    target = torch.rand(3, 3, 16, 16)
    errors = torch.tensor([0.1, 0.05, 0.02]).view(3, 1, 1, 1)
    expected = np.mean([psnr((target + e)[n].numpy(), target[n].numpy())
                        for n, e in enumerate(errors)])  # fmt: skip
    assert -10 * psnr_loss(target + errors, target).item() == pytest.approx(expected, abs=0.1)


def test_the_psnr_loss_of_equal_patches_is_finite_with_a_finite_gradient():
    output = torch.full((2, 3, 8, 8), 0.5, requires_grad=True)
    loss = psnr_loss(output, output.detach().clone())
    loss.backward()
    assert loss.item() == pytest.approx(-5, abs=1e-4)
    assert bool((output.grad == 0).all())


def test_patches_with_little_and_with_much_noise_count_alike():
    output = torch.zeros(2, 3, 8, 8, requires_grad=True)
    target = torch.stack([torch.full((3, 8, 8), 0.3), torch.full((3, 8, 8), 0.1)])
    psnr_loss(output, target).backward()
    # What a change by the same factor gains is the same for both.
    gains = [(part * change).sum() for part, change in zip(output.grad, target, strict=True)]
    assert gains[0].item() == pytest.approx(gains[1].item(), rel=2e-3)


def test_validation_measures_each_probe_and_their_mean():
    figures = task_of(Brighter(), [darker(0.1), darker(0.01)]).validate(Brighter())
    assert figures["less0.1"] == pytest.approx(20, abs=0.3)  # but for clipping at black
    assert figures["less0.01"] == pytest.approx(40, abs=0.3)
    assert figures["psnr"] == pytest.approx((figures["less0.1"] + figures["less0.01"]) / 2)


def test_validation_is_of_the_network_it_is_given():
    task = task_of(Brighter(), [darker(0.1)])
    assert task.validate(Brighter(0.09))["psnr"] > task.validate(Brighter())["psnr"] + 15


def test_validation_measures_the_middle_of_each_photo_without_the_border():
    network, given = Brighter(), []

    def pair(clean, seed):
        given.append((seed, clean))
        soft = clean.copy()
        soft[:3] = soft[-3:] = soft[:, :3] = soft[:, -3:] = 1 - soft[:3, :3].mean()
        soft[3, 3] += 0.1
        return soft.transpose(2, 0, 1), clean

    figures = task_of(network, [Probe("inner", pair, 3)]).validate(network)
    assert [(seed, clean.shape) for seed, clean in given] == [(0, (192, 192, 3)), (1, (48, 72, 3))]
    photo = float_from_pixels(pixels(200, 230))
    np.testing.assert_array_equal(given[0][1], photo[4:196, 19:211])
    error = 0.01 / (186 * 186), 0.01 / (42 * 66)
    expected = np.mean([-10 * np.log10(part) for part in error])
    assert figures["inner"] == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize("sides", [(64, 65), (72, 180), (191, 203), (300, 100)])
def test_networks_that_halve_three_times_can_be_validated_at_any_size(sides):
    network = Brighter()
    task_of(network, [darker(0.1)], sizes=[sides]).validate(network)
    assert [n % 8 for x in network.seen for n in x.shape[2:]] == [0, 0]


@pytest.mark.parametrize("sides", [(64, 100), (191, 203)])
def test_networks_that_halve_more_often_are_validated_at_sizes_for_them(sides):
    network = Brighter()
    task = replace(task_of(network, [darker(0.1)], sizes=[sides]), multiple=48)
    task.validate(network)
    task.samples(network)
    assert {n % 16 for x in network.seen for n in x.shape[2:]} == {0}


class Gray(Brighter):
    """The same for gray images, which come with a plane that is no image."""

    def forward(self, x):
        return x[:, :1] + self.amount


def test_samples_of_gray_images_show_no_condition():
    def pair(clean, seed):
        gray = clean.mean(axis=2, keepdims=True)
        return np.concatenate([gray - 0.2, gray + 9], 2).transpose(2, 0, 1), gray

    task = task_of(Gray(), [Probe("gray", pair)], sizes=[(192, 192)])
    samples = task.samples(Gray(0.2))
    assert samples.shape == (192, 3 * 192, 3)
    shown, output, target = (samples[:, i * 192 : (i + 1) * 192].astype(int) for i in range(3))
    np.testing.assert_array_equal(output, target)
    assert np.median(target - shown) == 51


def test_samples_show_input_output_and_target_of_four_photos():
    network = Brighter(0.1)
    task = task_of(network, [darker(0.1)], sizes=[(60, 400), *[(200, 200)] * 5])
    samples = task.samples(network)
    assert samples.shape == (4 * 192, 3 * 192, 3)
    assert samples.dtype == np.uint8
    shown, output, target = (samples[192:384, i * 192 : (i + 1) * 192] for i in range(3))
    np.testing.assert_array_equal(target, pixels(200, 200)[4:196, 4:196])
    assert np.abs(output.astype(int) - target).max() <= 26  # clipped at black in the input
    assert np.median(target.astype(int) - shown) in (25, 26)


def test_run_network_turns_the_axes_there_and_back():
    image = picture(10, 12)
    result = run_network(Brighter(0.5), image.transpose(2, 0, 1))
    np.testing.assert_allclose(result, image + 0.5, atol=1e-6)
    assert result.dtype == np.float32


def options(crop):
    return {"degrade": None, "probes": [], "batch_size": 1, "crop": crop}


def test_a_task_over_folders_holds_some_photos_out(tmp_path):
    for number in range(41):
        write_image(tmp_path / "shots" / f"{number}.png", Image(pixels(30, 30 + number)))
    write_image(tmp_path / "shots" / "small.png", Image(pixels(30, 29)))
    task = restoration_task(Brighter(), [tmp_path / "shots"], ["7.png"], **options(30))
    assert (len(task.training), len(task.validation)) == (39, 1)
    assert task.describe_data() == "39 photos, 1 held out, of shots"


def test_photos_to_validate_on_are_not_trained_on(tmp_path):
    for number in range(12):
        write_image(tmp_path / "all" / f"{number}.png", Image(pixels(24 + number, 24)))
    for number in (3, 7):
        write_image(tmp_path / "all" / "val" / f"{number}.png", Image(pixels(24 + number, 24)))
    task = restoration_task(Brighter(), [tmp_path / "all"], [], **options(20))
    validated = task.validated_on([tmp_path / "all" / "val"])
    assert sorted(len(photo) for photo in validated.validation) == [27, 31]
    assert {len(photo) for photo in validated.training} == {24 + n for n in range(12)} - {27, 31}
    with pytest.raises(TrainingError, match="all: all photos are among those to validate on"):
        task.validated_on([tmp_path / "all"])


def test_photos_under_the_crop_are_not_enough(tmp_path):
    for number in range(3):
        write_image(tmp_path / f"{number}.png", Image(pixels(30, 30)))
    with pytest.raises(TrainingError, match="3 are smaller than 31 px"):
        restoration_task(Brighter(), [tmp_path], [], **options(31))


def test_smaller_photos_than_the_crop_are_used_where_the_recipe_says_so(tmp_path):
    for number in range(3):
        write_image(tmp_path / f"{number}.png", Image(pixels(30 + number, 30)))
    write_image(tmp_path / "tiny.png", Image(pixels(40, 29)))
    task = restoration_task(Brighter(), [tmp_path], [], **options(50), smallest=30)
    assert (len(task.training), len(task.validation)) == (2, 1)
    assert {min(photo.shape[:2]) for photo in task.training} == {30}


def test_photos_that_could_not_be_validated_on_are_not_enough(tmp_path):
    for number in range(3):
        write_image(tmp_path / f"{number}.png", Image(pixels(20 + number, 20)))
    with pytest.raises(TrainingError, match="3 are smaller than 24 px"):
        restoration_task(Brighter(), [tmp_path], [], **options(16))
    task = restoration_task(Brighter(), [tmp_path], [], **options(16), multiple=20)
    assert (len(task.training), len(task.validation), task.multiple) == (2, 1, 20)


def test_copies_of_one_photo_are_not_enough(tmp_path):
    for number in range(3):
        write_image(tmp_path / f"{number}.png", Image(pixels(30, 30)))
    with pytest.raises(TrainingError, match="all photos are copies of one that is held out"):
        restoration_task(Brighter(), [tmp_path], [], **options(16))


def test_the_psnr_of_validation_is_that_of_the_metrics():
    # Out of range values are clipped before measuring, as they would be in a file.
    figures = task_of(Brighter(), [darker(-0.3)], sizes=[(48, 48)]).validate(Brighter())
    clean = float_from_pixels(pixels(48, 48))
    assert figures["psnr"] == pytest.approx(psnr(np.clip(clean + 0.3, 0, 1), clean), abs=1e-5)


def test_validation_on_other_photos_holds_none_out(tmp_path):
    for number in range(4):
        write_image(tmp_path / "shots" / f"{number}.png", Image(pixels(40, 40 + number)))
    write_image(tmp_path / "fixed" / "a.png", Image(pixels(48, 60)))
    task = restoration_task(Brighter(), [tmp_path / "shots"], [], **options(20))
    task = task.validated_on([tmp_path / "fixed"])
    assert len(task.training) == 4
    (photo,) = task.validation
    np.testing.assert_array_equal(photo, pixels(48, 60))
    assert task.describe_data() == "4 photos of shots; validated on 1 of fixed"


def test_a_folder_without_photos_to_validate_on_is_refused(tmp_path):
    for number in range(3):
        write_image(tmp_path / "shots" / f"{number}.png", Image(pixels(30, 30 + number)))
    task = restoration_task(Brighter(), [tmp_path / "shots"], [], **options(20))
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="empty: 0 usable images"):
        task.validated_on([tmp_path / "empty"])
