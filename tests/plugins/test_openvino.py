"""The engine `openvino`: equal to PyTorch, compiled once, run without PyTorch, never a surprise."""

import dataclasses
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from support import pixels
from support_models import TINY, write_weights

from imgfx.cli import main
from imgfx.engines import gate
from imgfx.engines.base import Request
from imgfx.engines.cache import EngineCache
from imgfx.engines.torch_engine import TorchEngine
from imgfx.errors import EngineError
from imgfx.weights import load_weights
from imgfx_openvino.engine import OpenVinoEngine
from imgfx_superres_fast.model import MODELS as FAST

openvino = pytest.importorskip("openvino")
BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("IMGFX_CACHE", str(tmp_path / "cache"))
    return EngineCache()


@pytest.fixture
def weights(tmp_path):
    """Of a small RED-Net that changes what it is given."""

    def change(network):
        network.deconvolutions[-1].weight.normal_(std=0.02)

    model, spec = TINY["superres-rednet"]
    return write_weights(tmp_path / "rednet.safetensors", model, spec, change=change)


@pytest.fixture
def photo(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), pixels(40, 56))
    return tmp_path / "a.png"


def opened(path, precision="fp32", said=None, device="auto"):
    model = TINY["superres-rednet"][0]
    request = Request(device, precision, (said if said is not None else []).append)
    return OpenVinoEngine().open(model, load_weights(path), request)


@pytest.mark.parametrize("shape", [(1, 3, 40, 56), (2, 3, 17, 9), (1, 3, 64, 3)])
def test_results_are_pytorchs_at_any_size(cache, weights, shape):
    batch = np.random.default_rng(0).random(shape, dtype=np.float32)
    reference = TorchEngine().open(
        TINY["superres-rednet"][0], load_weights(weights), Request("cpu", "fp32")
    )
    runner = opened(weights)
    assert str(runner.choice) == "openvino on cpu in fp32"
    result = runner(batch)
    np.testing.assert_allclose(result, reference(batch), atol=1e-5)
    assert np.abs(result - batch).max() > 0.01
    again = runner(batch)
    assert again is not result  # the next call must not write into what was answered
    np.testing.assert_array_equal(again, result)


@pytest.mark.skipif(not BF16, reason="a processor without bf16 instructions")
def test_auto_takes_bf16_and_the_image_itself_is_not_rounded(cache, weights):
    runner = opened(weights, "auto")
    assert runner.choice.precision == "bf16"
    silent = {n: 0 * t for n, t in load_weights(weights).tensors.items()}
    still = dataclasses.replace(load_weights(weights), tensors=silent)
    runner = OpenVinoEngine().open(TINY["superres-rednet"][0], still, Request("cpu", "bf16"))
    batch = np.random.default_rng(0).random((1, 3, 16, 16), dtype=np.float32)
    np.testing.assert_array_equal(runner(batch), batch)


@pytest.mark.skipif(not BF16, reason="a processor without bf16 instructions")
@pytest.mark.parametrize("scale", FAST)
def test_bundled_weights_lose_nothing_in_bf16(cache, scale):
    model = FAST[scale]
    loaded = load_weights(model.weights)
    photo = np.random.default_rng(0).random((1, 3, 12, 12), dtype=np.float32)
    batch = np.kron(photo, np.ones((1, 1, 4, 4), np.float32))
    exact = TorchEngine().open(model, loaded, Request("cpu", "fp32"))(batch)
    rounded = OpenVinoEngine().open(model, loaded, Request("cpu", "bf16"))(batch)
    psnr = 10 * np.log10(1 / np.square(rounded - exact).mean())
    assert psnr > 52


def test_what_was_compiled_is_taken_the_next_time(cache, weights):
    said = []
    opened(weights, said=said)
    assert said == ["superres-rednet: compiling for openvino, once"]
    (listed,) = cache.entries()
    assert listed.entry.psnr > 80
    before = listed.path.stat().st_mtime_ns
    said.clear()
    opened(weights, said=said)
    assert said == []
    assert listed.path.stat().st_mtime_ns == before


