"""The kit on filters: a right one passes, each wrong one fails just the check that is meant for it.

Each filter is a real package, and the kit runs it as it would anyone's.
"""

from pathlib import Path

import click
import pytest

from imgfx.api import image_filter
from imgfx.errors import ImgfxError
from imgfx.testing import conformance, failures
from imgfx.testing.kit.performing import Examination
from imgfx.testing.kit.subjects import Given, StageSubject

RIGHT = '''"""Mix an image with its negative."""

from dataclasses import replace

import click

from imgfx.api import EngineError, ImageError, Metadata, hookimpl, image_filter, learned_filter


@image_filter("wrong")
@click.option("--amount", type=float, default=0.7, help="How much of it.")
def wrong(image, amount):
    """Mix an image with its negative."""
    import numpy as np

    pixels = image.floats
    BODY
    return image.with_pixels(pixels + np.float32(amount) * (1 - 2 * pixels))


@hookimpl
def imgfx_stages():
    return [wrong]
'''
BODY = "    BODY\n"


def body(*lines):
    return RIGHT.replace(BODY, "".join(f"    {line}\n" for line in lines))


def learned(*lines):
    """The filter as one that is started, with these lines at its start."""
    start = RIGHT.replace("image_filter(", "learned_filter(").replace(
        "(image, amount)", "(session, amount)"
    )
    inner = "    def apply(image):\n        return image\n\n    return apply\n"
    before, _, rest = start.partition("    import numpy")
    return (
        before + "".join(f"    {x}\n" for x in lines) + inner + rest[rest.index("\n\n@hookimpl") :]
    )


UNPICKLABLE = RIGHT.replace("default=0.7", "default=0.7, callback=lambda c, p, v: lambda: v")
UNPICKLABLE = UNPICKLABLE.replace("(amount)", "(amount())").replace(BODY, "")

WRONG = {
    "no docstring": (body().partition("\n")[2], "listing", "begin imgfx_wrong.py with a docstring"),
    "another name": (body().replace('filter("wrong")', 'filter("other")'), "hooks", "promises"),
    "a heavy import": ("import cv2\n" + body(), "listing import", "import cv2 inside"),
    "a slow import": (body() + "sum(range(150_000_000))\n", "import", "beyond imgfx's"),
    "no help": (
        body().replace('    """Mix an image with its negative."""\n', ""),
        "help",
        "give 'wrong' a docstring",
    ),
    "no engine": (learned("raise EngineError('no engine')"), "start", "no engine"),
    "a bug at the start": (learned("1 / 0"), "start", "ZeroDivisionError"),
    "a small image": (body("assert image.width > 4"), "images", "1x1: AssertionError"),
    "no image": (body("return pixels"), "images", "answers ndarray, no Image"),
    "every image": (body("raise ImageError('not today')"), "images", "refuses every sample"),
    "float64": (body("pixels = pixels.astype(float)"), "dtype", "answer .astype(np.float32)"),
    "a depth": (body("image = replace(image, depth='float32')"), "dtype", "use image.with_pixels"),
    "not a number": (body("pixels = pixels / 0 * 0"), "finite", "NaN or infinite"),
    "255": (body("return image.with_pixels(pixels * 255)"), "range", "they mean [0, 1]"),
    "rounded": (
        body("return image.with_pixels((255 * pixels).astype(np.uint8))"),
        "rounding",
        "float32 is rounded to uint8",
    ),
    "8 bits only": (
        body("pixels = (np.clip(image.pixels, 0, 255) / 255).astype(np.float32)"),
        "depth",
        "begin with image.floats",
    ),
    "no alpha": (body("return image.with_pixels(pixels, None)"), "alpha", "rgba, gray-alpha: "),
    "alpha of the old size": (
        body("return image.with_pixels(np.repeat(np.repeat(pixels, 2, 0), 2, 1))"),
        "alpha",
        "image.with_pixels(pixels, alpha), resized",
    ),
    "no metadata": (
        body("image = replace(image, metadata=Metadata())"),
        "metadata",
        "exif, xmp, icc, dpi are lost",
    ),
    "another file name": (body("image = replace(image, name='x')"), "name", "the name is lost"),
    "in place": (body("image.pixels[0, 0] = 0"), "input", "work on a copy"),
    "noise": (
        body("pixels = pixels + np.random.normal(0, 0.01, pixels.shape).astype(np.float32)"),
        "repeat",
        "give it a --seed",
    ),
    "a memory": (
        body("wrong.calls = getattr(wrong, 'calls', 0) + 1", "amount *= 0.99 ** wrong.calls"),
        "repeat",
        "behind other images",
    ),
    "something shared between threads": (
        body(
            "import time",
            "wrong.size = pixels.shape",
            "time.sleep(0.02)",
            "pixels = pixels * (1 if wrong.size == pixels.shape else 0.9)",
        ).replace('filter("wrong")', 'filter("wrong", parallel=True)'),
        "parallel",
        "4 threads get another image than one: leave out `parallel`",
    ),
    "options that do not travel": (
        UNPICKLABLE.replace("np.float32(amount)", "np.float32(amount())"),
        "process",
        "cannot be pickled",
    ),
    "a print": (body("print('working')"), "stdout", "prints 'working"),
    "words among the images": (
        learned("import os", "session.images_out and os.write(session.images_out, b'hello')"),
        "pipe",
        "no stream of images",
    ),
    "the end of the process": (
        body("import os, sys", "image.alpha is not None and 'cpu' in sys.argv and os._exit(5)"),
        "pipe",
        "with exit code 5",
    ),
}  # fmt: skip


