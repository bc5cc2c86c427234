"""`imgfx train --overwrite`: an older run goes when the new one's weights are there, not before."""

import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support import PROGRAM, pixels
from support_training import QUICK, facts

from imgfx.files import write_image
from imgfx.image import Image
from imgfx.training.photos import image_paths
from imgfx.weights import load_weights, save_weights
from imgfx_train.run import Run


def files(folder: Path) -> dict[str, bytes]:
    """What a run has left, by name; the lock is none of it."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."}


def test_a_run_that_fails_at_its_first_step_leaves_the_older_one_whole(
    tmp_path, train, capfd, monkeypatch
):
    assert train("denoise-ae", "photos", "--steps", "2") == 0
    before = files(tmp_path)

    def fail(_run):
        raise MemoryError

    monkeypatch.setattr(Run, "_one_step", fail)
    assert train("denoise-ae", "photos", "--steps", "2", "--overwrite") == 1
    assert files(tmp_path) == before


def test_a_run_that_is_stopped_before_its_first_step_says_so_and_writes_nothing(
    tmp_path, train, capfd, monkeypatch
):
    assert train("denoise-ae", "photos", "--steps", "2") == 0
    before = files(tmp_path)
    capfd.readouterr()
    monkeypatch.setattr(Run, "execute", lambda _run, _show: False)
    assert train("denoise-ae", "photos", "--steps", "9", "--overwrite") == 130
    said = capfd.readouterr().err
    assert "stopped before the first step; nothing is saved" in said
    assert "its card is beside it" not in said
    assert files(tmp_path) == before


def test_no_card_of_other_weights_is_left_by_a_kill(tmp_path, shelf, train, monkeypatch):
    assert train("denoise-ae", "photos", "--steps", "2", "--licence", "CC0") == 0
    assert "CC0" in (tmp_path / "a.md").read_text()
    line = ["train", "denoise-ae", "--data", str(shelf / "photos"), "--out", "a.safetensors"]
    line += [*QUICK, "--init", str(shelf / "denoise-ae.safetensors"), "--overwrite"]
    older = (tmp_path / "a.safetensors").stat().st_ino
    with subprocess.Popen([*PROGRAM, *line, "--minutes", "5", "--validate-every", "0.001"]) as run:
        try:
            while (tmp_path / "a.safetensors").stat().st_ino == older and run.poll() is None:
                pass
        finally:
            run.kill()
    assert "a.md" not in files(tmp_path)
    assert facts().get("licence") != "CC0"


def test_the_best_weights_of_another_run_are_no_run(tmp_path, train, capfd):
    assert train("denoise-ae", "photos", "--out", "a.best.safetensors", "--steps", "1") == 2
    assert "so are the best weights of a.safetensors named" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_weights_that_hold_no_numbers_are_no_beginning(tmp_path, shelf, train, capfd):
    weights = load_weights(shelf / "denoise-ae.safetensors")
    tensors = dict(weights.tensors)
    name = min(tensors)
    tensors[name] = np.full_like(tensors[name], np.nan)
    save_weights(tmp_path / "nan.safetensors", dataclasses.replace(weights, tensors=tensors))
    options = ("--init", "nan.safetensors", "--steps", "1")
    assert train("denoise-ae", "photos", *options, new=False) == 1
    assert f"--init nan.safetensors: {name} holds values that are not" in capfd.readouterr().err
    assert [path.name for path in tmp_path.glob("a.*")] == []


def test_a_run_resumed_on_other_data_tells_of_both_and_chooses_its_best_anew(
    tmp_path, shelf, train, capfd
):
    assert train("denoise-ae", "photos", "--steps", "2", "--licence", "CC0") == 0
    first = facts()["data"]
    other = tmp_path / "other"
    for number in range(3):  # of one colour: nothing could be better than on these
        write_image(other / f"{number}.png", Image(np.full((128, 128, 3), 90 + number, np.uint8)))
    (tmp_path / "a.best.safetensors").unlink()
    capfd.readouterr()
    assert train("denoise-ae", other, "--steps", "3", "--resume", new=False) == 0
    assert f"other data than before: {first}" in capfd.readouterr().err
    assert facts()["data"].endswith(f"of other; before that {first}")
    assert f"before that {first}" in (tmp_path / "a.md").read_text()
    (tmp_path / "a.best.safetensors").unlink()
    assert train("denoise-ae", "photos", "--steps", "4", "--resume", new=False) == 0
    assert (tmp_path / "a.best.safetensors").exists()  # though its figure is far below the last
    assert facts()["data"].count("before that") == 2
    assert train("denoise-ae", "photos", "--steps", "5", "--resume", new=False) == 0
    assert facts()["data"].count("before that") == 2


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Photos that are shown, hidden, behind a link, and in a sub-folder."""
    for name in ("a.png", "deep/b.png", "deep/c.png", ".trash/d.png", "._a.png"):
        write_image(tmp_path / "data" / name, Image(pixels(8, 8)))
    write_image(tmp_path / "other" / "e.png", Image(pixels(8, 9)))
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "other")
    return tmp_path / "data"


def found(data: Path, *exclude: str) -> list[str]:
    """Names of the photos to train on."""
    return [path.relative_to(data).as_posix() for path in image_paths([data], exclude)]


def test_hidden_photos_are_not_trained_on_and_links_to_folders_are_told(data, capfd):
    assert found(data) == ["a.png", "deep/b.png", "deep/c.png"]
    assert "linked: a link to a folder is not followed; name it itself" in capfd.readouterr().err


def test_photos_are_left_out_by_name_or_by_path(data):
    assert found(data, "b.*") == ["a.png", "deep/c.png"]
    assert found(data, "deep/*") == ["a.png"]


def test_a_hidden_folder_that_is_named_is_read(data):
    assert found(data / ".trash") == ["d.png"]
