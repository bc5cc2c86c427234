"""A network taught by others: its targets, who may teach, and that a resumed run goes on."""

import dataclasses

import numpy as np
import pytest
import torch
from support import PHOTOS

from imgfx.errors import TrainingError
from imgfx.model import ModelSpec
from imgfx.training.recipe import Teacher
from imgfx.training.teaching import OWN_SHARE, answered, turned, turned_back
from imgfx_denoise_ae.recipe import make_task as denoise_task
from imgfx_superres_rednet.model import rednet_spec
from imgfx_superres_rednet.network import build_network
from imgfx_superres_rednet.recipe import make_task

FAST = ["--teacher", "superres-fast-x2", "--teacher", "superres-fast-x4"]


class Bright(torch.nn.Module):
    """Enlarges by repetition and answers 0.75 of white, whatever it sees."""

    def __init__(self, scale):
        super().__init__()
        self.scale, self.seen = scale, []

    def forward(self, small):
        self.seen.append(tuple(small.shape))
        large = small.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        return large * 0 + 0.75


class Still:
    """A learner that only watches the target."""

    networks, step = {}, 0

    def autocast(self):
        return torch.autocast("cpu", enabled=False)

    def update(self, name, loss):
        pass


@pytest.fixture
def task():
    return make_task([PHOTOS], (), 12, build_network(rednet_spec(4, 2)))


def test_the_target_of_a_taught_scale_is_mostly_the_teachers_answer(task):
    network = Bright(3)
    pupil = task.taught_by([Teacher("bright", ModelSpec("x", scale=3), network)])
    arrays = pupil.batch(np.random.default_rng(1))
    assert arrays["input"].shape == arrays["target"].shape == (12, 3, 96, 96)
    batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
    target = pupil.target(Still(), batch).numpy()
    of_three = arrays["scale"] == 3
    assert 0 < of_three.sum() < 12
    own = arrays["target"]
    np.testing.assert_array_equal(target[~of_three], own[~of_three])
    expected = 0.75 + OWN_SHARE * (own[of_three] - 0.75)
    np.testing.assert_allclose(target[of_three], expected, atol=1e-6)
    assert network.seen == [(of_three.sum(), 3, 48, 48)]


def test_small_and_soft_and_sharp_show_the_same_place(task):
    """A teacher that enlarges as the input was enlarged gives the input again."""

    class Bicubic(torch.nn.Module):
        def forward(self, small):
            return torch.from_numpy(np.stack([_enlarged(image) for image in small.numpy()]))

    pupil = task.taught_by([Teacher("bicubic", ModelSpec("x", scale=2), Bicubic())])
    arrays = pupil.batch(np.random.default_rng(2))
    batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
    rows = arrays["scale"] == 2
    mixed = arrays["input"] + OWN_SHARE * (arrays["target"] - arrays["input"])
    target = pupil.target(Still(), batch).numpy()
    np.testing.assert_allclose(target[rows], mixed[rows], atol=1.01 / 255)  # the input is rounded


def _enlarged(image):
    from imgfx.resample import resize

    large = resize(image.transpose(1, 2, 0), 144, 144)
    return np.clip(large, 0, 1).transpose(2, 0, 1)  # as the input, which is of 8 bits


class Sloped(torch.nn.Module):
    """Adds a slope from left to right, whatever the image's own symmetry: 0 at the left, 1 at the
    right."""

    def forward(self, images):
        return images + torch.linspace(0, 1, images.shape[-1])


