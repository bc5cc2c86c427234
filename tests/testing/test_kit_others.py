"""The kit on sources, sinks, commands, engines and runners: right ones pass, wrong ones fail."""

import pytest

from imgfx.testing import conformance, failures

SOURCE = '''"""Make gray images."""

import click

from imgfx.api import Image, Item, hookimpl, source


class Tones:
    count = 3

    def __iter__(self):
        for tone in range(3):
            ITEM

    def load(self, tone):
        import numpy as np

        value = 80 * tone
        LOAD
        return Image(np.full((2, 3, 1), value, np.uint8), name=f"tone{tone}")


@source("wrong")
def wrong(session):
    """Make gray images."""
    return Tones()


@hookimpl
def imgfx_stages():
    return [wrong]
'''
ITEM = 'yield Item(f"tone {tone}", lambda tone=tone: self.load(tone))'


def source_of(item=ITEM, load="pass", count=3):
    code = SOURCE.replace("ITEM", item).replace("LOAD", load)
    return code.replace("count = 3", f"count = {count}")


SOURCES = {
    "a wrong count": (source_of(count=4), "count", "count is 4, but there are 3 items"),
    "no item": (source_of("yield tone"), "items", "yields int"),
    "no items": (source_of("return; yield"), "items count", "there are 0 items"),
    "one origin": (source_of(ITEM.replace("{tone}", "")), "items", "the same origin"),
    "no image": (source_of(load="return None"), "images", "answers NoneType"),
    "not a number": (
        source_of(load="return Image(np.full((2, 3, 1), np.nan, np.float32))"), "finite", "NaN"
    ),
    "255": (
        source_of(load="return Image(np.full((2, 3, 1), 99.0, np.float32), name='a')"),
        "range",
        "from 99 to 99",
    ),
    "another one each time": (
        source_of(load="value = np.random.randint(255)"), "repeat", "give it a --seed"
    ),
    "a print": (source_of(load="print('making')"), "stdout", "prints 'making"),
}  # fmt: skip


def test_a_right_source_passes_every_check(examined):
    results = examined(source_of(), kind="sources")
    assert results.pop("again").status == "skip"
    assert {result.status for result in results.values()} == {"pass"}
    assert results["count"].reason == "3"


FIRST = '''"""Make gray images."""

import click

from imgfx.api import Image, Item, ItemList, hookimpl, source


def made(tone):
    import numpy as np

    return Image(np.full((2, 3, 1), 40 * tone, np.uint8), name=f"tone{tone}")


@source("wrong")
@click.option("--first", default=0)
@click.option("--count", default=3)
def wrong(session, first, count):
    """Make gray images."""
    return ItemList([
        Item(f"tone {tone}", lambda tone=tone: made(tone), again=AGAIN)
        for tone in range(first, first + count)
    ])


@hookimpl
def imgfx_stages():
    return [wrong]
'''
AGAIN = {
    "right": ("{'first': tone, 'count': 1}", ""),
    "not alone": ("{'first': tone}", "makes 3 images, not it alone"),
    "another one": ("{'first': tone + 1, 'count': 1}", "makes another image"),
    "no such option": ("{'frist': tone}", "did you mean 'first'?"),
    "a wrong value": ("{'first': 'two'}", "not a valid integer"),
}


@pytest.mark.parametrize(("again", "reason"), AGAIN.values(), ids=AGAIN)
def test_what_an_item_says_of_how_it_is_made_alone_is_tried(examined, failed, again, reason):
    results = examined(FIRST.replace("AGAIN", again), kind="sources")
    assert failed(results) == ({"again"} if reason else set())
    assert reason in results["again"].reason


@pytest.mark.parametrize(("code", "checks", "reason"), SOURCES.values(), ids=SOURCES)
def test_a_wrong_source_fails_the_check_that_is_for_it(examined, failed, code, checks, reason):
    results = examined(code, kind="sources")
    assert failed(results) - {"pipe"} == set(checks.split())
    assert reason in results[checks.split()[-1]].reason


def test_an_endless_source_is_not_waited_for(examined, failed):
    endless = source_of().replace("range(3)", "__import__('itertools').count()")
    endless = endless.replace("80 * tone", "tone")
    results = examined(endless.replace("count = 3", "count = None"), kind="sources")
    assert failed(results) == set()
    assert results["pipe"].status == "skip"


SINK = '''"""Write raw pixels."""

from pathlib import Path

import click

from imgfx.api import hookimpl, sink


class Raw:
    def __init__(self, folder):
        self.folder = Path(folder)

    def target(self, item, index):
        return TARGET

    def encode(self, image, item, index):
        ENCODE
        return image.pixels.tobytes(), ()

    def write(self, data, item, index):
        WRITE
        self.folder.mkdir(exist_ok=True)
        (self.folder / f"{index}.raw").write_bytes(data)


@sink("wrong")
@click.argument("folder")
def wrong(session, folder):
    """Write raw pixels."""
    return Raw(folder)


@hookimpl
def imgfx_stages():
    return [wrong]
'''


def sink_of(target='str(self.folder / f"{index}.raw")', encode="pass", write="pass"):
    return SINK.replace("TARGET", target).replace("ENCODE", encode).replace("WRITE", write)


