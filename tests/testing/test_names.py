"""`imgfx.testing`: its names are there, sorted, and cost nothing until they are used."""

import subprocess
import sys

import pytest

from imgfx import testing


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
