"""The plugins that docs/plugins.md shows whole: each is written to a file, and run as it says."""

import re
import shutil

import numpy as np
import pytest
from support import PHOTOS, ROOT
from support_docs import blocks

from imgfx.files import read_image

PAGE = ROOT / "docs" / "plugins.md"
NAMES = ["fade", "smooth", "steps", "pages", "sizes"]


@pytest.fixture(scope="module")
def shown():
    """By the names that they offer, the page's whole modules: those with a docstring."""
    found = {}
    for block in blocks(PAGE):
        if block.language == "python" and block.text.startswith('"""'):
            names = re.findall(r'^(?:@\w.*|.*filter)\("(\w+)"', block.text, re.M)
            found[names[0]] = block.text
    return found


@pytest.fixture
def run(shown, imgfx, tmp_path):
    """`run("steps", ...)` beside a folder of all of them, and one of photographs."""
    (tmp_path / "mine").mkdir()
    for name, text in shown.items():
        (tmp_path / "mine" / f"{name}.py").write_text(text)
    shutil.copytree(PHOTOS, tmp_path / "photos")
    return lambda *words: imgfx("--plugins-dir", "mine", *words)


def test_there_is_one_of_each_kind(shown, run):
    assert list(shown) == NAMES
    listed = run("plugins", "list").out.decode()
    for kind, name in zip(["filter", "filter", "source", "sink", "command"], NAMES, strict=True):
        section = listed.partition(f"{kind}s:\n")[2].partition(":\n")[0]
        assert f"  {name} " in section


@pytest.mark.parametrize("name", NAMES)
def test_each_does_what_every_plugin_promises(run, name):
    ended = run("plugins", "test", name)
    assert ended.code == 0, ended.out.decode() + ended.err


def test_the_filter_fades(run, tmp_path):
    ended = run("open", "photos/koalas.webp", "fade", "save", "b.png")
    assert (ended.code, ended.err) == (0, "")
    before, after = read_image(PHOTOS / "koalas.webp").floats, read_image(tmp_path / "b.png").floats
    expected = (before + before.mean(axis=2, keepdims=True)) / 2
    np.testing.assert_allclose(after, expected, atol=0.6 / 255)


def test_the_model_says_that_it_has_no_weights(run):
    ended = run("open", "photos/koalas.webp", "smooth", "save", "b.png")
    assert ended.code == 1
    assert "smooth has no weights of its own yet; train some with" in ended.err


def test_the_source_makes_images(run, tmp_path):
    ended = run("steps", "--count", "3", "save", "out")
    assert ended.code == 0, ended.err
    names = ["step-0.png", "step-1.png", "step-2.png"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == names
    assert {int(read_image(tmp_path / "out" / names[1]).pixels.max())} == {127}


def test_the_sink_writes_pages(run, tmp_path):
    ended = run("open", "photos", "pages", "html")
    assert ended.code == 0, ended.err
    page = (tmp_path / "html" / "koalas.html").read_text()
    assert page.startswith('<img src="data:image/png;base64,iVBOR')
    assert len(list((tmp_path / "html").iterdir())) == 3


def test_the_command_prints_sizes(run):
    ended = run("sizes", "photos/koalas.webp")
    image = read_image(PHOTOS / "koalas.webp")
    assert ended.out.decode() == f"{image.width}\t{image.height}\tphotos/koalas.webp\n"
    missing = run("sizes", "nothing.png")
    assert (missing.code, missing.out) == (2, b"")
