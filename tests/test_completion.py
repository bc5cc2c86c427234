"""Completion: what stands behind the words, in the real shells too, and no plugin is imported."""

import os
import shutil
import subprocess
import sys

import click
import pytest
from support import NEGATIVE, Site

from imgfx.offers import STAGE_KINDS, installed_offers
from imgfx.outline import outline
from imgfx.plugins import Registry

BUNDLED = [offer for offer in installed_offers() if offer.bundled]
TYPED = [offer for offer in BUNDLED if offer.kind in (*STAGE_KINDS, "command")]


def spelled(command):
    """The options of a command as they are typed, and its sub-commands'."""
    found = {
        text
        for parameter in command.params
        for text in (*parameter.opts, *parameter.secondary_opts)
        if isinstance(parameter, click.Option) and not parameter.hidden
    }
    found |= {
        f"{parameter.name}: {value}"
        for parameter in command.params
        if isinstance(parameter.type, click.Choice)
        for value in parameter.type.choices
    }
    inner = command.commands if isinstance(command, click.Group) else {}
    return found | {f"{name} {text}" for name, c in inner.items() for text in (*spelled(c), "")}


@pytest.mark.parametrize("offer", TYPED, ids=lambda offer: offer.name)
def test_the_outline_of_what_we_bundle_has_all_its_options(offer):
    assert spelled(outline(offer)) == spelled(Registry(BUNDLED).load(offer))


@pytest.fixture
def complete(imgfx):
    """`complete("open a.jpg ", ...)` answers what bash would be told, types left out."""

    def ask(line, **environment):
        words = line.split(" ")
        ended = imgfx(
            COMP_WORDS=f"imgfx {line}", COMP_CWORD=str(len(words)),
            _IMGFX_COMPLETE="bash_complete", **environment,
        )  # fmt: skip
        assert (ended.code, ended.err) == (0, "")
        rows = filter(None, ended.out.decode().splitlines())
        return [row.partition(",")[2] or row for row in rows]

    return ask


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("den", ["denoise-ae"]),
        ("--eng", ["--engine"]),
        ("--engine op", ["openvino"]),
        ("superres-fast --scale ", ["2", "3", "4"]),
        ("open a.jpg save b --format p", ["png", "ppm", "pam"]),
        ("--device ", ["auto", "cpu", "cuda"]),
        ("-q sup", ["superres-fast", "superres-rednet"]),
        ("open a.jpg denoise-ae --s", ["--strength", "--sigma", "--self-ensemble"]),
        ("open a.jpg superres-rednet --scale ", ["1", "2", "3", "4"]),
        ("open a.jpg superres-rednet --weights ", ["file,"]),
        ("open a.jpg gan", ["gan"]),  # as the beginning of a file's name
        ("open a.jpg --runner ", ["local", "ray"]),
        ("open denoise-ae superres-rednet --wei", ["--weights"]),
        ("train denoise-ae --prec", ["--precision"]),
        ("train fash", ["fashion-classifier"]),
        ("train superres-fast", ["superres-fast-x2", "superres-fast-x3", "superres-fast-x4"]),
        ("eval sup", ["superres-fast", "superres-rednet"]),
        ("eval gan", ["gan-generate", "gan-generate-faces"]),
        ("eval fash", []),
        ("train denoise-ae save --no", []),
        ("engine ", ["build", "clear", "list"]),
        ("engine build superres-rednet --engine t", ["tensorrt", "torch"]),
        ("plugins doc", ["doctor"]),
        ("plugins list --j", ["--json"]),
        ("nonsense", []),
        ("run --cha", ["--chain"]),
        ("run --chain a.toml --eng", ["--engine"]),
        ("run --chain a.toml sav", ["save"]),
        ("chain sa", ["save"]),
        ("chain save a.toml superres-fast --scale ", ["2", "3", "4"]),
        ("chain save a.toml open b denoise-ae --str", ["--strength"]),
        ("chain save --ov", ["--overwrite"]),
        ("run --chain a.toml superres-fast --scale ", ["2", "3", "4"]),
        ("run --chain a.toml open b.jpg save c --format p", ["png", "ppm", "pam"]),
        ("chain show save --sc", []),
    ],
)
def test_what_may_come_next(complete, line, found):
    assert complete(line) == found


