"""What plugins answer that is not what they promise: said of them, and no image suffers."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Imgfx
from support import Site

HEAD = '''"""A plugin under test."""

import atexit
from dataclasses import replace

import click
import numpy as np

from imgfx.api import Image, ImageError, Item, hookimpl, image_filter, learned_filter, sink, source

'''

TAIL = """

@hookimpl
def imgfx_stages():
    return [stage]
"""


@pytest.fixture
def three(tmp_path: Path) -> list[str]:
    """Three images of one shape."""
    for number in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((24, 24, 3), 40 * number, np.uint8))
    return ["1.png", "2.png", "3.png"]


def plugin(folder: Path, source: str) -> list[str]:
    """The options that bring a plugin's file in."""
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins" / "stage.py").write_text(HEAD + source + TAIL)
    return ["--plugins-dir", "plugins"]


def a_filter(folder: Path, body: str) -> list[str]:
    """A filter `try-it` with this body."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return plugin(folder, f'@image_filter("try-it")\ndef stage(image):\n{lines}\n')


REUSED = """out = KEPT.setdefault(image.pixels.shape, np.empty(image.pixels.shape, np.float32))
np.subtract(1, image.floats, out=out)
return image.with_pixels(out{VIEW})
"""


@pytest.mark.parametrize("view", ["", "[:, :, :]"])
def test_a_buffer_used_again_fails_before_it_changes_another_image(
    imgfx: Imgfx, tmp_path: Path, three: list[str], view: str
) -> None:
    options = a_filter(tmp_path, REUSED.replace("{VIEW}", view))
    path = tmp_path / "plugins" / "stage.py"
    path.write_text(path.read_text().replace("@image_filter", "KEPT = {}\n\n\n@image_filter"))
    ended = imgfx(*options, "open", *three, "try-it", "save", "out")
    assert ended.code == 3
    assert "2.png: stage 'try-it' failed: ValueError: output array is read-only" in ended.err
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["1.png"]
    assert (cv2.imread(str(tmp_path / "out" / "1.png")) == 215).all()


def test_an_error_handed_over_as_it_is_costs_its_own_image(
    imgfx: Imgfx, tmp_path: Path, three: list[str]
) -> None:
    options = a_filter(
        tmp_path,
        "if image.name == '2':\n    raise ImageError(OSError('the disk is gone'))\nreturn image",
    )
    ended = imgfx(*options, "open", *three, "try-it", "save", "out")
    assert ended.code == 3
    assert "2.png: the disk is gone" in ended.err
    assert len(list((tmp_path / "out").glob("*.png"))) == 2


def test_other_byte_orders_are_read_as_they_are_meant(imgfx: Imgfx, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 8, 3), 0x0102, np.uint16))
    options = a_filter(tmp_path, "return image.with_pixels(image.pixels.astype('>u2'))")
    ended = imgfx(*options, "open", "a.png", "try-it", "save", "b.png")
    assert ended.code == 0, ended.err
    assert (cv2.imread(str(tmp_path / "b.png"), cv2.IMREAD_UNCHANGED) == 0x0102).all()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("replace(image, notes='text')", "notes is of type str, expected a tuple of texts"),
        ("replace(image, metadata=None)", "metadata is of type NoneType, expected Metadata"),
        ("image.with_pixels([1])", "pixels are of type list, expected a NumPy array"),
        ("replace(image, alpha=[1])", "alpha is of type list, expected a NumPy array"),
        ("image.with_pixels(image.floats * np.nan)", "values that are not finite numbers"),
    ],
)
def test_what_is_no_image_costs_its_own(
    imgfx: Imgfx, tmp_path: Path, three: list[str], answer: str, said: str
) -> None:
    options = a_filter(tmp_path, f"return {answer} if image.name == '2' else image")
    ended = imgfx(*options, "open", *three, "try-it", "save", "out")
    assert ended.code == 3
    assert said in ended.err
    assert len(list((tmp_path / "out").glob("*.png"))) == 2


def test_values_on_the_scale_of_255_are_told_of(
    imgfx: Imgfx, tmp_path: Path, three: list[str]
) -> None:
    options = a_filter(tmp_path, "return image.with_pixels(image.floats * 255)")
    ended = imgfx(*options, "open", *three, "try-it", "save", "out")
    assert ended.code == 0
    assert "2.png: stage 'try-it' answered values of up to 80, where 1 is white" in ended.err


SOURCE = """
def item(number):
    pixels = np.full((8, 8, 3), number, np.uint8)
    return Item(f"n{number}", lambda: Image(pixels), name=f"n{number}")


