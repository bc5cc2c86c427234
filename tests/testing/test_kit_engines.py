"""Engines whose device is not there: what can be compiled is, and what cannot is skipped."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from imgfx.engines.torch_engine import TorchEngine
from imgfx.errors import DeviceError, EngineError
from imgfx.testing.kit import engines
from imgfx.testing.kit.untrained import untrained


class Far:
    """An engine for GPUs; `build` answers or raises what it is given."""

    name = "far"
    preference = {"cuda": 1}

    def __init__(self, built):
        self._built = built

    def missing(self):
        return ""

    def open(self, model, weights, request):
        raise DeviceError("there is none here")

    def build(self, model, weights, request):
        if isinstance(self._built, Exception):
            raise self._built
        return self._built


@pytest.mark.parametrize(
    ("built", "status", "reason"),
    [
        ("far on cuda in fp16", "pass", "compiled for far on cuda in fp16; run on no GPU"),
        (DeviceError("compiles for the GPU it finds"), "skip", "compiles for the GPU it finds"),
        (EngineError("no kernel for it"), "fail", "no kernel for it"),
    ],
)
def test_without_a_gpu_an_engine_compiles_as_far_as_it_can(
    tmp_path, monkeypatch, built, status, reason
):
    monkeypatch.setattr(engines, "gpus", lambda: 0)
    model = engines._MODEL
    subject = SimpleNamespace(folder=tmp_path)
    finding = engines._compared(Far(built), model, untrained(model), subject)
    assert (finding.status, finding.reason) == (status, reason)


class Crowded(TorchEngine):
    """PyTorch, called from two threads; what `off` is added then."""

    at_once = 2
    off = 0.0

    def open(self, model, weights, request):
        runner = super().open(model, weights, request)
        off = self.off if request.at_once == 2 else 0.0
        return Together(runner, off)


class Together:
    """A runner that adds something."""

    def __init__(self, runner, off):
        self.runner, self.choice, self.off = runner, runner.choice, np.float32(off)
        self.lock = threading.Lock()

    def __call__(self, batch):
        with self.lock:
            return self.runner(batch) + self.off

    def close(self):
        self.runner.close()


@pytest.mark.parametrize(
    ("off", "status", "reason"),
    [(0.0, "pass", " dB in "), (0.01, "fail", "2 threads get other results than one, by 0.01")],
)
def test_an_engine_for_several_threads_is_called_from_several(tmp_path, off, status, reason):
    engine, model = Crowded(), engines._MODEL
    engine.off = off
    subject = SimpleNamespace(folder=tmp_path)
    finding = engines._compared(engine, model, untrained(model), subject)
    assert finding.status == status
    assert reason in finding.reason
