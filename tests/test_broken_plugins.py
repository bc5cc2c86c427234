"""Plugins that break at import, in their hooks, or at work: each costs only itself."""

import subprocess
import sys
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from support import NEGATIVE, PROGRAM, Site, pixels, processor_seconds


@dataclass(frozen=True)
class Broken:
    """A plugin, and the line that its use ends with."""

    reason: str
    source: str = NEGATIVE
    kind: str = "filters"
    version: int = 1
    entry: str = "NAME"

    def install(self, site: Site, name: str) -> None:
        """As the package imgfx-NAME, offering NAME."""
        source = self.source.replace("NAME", name).replace("BODY", "pass")
        entry = self.entry.replace("NAME", name)
        site.install(f"imgfx-{name}", source, entry, kind=self.kind, version=self.version)


def at_work(body: str, reason: str) -> Broken:
    """A filter that is found and loaded, and breaks at the image."""
    return Broken(reason, NEGATIVE.replace("BODY", body))


MODEL = '''"""A model that is none."""

from imgfx.api import hookimpl


@hookimpl
def imgfx_models():
    return ANSWER
'''

# Broken when they are written down or imported, when their hooks are called, and at work.
BROKEN = {
    "missing-import": Broken("No module named 'nowhere'", "import nowhere\n" + NEGATIVE),
    "syntax": Broken("SyntaxError", "def broken(:\n"),
    "bytes": Broken("is broken (", "\x00"),
    "exits": Broken("SystemExit", "raise SystemExit(0)\n"),
    "recursion": Broken("RecursionError", "def f(): f()\nf()\n"),
    "no-module": Broken("is broken (", entry="NAME = not a module!"),
    "gone": Broken("ModuleNotFoundError", entry="NAME = gone.sub:thing"),
    "future": Broken("is written for version 2 of the plugin API", version=2),
    "past": Broken("update imgfx-past", version=0),
    "mistyped": Broken("imgfx_stagez", NEGATIVE.replace("imgfx_stages", "imgfx_stagez")),
    "arguments": Broken("PluginValidation", NEGATIVE.replace("stages()", "stages(x)")),
    "no-hook": Broken("does not answer it", '"""Nothing."""\n'),
    "other-name": Broken("promises 'other-name'", NEGATIVE.replace("NAME", "else")),
    "hook-raises": Broken("ZeroDivisionError", NEGATIVE.replace("return [", "1 / 0; return [")),
    "hook-exits": Broken("SystemExit", NEGATIVE.replace("return [", "exit(); return [")),
    "no-list": Broken("'int' object is not iterable", NEGATIVE.replace("[negative]", "5")),
    "no-stage": Broken("does not answer it", NEGATIVE.replace("[negative]", "[print]")),
    "no-filter": Broken(
        "is no filter but Command",
        NEGATIVE.replace("[negative]", "[__import__('click').Command('NAME')]"),
    ),
    "wrong-kind": Broken("is no filter but source", NEGATIVE.replace("image_filter", "source")),
    "raises": at_work("raise ValueError('too dark')", "ValueError: too dark"),
    "quits": at_work("exit()", "SystemExit"),
    "nothing": at_work("return None", "answered NoneType, no Image"),
    "wrong-shape": at_work("return image.with_pixels(image.pixels[..., :2])", "expected (H, W, 1)"),
    "wrong-dtype": at_work("return image.with_pixels(image.pixels.astype('int8'))", "are int8"),
    "no-number": at_work(
        "return image.with_pixels(image.floats * float('nan'))", "not finite numbers"
    ),
    "loses-alpha": at_work(
        "return image.with_pixels(image.pixels, image.pixels)", "alpha is (6, 7, 3)"
    ),
}


def installed(site: Site, names=tuple(BROKEN)) -> Site:
    """The site, with these broken plugins and one that works."""
    for name in names:
        BROKEN[name].install(site, name)
    site.install(
        "imgfx-negative", NEGATIVE.replace("NAME", "negative").replace("BODY", ""), "negative"
    )
    return site


@pytest.fixture
def run(imgfx, site, tmp_path):
    """`run("open", ...)` with the packages of the site, in a folder with an image."""
    cv2.imwrite(str(tmp_path / "a.png"), pixels(6, 7))
    return lambda *words, **more: imgfx(*words, PYTHONPATH=str(site.folder), **more)


