"""examples/imgfx-onnx, installed from its wheel: networks of files as stages."""

import json

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support import pixels
from support_examples import install

from imgfx.engines.onnx import onnx_from_model
from imgfx.weights import load_weights
from imgfx_superres_fast.model import MODELS as FAST


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return install("imgfx-onnx", tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    """The bundled superres-fast-x2 as imgfx exports it."""
    path = tmp_path_factory.mktemp("onnx") / "fast.onnx"
    path.write_bytes(onnx_from_model(FAST[2], load_weights(FAST[2].weights)))
    return path


@pytest.fixture
def run(installed, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), pixels(60, 83, 3, "uint16"))
    return installed.runner(tmp_path)


def write_network(path, kind):
    """A file of one node without weights."""
    shape = [1, 3, "h", "w"]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    graph = helper.make_graph([helper.make_node(kind, ["x"], ["y"])], "network", [x], [y])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


def read(path):
    """Values in [0, 1] of a file with 16 bits."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image.dtype == np.uint16
    return image / 65535


def test_the_bundled_network_is_itself_again(run, tmp_path, fast):
    for number, words in enumerate(([], ["--tile", "32"], ["--tile", "0"])):
        ended = run("open", "a.png", "onnx", "--model", fast, "save", f"{number}.png", *words)
        assert (ended.code, ended.err) == (0, "")
    line = ["open", "a.png", "superres-fast", "save", "bundled.png"]
    ended = run(*line, "--engine", "torch", "--precision", "fp32")
    assert ended.code == 0, ended.err
    expected = read(tmp_path / "bundled.png")
    assert expected.shape == (120, 166, 3)
    for number in range(3):
        assert np.abs(read(tmp_path / f"{number}.png") - expected).max() < 1e-4


def test_what_was_found_out_is_shown(run, fast):
    ended = run("onnx-info", fast)
    assert ended.code == 0, ended.err
    shown = dict(line.split(maxsplit=1) for line in ended.out.decode().splitlines())
    assert (shown["scale"], shown["size"]) == ("2", "any")
    assert shown["input"] == "input: float32, NCHW, RGB"
    facts = json.loads(run("onnx-info", fast, "--json").out)
    assert FAST[2].spec.halo >= facts["halo"] > 4


def test_plan_and_report_name_the_file_and_what_runs_it(run, tmp_path, fast):
    line = ["open", "a.png", "onnx", "--model", fast, "save", "b.png"]
    assert "fast.onnx: onnxruntime on cpu in fp32" in run(*line, "--dry-run").err
    assert run(*line, "--report", "r.json").code == 0
    (model,) = json.loads((tmp_path / "r.json").read_text())["models"]
    assert (model["model"], model["engine"]) == ("fast.onnx", "onnxruntime")


def test_another_file_of_the_same_name_is_other_work(run, tmp_path):
    """A batch that is gone on with sees that the network has changed."""
    (tmp_path / "photos").mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / "photos" / f"{name}.png"), pixels(9, 12))
    line = ["open", "photos", "onnx", "--model", "m.onnx", "save", "out"]
    for kind, kept in (("Identity", 0), ("Identity", 2), ("Neg", 0)):
        write_network(tmp_path / "m.onnx", kind)
        ended = run(*line, "--report", "r.json")
        assert ended.code == 0, ended.err
        assert json.loads((tmp_path / "r.json").read_text())["kept"] == kept


def test_errors_are_one_line(run, tmp_path):
    (tmp_path / "bad.onnx").write_text("not a network")
    ended = run("open", "a.png", "onnx", "--model", "bad.onnx", "save", "b.png")
    assert ended.code == 1
    assert "bad.onnx: not an ONNX file that can be run: " in ended.err
    assert len(ended.err.splitlines()) == 1
    assert run("onnx", "--model", "missing.onnx").code == 2


def test_it_conforms(run, fast):
    ended = run("plugins", "test", "onnx", "--", "--model", fast)
    assert ended.code == 0, ended.out.decode()


def test_its_own_tests_pass(installed):
    ended = installed.own_tests()
    assert ended.returncode == 0, ended.stdout
