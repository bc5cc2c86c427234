"""docs/tutorial.md, done as it says: its files are written, its commands run, its output compared.

Two things are set up that a reader has: imgfx on the path, and a folder `photos`. Pip is told to
install into a folder of the test's own, and to build with what is here: there is no network.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import PHOTOS, ROOT
from support_docs import blocks

PAGE = ROOT / "docs" / "tutorial.md"
_SITE = "import pathlib, site\n\nsite.addsitedir(str(pathlib.Path(__file__).parent))\n"


class Shell:
    """A shell that keeps its variables from one command to the next."""

    def __init__(self, folder, environment):
        self._process = subprocess.Popen(
            ["/bin/sh"], cwd=folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, command):
        """What a command prints on stdout and stderr, and its exit code."""
        # `(exit $code)` hands the code on to a following `echo $?`.
        end = "code=$?; printf '\\n:done: %s\\n' $code; (exit $code)"
        self._process.stdin.write(f"{command}\n{end}\n")
        self._process.stdin.flush()
        lines = []
        for line in self._process.stdout:
            if line.startswith(":done: "):
                return "".join(lines).removesuffix("\n"), int(line.split()[1])
            lines.append(line)
        raise AssertionError(f"the shell ended in {command!r}")

    def close(self):
        """Ends it."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)


@pytest.fixture
def shell(tmp_path):
    """A shell in a folder with what the tutorial asks for."""
    site, folder = tmp_path / "site", tmp_path / "work"
    site.mkdir()
    folder.mkdir()
    (site / "sitecustomize.py").write_text(_SITE)
    shutil.copytree(PHOTOS, folder / "photos")
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("IMGFX_", "PYTEST_"))},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(site), "PYTHONWARNINGS": "", "IMGFX_CACHE": str(tmp_path / "cache"),
        "PIP_TARGET": str(site), "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }  # fmt: skip
    shell = Shell(folder, environment)
    shell.folder = folder
    yield shell
    shell.close()


def named_file(block):
    """The file that a block's first line names, if it is one to be written."""
    name = re.match(r"# (\S+\.\w+)\n", block.text)
    return name[1] if name else None


def matches(printed, expected):
    """Whether a text is as expected, where ... stands for anything."""
    parts = [re.escape(part) for part in expected.rstrip().split("...")]
    return re.fullmatch(".*".join(parts), printed.rstrip(), re.DOTALL) is not None


def steps(block):
    """(command, expected output) of a console block."""
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def do(block, shell):
    """One block: a file that is written, commands that must succeed, or ones with an output."""
    name = named_file(block)
    if name is not None:
        path = shell.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
    elif block.language == "sh":
        for command in block.text.replace("\\\n", " ").splitlines():
            printed, code = shell.run(command)
            assert code == 0, f"line {block.line}: {command}\n{printed}"
    elif block.language == "console":
        for command, expected in steps(block):
            printed, _ = shell.run(command)
            assert matches(printed, expected), f"line {block.line}: {command}\n{printed}"


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(shell):
    for block in blocks(PAGE):
        do(block, shell)
    # Nothing that has been done on the way stands in the way of the rest.
    printed, code = shell.run("imgfx open photos/koalas.webp fade save again.png")
    assert code == 0, printed
    made = {path.name for path in shell.folder.iterdir()}
    assert {"faded.png", "large", "gray.png", "smooth.safetensors", "b.png"} <= made


def test_output_is_compared_with_gaps():
    assert matches("a\nb 12\nc\n", "a\n...\n")
    assert matches("x 1.5 y", "x ... y")
    assert not matches("a\nb\n", "a\n")
    assert not matches("x 1.5 y", "x ... z")
