"""Engines whose device is not there: what can be compiled is, and what cannot is skipped."""

from types import SimpleNamespace

import pytest

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