def test_scales_without_a_teacher_of_their_own_learn_from_the_one_that_takes_their_inputs(task):
    own, common = Bright(2), Sloped()
    pupil = task.taught_by(
        [Teacher("bright", ModelSpec("x", scale=2), own), Teacher("sloped", ModelSpec("x"), common)]
    )
    arrays = pupil.batch(np.random.default_rng(1))
    batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
    target = pupil.target(Still(), batch).numpy()
    of_two = arrays["scale"] == 2
    bright = 0.75 + OWN_SHARE * (arrays["target"] - 0.75)
    np.testing.assert_allclose(target[of_two], bright[of_two], atol=1e-6)
    added = (target - OWN_SHARE * arrays["target"]) / (1 - OWN_SHARE) - arrays["input"]
    others = added[~of_two]
    np.testing.assert_allclose(others.min(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(others.max(axis=(1, 2, 3)), 1, atol=1e-5)


def test_the_mean_of_many_answers_has_the_symmetry_that_the_teacher_lacks():
    torch.manual_seed(0)
    inputs = torch.rand(1, 3, 8, 8)
    answers = [answered(Still(), Sloped(), inputs) - inputs for _ in range(400)]
    assert len({tuple(answer.flatten().tolist()) for answer in answers}) == 4  # to each side
    np.testing.assert_allclose(torch.stack(answers).mean(0).numpy(), 0.5, atol=0.06)


def test_all_eight_symmetries_differ_and_are_undone():
    images = torch.rand(2, 3, 5, 7)
    seen = [turned(images, symmetry) for symmetry in range(8)]
    assert len({tuple(image.flatten().tolist()) for image in seen}) == 8
    for symmetry, image in enumerate(seen):
        assert torch.equal(turned_back(image, symmetry), images)


def test_a_denoiser_is_taught_by_one_of_its_kind():
    task = denoise_task([PHOTOS], (), 4, torch.nn.Identity())

    class Gray(torch.nn.Module):
        def forward(self, noisy):
            return noisy[:, :3] * 0 + 0.5

    teacher = Teacher("gray", ModelSpec("x", conditions=("sigma",)), Gray())
    pupil = task.taught_by([teacher])
    batch = {k: torch.from_numpy(a) for k, a in pupil.batch(np.random.default_rng(3)).items()}
    expected = 0.5 + OWN_SHARE * (batch["target"] - 0.5)
    torch.testing.assert_close(pupil.target(Still(), batch), expected)
    assert torch.equal(task.target(Still(), batch), batch["target"])
    with pytest.raises(TrainingError, match="gray and gray cannot teach the same inputs"):
        task.taught_by([teacher, teacher])


def test_photos_smaller_than_a_crop_are_taught_too(task):
    narrow = dataclasses.replace(task, training=[np.full((80, 300, 3), 51, np.uint8)])
    pupil = narrow.taught_by([Teacher("bright", ModelSpec("x", scale=2), Bright(2))])
    arrays = pupil.batch(np.random.default_rng(0))
    assert arrays["target"].shape == (12, 3, 96, 96)
    np.testing.assert_allclose(arrays["target"], 0.2, atol=1e-6)


def test_without_a_teacher_the_task_is_the_plain_one(task):
    assert set(task.batch(np.random.default_rng(0))) == {"input", "target"}


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec("x", scale=2, channels=1),
        ModelSpec("x", scale=2, conditions=("sigma",)),
        ModelSpec("x", latent=8),
    ],
)
def test_who_cannot_teach_is_refused(task, spec):
    with pytest.raises(TrainingError, match="other cannot teach"):
        task.taught_by([Teacher("other", spec, torch.nn.Identity())])


def test_a_taught_run_is_resumed_with_its_teachers(imgfx, tmp_path):
    run = ["train", "superres-rednet", "--data", PHOTOS, "--out", "w.safetensors", "--batch", 4]
    small = ["--size", "width=4", "--size", "depth=2"]
    ended = imgfx(*run, *small, *FAST, "--steps", 2)
    assert ended.code == 0, ended.err
    assert "| taught by | superres-fast-x2 superres-fast-x4 |" in (tmp_path / "w.md").read_text()
    assert "--teacher superres-fast-x4" in (tmp_path / "w.md").read_text()
    ended = imgfx(*run, "--resume", "--steps", 3)
    assert ended.code == 0, ended.err
    assert "| taught by | superres-fast-x2 superres-fast-x4 |" in (tmp_path / "w.md").read_text()


@pytest.mark.parametrize(
    ("model", "teacher", "message"),
    [
        ("denoise-ae", "superres-fast-x2", "superres-fast-x2 cannot teach"),
        ("superres-rednet", "denoise-ae", "denoise-ae cannot teach"),
        ("superres-rednet", "gan-generate", "gan-generate cannot teach"),
        ("superres-rednet", "nobody", "no model named 'nobody'"),
    ],
)
def test_a_wrong_teacher_is_said_in_one_line(imgfx, tmp_path, model, teacher, message):
    ended = imgfx(
        "train", model, "--data", PHOTOS, "--out", "w.safetensors", "--teacher", teacher,
        "--steps", 1,
    )  # fmt: skip
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert message in line
    assert not (tmp_path / "w.safetensors").exists()