def test_the_place_of_an_error_is_the_plugin_s_own(run, site):
    body = "return image.with_pixels(image.pixels * 0.5)"
    site.install("imgfx-half", NEGATIVE.replace("NAME", "half").replace("BODY", body), "half")
    ended = run("open", "a.png", "half", "save", "b.png")
    assert ended.code == 1
    assert ended.err.endswith(
        "pixels are float64, expected uint8, uint16 or float32 (imgfx_half.py:9)\n"
    )


STARTS = '''"""A stage that is none."""

from imgfx.api import hookimpl, sink, source


@KIND("NAME")
def start(session):
    """Answer nothing of use."""
    return ANSWER


@hookimpl
def imgfx_stages():
    return [start]
'''


@pytest.mark.parametrize(
    ("kind", "answer", "missing", "words"),
    [
        ("source", "[]", "count; this one's answer is of type list", "NAME save b.png"),
        ("source", "(i for i in [])", "count; this one's answer is of type generator", "NAME"),
        ("sink", "None", "target and encode and write; this", "open a.png NAME"),
    ],
)
def test_what_a_stage_s_function_answers_is_looked_at(run, site, kind, answer, missing, words):
    text = STARTS.replace("KIND", kind).replace("NAME", "odd").replace("ANSWER", answer)
    site.install("imgfx-odd", text, "odd", kind=f"{kind}s")
    ended = run(*words.replace("NAME", "odd").split())
    assert ended.code == 1
    assert f"stage 'odd': a {kind}'s function answers what has {missing}" in ended.err


def test_a_model_is_a_model(run, site):
    text = MODEL.replace("ANSWER", "[type('Thing', (), {'name': 'odd'})()]")
    site.install("imgfx-odd", text, "odd", kind="models")
    ended = run("train", "odd", "--data", ".")
    assert ended.code == 1
    assert "'odd' is no Model but Thing" in ended.err


def test_there_are_at_least_twenty():
    assert len(BROKEN) >= 20


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_explains_itself_in_one_line(run, site, tmp_path, name):
    installed(site, [name])
    ended = run("open", "a.png", name, "save", "x.png")
    assert (ended.code, ended.out) == (1, b"")
    (line,) = ended.err.splitlines()
    assert line.startswith("imgfx: error: ")
    assert BROKEN[name].reason in line
    assert name in line
    assert not (tmp_path / "x.png").exists()
    assert run("open", "a.png", "negative", "save", "n.png").code == 0


def test_all_at_once_cost_only_themselves(run, site, tmp_path):
    installed(site)
    help_text = run("--help").out.decode()
    assert {"negative", "save", *BROKEN} <= set(help_text.split())
    rows = run("plugins", "list").out.decode()
    assert all(f"imgfx-{name} 1.0" in rows for name in BROKEN)
    ended = run("open", "a.png", "negative", "save", "n.png")
    assert (ended.code, ended.err) == (0, "")
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "n.png")), 255 - pixels(6, 7))


def best_seconds(words, environment, rounds=5):
    """The least processor time of a process; others on the machine do not count."""
    script = (
        "import os, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "times = os.times(); print(times.children_user + times.children_system)\n"
    )
    measured = [
        subprocess.run(
            [sys.executable, "-c", script, *PROGRAM, *words], env=environment,
            capture_output=True, text=True, check=True,
        ).stdout
        for _ in range(rounds)
    ]  # fmt: skip
    return min(map(float, measured))


@pytest.mark.slow
def test_starting_beside_all_of_them_takes_50_ms_longer_at_most(site, monkeypatch):
    import os

    before = best_seconds(["--help"], dict(os.environ))
    environment = {**os.environ, "PYTHONPATH": str(installed(site).folder)}
    assert best_seconds(["--help"], environment) - before <= 0.05


LOUD = NEGATIVE.replace("BODY", "pass") + "\nopen('imported', 'a').write('NAME')\nimport torch\n"


