"""Two runs of one name at a time, and pictures that cannot be drawn."""

import os
import sys
import time
from pathlib import Path

import pytest

from imgfx.errors import TrainingError
from imgfx_train.held import held


def test_a_second_run_of_a_name_is_refused_and_changes_nothing(train, capfd):
    assert train("superres-rednet", "photos", "--steps", "1") == 0
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    with held(Path("a.safetensors")):
        capfd.readouterr()
        assert train("superres-rednet", "photos", "--steps", "2", "--resume", new=False) == 1
        assert (
            "a.safetensors: another run is at work on it; wait for its end"
            in capfd.readouterr().err
        )
        assert {p.name: p.read_bytes() for p in Path().iterdir() if p.suffix != ".lock"} == before
    assert not list(Path().glob(".*.lock"))
    assert train("superres-rednet", "photos", "--steps", "2", "--resume", new=False) == 0


def test_a_killed_run_holds_nothing(own_folder):
    child = os.fork()
    if not child:
        with held(Path("a.safetensors")):
            Path("held").touch()
            time.sleep(60)
    while not Path("held").exists():
        time.sleep(0.01)
    with pytest.raises(TrainingError, match="another run"), held(Path("a.safetensors")):
        pass
    os.kill(child, 9)
    os.waitpid(child, 0)
    with held(Path("a.safetensors")), held(Path("b.safetensors")):
        assert sorted(p.name for p in Path().glob(".*")) == [".a.lock", ".b.lock"]
    assert not list(Path().glob(".*"))


def test_where_nothing_can_be_written_that_is_said(own_folder):
    Path("file").touch()
    with pytest.raises(TrainingError, match="cannot write there"), held(Path("file/a.safetensors")):
        pass


def test_pictures_that_cannot_be_drawn_are_told_and_cost_no_run(train, capfd, monkeypatch):
    """As with a matplotlib that does not fit the NumPy beside it."""
    Path("matplotlib").mkdir()
    Path("matplotlib/__init__.py").write_text("raise RuntimeError('built for another NumPy')\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    Path("a.samples.png").mkdir()
    assert train("superres-rednet", "photos", "--steps", "2", "--overwrite") == 0
    err = capfd.readouterr().err
    assert "warning: a.curves.png: drawing failed: RuntimeError: built for another NumPy" in err
    assert "warning: a.samples.png: " in err
    assert Path("a.safetensors").is_file()