def test_what_was_refused_is_refused_without_being_compiled_again(
    cache, weights, monkeypatch, capsys
):
    monkeypatch.setitem(gate.LIMITS, "fp32", 1000.0)
    said = []
    with pytest.raises(EngineError, match="refused: its results in fp32 are") as first:
        opened(weights, said=said)
    assert said == ["superres-rednet: compiling for openvino, once"]
    said.clear()
    with pytest.raises(EngineError) as second:
        opened(weights, said=said)
    assert (said, second.value.format_message()) == ([], first.value.format_message())
    ((_, listed),) = [(row.path, row.entry) for row in cache.entries()]
    assert listed.refused
    main(["engine", "list"])
    assert "refused, for its results are not PyTorch's" in capsys.readouterr().out
    cache.clear()
    monkeypatch.setitem(gate.LIMITS, "fp32", 80.0)
    opened(weights)


@pytest.mark.parametrize("kept", [5000, -1])
def test_a_damaged_entry_is_compiled_anew(cache, weights, kept):
    opened(weights)
    (listed,) = cache.entries()
    data = listed.path.read_bytes()
    listed.path.write_bytes(data[:kept] + bytes([data[kept] ^ 1]))
    said = []
    opened(weights, said=said)
    assert said == ["superres-rednet: compiling for openvino, once"]
    assert cache.entries()[0].entry is not None


@pytest.mark.parametrize(
    ("precision", "device", "message"),
    [
        ("fp16", "auto", "--engine openvino has no fp16; use bf16 or fp32"),
        ("auto", "cuda", "--engine openvino runs on the CPU; leave out --device cuda"),
    ],
)
def test_what_it_cannot_do_is_refused(cache, weights, precision, device, message):
    with pytest.raises(EngineError, match=message):
        opened(weights, precision, device=device)
    assert cache.entries() == []


def chain(*words, weights):
    line = ["open", "a.png", "superres-rednet", "--scale", "1", "--weights", weights]
    return [*line, "save", "b.png", *words]


def test_the_second_run_does_not_import_pytorch(imgfx, tmp_path, weights, photo):
    own = {"IMGFX_CACHE": str(tmp_path / "cache")}
    first = imgfx(*chain("--engine", "openvino", weights=weights), **own)
    assert first.code == 0, first.err
    assert "compiling for openvino, once" in first.err
    written = (tmp_path / "b.png").read_bytes()
    code = (
        "import sys; from imgfx.cli import main; code = main(sys.argv[1:]); "
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'torch', 'onnx'}), code, "
        "file=sys.stderr)"
    )
    words = [str(word) for word in chain("--engine", "openvino", weights=weights)]
    second = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, **own}, check=False,
    )  # fmt: skip
    assert second.stderr.splitlines()[-1] == "[] 0"
    assert (tmp_path / "b.png").read_bytes() == written


def test_auto_says_what_it_chose_and_the_report_has_it(imgfx, tmp_path, weights, photo):
    own = {"IMGFX_CACHE": str(tmp_path / "cache"), "IMGFX_ENGINE": "auto"}
    ended = imgfx(*chain("--device", "cpu", "--report", "r.json", weights=weights), **own)
    assert ended.code == 0, ended.err
    precision = "bf16" if BF16 else "fp32"
    assert ended.err.splitlines() == [
        "imgfx: superres-rednet: compiling for openvino, once",
        f"imgfx: superres-rednet: openvino on cpu in {precision}",
    ]
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["models"][0]["engine"] == "openvino"
    assert report["notes"] == ["superres-rednet: compiling for openvino, once"]
    quiet = imgfx(*chain("--device", "cpu", "-q", weights=weights), **own)
    assert (quiet.code, quiet.err) == (0, "")


def test_auto_falls_back_where_the_cache_cannot_be_used(imgfx, tmp_path, weights, photo):
    (tmp_path / "file").write_text("in the way")
    own = {"IMGFX_CACHE": str(tmp_path / "file"), "IMGFX_ENGINE": "auto"}
    ended = imgfx(*chain("--device", "cpu", weights=weights), **own)
    assert ended.code == 0, ended.err
    assert "cannot make" in ended.err
    assert "taking torch instead" in ended.err
    asked = imgfx(*chain("--engine", "openvino", weights=weights), **own)
    assert asked.code == 1
    assert "cannot make" in asked.err


