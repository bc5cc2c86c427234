"""A line's words are cut into stages as a shell user expects, and put in order."""

from pathlib import Path

import click
import cv2
import pytest
from support import pixels

from imgfx.chain import describe, order_stages, parse_pieces, split_line
from imgfx.cli import run_options
from imgfx.errors import PluginError
from imgfx.plugins import Registry
from imgfx.stage import Stage, StageCommand, image_filter, sink, source


@source("load")
@click.argument("paths", nargs=-1)
def load(session, paths):
    """Any number of arguments."""


@image_filter("blur")
@click.option("--radius", type=float, default=1.0)
@click.option("--size", type=(str, str))
@click.option("--mode", "-m", type=str)
@click.option("--sharp/--soft")
@click.option("--more", "-i", count=True)
def blur(image, **options):
    """Every kind of option."""
    return image


@image_filter("quiet")
@click.option("-q", "--quality", type=int, default=1)
def quiet(image, quality):
    """An option with the letter of a run option."""
    return image


@sink("store")
@click.argument("target")
def store(session, target):
    """One argument."""


class Few(Registry):
    """The stages of this module."""

    def __init__(self, *more):
        super().__init__([])
        self.commands = {command.name: command for command in (load, blur, quiet, store, *more)}

    def stage(self, name):
        return self.commands.get(name)

    def names(self, *kinds):
        return sorted(self.commands)


def cut(line):
    """The pieces of a line as lists of words."""
    pieces = split_line(line.split(), Few(), run_options())
    return [[piece.command.name, *piece.words] for piece in pieces]


@pytest.mark.parametrize(
    "line",
    [
        "load a b c | blur | store d",
        "blur --radius 3 | blur | quiet -q 5",
        "load ./blur sub/store | store d",
        "load a | blur --mode blur | store d",
        "load a | blur -m store | store d",
        "load a | blur --mode=blur | blur | store d",
        "load a | blur --size load store | store d",
        "load a | blur --sharp | store d",
        "load a | blur --soft | store d",
        "load a | blur --more | store d",
        "load a | blur -i | store d",
        "load a --report store | store d",
        "load a | blur --engine blur --jobs 2 | store d",
        "load a -n -v | store d -q",
    ],
)
def test_a_line_is_cut_before_each_stage_but_not_in_the_values_of_options(line):
    assert cut(line.replace("| ", "")) == [piece.split() for piece in line.split(" | ")]


def test_a_first_word_that_is_no_stage_is_refused():
    with pytest.raises(click.UsageError, match="did you mean 'blur'"):
        cut("blurr load a")


def parsed(line, registry=None):
    """Stages and run options of a line."""
    registry = registry or Few()
    root = click.Context(click.Command("imgfx"), info_name="imgfx")
    pieces = split_line(line.split(), registry, run_options())
    return parse_pieces(pieces, root, run_options())


def test_options_of_stages_and_of_the_run_are_told_apart():
    stages, options = parsed("load a b --jobs 3 blur --radius 2 -v store out --report r.json")
    assert [stage.name for stage in stages] == ["load", "blur", "store"]
    assert stages[0].options == {"paths": ("a", "b")}
    assert stages[1].options["radius"] == 2.0
    assert {name: str(value) for name, value in options.items()} == {
        "jobs": "3", "verbose": "True", "report": "r.json",
    }  # fmt: skip


def test_a_stage_s_own_option_goes_before_the_run_s():
    (stage,), options = parsed("quiet -q 7")
    assert stage.options == {"quality": 7}
    assert options == {}
    _, options = parsed("quiet blur -q")
    assert options == {"quiet": True}


def test_the_run_s_defaults_do_not_count_as_given():
    _, options = parsed("load a blur store b")
    assert options == {}


@pytest.mark.parametrize("line", ["load a --nope", "blur --radius much", "store", "store a b"])
def test_wrong_options_are_usage_errors(line):
    with pytest.raises(click.UsageError):
        parsed(line)


def test_a_command_that_answers_no_stage_is_refused():
    broken = StageCommand("broken", callback=lambda: "no stage")
    with pytest.raises(PluginError, match="'broken' answers no Stage"):
        parsed("broken", Few(broken))


def test_an_option_s_type_that_raises_names_its_stage():
    def explode(context, parameter, value):
        raise RuntimeError("no such luck")

    broken = StageCommand("odd", params=[click.Option(["--x"], callback=explode)])
    with pytest.raises(PluginError, match=r"stage 'odd' failed: RuntimeError: no such luck"):
        parsed("odd", Few(broken))


def stages(words):
    """Stages without a function, kinds by their names' first letters."""
    kinds = {"l": "source", "b": "filter", "s": "sink"}
    return [Stage(word, kinds[word[0]], lambda _session: None) for word in words.split()]


STDIN, STDOUT = stages("lstdin sstdout")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("b", "lstdin b sstdout"),
        ("l", "l sstdout"),
        ("s", "lstdin s"),
        ("l b1 b2 s", "l b1 b2 s"),
        ("b1 b2 s", "lstdin b1 b2 s"),
    ],
)
def test_stdin_and_stdout_stand_where_no_end_is_named(line, expected):
    first, middle, last = order_stages(stages(line), STDIN, STDOUT)
    assert [stage.name for stage in (first, *middle, last)] == expected.split()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("b l", "'l' makes images"),
        ("l1 l2", "'l2' makes images"),
        ("s b", "'s' ends the chain"),
        ("l s1 s2", "'s1' ends the chain"),
        ("s l", "'s' ends the chain"),
    ],
)
def test_ends_in_the_middle_are_refused(line, message):
    with pytest.raises(click.UsageError, match=message):
        order_stages(stages(line), STDIN, STDOUT)


def test_the_report_s_options_are_plain():
    stage = Stage(
        "x", "filter", lambda _session: None, {"a": (1, Path("b/c")), "d": None, "e": 0.5}
    )
    (row,) = describe([stage])
    assert row == {"stage": "x", "options": {"a": [1, "b/c"], "d": None, "e": 0.5}}


@pytest.mark.parametrize("name", ["save", "denoise-ae", "train"])
def test_a_file_named_like_a_stage_is_written_with_a_dot(imgfx, tmp_path, name):
    cv2.imwrite(str(tmp_path / "a.png"), pixels(5, 4))
    (tmp_path / "a.png").rename(tmp_path / name)
    ended = imgfx("open", f"./{name}", "save", "b.png")
    assert ended.code == 0, ended.err
    assert (cv2.imread(str(tmp_path / "b.png")) == pixels(5, 4)).all()


def test_an_option_of_the_run_may_have_a_stage_s_name_as_its_value(imgfx, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), pixels(5, 4))
    ended = imgfx("open", "a.png", "--report", "save", "save", "b.png")
    assert ended.code == 0, ended.err
    assert (tmp_path / "save").read_text().startswith("{")
    assert (tmp_path / "b.png").is_file()
