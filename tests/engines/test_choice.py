"""`--engine auto`: the best that is there, and what is said of those passed over."""

import pytest

from imgfx.engines.base import Choice, Request
from imgfx.engines.choice import gpus, open_engine
from imgfx.errors import EngineError, PluginError, WeightsError
from imgfx_denoise_ae.model import MODEL


class Opened:
    """What an engine opens, which runs nothing."""

    batch, largest, memory = 1, 0, 1 << 20

    def __init__(self, choice):
        self.choice = choice

    def __call__(self, batch):
        return batch

    def close(self):
        pass


class Recorded:
    """An engine that runs nothing and tells what it was asked."""

    def __init__(self, name, preference, *, missing="", fails=""):
        self.name, self.preference, self._missing, self._fails = name, preference, missing, fails

    def missing(self):
        return self._missing

    def open(self, model, weights, request):
        if self._fails:
            raise self._fails if isinstance(self._fails, Exception) else EngineError(self._fails)
        return Opened(Choice(self.name, request.device, request.precision))


def chosen(engines, *, wanted="auto", device="auto", precision="auto", said=None):
    named = {engine.name: engine for engine in engines}
    request = Request(device, precision, (said if said is not None else []).append)
    _, runner = open_engine(wanted, list(named), named.__getitem__, MODEL, None, request)
    return runner.choice


TORCH = Recorded("torch", {"cuda": 10, "cpu": 10})
FAST = Recorded("fast", {"cpu": 50})
GPU = Recorded("gpu", {"cuda": 90})


@pytest.fixture
def with_gpu(monkeypatch):
    monkeypatch.setattr("imgfx.engines.choice.gpus", lambda: 1)


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr("imgfx.engines.choice.gpus", lambda: 0)


def test_without_a_gpu_the_best_on_the_cpu_is_taken(without_gpu):
    said = []
    assert chosen([TORCH, FAST, GPU], said=said) == Choice("fast", "cpu", "auto")
    assert said == []


def test_with_a_gpu_its_engines_come_first(with_gpu):
    assert chosen([FAST, TORCH]) == Choice("torch", "cuda", "auto")
    assert chosen([FAST, TORCH, GPU]) == Choice("gpu", "cuda", "auto")
    assert chosen([FAST, TORCH, GPU], device="cpu") == Choice("fast", "cpu", "auto")


def test_what_is_not_installed_is_passed_over_in_silence(without_gpu):
    said = []
    absent = Recorded("absent", {"cpu": 99}, missing="pip install absent")
    assert chosen([TORCH, absent], said=said).engine == "torch"
    assert said == []


def test_what_fails_is_passed_over_and_that_is_said(without_gpu):
    said = []
    broken = Recorded("broken", {"cpu": 99}, fails="denoise-ae: cannot be exported")
    assert chosen([TORCH, broken], said=said).engine == "torch"
    assert said == ["denoise-ae: cannot be exported; taking torch instead"]


@pytest.mark.parametrize("error", [ImportError("libtbb.so.12"), RuntimeError("driver too old")])
def test_a_broken_library_is_passed_over_too(without_gpu, error):
    said, broken = [], Recorded("broken", {"cpu": 99}, fails=error)
    assert chosen([TORCH, broken], said=said).engine == "torch"
    (line,) = said
    assert line.startswith(f"broken: {type(error).__name__}: {error}")
    assert line.endswith("; taking torch instead")
    with pytest.raises(PluginError, match=f"engine 'broken' failed: {type(error).__name__}"):
        chosen([TORCH, broken], wanted="broken")


def test_weights_that_are_wrong_are_so_for_all_engines(without_gpu):
    with pytest.raises(WeightsError):
        chosen([TORCH, Recorded("first", {"cpu": 99}, fails=WeightsError("truncated"))])


def test_a_broken_plugin_costs_only_its_own_engine(without_gpu):
    def named(name):
        if name == "broken":
            raise PluginError("plugin 'broken' is broken")
        return TORCH

    words = ["broken", "torch"], named, MODEL, None, Request()
    assert open_engine("auto", *words)[1].choice.engine == "torch"
    with pytest.raises(PluginError):
        open_engine("broken", *words)


def test_an_engine_without_a_preference_is_never_chosen_but_had_by_name(without_gpu):
    shy = Recorded("shy", {})
    assert chosen([TORCH, shy]).engine == "torch"
    assert chosen([TORCH, shy], wanted="shy").engine == "shy"


def test_what_was_asked_for_is_refused_and_never_replaced(without_gpu):
    broken = Recorded("broken", {"cpu": 99}, fails="no such thing here")
    with pytest.raises(EngineError, match="no such thing here"):
        chosen([TORCH, broken], wanted="broken")
    with pytest.raises(EngineError, match="no such thing here"):
        chosen([broken])
    with pytest.raises(EngineError, match="no engine is installed that runs on cuda"):
        chosen([FAST], device="cuda")


def test_a_device_that_is_asked_for_is_the_one_that_engines_get(without_gpu):
    assert chosen([FAST, TORCH], device="cuda") == Choice("torch", "cuda", "auto")


def test_gpus_are_counted_as_pytorch_counts_them():
    import torch

    assert gpus() == torch.cuda.device_count()