def test_two_processes_compile_it_once(tmp_path, weights, photo):
    own = {**os.environ, "IMGFX_CACHE": str(tmp_path / "cache")}
    line = [sys.executable, "-m", "imgfx", "engine", "build", "superres-rednet"]
    line += ["--engine", "openvino", "--weights", str(weights)]
    running = [
        subprocess.Popen(line, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    ended = [process.communicate(timeout=240) for process in running]
    assert [process.returncode for process in running] == [0, 0], ended
    assert len(EngineCache(tmp_path / "cache" / "engines").entries()) == 1


def test_the_command_builds_lists_and_clears(imgfx, tmp_path, weights):
    own = {"IMGFX_CACHE": str(tmp_path / "cache")}
    words = ["engine", "build", "superres-rednet", "--weights", weights, "--precision", "fp32"]
    ended = imgfx(*words, "--engine", "openvino", **own)
    assert (ended.code, ended.out) == (0, b"superres-rednet: openvino on cpu in fp32\n")
    listed = json.loads(imgfx("engine", "list", "--json", **own).out)
    assert listed["engines"].keys() >= {"openvino", "tensorrt", "torch"}
    assert {listed["engines"][name] for name in ("openvino", "torch")} == {"installed"}
    (compiled,) = listed["compiled"]
    assert (compiled["model"], compiled["precision"]) == ("superres-rednet", "fp32")
    assert compiled["usable"]
    (tmp_path / "cache" / "engines" / compiled["file"]).write_bytes(b"damaged")
    shown = imgfx("engine", "list", **own).out.decode()
    assert "1 compiled" in shown
    assert "damaged or not private" in shown
    cleared = imgfx("engine", "clear", **own)
    assert cleared.out.startswith(b"1 compiled engines removed")
    assert json.loads(imgfx("engine", "list", "--json", **own).out)["compiled"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["build", "nothing", "--engine", "openvino"], "no model named 'nothing'"),
        (["build", "denoise-ae", "--engine", "nothing"], "--engine nothing: no such engine"),
    ],
)
def test_what_cannot_be_built_is_named(imgfx, words, message):
    ended = imgfx("engine", *words)
    assert ended.code == 1
    assert message in ended.err


def test_a_dry_run_compiles_nothing_and_says_what_would_be(cache, imgfx, weights, photo, tmp_path):
    environment = {"IMGFX_CACHE": str(tmp_path / "cache")}
    line = ["open", "a.png", "superres-rednet", "--weights", weights, "--engine", "openvino"]
    ended = imgfx(*line, "save", "b.png", "-n", **environment)
    assert ended.code == 0
    assert ended.err.startswith("model   superres-rednet: openvino on cpu in ")
    assert ended.err.splitlines()[0].endswith(", to be compiled first")
    assert not cache.entries()
    assert imgfx(*line, "save", "b.png", **environment).code == 0
    ended = imgfx(*line, "save", "b.png", "-n", "--json", **environment)
    plan = json.loads(ended.out)
    assert plan["models"][0]["compiled"] is True
    assert plan["seconds"] >= 0


TOLD = """
import sys, threading
from imgfx_openvino.library import openvino_alone
openvino = openvino_alone()
print(bool(openvino.Core().available_devices), "openvino_telemetry" in sys.modules)
print(threading.active_count(), openvino_alone() is openvino)
"""


def test_nobody_is_told_that_openvino_was_imported(tmp_path):
    """Its converter would report each import, and leave an identifier in the home folder."""
    environment = {k: v for k, v in os.environ.items() if k != "CI"} | {"HOME": str(tmp_path)}
    command = [sys.executable, "-c", TOLD]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert said.stdout.split() == ["True", "False", "1", "True"]
    assert not list(tmp_path.iterdir())