def test_thirty_installed_plugins_are_listed_and_none_is_imported(run, site, tmp_path):
    names = [f"loud-{number}" for number in range(30)]
    for name in names:
        site.install(f"imgfx-{name}", LOUD.replace("NAME", name), name)
    for words in (["--help"], ["plugins", "list"], ["plugins", "list", "--json"]):
        before = processor_seconds()
        ended = run(*words)
        seconds = processor_seconds() - before
        assert ended.code == 0
        assert all(name in ended.out.decode() for name in names)
        assert seconds < 0.6 or words != ["--help"], seconds
    assert run("plugins", "doctor").code == 0
    assert run("open", "a.png", "save", "b.png").code == 0
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    ("allowed", "found"),
    [
        ("imgfx-negative", {"negative"}),
        ("IMGFX_Negative,imgfx.raises", {"negative", "raises"}),
        ("", set()),
        ("nothing-of-this-name", set()),
    ],
)
def test_only_the_packages_of_imgfx_plugins_are_found(run, site, allowed, found):
    installed(site, ["raises", "syntax"])
    words = set(run("--help", IMGFX_PLUGINS=allowed).out.decode().split())
    assert words & {"negative", "raises", "syntax"} == found
    assert {"save", "denoise-ae"} <= words


def test_a_stage_that_is_left_out_says_so(run, site):
    installed(site, [])
    line = "IMGFX_PLUGINS in the environment leaves out imgfx-negative, which offers it"
    for before in ([], ["superres-fast"]):
        words = ["open", "a.png", *before, "negative", "save", "x.png"]
        ended = run(*words, IMGFX_PLUGINS="other")
        assert (ended.code, ended.err) == (2, f"imgfx: no stage named 'negative' ({line})\n")
    assert line in run("negative", IMGFX_PLUGINS="").err
    ended = run("plugins", "info", "negative", IMGFX_PLUGINS="")
    assert (ended.code, ended.err) == (
        1,
        "imgfx: error: imgfx-negative is installed, but IMGFX_PLUGINS leaves it out\n",
    )
    assert b"left out by IMGFX_PLUGINS: imgfx-negative" in run(
        "plugins", "list", IMGFX_PLUGINS=""
    ).out  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A folder of files: one that works, two that do not."""
    place = tmp_path / "mine"
    place.mkdir()
    (place / "invert.py").write_text(NEGATIVE.replace("NAME", "negative").replace("BODY", ""))
    (place / "broken.py").write_text("def broken(:\n")
    (place / "late.py").write_text("import nowhere\n" + NEGATIVE.replace("NAME", "late"))
    (place / "_helper.py").write_text(NEGATIVE.replace("NAME", "helper"))
    (place / "notes.txt").write_text("not Python")
    return place


def test_a_plugin_may_be_one_file(run, folder, tmp_path):
    rows = run("--plugins-dir", "mine", "--help").out.decode()
    assert "negative" in rows
    assert "Turn an image into its negative" in rows
    assert "helper" not in rows
    for words, environment in (
        (["--plugins-dir", "mine"], {}),
        ([], {"IMGFX_PLUGINS_DIR": "mine"}),
        ([], {"IMGFX_PLUGINS_DIR": "mine", "IMGFX_PLUGINS": ""}),
    ):
        ended = run(*words, "open", "a.png", "negative", "save", "n.png", **environment)
        assert (ended.code, ended.err) == (0, "")
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "n.png")), 255 - pixels(6, 7))
        (tmp_path / "n.png").unlink()


@pytest.mark.parametrize(("name", "reason"), [("broken", "SyntaxError"), ("late", "'nowhere'")])
def test_a_broken_file_costs_only_itself(run, folder, name, reason):
    ended = run("--plugins-dir", "mine", "open", "a.png", name, "save", "x.png")
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert reason in line
    assert f"mine/{name}.py" in line
    assert "mend it or take it away" in line


def test_a_folder_that_is_not_there_is_an_error(run):
    assert run("--plugins-dir", "gone", "--help").code == 2
    ended = run("open", "a.png", "save", "b.png", IMGFX_PLUGINS_DIR="gone")
    assert ended.code == 0
    assert ended.err == (
        "imgfx: warning: IMGFX_PLUGINS_DIR: gone: cannot read the plugins there: "
        "No such file or directory\n"
    )


WORDS = """
import click
import numpy as np
from imgfx.api import Image, Item, hookimpl, source