SINKS = {
    "a path": (sink_of("self.folder / 'a'"), "target", "answer a text"),
    "a target that moves": (sink_of("str(len(list(self.folder.glob('*'))))"), "target", "then"),
    "no bytes": (sink_of(encode="return 'text', ()"), "encode", "no pair of bytes"),
    "no notes": (sink_of(encode="return b'', 'lost'"), "encode", "no tuple of texts"),
    "a bug": (sink_of(write="1 / 0"), "images run", "ZeroDivisionError"),
    "in place": (sink_of(encode="image.pixels[:] = 0"), "input", "work on a copy"),
    "a clock": (
        sink_of(encode="return str(__import__('time').monotonic_ns()).encode(), ()"),
        "repeat",
        "other bytes",
    ),
    "a print": (sink_of(write="print('written')"), "stdout", "prints 'written"),
}


def test_a_right_sink_passes_every_check(examined):
    results = examined(sink_of(), kind="sinks")
    assert failures(results.values()) == []
    skipped = [check for check, result in results.items() if result.status == "skip"]
    assert skipped == ["journal"]


@pytest.mark.parametrize(("code", "checks", "reason"), SINKS.values(), ids=SINKS)
def test_a_wrong_sink_fails_the_check_that_is_for_it(examined, failed, code, checks, reason):
    results = examined(code, kind="sinks")
    assert failed(results) - {"run"} == set(checks.split()) - {"run"}
    assert reason in results[checks.split()[0]].reason


COMMAND = '''"""Say something."""

import click

from imgfx.api import hookimpl


@click.group("wrong")
def wrong():
    """Say something."""


@wrong.command()
@click.option("--loud", is_flag=True, help="Or not.")
def say(loud):
    """Say it."""


@hookimpl
def imgfx_commands():
    return [wrong]
'''
COMMANDS = {
    "a mute subcommand": (COMMAND.replace('    """Say it."""\n', "    pass\n"), "subcommands"),
    "a help that fails": (
        COMMAND.replace('@click.group("wrong")', '@click.group("wrong", add_help_option=False)'),
        "process",
    ),
    "any option": (
        COMMAND.partition("@wrong.command")[0].replace("click.group(", "click.command(").replace(
            '("wrong")', '("wrong", context_settings={"ignore_unknown_options": True, '
            '"allow_extra_args": True})',
        ) + COMMAND[COMMAND.index("@hookimpl") :],
        "usage",
    ),
}  # fmt: skip


def test_a_right_command_passes_every_check(examined):
    results = examined(COMMAND, kind="commands")
    assert {result.status for result in results.values()} == {"pass"}


@pytest.mark.parametrize(("code", "check"), COMMANDS.values(), ids=COMMANDS)
def test_a_wrong_command_fails_the_check_that_is_for_it(examined, failed, code, check):
    assert failed(examined(code, kind="commands")) == {check}


ENGINE = '''"""Run on nothing."""

from imgfx.api import EngineError, hookimpl
from imgfx.engines.torch_engine import TorchEngine


class Engine(TorchEngine):
    name = "wrong"
    MISSING

    def open(self, model, weights, request):
        runner = super().open(model, weights, request)
        OPEN
        return runner


@hookimpl
def imgfx_engines():
    return [Engine()]
'''
ENGINES = {
    "no protocol": (ENGINE.replace("[Engine()]", "[type('E', (), {'name': 'wrong'})]"), "hooks"),
    "no text": (ENGINE.replace("MISSING", "missing = lambda self: None"), "protocol"),
    "a bug": (ENGINE.replace("OPEN", "1 / 0"), "run"),
    "wrong numbers": (
        ENGINE.replace("OPEN", "call = type(runner).__call__\n        "
        "runner = type('R', (), {'__call__': lambda s, x: call(runner_, x) * 0.9, 'choice': "
        "runner.choice, 'close': lambda s: None})(); runner_ = super().open(model, weights, "
        "request)"),
        "run",
    ),
}  # fmt: skip


def engine(code):
    return (
        code.replace("MISSING", "pass")
        .replace("OPEN", "pass")
        .replace("import Torch", "import Torch")
    )


@pytest.mark.parametrize(("code", "check"), ENGINES.values(), ids=ENGINES)
def test_a_wrong_engine_fails_the_check_that_is_for_it(examined, failed, code, check):
    results = examined(engine(code), kind="engines")
    assert failed(results) - {"import"} == {check}


def test_a_right_engine_passes(examined, failed):
    results = examined(engine(ENGINE), kind="engines")
    assert failed(results) - {"import"} == set()
    assert results["run"].status == "pass"


RUNNER = '''"""Make images here."""

from imgfx.api import hookimpl
from imgfx.runners import LocalRunner


class Runner(LocalRunner):
    name = "wrong"
    BODY


@hookimpl
def imgfx_runners():
    return [Runner()]
'''


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", set()),
        ("missing = lambda self: 'a cluster'", set()),
        ("missing = lambda self: None", {"protocol"}),
        ("run = lambda self, work: None", {"run"}),
    ],
)
def test_runners(examined, failed, code, expected):
    results = examined(RUNNER.replace("BODY", code), kind="runners")
    assert failed(results) == expected
    assert results["run"].status == (
        "skip" if "missing" in code else "fail" if expected else "pass"
    )


@pytest.mark.parametrize("name", ["open", "save", "plugins", "gan-generate"])
def test_bundled_ones_pass(name, examined):
    assert failures(conformance(name)) == []
