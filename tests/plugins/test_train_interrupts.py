"""`imgfx train` stopped and killed, and how `--resume` goes on."""

import dataclasses
import os
import signal
import subprocess
import time

import pytest
from support import PROGRAM
from support_training import QUICK, digest, facts, recorded_steps

from imgfx_superres_rednet.model import MODEL as REDNET
from imgfx_train.launch import _interrupts as interrupts_of_launch
from imgfx_train.request import Request, as_begun, with_defaults
from imgfx_train.state import load_state


def test_an_existing_run_is_neither_overwritten_nor_resumed_unasked(tmp_path, train, capfd):
    assert train("denoise-ae", "photos", "--steps", "2") == 0
    before = digest()
    assert train("denoise-ae", "photos", "--steps", "4") == 1
    assert "a.safetensors exists; go on with --resume" in capfd.readouterr().err
    assert digest() == before
    assert train("denoise-ae", "photos", "--steps", "4", "--resume", new=False) == 0
    assert recorded_steps() == [2, 4]
    assert train("denoise-ae", "photos", "--steps", "3", "--overwrite") == 0
    assert recorded_steps() == [3]
    (tmp_path / "a.safetensors").unlink()
    assert train("denoise-ae", "photos", "--steps", "1") == 1  # its state can still be resumed
    assert "a.state exists" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["a.md", "a.samples.png", "a.curves.png"])
def test_no_file_that_a_run_would_write_is_replaced_unasked(tmp_path, train, capfd, name):
    (tmp_path / name).write_text("my own notes")
    assert train("denoise-ae", "photos", "--steps", "1") == 1
    assert f"{name} exists" in capfd.readouterr().err
    assert (tmp_path / name).read_text() == "my own notes"
    assert train("denoise-ae", "photos", "--steps", "1", "--overwrite") == 0


def test_a_run_that_began_with_weights_is_resumed_without_them(train):
    # The network's spec is in the state; it is not the model's own.
    assert train("denoise-ae", "photos", "--steps", "2") == 0
    assert train("denoise-ae", "photos", "--steps", "3", "--resume", new=False) == 0
    assert facts()["steps"] == "3"


@pytest.mark.parametrize(
    ("model", "damage", "message"),
    [
        ("denoise-ae", b"garbage", "a.state: damaged, or no state of `imgfx train`"),
        ("denoise-ae", b"", "a.state: damaged, or no state of `imgfx train`"),
        ("denoise-ae", None, "a.state: no saved state to resume from"),
        ("superres-rednet", "keep", "a.state: state of another model: denoise-ae"),
    ],
)
def test_a_state_that_cannot_be_resumed_is_one_line(tmp_path, train, capfd, model, damage, message):
    assert train("denoise-ae", "photos", "--steps", "1") == 0
    capfd.readouterr()
    state = tmp_path / "a.state"
    if damage is None:
        state.unlink()
    elif damage != "keep":
        state.write_bytes(damage)
    before = digest()
    assert train(model, "photos", "--steps", "2", "--resume", new=False) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"imgfx: error: {message}")
    assert digest() == before


