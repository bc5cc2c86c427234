"""Every command line that the documentation shows has stages and options that exist."""

import ast
import tomllib
from pathlib import Path

import click
import pytest
from support import ROOT
from support_docs import PAGES, blocks, commands_in, mentioned, shown_lines

from imgfx.chain import split_line
from imgfx.cli import build_cli
from imgfx.hookspecs import GROUPS
from imgfx.installed import Point
from imgfx.offers import Offer, installed_offers, offers_of_folder
from imgfx.plugins import STAGE_KINDS, Registry

_FREE = (click.Path, click.File)
"""Types whose values are the reader's own files."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The command line with what is bundled, the plugins of examples/, and those shown in pages."""
    folder = tmp_path_factory.mktemp("shown")
    for page in PAGES:
        for block in blocks(page):
            if block.language == "python" and "hookimpl" in block.text:
                (folder / f"{page.stem}_{block.line}.py").write_text(block.text)
    bundled = [offer for offer in installed_offers() if offer.bundled]
    with pytest.MonkeyPatch.context() as patch:
        examples = list(offers_of_examples(patch))
        yield build_cli(Registry([*bundled, *examples, *_once(offers_of_folder(folder))]))


def offers_of_examples(patch):
    """What the packages of examples/ offer, as if they were installed."""
    for project in sorted(ROOT.glob("examples/*/pyproject.toml")):
        patch.syspath_prepend(project.parent)
        groups = tomllib.loads(project.read_text())["project"]["entry-points"]
        for kind, group in GROUPS.items():
            for name, module in groups.get(group, {}).items():
                yield Offer(name, kind, Point(name, module, group), file=_file(project, module))


def _file(project, module):
    path = project.parent.joinpath(*module.split("."))
    return path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"


def _once(offers):
    """The last of those that have one name: a page may show a plugin as it grows."""
    return {(offer.kind, offer.name): offer for offer in offers}.values()


RUN = ROOT / "docs" / "tutorial.md"
"""Its lines are run, by a test of its own, and some of them are wrong on purpose."""


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != RUN], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_line_shown_can_be_parsed(page, root):
    for words in shown_lines(page):
        if "..." not in words:
            try:
                check(words, root)
            except click.MissingParameter:
                assert words in mentioned(page), words  # prose may name a command alone
            except click.ClickException as error:
                pytest.fail(f"{page.name}: imgfx {' '.join(words)}: {error.format_message()}")


@pytest.mark.parametrize(
    "line",
    [
        "imgfx denoise save b.png", "imgfx open a.jpg denoise-ae --sigma x save b.png",
        "cat a | imgfx denoise-ae --sigam 3 > b", "imgfx train --data x", "imgfx engine biuld x",
        "imgfx superres-fast --scale 5", "imgfx --tiel 3 open a.jpg save b.png",
    ],
)  # fmt: skip
def test_a_wrong_line_fails(line, root):
    (words,) = commands_in(line)
    with pytest.raises(click.ClickException):
        check(words, root)


def test_the_words_of_commands_are_found_in_a_shells_line():
    line = "IMGFX_PLUGINS= imgfx open 'a b.jpg' save - 2> log | imgfx denoise-ae > b && imgfx train"
    assert list(commands_in(line)) == [["open", "a b.jpg", "save", "-"], ["denoise-ae"], ["train"]]
    assert list(commands_in("torchrun --n 2 -m imgfx train x")) == [["train", "x"]]


def check(words, root):
    """Parses a line as the program does, but asks for no file to be there."""
    context = click.Context(root, info_name="imgfx", **root.context_settings)
    words = parsed(root, words, context)
    if not words:
        return
    if _is_placeholder(words[0]):
        return
    offer = root.registry.find(words[0], *STAGE_KINDS, "command")
    if offer is not None and offer.kind == "command":
        check_command(root.registry.load(offer), words[1:], context)
        return
    shared = [p for p in root.params if isinstance(p, click.Option)]
    for piece in split_line(words, root.registry, shared):
        names = {parameter.name for parameter in piece.command.params}
        lent = [option for option in shared if option.name not in names]
        whole = click.Command(piece.command.name, params=[*piece.command.params, *lent])
        parsed(whole, piece.words, context)


def check_command(command, words, parent):
    """A management command, or its sub-command."""
    context = click.Context(command, info_name=command.name, parent=parent)
    rest = parsed(command, words, context)
    if isinstance(command, click.Group) and rest:
        inner = command.get_command(context, rest[0])
        if inner is None:
            raise click.UsageError(f"{command.name} has no sub-command {rest[0]}")
        check_command(inner, rest[1:], context)


def parsed(command, words, context):
    """The words behind the command's own; values are converted where they are no files."""
    found, rest, _ = parser_of(command, context).parse_args(list(words))
    if found.get("_click_default_help") or found.get("version"):
        return []
    for parameter in command.get_params(context):
        value = found.get(parameter.name)
        missing = value is None or str(value) == "Sentinel.UNSET"
        if missing:
            if parameter.required:
                raise click.MissingParameter(ctx=context, param=parameter)
        elif not (isinstance(parameter.type, _FREE) or _is_placeholder(value)):
            parameter.type_cast_value(context, value)
    return rest


def parser_of(command, context):
    """The command's parser, as Click makes it."""
    parser = command.make_parser(context)
    parser.allow_interspersed_args = command.allow_interspersed_args
    return parser


def _is_placeholder(value):
    return isinstance(value, str) and value.isupper()


MODULES = [
    pytest.param(page, block, id=f"{page.name}:{block.line}")
    for page in PAGES
    for block in blocks(page)
    if block.language == "python"
]


@pytest.mark.parametrize(("page", "block"), MODULES)
def test_python_shown_can_be_read(page, block):
    if page.name != "api.md":  # signatures
        ast.parse(block.text)


WHOLE = [case for case in MODULES if "@hookimpl" in case.values[1].text]


@pytest.mark.parametrize(("page", "block"), WHOLE)
def test_a_whole_plugin_shown_works_as_a_file(page, block, tmp_path):
    (tmp_path / "shown.py").write_text(block.text)
    offers = offers_of_folder(Path(tmp_path))
    registry = Registry(offers)
    assert offers
    for offer in offers:
        assert registry.load(offer).name == offer.name
