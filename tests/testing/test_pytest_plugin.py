"""`pytest --imgfx NAME`, in a process of its own, with strict settings; and what it costs."""

import os
import subprocess
import sys

import pytest
from support import Site

FILTER = '''"""Turn an image into its negative."""

from imgfx.api import hookimpl, image_filter


@image_filter("turned")
def turned(image):
    """Turn an image into its negative."""
    BODY
    return image.with_pixels(1 - image.floats)


@hookimpl
def imgfx_stages():
    return [turned]
'''
FIXTURES = """
def test_fixtures(imgfx_images, imgfx_apply, imgfx_run, tmp_path):
    image = imgfx_images["rgb"]
    assert abs(imgfx_apply("turned", image).floats.mean() + image.floats.mean() - 1) < 1e-5
    ended = imgfx_run("open", "nothing.png", "turned")
    assert (ended.code, ended.out) == (1, b"")
    assert imgfx_run("--version", cwd=tmp_path).code == 0
"""
SETTINGS = """
[pytest]
addopts = --strict-markers --strict-config -p no:cacheprovider
filterwarnings = error
"""


@pytest.fixture
def pytest_run(site: Site, tmp_path):
    """`pytest_run("--imgfx", "turned")` beside an installed filter: exit code and lines."""

    def run(*words, body="pass"):
        site.install("imgfx-turned", FILTER.replace("BODY", body), "turned")
        (tmp_path / "pytest.ini").write_text(SETTINGS)
        (tmp_path / "test_own.py").write_text(FIXTURES)
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *words],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site.folder)}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout.splitlines() + ended.stderr.splitlines()

    return run


def test_each_check_is_a_test(pytest_run):
    code, lines = pytest_run("-v", "-rs", "--imgfx", "turned")
    assert code == 0, lines
    text = "\n".join(lines)
    assert "test_own.py::test_fixtures PASSED" in text
    assert "imgfx filter turned::range PASSED" in text
    assert "imgfx filter turned::tiles SKIPPED (runs no network)" in text
    assert "22 passed, 3 skipped" in lines[-1]
    assert "name imgfx in the package's dependencies" in text  # a warning, in the summary


def test_a_failure_is_one_line_of_what_to_do(pytest_run):
    code, lines = pytest_run(
        "-q", "-k", "not fixtures", "--imgfx", "turned", body="image.pixels[0] = 0"
    )
    assert code == 1
    (told,) = (line for line in lines if line.startswith("FAILED imgfx"))
    assert told.startswith("FAILED imgfx filter turned::input - ")
    assert any("the input's array is written to; work on a copy" in x for x in lines)
    assert not any("Traceback" in line for line in lines)


def test_checks_are_chosen_as_tests_are(pytest_run):
    code, lines = pytest_run("-q", "--imgfx", "turned", "-k", "range or finite")
    assert (code, lines[-1].split(" in ")[0]) == (0, "2 passed, 23 deselected")


def test_an_unknown_name_ends_the_run(pytest_run):
    code, lines = pytest_run("--imgfx", "nothing")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert any("--imgfx: no plugin or package is named 'nothing'" in line for line in lines)


def test_without_the_option_nothing_is_added(pytest_run):
    code, lines = pytest_run("-q", "--collect-only")
    assert code == 0
    assert lines[0] == "test_own.py::test_fixtures"
    assert "1 test collected" in lines[-1]


def test_loading_it_imports_nothing_else_and_takes_no_time():
    script = (
        "import pytest, sys, time\n"
        "took = []\n"
        "before = set(sys.modules)\n"
        "began = time.process_time()\n"
        "import imgfx.testing.pytest_plugin\n"
        "took = 1000 * (time.process_time() - began)\n"
        "new = {m for m in set(sys.modules) - before if m.partition('.')[0] != 'imgfx'}\n"
        "assert new <= set(sys.stdlib_module_names), new\n"
        "print(took)\n"
    )
    took = [
        float(
            subprocess.run(
                [sys.executable, "-c", script], capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(3)
    ]
    assert min(took) < 5  # milliseconds of processor time