class Running:
    """`imgfx train` in a process of its own, caught in the midst of training."""

    def __init__(self, folder, shelf, *options):
        words = ["train", "superres-rednet", "--data", str(shelf / "photos"), "--steps", "1000000"]
        words += ["--out", "a.safetensors", *QUICK, *options]
        self._folder = folder
        self._process = subprocess.Popen(
            [*PROGRAM, *words],
            cwd=folder,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def wait_for(self, name, lines=0):
        """Until a file is there, and has so many lines."""
        until = time.monotonic() + 120
        path = self._folder / name
        while not path.exists() or (lines and path.read_bytes().count(b"\n") < lines):
            assert self._process.poll() is None, self._process.communicate()[1].decode()
            assert time.monotonic() < until
            time.sleep(0.02)

    def end(self, number):
        """The exit code and stderr after a signal."""
        self._process.send_signal(number)
        _, err = self._process.communicate(timeout=60)
        return self._process.returncode, err.decode()


OFTEN = ("--validate-every", "0.0001")  # validates and saves after each step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_saves_and_can_be_resumed(tmp_path, shelf, train, number):
    init = ("--init", str(shelf / "superres-rednet.safetensors"))
    running = Running(tmp_path, shelf, *init, *OFTEN)
    running.wait_for("a.metrics.jsonl", lines=2)
    code, err = running.end(number)
    assert code == 128 + number
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "imgfx: stopped; go on with --resume --out a.safetensors"
    state = load_state(tmp_path / "a.state", REDNET)
    step = state["learner"]["step"]
    assert recorded_steps()[-1] == step == int(facts()["steps"])
    assert "% of the run" in (tmp_path / "a.md").read_text()
    assert train("superres-rednet", "photos", "--steps", str(step + 2), "--resume", new=False) == 0
    assert recorded_steps()[-3:] == [step, step + 1, step + 2]  # as often as before


@pytest.mark.parametrize("log", ["full", "gone"])
def test_a_log_that_cannot_be_written_does_not_end_training(tmp_path, shelf, log):
    words = ["train", "denoise-ae", "--data", str(shelf / "photos"), "--out", "a.safetensors"]
    words += ["--init", str(shelf / "denoise-ae.safetensors"), "--steps", "3", *QUICK]
    if log == "full":
        err = os.open("/dev/full", os.O_WRONLY)
    else:
        read, err = os.pipe()
        os.close(read)
    ended = subprocess.run([*PROGRAM, *words], cwd=tmp_path, stderr=err, timeout=120, check=False)
    os.close(err)
    assert ended.returncode == 0
    assert facts(tmp_path / "a.safetensors")["steps"] == "3"


@pytest.mark.parametrize(
    ("begun", "asked", "length"),
    [
        (("--steps", "2"), {}, (2, None)),
        (("--minutes", "0.001"), {}, (None, 0.001)),
        (("--minutes", "0.001"), {"steps": 9}, (9, None)),
        (("--steps", "2"), {"minutes": 3.0}, (None, 3.0)),
    ],
)
def test_a_resumed_run_keeps_its_length_where_no_other_is_given(
    tmp_path, train, begun, asked, length
):
    assert train("superres-rednet", "photos", *begun) == 0
    nothing = {field.name: None for field in dataclasses.fields(Request)}
    request = Request(**{**nothing, "precision": "auto", "teachers": (), **asked})
    resumed = as_begun(request, load_state(tmp_path / "a.state", REDNET))
    assert (resumed.steps, resumed.minutes) == length


@pytest.mark.parametrize(
    ("begun", "asked", "used"),
    [
        ((), {}, (0, 5.0)),
        (("--seed", "7", "--validate-every", "0.5"), {}, (7, 0.5)),
        (("--seed", "7", "--validate-every", "0.5"), {"seed": 7, "validate_every": 2.0}, (7, 2.0)),
    ],
)
def test_a_resumed_run_keeps_its_seed_and_when_it_validates(tmp_path, train, begun, asked, used):
    assert train("superres-rednet", "photos", "--steps", "1", *begun) == 0
    nothing = {field.name: None for field in dataclasses.fields(Request)}
    request = Request(**{**nothing, "precision": "auto", "teachers": (), **asked})
    state = load_state(tmp_path / "a.state", REDNET)
    resumed = with_defaults(as_begun(request, state))
    assert (resumed.seed, resumed.validate_every) == used


def test_a_resumed_run_takes_no_other_seed(train, capfd):
    assert train("superres-rednet", "photos", "--steps", "1", "--seed", "3") == 0
    words = ["--steps", "2", "--resume", "--seed"]
    assert train("superres-rednet", "photos", *words, "4", new=False) == 1
    assert "--seed: the run was begun with 3; leave it out" in capfd.readouterr().err
    assert train("superres-rednet", "photos", *words, "3", new=False) == 0


def test_a_kill_loses_nothing_that_was_saved(tmp_path, shelf, train):
    init = ("--init", str(shelf / "superres-rednet.safetensors"))
    kept = 0
    for _ in range(2):
        running = Running(tmp_path, shelf, *init, *OFTEN)
        running.wait_for("a.metrics.jsonl", lines=kept + 3)
        time.sleep(0.05)
        assert running.end(signal.SIGKILL)[0] == -signal.SIGKILL
        state = load_state(tmp_path / "a.state", REDNET)
        assert state["learner"]["step"] >= kept + 2  # the third may have been about to be saved
        kept, init = len(recorded_steps()), ("--resume",)
        digest("a.safetensors")
        digest("a.best.safetensors")
    steps = str(state["learner"]["step"] + 1)
    assert train("superres-rednet", "photos", "--steps", steps, "--resume", new=False) == 0
    assert recorded_steps() == sorted(set(recorded_steps()))


def test_a_signal_that_was_ignored_from_the_start_stays_so():
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_of_launch() as came:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            assert came == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, old)
