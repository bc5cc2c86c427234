"""The classifier: what it learns from, what is refused, and its features."""

import struct

import numpy as np
import pytest
import torch
from support_training import digits, idx_bytes

from imgfx.errors import TrainingError
from imgfx_gan_generate.classifier import RECIPE
from imgfx_gan_generate.model import CLASSIFIER_MODEL, classifier_spec

SPEC = classifier_spec(width=4)


def labels_bytes(labels):
    return struct.pack(">II", 0x801, len(labels)) + bytes(labels)


def write_pairs(folder, count=80):
    """Bright pictures are of kind 1, dark ones of kind 0."""
    labels = np.arange(count) % 2
    images = digits(count) // 2 + np.uint8(120) * labels[:, None, None].astype(np.uint8)
    folder.mkdir(exist_ok=True)
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(images))
    (folder / "train-labels-idx1-ubyte").write_bytes(labels_bytes(labels.tolist()))
    return images, labels


@pytest.fixture
def task(tmp_path):
    write_pairs(tmp_path / "pairs")
    torch.manual_seed(0)
    return RECIPE.task([tmp_path / "pairs"], [], 16, CLASSIFIER_MODEL.build(SPEC))


def test_pictures_and_labels_stay_together(task):
    assert (len(task.training[0]), len(task.held_out[0])) == (72, 8)
    for pictures, labels in (task.training, task.held_out):
        np.testing.assert_array_equal(pictures.mean(axis=(1, 2, 3)) > 120, labels)
    batch = task.batch(np.random.default_rng(0))
    assert batch["input"].shape == (16, 1, 8, 8)
    np.testing.assert_array_equal(batch["input"].mean(axis=(1, 2, 3)) > 120 / 255, batch["label"])
    assert task.describe_data() == "72 labelled images of 8x8, 8 held out, of pairs"


def test_accuracy_is_the_share_of_held_out_pictures_told_rightly(task):
    class Oracle(torch.nn.Module):
        def __init__(self, sign):
            super().__init__()
            self.sign = torch.nn.Parameter(torch.tensor(float(sign)))

        def forward(self, x):
            bright = x.mean(dim=(1, 2, 3)) - 120 / 255
            return torch.stack([-self.sign * bright, self.sign * bright], dim=1)

    assert task.validate(Oracle(1)) == {"accuracy": 1.0}
    assert task.validate(Oracle(-1)) == {"accuracy": 0.0}


def test_samples_are_sorted_by_what_they_were_taken_for(task):
    samples = task.samples(task.network.eval())
    assert samples.dtype == np.uint8
    assert samples.shape[1:] == (16 * 8, 1)


def test_features_do_not_depend_on_the_other_pictures():
    network = CLASSIFIER_MODEL.build(SPEC).eval()
    images = torch.rand(5, 1, 28, 28)
    with torch.inference_mode():
        together = network.features(images)
        alone = network.features(images[2:3])
        assert network(images).shape == (5, 10)
    assert together.shape == (5, 16)
    torch.testing.assert_close(alone[0], together[2])


def test_what_cannot_be_learned_from_is_named(tmp_path):
    network = CLASSIFIER_MODEL.build(SPEC)

    def refused(folder, message):
        with pytest.raises(TrainingError, match=message):
            RECIPE.task([folder], [], 16, network)

    refused(tmp_path / "nowhere", "nowhere: no such folder")
    refused(tmp_path, "no IDX files '\\*-images-idx3-ubyte\\*' with labels")
    write_pairs(tmp_path / "pairs")
    (tmp_path / "pairs" / "train-labels-idx1-ubyte").write_bytes(labels_bytes([1, 2, 3]))
    refused(tmp_path / "pairs", "train-labels-idx1-ubyte: 3 labels for 80 images")
    write_pairs(tmp_path / "pairs", 63)
    refused(tmp_path / "pairs", "pairs: 63 images, at least 64 needed")
    write_pairs(tmp_path / "pairs")
    labels = [0, 10] * 40
    (tmp_path / "pairs" / "train-labels-idx1-ubyte").write_bytes(labels_bytes(labels))
    refused(tmp_path / "pairs", "pairs: a label 10, but the classifier knows 0 to 9")
    write_pairs(tmp_path / "pairs")
    (tmp_path / "pairs" / "more-images-idx3-ubyte").write_bytes(idx_bytes(digits(3, 28)))
    (tmp_path / "pairs" / "more-labels-idx1-ubyte").write_bytes(labels_bytes([1, 2, 3]))
    refused(tmp_path / "pairs", "pairs: images of different sizes")
    (tmp_path / "pairs" / "more-labels-idx1-ubyte").unlink()
    refused(tmp_path / "pairs", "more-labels-idx1-ubyte: not a readable IDX file")
