"""Anyone's plugins: found without an import, and a broken one costs only its own names.

The packages here are real ones: a module and a dist-info folder on the path of a new process.
"""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from support import NEGATIVE, pixels


def code(name="negative", body="pass", good=NEGATIVE):
    """The source of a plugin whose filter has this name, and does this first."""
    return good.replace("NAME", name).replace("BODY", body)


@pytest.fixture
def run(imgfx, site, tmp_path):
    """`run("open", ...)` with the packages of the site, in a folder with three images."""
    for number, name in enumerate(["a.png", "b.png", "c.png"]):
        cv2.imwrite(str(tmp_path / name), pixels(6, 7) // (number + 1))
    return lambda *words, **more: imgfx(*words, PYTHONPATH=str(site.folder), **more)


def listed(ended):
    """What a help text says of each name."""
    rows = (line.split(None, 1) for line in ended.out.decode().splitlines() if line[:2] == "  ")
    return {row[0]: row[1] if len(row) > 1 else "" for row in rows}


def test_an_installed_package_adds_its_stage(run, site, tmp_path):
    site.install("imgfx-negative", code(), "negative")
    assert listed(run("--help"))["negative"] == "Turn an image into its negative"
    assert run("negative", "--help").out.startswith(b"Usage: imgfx ... negative ")
    ended = run("open", "a.png", "negative", "save", "n.png")
    assert (ended.code, ended.err) == (0, "")
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "n.png")), 255 - pixels(6, 7))


def test_listing_imports_no_plugin(run, site):
    site.install("imgfx-loud", code("loud") + "raise SystemExit('imported')", "loud")
    assert run("--help").code == 0
    assert run("open", "a.png", "save", "b2.png").code == 0


@pytest.mark.parametrize("module", ["not a module!", "", "gone.sub:thing"])
def test_a_wrong_entry_point_costs_only_its_own_name(run, site, module):
    site.install("imgfx-broken", "", f"broken = {module}")
    assert "save" in listed(run("--help"))
    ended = run("broken")
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "of package imgfx-broken is broken" in ended.err


def test_what_a_failed_uninstallation_leaves_is_borne(run, site):
    site.install("left-over", code(), "negative", "rest")
    site.install("other", code(), "negative")
    (site.folder / "left_over-1.0.dist-info" / "METADATA").unlink()
    assert {"rest", "other:negative"} <= set(listed(run("--help")))
    assert run("open", "a.png", "other:negative", "save", "n.png").code == 0
    ended = run("open", "a.png", "rest", "save", "n.png")
    assert "plugin 'left_over' of package unknown package promises 'rest'" in ended.err


def test_two_packages_with_one_name_are_told_apart(run, site, tmp_path):
    site.install("one", code("twin"), "twin")
    site.install("two", code("twin", "return image"), "twin")
    assert {"one:twin", "two:twin", "save"} <= set(listed(run("--help")))
    ended = run("open", "a.png", "twin", "save", "x.png")
    assert ended.code == 1
    assert ended.err == (
        "imgfx: error: 'twin' is offered by one and two; say which: one:twin or two:twin\n"
    )
    for name, expected in (("one:twin", 255 - pixels(6, 7)), ("two:twin", pixels(6, 7))):
        assert run("open", "a.png", name, "save", "x.png").code == 0
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "x.png")), expected)


def test_a_bundled_name_wins(run, site, tmp_path):
    site.install("a-rival", code("save"), "save")
    rows = listed(run("--help"))
    assert rows["save"].startswith("Write images to a file")
    assert rows["a-rival:save"] == "Turn an image into its negative"
    ended = run("open", "a.png", "a-rival:save", "save", "x.png")
    assert (ended.code, ended.err) == (0, "")
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "x.png")), 255 - pixels(6, 7))


COMMAND = '''"""Do something else."""

import click
from imgfx.hookspecs import hookimpl


@click.command("NAME")
@click.option("--code", type=int)
@click.pass_obj
def command(catalog, code):
    """Do something else."""
    click.echo(" ".join(catalog.names("sink")))
    if code is not None:
        raise click.exceptions.Exit(code)


@hookimpl
def imgfx_commands():
    return [command]
'''


def test_a_command_gets_the_catalog_and_its_exit_code_is_kept(run, site):
    site.install("other", COMMAND.replace("NAME", "other"), "other", kind="commands")
    ended = run("other")
    assert (ended.code, ended.out) == (0, b"save\n")
    assert run("other", "--code", 130).code == 130
    assert run("other", "--code", "x").err.startswith("imgfx: other: Invalid value for '--code'")


def test_a_command_cannot_take_a_bundled_stage_s_name(run, site):
    site.install("other", COMMAND.replace("NAME", "open"), "open", kind="commands")
    ended = run("open", "a.png", "save", "x.png")
    assert (ended.code, ended.out) == (0, b"")
    assert run("other:open").out == b"save\n"


NOISE = """
import ctypes, os, sys
def shout(text):
    ctypes.CDLL(None).printf(text.encode() + b"\\n")  # kept by the C library until the end
    print(text)
    sys.stdout.write(text)
    os.write(1, text.encode())
    os.system("echo " + text)
shout("while it is imported")
"""