def test_the_converter_can_still_be_imported_by_who_wants_it():
    code = (
        "from imgfx_openvino.library import openvino_alone; openvino_alone();"
        "import sys; assert not hasattr(sys.modules['openvino'], 'convert_model');"
        "sys.modules['openvino_telemetry'] = None;"
        "import openvino.tools.ovc as ovc; print(ovc.convert_model.__name__)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout.split() == ["convert_model"]


INTERRUPTED = """
import gc, os, signal
from imgfx.engines.base import Request
from imgfx.weights import load_weights
from imgfx_openvino.engine import OpenVinoEngine
from imgfx_superres_rednet.model import MODEL

came = []
signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
weights = load_weights("rednet.safetensors")
runners = [OpenVinoEngine().open(MODEL, weights, Request("cpu", "fp32")) for _ in range(2)]
while runners:
    runners.pop(0).close()
    gc.collect()
    os.kill(os.getpid(), signal.SIGTERM)
print(len(came))
"""


def test_an_interrupt_is_heard_after_networks_are_closed_in_any_order(cache, weights, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], cwd=tmp_path, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (0, "2\n"), ended.stderr


def test_several_threads_get_what_one_does(cache, weights):
    alone = opened(weights)
    engine = OpenVinoEngine()
    assert engine.at_once == min(16, len(os.sched_getaffinity(0)))
    model = TINY["superres-rednet"][0]
    together = engine.open(model, load_weights(weights), Request("cpu", "fp32", at_once=3))
    rng = np.random.default_rng(0)
    batches = [rng.random((1, 3, 16 + n % 7, 40), dtype=np.float32) for n in range(30)]
    with ThreadPoolExecutor(6) as pool:  # more than it was opened for wait
        results = list(pool.map(together, batches))
    for batch, result in zip(batches, results, strict=True):
        np.testing.assert_allclose(result, alone(batch), atol=1e-6)
    assert len(cache.entries()) == 1


def test_a_batch_of_small_images_is_that_of_one_image_after_another(tmp_path, cache, weights):
    (tmp_path / "in").mkdir()
    for number in range(12):
        size = (40, 56) if number % 5 else (800, 700)
        cv2.imwrite(str(tmp_path / "in" / f"{number:02}.png"), pixels(*size))
    line = [sys.executable, "-m", "imgfx", "open", "in", "superres-rednet", "--scale", "1"]
    line += ["--weights", str(weights), "--engine", "openvino", "--precision", "fp32", "save"]
    for target, more in (("one", ["--tile", "1024"]), ("several", [])):
        subprocess.run([*line, target, *more], cwd=tmp_path, check=True, timeout=120)
    names = sorted(path.name for path in (tmp_path / "in").iterdir())
    for name in names:
        one, several = (cv2.imread(str(tmp_path / t / name)) for t in ("one", "several"))
        np.testing.assert_array_equal(one, several)
    assert len(names) == 12


def test_a_network_that_is_closed_says_so(cache, weights):
    runner = opened(weights)
    batch = np.zeros((1, 3, 16, 16), np.float32)
    runner(batch)
    runner.close()
    with pytest.raises(EngineError, match="this network has been closed"):
        runner(batch)


FIRST_CALLS = """
import sys, threading
import numpy as np
from imgfx.engines.base import Request
from imgfx.plugins import Registry
from imgfx.weights import load_weights
registry = Registry()
model = registry.model("superres-fast-x2")
engine = registry.engine("openvino")
runner = engine.open(model, load_weights(model.weights), Request("cpu", at_once=4))
sys.setswitchinterval(1e-6)
begin = threading.Barrier(4)
def call():
    begin.wait()
    runner(np.zeros((1, 3, 16, 16), np.float32))
threads = [threading.Thread(target=call, daemon=True) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join(60) for thread in threads]
print(sum(thread.is_alive() for thread in threads))
"""


def test_the_first_calls_of_a_process_may_come_from_several_threads():
    """Of four new processes none hangs; with no care taken, half of them do."""
    line = [sys.executable, "-c", FIRST_CALLS]
    for _ in range(4):
        ended = subprocess.run(line, capture_output=True, timeout=100, check=True)
        assert ended.stdout.split()[-1] == b"0"
