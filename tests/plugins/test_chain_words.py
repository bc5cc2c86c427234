"""Words of a chain file and of `replay` that could be taken for something else."""

import cv2
import pytest
from support import NEGATIVE, pixels

OPTION = '''
import click
from imgfx.api import hookimpl, image_filter


@image_filter("mixed")
@click.option("--mode", type=click.Choice(["mixed", "other"]), default="other")
def mixed(image, mode):
    """Nothing.

    Examples:
      imgfx open a.png mixed save b.png
    """
    return image


@hookimpl
def imgfx_stages():
    return [mixed]
'''


@pytest.fixture
def folder(tmp_path):
    """A photo in each of two folders, and two filters in a file each."""
    for name in ("2024", "y2024"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "a.png"), pixels(8, 9))
    (tmp_path / "plug").mkdir()
    (tmp_path / "plug" / "mixed.py").write_text(OPTION)
    source = NEGATIVE.replace("NAME", "turn").replace("BODY", "pass")
    (tmp_path / "plug" / "turn.py").write_text(source)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "target"), [("2024", "2025"), ("y2024", "out"), ("2024", "1.5")]
)
def test_a_folder_whose_name_is_a_number_is_a_folder(imgfx, folder, source, target):
    (folder / "jobs").mkdir()
    line = ("open", source, "save", f"{target}/")
    assert imgfx("chain", "save", "jobs/f.toml", *line).code == 0
    assert f'"../{source}"' in (folder / "jobs" / "f.toml").read_text()
    (folder / "jobs" / "deep").mkdir()
    ended = imgfx("run", "--chain", "jobs/f.toml")
    assert (ended.code, ended.err) == (0, "")
    assert (folder / target / "a.png").is_file()


def test_a_stage_s_name_as_an_option_s_value_stays(imgfx, folder):
    plug = ("--plugins-dir", "plug")
    line = ("open", "./turn", "mixed", "--mode", "mixed", "save", "out")
    assert imgfx(*plug, "chain", "save", "c.toml", *line).code == 0
    shown = imgfx(*plug, "chain", "show", "c.toml")
    assert shown.out.decode() == f"imgfx {' '.join(line)}\n"


@pytest.mark.parametrize("name", ["r}1.png", "r{1}.png", "r{1.png", "r1.png"])
def test_a_result_goes_where_out_says_whatever_braces_are_in_it(imgfx, folder, name):
    plug = ("--plugins-dir", "plug")
    assert imgfx(*plug, "open", "2024/a.png", "turn", "save", "made.png").code == 0
    other = folder / name.replace("}", "}}")
    if other.name != name:
        other.write_bytes(b"mine")
    ended = imgfx(*plug, "replay", "made.png", "--on", "2024/a.png", "--out", name)
    assert (ended.code, ended.err) == (0, "")
    assert cv2.imread(str(folder / name)) is not None
    if other.name != name:
        assert other.read_bytes() == b"mine"
