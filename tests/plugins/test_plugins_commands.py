"""`imgfx plugins list, info, doctor`: what there is, what one thing is, what is wrong."""

import json

import pytest
from support import ROOT

from imgfx import __version__
from imgfx.weights import load_weights
from imgfx_plugins.elsewhere import asked

WEIGHTS = ROOT / "weights" / "imgfx_weights"

TWIN = '''"""A filter of two packages."""

import click
from imgfx.api import hookimpl, image_filter


@image_filter("twin")
@click.option("--amount", type=float)
def twin(image, amount):
    """Do nothing."""
    return image


@hookimpl
def imgfx_stages():
    return [twin]
'''


@pytest.fixture
def run(imgfx, site):
    """`run("list")` beside the packages of the site."""
    return lambda *words, **more: imgfx("plugins", *words, PYTHONPATH=str(site.folder), **more)


def test_the_list_names_everything_with_its_package(run):
    ended = run("list")
    assert (ended.code, ended.err) == (0, "")
    text = ended.out.decode()
    assert [line for line in text.splitlines() if not line.startswith(" ")] == [
        "sources:", "filters:", "sinks:", "commands:", "models:", "engines:", "runners:",
    ]  # fmt: skip
    rows = [line.split()[:3] for line in text.splitlines() if line.startswith(" ")]
    assert ["denoise-ae", "imgfx", __version__] in rows
    assert ["openvino", "imgfx", __version__] in rows


def test_the_list_as_json(run, site):
    site.install("one", TWIN, "twin")
    site.install("two", TWIN, "twin")
    site.install("new", TWIN, "next", version=2)
    rows = json.loads(run("list", "--json").out)
    twins = [row for row in rows if row["name"] == "twin"]
    assert [row["called"] for row in twins] == ["one:twin", "two:twin"]
    assert twins[0]["summary"] == "A filter of two packages"
    assert (twins[0]["version"], twins[0]["bundled"], twins[0]["usable"]) == ("1.0", False, True)
    (later,) = (row for row in rows if row["name"] == "next")
    assert (later["api"], later["usable"]) == (2, False)


def test_what_a_stage_and_its_model_are(run):
    ended = run("info", "superres-rednet", "--json")
    assert ended.code == 0
    stage, model = json.loads(ended.out)
    assert (stage["kind"], model["kind"]) == ("filter", "model")
    assert "--scale [1|2|3|4]" in stage["options"]
    digest = load_weights(WEIGHTS / "superres-rednet.safetensors").digest
    assert (model["sha256"], model["halo"], model["trainable"]) == (digest, 30, True)
    text = run("info", "superres-rednet").out.decode()
    assert f"sha256      {digest}" in text


@pytest.mark.parametrize("name", ["openvino", "ray", "train", "save", "imgfx:open"])
def test_every_kind_is_explained(run, name):
    ended = run("info", name)
    assert (ended.code, ended.err) == (0, "")
    assert b"package     imgfx" in ended.out


def test_a_package_is_explained_by_all_that_it_offers(run, site):
    site.install("imgfx-twin", TWIN, "twin", "promised")
    ended = run("info", "imgfx-twin")
    assert ended.code == 1
    text = ended.out.decode()
    assert "options     --amount FLOAT" in text
    assert "error       plugin 'imgfx_twin' of package imgfx-twin promises 'promised'" in text


def test_a_broken_one_says_why_and_with_v_where(run, site):
    site.install("broken", "import nowhere\n", "broken")
    ended = run("info", "broken")
    assert ended.code == 1
    assert b"No module named 'nowhere'" in ended.out
    assert b"Traceback" not in ended.out
    detailed = run("info", "broken", "-v").out.decode()
    assert "Traceback" in detailed
    assert "import nowhere" in detailed


def test_an_unknown_name_is_an_error(run):
    ended = run("info", "nothing")
    assert (ended.code, ended.out) == (1, b"")
    assert "no plugin offers 'nothing'; `imgfx plugins list`" in ended.err


def findings(ended):
    """(state, text) by topic of a doctor's JSON."""
    return {row["topic"]: (row["state"], row["text"]) for row in json.loads(ended.out)}


def test_the_doctor_finds_a_sound_installation_sound(run):
    ended = run("doctor", "--json", IMGFX_CACHE="cache")
    assert (ended.code, ended.err) == (0, "")
    found = findings(ended)
    assert {"imgfx", "OpenCV", "PyTorch", "processor", "weights", "cache", "plugins"} <= set(found)
    assert {state for state, _ in found.values()} <= {"ok", "note"}
    count = len(list(WEIGHTS.glob("*.safetensors")))
    assert found["weights"] == ("ok", f"{count} files agree with their sha256")
    assert found["environment"][0] == "note"


def test_the_doctor_and_the_list_of_engines_agree(run, imgfx, site):
    site.install("tensorrt-rtx-cu13", "")
    site.install("onnx", "")
    site.install("onnxscript", "")
    said = findings(run("doctor", "--json", CUDA_VISIBLE_DEVICES=""))
    assert "engine tensorrt (RTX)" not in said
    state, text = said["engine tensorrt"]
    assert (state, text.partition(";")[0]) == ("ok", "tensorrt-rtx-cu13 1.0")
    assert text.endswith("; runs on CUDA devices, and there is none here")


def test_the_doctor_finds_what_is_wrong_and_imports_no_plugin(run, site, tmp_path):
    loud = "open('imported', 'w')\nraise SystemExit(5)\n"
    site.install("imgfx-loud", TWIN + loud, "loud")
    site.install("imgfx-next", TWIN, "next", version=3)
    site.install("imgfx-broken", "def (\n", "broken")
    site.install("imgfx-lost", "", "lost = not_there")
    site.install("imgfx-rival", TWIN, "save")
    site.install("opencv-python-headless", "")
    ended = run("doctor")
    assert ended.code == 1
    text = ended.out.decode()
    assert "FAIL  OpenCV: opencv-python " in text
    assert "overwrite each other's files; uninstall all, install one" in text
    assert "FAIL  plugin imgfx-next: filter next: is written for version 3" in text
    assert "FAIL  plugin imgfx-broken: filter broken: 'imgfx_broken' cannot be read" in text
    assert "FAIL  plugin imgfx-lost: filter lost: its module 'not_there' is not there" in text
    assert "note  plugin imgfx-rival: filter save clashes; it is called imgfx-rival:save" in text
    assert "imgfx-loud" in text.splitlines()[-2] + text.splitlines()[-3] + text.splitlines()[-1]
    assert not (tmp_path / "imported").exists()


def test_the_doctor_survives_an_opencv_and_a_torch_that_crash(run, site):
    (site.folder / "cv2.py").write_text("import os; os.abort()\n")
    (site.folder / "torch.py").write_text("raise ImportError('libtorch.so: no such file')\n")
    ended = run("doctor", "--json")
    assert ended.code == 1
    found = findings(ended)
    assert found["OpenCV"] == (
        "fail",
        "cannot be imported (killed by signal 6); reinstall it, or its system libraries",
    )
    assert found["PyTorch"][0] == "fail"
    assert "libtorch.so: no such file" in found["PyTorch"][1]


def test_the_doctor_asks_nothing_of_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("json", "colorsys"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w')\nraise ImportError\n")
    assert asked("import colorsys; answer(one=1)") == {"one": 1}
    assert not (tmp_path / "imported").exists()
