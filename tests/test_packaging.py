"""What is installed is what the sources hold: entry points, wheel, weights with their cards."""

import re
import subprocess
import sys
import tomllib
import zipfile

import cv2
import numpy as np
import pytest
from support import ROOT, pixels, run_imgfx

from imgfx import __version__
from imgfx.engines.base import Engine
from imgfx.hookspecs import GROUPS
from imgfx.installed import Point
from imgfx.model import Model
from imgfx.offers import Offer
from imgfx.plugins import Registry
from imgfx.runners import ChainRunner

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OFFERS = [
    Offer(name, kind, Point(name, module, group))
    for kind, group in GROUPS.items()
    for name, module in PROJECT["entry-points"].get(group, {}).items()
]


def test_entry_points_are_of_known_groups():
    assert set(PROJECT["entry-points"]) == {*GROUPS.values(), "pytest11"}
    assert len(OFFERS) >= 11


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: f"{offer.kind} {offer.name}")
def test_every_entry_point_answers_what_it_promises(offer):
    registry = Registry([offer])
    if offer.kind == "command":
        assert registry.command(offer.name).name == offer.name
    elif offer.kind == "model":
        model = registry.model(offer.name)
        assert isinstance(model, Model)
        assert (model.name, bool(model.describe)) == (offer.name, True)
    elif offer.kind == "engine":
        assert isinstance(registry.engine(offer.name), Engine)
    elif offer.kind == "runner":
        assert isinstance(registry.runner(offer.name), ChainRunner)
    else:
        stage = registry.stage(offer.name)
        assert (stage.name, stage.kind, bool(stage.help)) == (offer.name, offer.kind, True)


def test_the_console_script_is_the_program():
    module, _, function = PROJECT["scripts"]["imgfx"].partition(":")
    assert callable(getattr(__import__(module, fromlist=["x"]), function))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the sources as pip does, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, ROOT,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    (path,) = folder.iterdir()
    with zipfile.ZipFile(path) as file:
        yield file


def test_the_wheel_holds_every_module(wheel):
    roots = [ROOT / "imgfx", *(ROOT / "plugins").glob("imgfx_*"), ROOT / "weights/imgfx_weights"]
    expected = {
        path.relative_to(root.parent).as_posix() for root in roots for path in root.rglob("*.py")
    }
    held = set(wheel.namelist())
    assert expected <= held
    assert {name for name in held if name.endswith(".py")} == expected
    assert "imgfx/py.typed" in held


def test_the_wheel_holds_nothing_else(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    packages = {path.name for path in (ROOT / "plugins").glob("imgfx_*")}
    information = f"imgfx-{__version__}.dist-info"
    assert tops == {"imgfx", "imgfx_weights", *packages, information}
    endings = {re.sub(r".*(\.\w+)$", r"\1", name) for name in wheel.namelist() if "." in name}
    assert not endings & {".pyc", ".tmp", ".pt", ".pkl", ".jsonl"}


def test_the_wheel_says_what_the_sources_say(wheel):
    information = f"imgfx-{__version__}.dist-info"
    held = set(wheel.namelist())
    assert {f"{information}/licenses/{name}" for name in ("LICENSE", "NOTICE")} <= held
    metadata = wheel.read(f"{information}/METADATA").decode()
    assert f"\nVersion: {__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    points = wheel.read(f"{information}/entry_points.txt").decode()
    lines = {line.replace(" ", "") for line in points.splitlines()}
    assert {f"{offer.name}={offer.entry_point.value}" for offer in OFFERS} <= lines
    assert "imgfx=imgfx.__main__:run" in lines


def test_every_weights_file_is_in_the_wheel_with_its_card(wheel):
    folder = ROOT / "weights" / "imgfx_weights"
    held = set(wheel.namelist())
    for path in folder.glob("*.safetensors"):
        assert f"imgfx_weights/{path.name}" in held
        assert f"imgfx_weights/{path.stem}.md" in held, f"{path.name} has no card"
        assert wheel.read(f"imgfx_weights/{path.name}") == path.read_bytes()


def test_the_wheel_runs(wheel, tmp_path):
    site = tmp_path / "site"
    wheel.extractall(site)
    cv2.imwrite(str(tmp_path / "a.png"), pixels(5, 6))
    where = "import imgfx, imgfx_files; print(imgfx.__file__, imgfx_files.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where], cwd=tmp_path, env={"PYTHONPATH": str(site)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.count(str(site)) == 2
    ended = run_imgfx(["open", "a.png", "save", "b.png"], cwd=tmp_path, PYTHONPATH=str(site))
    assert (ended.code, ended.err) == (0, "")
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "b.png")), pixels(5, 6))
