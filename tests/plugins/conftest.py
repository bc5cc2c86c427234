"""Fixtures of the plugins' tests: a folder of one's own, and small data and weights to train on."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from support import pixels
from support_models import TINY, write_weights
from support_training import QUICK, idx_bytes, write_pictures

from imgfx.cli import main
from imgfx.files import write_image
from imgfx.image import Image

Train = Callable[..., int]


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own folder, to which it has changed."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch with one thread; as many as before are put back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, clothes as IDX and as PNG, and small weights of each model; only to be read."""
    shelf = tmp_path_factory.mktemp("shelf")
    write_pictures(shelf / "photos", 4, 104, 100)
    clothes = (
        np.stack([pixels(28, 28, 1)[..., 0]] * 70) + np.arange(70, dtype=np.uint8)[:, None, None]
    )
    (shelf / "idx").mkdir()
    (shelf / "idx" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(clothes)))
    for number, image in enumerate(clothes):
        write_image(shelf / "png" / f"{number}.png", Image(image[..., None]))
    for name, (model, spec) in TINY.items():
        # Not the seed that training takes if none is given, or nobody saw that --init is ignored.
        write_weights(shelf / f"{name}.safetensors", model, spec, seed=1)
    return shelf


@pytest.fixture
def train(shelf: Path, own_folder: Path, one_thread: None) -> Train:
    """`train("denoise-ae", "photos", "--steps", "3")`: the exit code, of a small network."""

    def run(model: str, data: str | Path, *options: str, new: bool = True) -> int:
        init = ["--init", str(shelf / f"{model}.safetensors")] if new else []
        words = ["train", model, "--data", str(shelf / data), "--out", "a.safetensors"]
        return main([*words, *QUICK, *init, *options])

    return run
