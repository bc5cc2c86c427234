"""A disk that fills up while a run saves: one clear line, and the last good files whole.

The limit on a file's size stands for the full disk: the kernel refuses the write in the same place.
"""

import resource
import subprocess
import sys

import pytest
from support_training import QUICK, write_pictures

from imgfx.weights import load_weights
from imgfx_denoise_ae.model import MODEL
from imgfx_train.state import load_state


def train(folder, *words, room=resource.RLIM_INFINITY):
    """`imgfx train` in a process whose files cannot grow beyond `room` bytes."""
    line = [sys.executable, "-m", "imgfx", "train", "denoise-ae", "--data", "photos", *QUICK]
    line += ["--out", "a.safetensors", *words]

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    return subprocess.run(
        line, cwd=folder, capture_output=True, text=True, check=False, timeout=240, preexec_fn=limit
    )


@pytest.mark.parametrize("room", [1 << 20, 16 << 20], ids=["weights", "state"])
def test_a_full_disk_leaves_the_last_good_files(tmp_path, room):
    write_pictures(tmp_path / "photos", 3, 100, 100)
    ended = train(tmp_path, "--steps", "1")
    assert ended.returncode == 0, ended.stderr
    weights, state = tmp_path / "a.safetensors", tmp_path / "a.state"
    assert weights.stat().st_size < 16 << 20 < state.stat().st_size  # each limit hits one of them
    before = state.read_bytes()
    ended = train(tmp_path, "--steps", "3", "--resume", room=room)
    assert ended.returncode == 1
    line = ended.stderr.replace("\r", "\n").strip().splitlines()[-1]
    assert line.startswith("imgfx: error: a.s")
    assert "cannot" in line
    assert line.endswith("File too large")
    assert state.read_bytes() == before
    assert load_state(state, MODEL)["learner"]["step"] == 1
    load_weights(weights)  # raises if it is damaged
    assert not list(tmp_path.glob("*.tmp*"))
    ended = train(tmp_path, "--steps", "3", "--resume")
    assert ended.returncode == 0, ended.stderr