def test_files_are_offered_where_files_are_read_and_written(complete):
    assert "file," in complete("open ")
    assert complete("open a.png save ") == ["file,"]


LOUD = '''"""A filter that must not be imported."""

import click
from imgfx.api import hookimpl, image_filter, Model, ModelSpec, model_filter

raise SystemExit("imported")

amount = click.option("--amount", type=click.Choice(["little", "much"]), help="How much.")


@image_filter("loud")
@amount
@click.option("--times", type=int, default=1 + 1)
def loud(image, amount, times):
    """Shout."""


deblur = model_filter("deblur", Model("deblur", ModelSpec("deblur-1"), build))
'''


def test_a_plugin_is_completed_without_being_imported(complete, tmp_path):
    site = Site(tmp_path / "site")
    site.folder.mkdir()
    site.install("imgfx-loud", LOUD, "loud", "deblur")
    site.install("no-python", "def (", "broken")
    site.install("one", LOUD, "twin")
    site.install("two", LOUD, "twin")
    path = str(site.folder)
    assert complete("lou", PYTHONPATH=path) == ["loud"]
    assert complete("loud --", PYTHONPATH=path)[:2] == ["--amount", "--times"]
    assert complete("loud --amount m", PYTHONPATH=path) == ["much"]
    assert complete("deblur --", PYTHONPATH=path)[:2] == ["--strength", "--weights"]
    assert complete("broken --he", PYTHONPATH=path) == []
    assert complete("one:tw", PYTHONPATH=path) == ["one:twin"]
    assert complete("twin --", PYTHONPATH=path) == []
    assert complete("lou", PYTHONPATH=path, IMGFX_PLUGINS="") == []


def test_a_folder_of_plugins_on_the_line_is_known(complete, tmp_path):
    (tmp_path / "plug").mkdir()
    (tmp_path / "plug" / "n.py").write_text(NEGATIVE.replace("NAME", "nega"))
    assert "nega" in complete("--plugins-dir plug open a.jpg neg")
    assert complete("--plug") == ["--plugins-dir"]


def test_completing_imports_neither_plugins_nor_heavy_packages():
    script = (
        "import os, sys\n"
        "os.environ.update(_IMGFX_COMPLETE='bash_complete', COMP_WORDS='imgfx open a denoise-ae -',"
        " COMP_CWORD='4')\n"
        "from imgfx.cli import main\n"
        "assert main([]) == 0\n"
        "heavy = {'torch', 'numpy', 'cv2'} & set(sys.modules)\n"
        "plugins = {name for name in sys.modules if name.startswith('imgfx_')}\n"
        "assert not heavy | plugins, heavy | plugins\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed(imgfx, shell):
    ended = imgfx("completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert f"_IMGFX_COMPLETE={shell}_complete" in ended.out.decode()


def test_bash_takes_it(imgfx, tmp_path):
    """In a real bash: the words that it would offer behind a stage."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    (tmp_path / "imgfx.bash").write_bytes(imgfx("completion", "bash").out)
    program = tmp_path / "imgfx"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m imgfx "$@"\n')
    program.chmod(0o755)
    script = (
        'source ./imgfx.bash; COMP_WORDS=(imgfx open a.jpg denoise-ae "--si"); COMP_CWORD=4; '
        '_imgfx_completion imgfx; echo "${COMPREPLY[@]}"'
    )
    path = f"{tmp_path}:{os.environ['PATH']}"
    ended = subprocess.run(
        [bash, "-c", script], cwd=tmp_path, env={**os.environ, "PATH": path, "PYTHONPATH": ""},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout == "--sigma\n"


def test_an_unknown_shell_is_refused(imgfx):
    ended = imgfx("completion", "cmd")
    assert ended.code == 2
    assert "cmd" in ended.err
