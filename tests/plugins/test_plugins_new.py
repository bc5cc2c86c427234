"""`imgfx plugins new`: what it writes is clean, is installed, works and passes the kit, offline."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from support import ROOT, pixels, run_imgfx

from imgfx_plugins.package import Package

PHOTOS = ROOT / "examples" / "photos"


def new(folder, *words):
    return run_imgfx(["plugins", "new", *words], cwd=folder)


def tool(folder, *words, **environment):
    """A tool of this Python, in a package's folder."""
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, env={**os.environ, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def installed(package, site):
    """The package, built from its sources as pip does, without a network."""
    ended = tool(
        package.parent, "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--no-build-isolation", "--no-index", "--target", str(site), f"./{package.name}",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return {"PYTHONPATH": str(site)}


@pytest.fixture(scope="module")
def sepia(tmp_path_factory):
    """(folder of the package, environment in which it is installed)."""
    folder = tmp_path_factory.mktemp("sepia")
    ended = new(folder, "sepia")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.decode().splitlines()
    assert lines[0] == "imgfx-sepia is written. Go on with:"
    assert "  imgfx plugins test sepia" in lines
    return folder / "imgfx-sepia", installed(folder / "imgfx-sepia", folder / "site")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The same, of a model."""
    folder = tmp_path_factory.mktemp("toy")
    assert new(folder, "toy", "--model", "--dir", "src").code == 0
    return folder / "src" / "imgfx-toy", installed(folder / "src" / "imgfx-toy", folder / "site")


def test_a_filter_is_a_whole_package(sepia):
    folder, _ = sepia
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    names = {name for name in names if "__pycache__" not in name}
    assert names == {
        "pyproject.toml", "imgfx_sepia.py", "tests/test_imgfx_sepia.py", "README.md", "LICENSE",
        ".gitignore",
    }  # fmt: skip
    assert 'dependencies = ["imgfx>=0.1,<1"]' in (folder / "pyproject.toml").read_text()
    assert "$" not in (folder / "imgfx_sepia.py").read_text()


@pytest.mark.parametrize("kind", ["sepia", "toy"])
def test_it_is_clean(kind, request):
    folder, _ = request.getfixturevalue(kind)
    for words in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy", "."]):
        ended = tool(folder, *words)
        assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(
    "name", ["filter", "lambda", "click", "np", "conformance", "a-b-c-d-e-1", "test-a"]
)
@pytest.mark.parametrize("model", [False, True])
def test_awkward_names_make_good_code(tmp_path, name, model):
    folder = Package(name, model).write(tmp_path)
    ended = tool(folder, "ruff", "check", ".")
    assert ended.returncode == 0, ended.stdout
    ended = tool(folder, "ruff", "format", "--check", ".")
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("name", ["test-pattern", "test", "testimony"])
def test_names_that_look_like_tests_make_tests_that_are_collected(tmp_path, name):
    folder = Package(name, model=False).write(tmp_path)
    words = ["pytest", "-q", "-p", "no:cacheprovider", "tests", "-k", "not promises"]
    ended = tool(folder, *words, PYTHONPATH=str(folder))
    assert ended.returncode == 0, ended.stdout
    assert "2 passed" in ended.stdout


def test_its_tests_pass(sepia):
    folder, environment = sepia
    ended = tool(folder, "pytest", "-q", "-p", "no:cacheprovider", "tests", **environment)
    assert ended.returncode == 0, ended.stdout
    assert "3 passed" in ended.stdout


def test_it_is_installed_tested_and_used(sepia, tmp_path):
    _, environment = sepia
    ended = run_imgfx(["plugins", "test", "sepia"], cwd=tmp_path, **environment)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.decode().splitlines() == [
        "filter sepia (imgfx-sepia)",
        "24 checks: 21 ok, 3 skipped",
    ]
    cv2.imwrite(str(tmp_path / "a.jpg"), pixels(20, 30))
    ended = run_imgfx(["open", "a.jpg", "sepia", "save", "b.jpg"], cwd=tmp_path, **environment)
    assert (ended.code, ended.err) == (0, "")
    assert cv2.imread(str(tmp_path / "b.jpg")).mean() > cv2.imread(str(tmp_path / "a.jpg")).mean()


def test_a_model_is_trained_used_and_tested(toy, tmp_path):
    folder, environment = toy
    words = ["train", "toy", "--data", PHOTOS, "--steps", 5, "--device", "cpu"]
    ended = run_imgfx(words, cwd=tmp_path, **environment)
    assert ended.code == 0, ended.err
    cv2.imwrite(str(tmp_path / "a.png"), pixels(20, 30))
    words = ["open", "a.png", "toy", "--weights", "toy.safetensors", "save", "b.png"]
    ended = run_imgfx(words, cwd=tmp_path, **environment)
    assert ended.code == 0, ended.err
    assert cv2.imread(str(tmp_path / "b.png")).shape == (20, 30, 3)
    words = ["plugins", "test", "imgfx-toy", "--weights", "toy.safetensors", "-v"]
    ended = run_imgfx(words, cwd=tmp_path, **environment)
    assert (ended.code, ended.err) == (0, ""), ended.out
    assert b"halo          ok       4, measured 4" in ended.out
    ended = tool(folder, "pytest", "-q", "-p", "no:cacheprovider", "tests", **environment)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("name", ["Sepia", "se_pia", "-x", "1st", "a--b", "", "a" * 25, "é", "a/b"])
def test_what_is_no_name_is_refused(tmp_path, name):
    ended = new(tmp_path, "--", name)
    assert ended.code == 2
    assert "is no name for a stage: take small letters" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("save", "'save' is offered by imgfx already; choose another name"),
        ("train", "'train' is offered by imgfx already"),
        ("tensorrt", "'tensorrt' is offered by imgfx already"),
        ("files", "a module imgfx_files is installed already"),
        ("imgfx-sepia", "leave out 'imgfx-'"),
    ],
)
def test_what_something_else_is_called_is_refused(tmp_path, name, message):
    ended = new(tmp_path, name)
    assert ended.code in (1, 2)
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "imgfx-sepia").mkdir()
    (tmp_path / "imgfx-sepia" / "mine").write_text("kept")
    ended = new(tmp_path, "sepia")
    assert ended.code == 1
    assert ended.err == (
        "imgfx: error: imgfx-sepia is there already; choose another name, or --dir\n"
    )
    assert [p.name for p in tmp_path.rglob("*")] == ["imgfx-sepia", "mine"]


def test_nothing_is_half_written(tmp_path, monkeypatch):
    write, files = Path.write_text, []

    def fail_at_the_third(path, *words, **more):
        files.append(path)
        if len(files) == 3:
            raise OSError(28, "No space left on device")
        return write(path, *words, **more)

    monkeypatch.setattr(Path, "write_text", fail_at_the_third)
    with pytest.raises(Exception, match="imgfx-sepia: cannot write it: No space left"):
        Package("sepia", model=False).write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    ended = new(tmp_path, "sepia", "--dir", "file/below")
    assert ended.code == 1
    assert ended.err.startswith("imgfx: error: file/below: cannot write there: ")
