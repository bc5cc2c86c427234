"""Several processes train as one does on the whole minibatch."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from support_training import recorded_steps, write_pictures

from imgfx.errors import TrainingError
from imgfx.weights import load_weights
from imgfx_denoise_ae.model import MODEL as DENOISE
from imgfx_train.processes import Processes


@pytest.fixture
def photos(tmp_path):
    return write_pictures(tmp_path / "photos", 4, 96, 100)


def train(folder, photos, processes, *words):
    """Four steps of denoise-ae on a minibatch of four."""
    starter = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    arguments = ["train", "denoise-ae", "--data", str(photos), "--batch", "4", "--threads", "1"]
    arguments += ["--precision", "fp32", "--out", str(folder / "a.safetensors"), *words]
    command = [sys.executable, *(starter if processes > 1 else []), "-m", "imgfx", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env=environment
    )


def test_two_processes_agree_with_one_on_the_same_minibatch(tmp_path, photos):
    for processes in (1, 2):
        words = ["--steps", "7", "--rate", "0.03"]
        ended = train(tmp_path / str(processes), photos, processes, *words)
        assert ended.returncode == 0, ended.stderr
    one, two = (load_weights(tmp_path / str(n) / "a.safetensors") for n in (1, 2))
    torch.manual_seed(0)
    fresh = DENOISE.build(DENOISE.spec).state_dict()
    for name, tensor in one.tensors.items():
        assert np.abs(tensor - fresh[name].numpy()).max() > 1e-4  # it has learned something
        # Muon brings small singular values up to one, and their rounding with them.
        np.testing.assert_allclose(two.tensors[name], tensor, rtol=0, atol=2e-5, err_msg=name)
    assert "2 processes" in two.training["processor"]
    assert recorded_steps(tmp_path / "2" / "a.metrics.jsonl") == [7]


def test_a_minibatch_that_cannot_be_divided_is_refused():
    batch = {"input": np.zeros((5, 3), np.float32)}
    with pytest.raises(TrainingError, match="--batch 5 cannot be divided among 2 processes"):
        Processes(0, 2).share(batch)


def test_shares_make_up_the_minibatch():
    batch = {"input": np.arange(6), "target": np.arange(12).reshape(6, 2)}
    shares = [Processes(rank, 3).share(batch) for rank in range(3)]
    for name, whole in batch.items():
        np.testing.assert_array_equal(np.concatenate([s[name] for s in shares]), whole)


def test_a_single_process_needs_no_exchange():
    alone = Processes()
    batch = {"input": np.zeros((5, 3), np.float32)}
    assert alone.leads
    assert alone.share(batch) is batch
    assert alone.agree(1.5, "fp32") == [1.5, "fp32"]