def test_what_a_plugin_prints_stays_out_of_the_pipe(run, site):
    source = NOISE + code("loud", "shout('while it runs')")
    site.install("imgfx-loud", source.replace("return [", "shout('hook'); return ["), "loud")
    words = ["open", "a.png", "b.png", "loud", "save", "-", "--format", "ppm"]
    ended = run(*words, PYTHONUNBUFFERED="")
    assert ended.code == 0
    header = b"P6\n7 6\n255\n"
    first, second = (255 - pixels(6, 7)), 255 - pixels(6, 7) // 2
    assert ended.out == b"".join(header + part[..., ::-1].tobytes() for part in (first, second))
    for text, times in (("while it is imported", 5), ("hook", 5), ("while it runs", 10)):
        assert ended.err.count(text) >= times


CHOOSY = code("choosy", "if image.name == 'b': WHAT")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            "raise ValueError('too dark')",
            "b.png: stage 'choosy' failed: ValueError: too dark (choosy.py:9)",
        ),
        ("return None", "b.png: stage 'choosy' answered NoneType, no Image"),
        (
            "return image.with_pixels(image.pixels.astype('float32') + float('nan'))",
            "b.png: stage 'choosy' answered values that are not finite numbers",
        ),
        ("raise SystemExit(0)", "b.png: stage 'choosy' failed: SystemExit: 0 (choosy.py:9)"),
    ],
)
def test_a_filter_that_fails_at_one_image_gets_the_others(run, site, tmp_path, what, message):
    site.install("choosy", CHOOSY.replace("WHAT", what), "choosy")
    ended = run("open", "a.png", "b.png", "c.png", "choosy", "save", "out")
    assert ended.code == 3
    assert ended.err.splitlines() == [
        f"imgfx: error: {message}",
        "imgfx: error: 1 of 3 images failed; the others are written",
    ]
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["a.png", "c.png"]


def test_a_module_is_read_for_its_help_without_its_parents(site):
    """The parent of `imgfx_files.open_stage` is not imported to list `open`."""
    script = (
        "import sys\n"
        "from imgfx.offers import summary\n"
        "from imgfx.plugins import Registry\n"
        "offer = Registry().find('open', 'source')\n"
        "assert summary(offer) == 'Read images from files, folders, globs or stdin'\n"
        "assert 'imgfx_files' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=site.folder, check=True)


ENDS = '''"""Two ends of a chain."""

import click
import numpy as np

from imgfx.errors import ImgfxError
from imgfx.hookspecs import hookimpl
from imgfx.image import Image
from imgfx.stage import Item, sink, source


class Tones:
    def __init__(self, most, fail, endless):
        self.most, self.fail = most, fail
        self.count = None if endless else most

    def __iter__(self):
        for tone in range(self.most):
            if tone == self.fail:
                raise RuntimeError("out of paint")
            pixels = np.full((1, 2, 1), tone, np.uint8)
            yield Item(f"tone {tone}", lambda pixels=pixels: Image(pixels), f"t{tone}")


@source("tones")
@click.option("--count", "most", type=int, default=3)
@click.option("--fail", type=int)
@click.option("--endless", is_flag=True)
def tones(session, **options):
    """Make gray images."""
    return Tones(**options)


class Lines:
    def target(self, item, index):
        return f"line {index}"

    def check(self, item, index):
        if index == 5:
            raise ImgfxError("five lines are enough")

    def encode(self, image, item, index):
        return f"{item.name} {image.pixels.ravel().tolist()}\\n".encode(), ()

    def write(self, data, item, index):
        with open("lines.txt", "ab") as file:
            file.write(data)


@sink("lines")
def lines(session):
    """Write images as lines of numbers."""
    return Lines()


@hookimpl
def imgfx_stages():
    return [tones, lines]
'''


@pytest.fixture
def ends(site):
    """A package with a source, and one with a sink."""
    site.install("my-tones", ENDS, "tones", kind="sources")
    site.install("my-lines", ENDS, "lines", kind="sinks")


def test_anyone_can_add_a_source_and_a_sink(run, ends, tmp_path):
    assert run("tones", "lines", "-q").code == 0
    assert (tmp_path / "lines.txt").read_text() == "t0 [0, 0]\nt1 [1, 1]\nt2 [2, 2]\n"
    assert run("tones", "--count", 2, "save", "out").code == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["t0.png", "t1.png"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("tones --fail 1 lines", "stage 'tones' failed: RuntimeError: out of paint (my_tones.py:"),
        ("tones --fail 1 lines -n", "stage 'tones' failed: RuntimeError: out of paint ("),
        ("tones --count 6 lines", "five lines are enough"),
    ],
)
def test_a_plugin_s_ends_can_refuse_before_the_first_image(run, ends, tmp_path, words, line):
    ended = run(*words.split())
    assert (ended.code, ended.out) == (1, b"")
    assert ended.err.splitlines()[-1].startswith(f"imgfx: error: {line}")
    assert "Traceback" not in ended.err
    assert not (tmp_path / "lines.txt").exists()


def test_a_source_that_breaks_off_on_the_way_keeps_what_was_made(run, ends, tmp_path):
    ended = run("tones", "--endless", "--fail", 2, "save", "out", "--report", "r.json")
    assert ended.code == 3
    assert "imgfx: error: tones: RuntimeError: out of paint (my_tones.py:" in ended.err
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["t0.png", "t1.png"]
    assert '"done": 2' in (tmp_path / "r.json").read_text()