class Some:
    def __init__(self, items, count):
        self.items, self.count = items, count

    def __iter__(self):
        return iter(self.items)


@source("try-it")
def stage(session):
    return ITEMS
"""


@pytest.mark.parametrize(
    ("items", "code", "said"),
    [
        ("Some((item(n) for n in range(3)), 3)", 1, "announces 3 images and has 0"),
        ("Some([item(0), item(1)], 5)", 1, "announces 5 images and has 2"),
        ("Some([item(0), item(1)], 1)", 1, "announces 1 images and has more than 1"),
        ("Some([item(0), None, item(2)], None)", 3, "announced NoneType, no Item"),
        ("Some([item(0), item(1).load()], None)", 3, "announced Image, no Item"),
        ("Some([Item('n', lambda: Image(np.full((2, 2, 1), np.nan, np.float32)))], 1)", 1,
         "stage 'try-it' answered values that are not finite numbers"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sink", [("save", "out/"), ("save", "-", "--format", "png")])
def test_sources_are_held_to_what_they_announce(
    imgfx: Imgfx, tmp_path: Path, items: str, code: int, said: str, sink: tuple[str, ...]
) -> None:
    ended = imgfx(*plugin(tmp_path, SOURCE.replace("ITEMS", items)), "try-it", *sink)
    assert ended.code == code
    assert said in ended.err


SINK = """
class Target:
    def target(self, item, index):
        return f"up://{item.name}"

    def encode(self, image, item, index):
        return ANSWER if item.name == "2" else (b"data", ())

    def write(self, data, item, index):
        with open(f"{item.name}.up", "wb") as file:
            file.write(data)
        WRITTEN


@sink("try-it")
def stage(session):
    return Target()
"""


@pytest.mark.parametrize("answer", ["(None, ())", "(b'x', None)", "b'ab'", "b'data'", "None"])
def test_what_a_sink_encodes_is_bytes_with_notes(
    imgfx: Imgfx, tmp_path: Path, three: list[str], answer: str
) -> None:
    options = plugin(tmp_path, SINK.replace("ANSWER", answer).replace("WRITTEN", ""))
    ended = imgfx(*options, "open", *three, "try-it")
    assert ended.code == 3
    assert "2.png: a sink's encode answers (bytes, notes)" in ended.err
    assert sorted(path.name for path in tmp_path.glob("*.up")) == ["1.up", "3.up"]


def test_notes_may_be_a_list_and_bytes_anything_like_them(
    imgfx: Imgfx, tmp_path: Path, three: list[str]
) -> None:
    answer = "(memoryview(b'seen'), ['something was lost'])"
    options = plugin(tmp_path, SINK.replace("ANSWER", answer).replace("WRITTEN", ""))
    ended = imgfx(*options, "open", *three, "try-it")
    assert ended.code == 0
    assert "warning: 2.png: something was lost" in ended.err
    assert (tmp_path / "2.up").read_bytes() == b"seen"


def test_a_pipe_of_a_plugin_s_own_is_not_stdout(
    imgfx: Imgfx, tmp_path: Path, three: list[str]
) -> None:
    broken = "raise BrokenPipeError(32, 'Broken pipe')"
    source = SINK.replace("ANSWER", "(b'', ())").replace("WRITTEN", broken)
    ended = imgfx(*plugin(tmp_path, source), "open", *three, "try-it")
    assert (ended.code, ended.err) == (1, "imgfx: error: up://1: cannot write: Broken pipe\n")
    options = plugin(tmp_path, f'@learned_filter("try-it")\ndef stage(session):\n    {broken}\n')
    ended = imgfx(*options, "open", *three, "try-it", "save", "out")
    assert ended.code == 1
    assert "stage 'try-it' failed: BrokenPipeError" in ended.err
    options = a_filter(tmp_path, f"if image.name == '2':\n    {broken}\nreturn image")
    ended = imgfx(*options, "open", *three, "try-it", "save", "out")
    assert ended.code == 3
    assert "2.png: stage 'try-it' failed: BrokenPipeError" in ended.err


PRINTING = """
def shown(context, parameter, value):
    print("amount is", value)
    return value


