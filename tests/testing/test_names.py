"""`imgfx.testing`: its names are there, sorted, and cost nothing until they are used."""

import re
import subprocess
import sys

import pytest
from support import ROOT
from support_docs import blocks

from imgfx import testing
from imgfx.testing.kit.performing import Examination


def test_every_name_is_there_and_the_list_is_sorted():
    assert testing.__all__ == sorted(testing.__all__)
    assert set(testing.__all__) == set(testing._HOMES)
    assert all(getattr(testing, name) is not None for name in testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'sample_picture'"):
        _ = testing.sample_picture


def test_importing_it_imports_nothing_else():
    script = (
        "import sys, imgfx.testing\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'numpy', 'torch', 'cv2', 'click', 'pluggy'}, loaded\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_the_page_shows_works(tmp_path):
    """The tests in docs/testing.md are run as they stand there; the kit's own takes long."""
    page = ROOT / "docs" / "testing.md"
    shown = [block.text for block in blocks(page) if block.language == "python"]
    assert len(shown) == 2
    (tmp_path / "test_shown.py").write_text(shown[1])
    words = ["pytest", "-q", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout
    assert "3 passed" in ended.stdout


def test_the_page_names_every_check():
    """And no other; the kit's engines are those that are installed."""
    text = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([\w, _.]+) \|", text, re.M)
    named = {name for cell in cells for name in re.split(r"[, ]+", cell)} - {"check", "..."}
    with Examination("imgfx") as examination:
        checks = {task.check.name for task in examination.tasks()}
    assert checks - named == {"protocol", "subcommands", "usage"}  # told in a sentence
    assert named - checks == set()
