"""Ways to run a plugin: a stage in this process, imgfx in another, a module offered for a while."""

import importlib.util
import sys

import click
import numpy as np
import pytest

from imgfx.api import Image, image_filter, source
from imgfx.errors import ImageError
from imgfx.files import decode, encode
from imgfx.formats import format_from_name
from imgfx.plugins import Registry
from imgfx.testing import apply, assert_images_equal, offered, run, sample_image

MODULE = '''"""Mix an image with its negative."""

import click

from imgfx.api import hookimpl, image_filter


@image_filter("part-negative")
@click.option("--share", type=click.FloatRange(0, 1), default=1.0)
def part_negative(image, share):
    """Mix an image with its negative."""
    return image.with_pixels(image.floats * (1 - share) + (1 - image.floats) * share)


@hookimpl
def imgfx_stages():
    return [part_negative]
'''


def png(image):
    return encode(image, format_from_name("png"))[0]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that is a plugin, in a file, not installed."""
    path = tmp_path / "part_negative.py"
    path.write_text(MODULE)
    spec = importlib.util.spec_from_file_location("part_negative", path)
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "part_negative", loaded)
    spec.loader.exec_module(loaded)
    return loaded


def test_a_stage_is_applied_with_options_as_typed(module):
    image = sample_image(7, 5)
    assert_images_equal(apply(module.part_negative, image), 1 - image.floats)
    half = apply(module.part_negative, image, "--share", 0.5)
    assert_images_equal(half, np.full((7, 5, 3), 0.5, np.float32))
    with pytest.raises(click.UsageError, match="not in the range"):
        apply(module.part_negative, image, "--share", 7)


def test_an_installed_stage_is_applied_by_its_name():
    image = sample_image(9, 9)
    assert apply("denoise-ae", image, "--strength", 0) is image
    with pytest.raises(ValueError, match="no stage named 'nothing'"):
        apply("nothing", image)
    with pytest.raises(ValueError, match="'open' is no filter but a source"):
        apply("open", image, "x.png")


def test_what_no_user_would_get_is_an_error():
    @image_filter("broken")
    def broken(image):
        return image.with_pixels(image.floats * np.float32("nan"))

    with pytest.raises(ImageError, match="not finite"):
        apply(broken, sample_image(2, 2))


def test_a_source_is_no_filter():
    @source("none")
    def none(session):
        return ()

    with pytest.raises(ValueError, match="no filter but a source"):
        apply(none, sample_image(2, 2))


def test_a_process_is_run_on_bytes(tmp_path):
    (tmp_path / "a.png").write_bytes(png(sample_image(7, 5)))
    ended = run("open", "a.png", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    np.testing.assert_array_equal(decode(ended.out, "x").pixels, sample_image(7, 5).pixels)
    assert run("save", tmp_path / "b.png", stdin=ended.out, cwd=tmp_path).code == 0
    assert (tmp_path / "b.png").is_file()
    assert run("nonsense", cwd=tmp_path).code == 2


def test_a_process_that_hangs_is_stopped():
    with pytest.raises(TimeoutError, match=r"has not ended within 0\.01 seconds"):
        run("--help", timeout=0.01)


def test_a_process_takes_plugins_of_a_folder(tmp_path):
    (tmp_path / "part_negative.py").write_text(MODULE)
    image = sample_image(7, 5)
    ended = run("part-negative", plugins_dir=tmp_path, stdin=png(image))
    assert (ended.code, ended.err) == (0, "")
    np.testing.assert_array_equal(decode(ended.out, "x").pixels, 255 - image.pixels)


def test_a_process_elsewhere_finds_the_folder_of_plugins_that_the_environment_names(
    tmp_path, monkeypatch
):
    (tmp_path / "mine").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mine" / "part_negative.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMGFX_PLUGINS_DIR", "mine")
    ended = run("part-negative", "--help", cwd=tmp_path / "elsewhere")
    assert (ended.code, ended.err) == (0, "")


def test_a_process_does_not_import_from_its_working_folder(tmp_path):
    (tmp_path / "click.py").write_text("raise SystemExit('wrong')")
    assert run("--version", cwd=tmp_path).code == 0


def test_an_offered_module_is_found_here_and_in_other_processes(module):
    image = sample_image(7, 5)
    assert Registry().find("part-negative", "filter") is None
    with offered(module) as catalog:
        assert isinstance(apply(catalog.stage("part-negative"), image), Image)
        assert_images_equal(apply("part-negative", image), 1 - image.floats)
        assert b"Mix an image with its negative" in run("--help").out
        ended = run("part-negative", stdin=png(image))
        assert (ended.code, ended.err) == (0, "")
    assert Registry().find("part-negative", "filter") is None
    assert run("part-negative", stdin=png(image)).code == 2


def test_a_module_without_hooks_is_not_offered():
    with pytest.raises(ValueError, match="answers nothing"), offered(click):
        pass