class Words(list):
    count = 1


@source("words")
@click.argument("text")
def words(session, text):
    return Words([Item(text, lambda: Image(np.zeros((1, 1, 1), np.uint8)), text)])


@hookimpl
def imgfx_stages():
    return [words]
"""


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("open a.png denoise save x.png", "neither a stage nor a file; did you mean 'denoise-ae'?"),
        ("open a.png negativ save x.png", "did you mean 'negative'?"),
        ("open a.png gone.png save x.png", None),
        ("open a.png save negativ.png", None),
        ("words negativ save x.png", None),
    ],
)
def test_a_mistyped_stage_among_paths_is_noticed(run, folder, words, hint):
    (folder / "words.py").write_text(WORDS)
    ended = run("--plugins-dir", "mine", *words.split())
    assert (ended.code == 2) == (hint is not None)
    assert hint is None or hint in ended.err


BOTH = NEGATIVE.replace("NAME", "negative").replace("BODY", "pass")


def test_a_package_for_two_versions_of_the_api_is_taken_at_ours(run, site):
    site.install("imgfx-both", BOTH, "negative")
    entries = site.folder / "imgfx_both-1.0.dist-info" / "entry_points.txt"
    text = entries.read_text()
    entries.write_text(text + text.replace("imgfx.filters.v1", "imgfx.filters.v2"))
    assert run("open", "a.png", "negative", "save", "n.png").code == 0
    assert run("plugins", "list").out.decode().count("imgfx-both") == 1


OF_OLD = '''"""A plugin as they were written before imgfx 0.1."""

import click

from imgfx.hookspecs import hookimpl
from imgfx.stage import filter_


@filter_("fade")
@click.option("--amount", type=click.FloatRange(0, 1), default=0.5, show_default=True)
def fade(image, amount):
    """Fade an image towards gray."""
    from imgfx.image import float_from_pixels

    pixels = float_from_pixels(image.pixels)
    gray = pixels.mean(axis=2, keepdims=True)
    return image.with_pixels(pixels + amount * (gray - pixels))


@hookimpl
def imgfx_stages():
    return [fade]
'''


def test_a_plugin_of_old_works_without_a_word_and_authors_are_told(run, site, tmp_path):
    site.install("imgfx-fade", OF_OLD, "fade")
    ended = run("open", "a.png", "fade", "--amount", 1, "save", "f.png")
    assert (ended.code, ended.err) == (0, "")
    faded = cv2.imread(str(tmp_path / "f.png"))
    assert np.ptp(faded, axis=2).max() == 0
    told = run("open", "a.png", "fade", "save", "g.png", PYTHONWARNINGS="default")
    assert "use imgfx.api.image_filter" in told.err


FAILING = '''"""Do something else."""

import click
from imgfx.api import hookimpl


@click.command("other")
def command():
    """Do something else."""
    {}["key"]


@hookimpl
def imgfx_commands():
    return [command]
'''


def test_a_command_that_raises_ends_in_one_line(run, site):
    site.install("other", FAILING, "other", kind="commands")
    ended = run("other")
    assert (ended.code, ended.out) == (1, b"")
    (line,) = ended.err.splitlines()
    assert line.startswith("imgfx: error: KeyError: 'key' (other.py:10); with IMGFX_TRACEBACK=1")
    assert "Traceback" in run("other", IMGFX_TRACEBACK="1").err


@pytest.mark.parametrize(
    ("kind", "answer", "words"),
    [
        ("models", "[5]", ["train", "NAME", "--data", "."]),
        ("models", "5", ["train", "NAME", "--data", "."]),
        ("engines", "1 / 0", ["--engine", "NAME", "open", "a.png", "save", "x.png"]),
        ("runners", "[]", ["--runner", "NAME", "open", "a.png", "save", "x.png"]),
    ],
)
def test_a_broken_model_engine_or_runner_says_whose_it_is(run, site, kind, answer, words):
    source = MODEL.replace("imgfx_models", f"imgfx_{kind}").replace("ANSWER", answer)
    site.install("imgfx-thing", source, "thing", kind=kind)
    ended = run(*[word.replace("NAME", "thing") for word in words])
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("imgfx: error: plugin 'imgfx_thing' of package")
