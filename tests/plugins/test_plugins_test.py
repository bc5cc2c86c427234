"""`imgfx plugins test`: its table, its JSON, its exit codes."""

import json

import pytest

from imgfx.testing import Result

RIGHT = '''"""Turn an image into its negative."""

import click

from imgfx.api import hookimpl, image_filter


@image_filter("turned")
@click.option("--amount", type=float, default=1.0, help="How far.")
def turned(image, amount):
    """Turn an image into its negative."""
    print("working")
    return image.with_pixels(image.floats * (1 - amount))


@hookimpl
def imgfx_stages():
    return [turned]
'''


@pytest.fixture
def run(imgfx, site):
    site.install("imgfx-turned", RIGHT, "turned")
    return lambda *words: imgfx("plugins", "test", *words, PYTHONPATH=str(site.folder))


def test_what_is_amiss_is_shown_and_summed_up(run):
    ended = run("turned")
    assert (ended.code, ended.err) == (1, "")
    lines = ended.out.decode().splitlines()
    assert lines[0] == "filter turned (imgfx-turned)"
    assert [line.split(None, 2)[:2] for line in lines[1:-1]] == [
        ["listing", "warning"],
        ["stdout", "FAILED"],
    ]
    assert "prints 'working" in lines[2]
    assert lines[-1] == "24 checks: 19 ok, 1 warning, 1 FAILED, 3 skipped"


def test_every_check_is_shown_on_demand(run):
    lines = run("imgfx-turned", "-v").out.decode().splitlines()
    assert len(lines) == 26
    assert "  finite        ok" in lines


def test_results_are_json(run):
    ended = run("turned", "--json", "--", "--amount", "0.5")
    assert ended.code == 1
    results = [Result(**row) for row in json.loads(ended.out)]
    assert {(r.package, r.name, r.kind) for r in results} == {("imgfx-turned", "turned", "filter")}
    assert [r.check for r in results if r.status == "fail"] == ["stdout"]


def test_options_are_the_stage_s(run):
    ended = run("turned", "--", "--amount", "300")
    assert b"range         FAILED" in ended.out
    ended = run("turned", "--", "--nothing")
    assert b"start         FAILED" in ended.out


def test_unknown_names_and_files_are_refused(run):
    ended = run("nothing")
    assert (ended.code, ended.out) == (1, b"")
    assert ended.err.startswith("imgfx: error: no plugin or package is named 'nothing'")
    assert run("turned", "--weights", "gone").code == 2


def test_a_plugin_in_a_file_is_tested_too(imgfx, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "own.py").write_text(RIGHT.replace('    print("working")\n', ""))
    ended = imgfx("--plugins-dir", folder, "plugins", "test", "turned")
    assert (ended.code, ended.err) == (0, ""), ended.out
    assert ended.out.decode().splitlines()[-1] == "24 checks: 21 ok, 3 skipped"


def test_all_that_a_stage_and_its_model_offer_is_tested(imgfx):
    ended = imgfx("plugins", "test", "superres-fast-x2")
    assert (ended.code, ended.err) == (0, ""), ended.out
    assert ended.out.decode().splitlines()[0] == "model superres-fast-x2 (imgfx)"