@image_filter("try-it")
@click.option("--amount", default=1.0, callback=shown)
@click.option("--presets", is_flag=True, is_eager=True, expose_value=False,
              callback=lambda context, _, value: value and (click.echo("a b"), context.exit()))
def stage(image, amount):
    atexit.register(print, "bye bye")
    return image
"""


def test_what_options_print_and_what_is_printed_at_the_end_is_no_image(
    imgfx: Imgfx, tmp_path: Path, three: list[str]
) -> None:
    options = plugin(tmp_path, PRINTING)
    ended = imgfx(*options, "try-it", stdin=(tmp_path / three[0]).read_bytes())
    assert ended.code == 0, ended.err
    assert ended.out.startswith(b"\x89PNG")
    assert ended.out.endswith(b"IEND\xaeB`\x82")
    assert "amount is 1.0" in ended.err
    assert "bye bye" in ended.err


def test_an_option_that_ends_the_program_prints_to_stdout(imgfx: Imgfx, tmp_path: Path) -> None:
    options = plugin(tmp_path, PRINTING)
    ended = imgfx(*options, "try-it", "--presets")
    assert (ended.code, ended.out) == (0, b"a b\n")
    ended = imgfx(*options, "try-it", "--help")
    assert ended.out.startswith(b"Usage: imgfx ... try-it")


def test_an_option_that_click_would_close_is_refused(
    imgfx: Imgfx, tmp_path: Path, three: list[str]
) -> None:
    source = PRINTING.replace("default=1.0, callback=shown", 'type=click.File("r")')
    ended = imgfx(*plugin(tmp_path, source), "open", *three, "try-it", "save", "out")
    assert ended.code == 1
    assert "stage 'try-it': --amount is a click.File" in ended.err
    assert "take a click.Path" in ended.err


@pytest.mark.parametrize("text", ["X = " + "+".join("1" * 20000), "-" * 100000 + "1"])
def test_a_file_that_nests_too_deeply_costs_its_own_name(
    imgfx: Imgfx, tmp_path: Path, three: list[str], text: str
) -> None:
    options = plugin(tmp_path, "")
    (tmp_path / "plugins" / "deep.py").write_text(text)
    ended = imgfx(*options, "open", *three, "save", "out")
    assert ended.code == 0, ended.err
    assert b"deep" in imgfx(*options, "--help").out
    ended = imgfx(*options, "open", *three, "deep", "save", "out")
    assert ended.code == 1
    assert "deep.py is broken" in ended.err


RUNNER = '''"""A runner that forgets one."""

from imgfx.api import hookimpl


class Half:
    name = "half"
    elsewhere = False

    def missing(self):
        return ""

    def run(self, work):
        with work:
            for index, item in work.left():
                if index != 1:
                    work.place(index, item, work.chain.make(item, index, item.load))


@hookimpl
def imgfx_runners():
    return [Half()]
'''


def test_a_runner_that_leaves_images_out_is_an_error(
    imgfx: Imgfx, tmp_path: Path, three: list[str], site: Site
) -> None:
    site.install("imgfx-half", RUNNER, "half", kind="runners")
    ended = imgfx(
        "--runner", "half", "open", *three, "save", "out", PYTHONPATH=str(site.folder)
    )  # fmt: skip
    assert (ended.code, ended.err) == (1, "imgfx: error: runner 'half' left out 1 of 3 images\n")


ENGINE = '''"""An engine."""

from imgfx.api import hookimpl


class Quick:
    name = "quick"
    preference = {"cpu": 99}

    def missing(self):
        MISSING

    def open(self, model, weights, request):
        OPEN


@hookimpl
def imgfx_engines():
    return [Quick()]
'''


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("    preference", "    rank"), "the engine 'quick' has no preference"),
        (("MISSING", "raise RuntimeError('x')"), ""),
        (("OPEN", "return None"), "engine 'quick' is broken: what it opens, of type NoneType, has"),
        (("OPEN", "raise RuntimeError('x')"), "quick: RuntimeError: x"),
    ],
)
def test_a_broken_engine_costs_its_own_name(
    imgfx: Imgfx, tmp_path: Path, three: list[str], site: Site, change: tuple[str, str], said: str
) -> None:
    source = ENGINE.replace(*change).replace("MISSING", 'return ""').replace("OPEN", "pass")
    site.install("imgfx-quick", source, "quick", kind="engines")
    line = ["open", three[0], "superres-fast", "save", "out.png"]
    ended = imgfx("--engine", "auto", *line, PYTHONPATH=str(site.folder))
    assert ended.code == 0, ended.err
    ended = imgfx("--engine", "quick", *line, PYTHONPATH=str(site.folder))
    assert ended.code == 1
    assert "quick" in ended.err
    assert said.replace("quick: R", "engine 'quick' failed: R") in ended.err
    assert "stage 'superres-fast' failed" not in ended.err


def test_the_doctor_names_groups_that_imgfx_does_not_have(imgfx: Imgfx, site: Site) -> None:
    site.install("imgfx-typo", '"""Nothing."""\n', "fade", kind="filter")
    ended = imgfx("plugins", "doctor", PYTHONPATH=str(site.folder))
    text = ended.out.decode()
    assert "imgfx has no group imgfx.filter.v1; did its author mean imgfx.filters.v1?" in text
    assert ended.code == 1


def test_an_entry_point_that_names_more_than_a_module_says_so(imgfx: Imgfx, site: Site) -> None:
    source = HEAD + '@image_filter("fade")\ndef stage(image):\n    return image\n' + TAIL
    site.install("imgfx-fade", source, "fade = imgfx_fade:stage")
    ended = imgfx("open", "a.png", "fade", "save", "b.png", PYTHONPATH=str(site.folder))
    assert ended.code == 1
    assert "an entry point names the module alone, 'imgfx_fade'" in ended.err
    assert "must name the module alone" in imgfx(
        "plugins", "doctor", PYTHONPATH=str(site.folder)
    ).out.decode()  # fmt: skip


def test_a_package_that_is_worked_on_counts_by_its_content(
    imgfx: Imgfx, tmp_path: Path, three: list[str], site: Site
) -> None:
    source = HEAD + '@image_filter("fade")\ndef stage(image):\n    return image\n' + TAIL
    site.install("imgfx-fade", source, "fade")
    line = ("open", *three, "fade", "save", "out")
    assert imgfx(*line, PYTHONPATH=str(site.folder)).code == 0
    darker = source.replace("return image\n", "return image.with_pixels(image.pixels // 2)\n")
    (site.folder / "imgfx_fade.py").write_text(darker)
    ended = imgfx(*line, PYTHONPATH=str(site.folder))
    assert "3 of them earlier" in ended.err  # of an installed package the version counts
    direct = site.folder / "imgfx_fade-1.0.dist-info" / "direct_url.json"
    direct.write_text('{"url": "file:///here", "dir_info": {"editable": true}}')
    assert "earlier" not in imgfx(*line, PYTHONPATH=str(site.folder)).err
    (site.folder / "imgfx_fade.py").write_text(source)
    assert "earlier" not in imgfx(*line, PYTHONPATH=str(site.folder)).err
    assert "3 of them earlier" in imgfx(*line, PYTHONPATH=str(site.folder)).err
    assert (cv2.imread(str(tmp_path / "out" / "3.png")) == 120).all()
