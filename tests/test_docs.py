"""The documentation says what the program does: nothing is left out, and nothing is made up."""

import importlib
import re
import signal
import sys

import click
import pytest
from support import ROOT
from support_docs import PAGES

from imgfx import api, cli, errors, hookspecs
from imgfx.stage import StageCommand

DOCS = ROOT / "docs"


def text_of(name):
    """A page of docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def generate():
    """The module docs/generate.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(DOCS), *sys.path])
        yield importlib.import_module("generate")


def test_generated_pages_are_current(generate):
    for page, text in generate.PAGES.items():
        assert page.read_text(encoding="utf-8") == text(), f"{page.name}: run `make docs`"


def test_every_command_and_sub_command_has_a_section(generate):
    headings = re.findall(r"^## (.+)$", text_of("commands.md"), re.M)
    assert headings == ["imgfx", *(" ".join(path) for path, _ in commands(generate))]


def test_every_command_and_option_says_what_it_does(generate):
    """Options without a help text are those whose names say all."""
    root = cli.build_cli(generate.bundled_registry())
    for path, command in [(["imgfx"], root), *commands(generate)]:
        assert command.help, path
        assert command.get_short_help_str(), path
        for option in command.params:
            silent = isinstance(option, click.Option) and not option.help
            assert not silent or option.name in {"seed", "device", "engine", "precision"}, (
                path, option.name,
            )  # fmt: skip


def test_every_stage_shows_an_example(generate):
    for path, command in commands(generate):
        if isinstance(command, StageCommand):
            assert f"  imgfx {path[0]} " in command.help or f" {path[0]} " in command.help, path


def commands(generate):
    """The names and the command of each stage, command and sub-command, as commands.md has them."""
    registry = generate.bundled_registry()
    found = []
    for kind in ("source", "filter", "sink"):
        found += [([name], registry.stage(name)) for name in registry.names(kind)]
    for name in registry.names("command"):
        found += list(with_inner([name], registry.command(name)))
    return found


def with_inner(path, command):
    """A command and its sub-commands."""
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from with_inner([*path, name], command.commands[name])


def test_every_hook_and_group_is_documented():
    text = text_of("plugins.md")
    hooks = [name for name in vars(hookspecs) if name.startswith("imgfx_")]
    assert len(hooks) == 5
    for word in [*hooks, *hookspecs.GROUPS.values()]:
        assert f"`{word}`" in text, word


def test_the_table_of_the_api_has_its_names_and_no_others():
    section = text_of("plugins.md").partition("## All of imgfx.api")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.M)
    named = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == api.__all__


def test_the_table_of_deprecations_names_what_is_deprecated():
    """Each place in the sources that warns is in the table, and nothing else is."""
    sources = "".join(p.read_text(encoding="utf-8") for p in ROOT.glob("imgfx/**/*.py"))
    warned = set(re.findall(r'"(imgfx\.\S+) is deprecated since', sources))
    section = text_of("plugins.md").partition("| deprecated |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\S+)` \|", section, re.M)) == warned


def test_every_name_of_the_api_is_in_the_reference():
    text = text_of("api.md")
    for name in api.__all__:
        assert f"\n### {name}\n" in text, name
    assert "## Others" not in text, "place the new names in docs/api_page.py"


def test_every_environment_variable_is_documented():
    sources = "".join(
        p.read_text(encoding="utf-8")
        for f in ("imgfx", "plugins")
        for p in ROOT.glob(f"{f}/**/*.py")
    )
    used = set(re.findall(r"(?<![A-Z])_?IMGFX_[A-Z_]+", sources))
    listed = set(re.findall(r"^\| `(_?IMGFX_\w+)` \|", text_of("environment.md"), re.M))
    assert listed == used


def test_every_exit_code_is_documented():
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    codes |= {cli.EXIT_PIPE_CLOSED, 128 + signal.SIGTERM, 128 + signal.SIGINT}
    codes.add(128 + signal.SIGHUP)
    rows = re.findall(r"^\| ([\d, ]+) \|", text_of("exit-codes.md"), re.M)
    assert {int(row) for row in rows} == codes
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    short = re.findall(r"^\| ([\d, ]+) \|", readme, re.M)
    assert {int(code) for row in short for code in row.split(",")} == codes


def test_every_extra_is_documented():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in project["optional-dependencies"]:
        assert f"`{extra}`" in text_of("install.md"), extra


def test_decisions_are_numbered_without_a_gap():
    names = sorted(path.name for path in DOCS.glob("decisions/*.md"))
    assert [int(name[:3]) for name in names] == list(range(1, len(names) + 1))
    for name in names:
        assert text_of(f"decisions/{name}").startswith(f"# {int(name[:3])}. "), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    for target in targets:
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_first_screen_of_the_readme_has_the_two_make_targets():
    first_screen = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:30]
    assert any(line.startswith("make demo") for line in first_screen)
    assert any(line.startswith("make test") for line in first_screen)