def test_a_right_filter_passes_every_check(examined):
    results = examined(body())
    statuses = {check: result.status for check, result in results.items()}
    assert statuses.pop("import") in ("pass", "warn")  # by the time that it took
    assert set(statuses.values()) == {"pass", "skip"}
    skipped = [check for check, result in results.items() if result.status == "skip"]
    assert skipped == ["edges", "tiles", "parallel"]
    assert failures(results.values()) == []
    assert list(results) == [
        "listing", "hooks", "import", "deprecations", "help", "start", "images", "dtype", "finite",
        "range", "rounding", "depth", "repeat", "alpha", "edges", "metadata", "name", "gray",
        "input", "tiles", "parallel", "process", "stdout", "pipe",
    ]  # fmt: skip


def test_a_filter_that_takes_several_threads_is_run_in_several(examined):
    results = examined(body().replace('filter("wrong")', 'filter("wrong", parallel=True)'))
    assert failures(results.values()) == []
    assert results["parallel"].status == "pass"
    assert results["parallel"].reason == "4 threads, 24 images"


@pytest.mark.parametrize(("source", "checks", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_filter_fails_the_check_that_is_for_it(examined, failed, source, checks, reason):
    results = examined(source)
    assert failed(results) == set(checks.split())
    told = results[checks.split()[-1]].reason
    assert reason in told
    assert "\n" not in told


WARNED = {
    "a long line": (body().replace("negative.", "negative" + " and more" * 8, 1), "listing"),
    "an old name": (
        body().replace("learned_filter\n", "learned_filter\nfrom imgfx.stage import filter_\n", 1)
        .replace("@image_filter", "@filter_"),
        "deprecations",
    ),
    "something more": (
        body().replace("return [wrong]", "return [wrong, learned_filter('more')(print)]"),
        "hooks",
    ),
    "an option without help": (body().replace(', help="How much of it."', ""), "help"),
    "an option of whole runs": (
        body().replace("--amount", "--tile").replace("amount", "tile"), "help"
    ),
    "colours": (body("pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))"), "gray"),
    "refused images": (
        body("if image.width < 4:", "    raise ImageError('too narrow')"), "images"
    ),
    "other alpha": (
        body("if image.alpha is not None:", "    image = replace(image, alpha=image.alpha // 2)"),
        "alpha",
    ),
    "noise on stderr": (body() + "import sys\nprint('loud', file=sys.stderr)\n", "import"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "check"), WARNED.values(), ids=WARNED)
def test_what_may_be_meant_so_is_a_warning(examined, failed, source, check):
    results = examined(source)
    assert failed(results) == set()
    assert results[check].status == "warn"
    assert results[check].reason
    assert {c for c, result in results.items() if result.status == "warn"} == {check}


ENLARGED = (
    "from imgfx.api import enlarged_alpha, resize, with_carried_colours",
    "shown = GIVEN",
    "height, width = 2 * image.height, 2 * image.width",
    "pixels = np.clip(resize(shown.pixels, height, width), 0, 1)",
    "return image.with_pixels(pixels, enlarged_alpha(image, 2))",
)


def test_hidden_colours_in_the_edges_of_an_enlarged_image_are_found_out(examined, failed):
    leaking = body(*ENLARGED).replace("GIVEN", "image")
    results = examined(leaking)
    assert failed(results) == {"edges"}
    assert "get into visible edges, by 0." in results["edges"].reason


def test_an_enlarged_image_with_carried_colours_is_right(examined, failed):
    results = examined(body(*ENLARGED).replace("GIVEN", "with_carried_colours(image)"))
    assert failed(results) == set()
    assert results["edges"].status == "pass"


def test_a_seed_makes_noise_repeatable(examined, failed):
    noisy = body(
        "random = np.random.default_rng(seed)",
        "pixels = pixels + random.normal(0, 0.01, pixels.shape).astype(np.float32)",
    )
    option = '@click.option("--seed", type=int, help="Of the noise.")\n'
    source = noisy.replace("def wrong(image, amount)", option + "def wrong(image, amount, seed)")
    assert failed(examined(source)) == set()


def test_options_are_given_as_typed(examined, failed):
    source = body("if amount > 0.9:", "    raise ImageError('too much')")
    assert failed(examined(source)) == set()
    again = {result.check: result for result in conformance("wrong", "--amount", 1)}
    assert failed(again) == {"images"}
    wrong = {result.check: result for result in conformance("wrong", "--amount", "x")}
    assert failed(wrong) == {"start"}


def test_a_required_file_is_made_up(examined, failed):
    option = '@click.option("--mask", type=click.Path(exists=True), required=True, help="It.")\n'
    source = body().replace("def wrong(image, amount)", option + "def wrong(image, amount, mask)")
    assert failed(examined(source)) == set()


MASKED = body().replace(
    "def wrong(image, amount)",
    '@click.option("--note", default="", help="Words.")\n'
    '@click.option("-m", "--mask", type=click.Path(exists=True), multiple=True, help="It.")\n'
    '@click.option("--weights", type=click.Path(exists=True), help="Of it.")\n'
    "def wrong(image, amount, note, mask, weights)",
)


def test_files_may_be_named_from_the_working_folder(examined, failed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_text("")
    assert failed(examined(MASKED, weights=Path("a.png"))) == set()
    with Examination("wrong", Given(["--mask", "a.png"])) as examination:
        found = [t.perform() for t in examination.tasks() if t.check.name in ("process", "pipe")]
    assert [result.status for result in found] == ["pass", "pass"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--mask a.png --mask=b.png", "--mask {0}/a.png --mask={0}/b.png"),
        ("-m a.png --amount 1", "-m {0}/a.png --amount 1"),
        ("--mask gone.png", "--mask gone.png"),
        ("--note b.png --mask a.png", "--note b.png --mask {0}/a.png"),
        ("--nothing a.png", "--nothing a.png"),
    ],
)
def test_only_words_that_are_paths_become_absolute(tmp_path, monkeypatch, words, expected):
    @image_filter("wrong")
    @click.option("--note")
    @click.option("--amount", type=float)
    @click.option("-m", "--mask", type=click.Path(), multiple=True)
    def command(image, **options):
        return image

    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png", "1"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(StageSubject, "command", command)
    subject = StageSubject(None, None, tmp_path, Given(words.split()).absolute())
    assert subject.words == expected.format(tmp_path).split()


def test_an_unknown_name_is_an_error():
    with pytest.raises(ImgfxError, match="no plugin or package is named 'nothing'"):
        conformance("nothing")


def test_options_are_for_one_stage():
    with pytest.raises(ImgfxError, match="options behind `--` are for one stage"):
        conformance("imgfx", "--strength", 0)
