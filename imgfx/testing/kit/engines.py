"""Checks of engines, and of models on engines other than PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np

from imgfx.catalog import Catalog
from imgfx.engines import gate
from imgfx.engines.base import Builds, Engine, ManyAtOnce, Request, Runner
from imgfx.engines.choice import gpus
from imgfx.engines.onnx import missing_packages, onnx_from_model
from imgfx.engines.torch_engine import TorchEngine
from imgfx.errors import DeviceError, ImgfxError, surprise
from imgfx.model import Model, ModelSpec
from imgfx.testing.kit.findings import Check, Finding, failed, passed, skipped
from imgfx.testing.kit.model_subject import ModelSubject
from imgfx.testing.kit.subjects import Subject
from imgfx.testing.kit.untrained import untrained
from imgfx.weights import Weights

if TYPE_CHECKING:
    from torch import nn

_REFERENCE = "torch"
_APART = 1e-3
"""By which results may differ from those of another number of threads."""
_CACHE = "IMGFX_CACHE"
"""Environment: where compiled engines are kept; those of the checks go away with them."""


def _build(spec: ModelSpec) -> nn.Module:
    """A network of one layer."""
    from torch import nn

    return nn.Conv2d(spec.channels, spec.channels, 3, padding=1)


_MODEL = Model("kit", ModelSpec("imgfx-kit-1", halo=1, floats_per_pixel=8), build=_build)


def onnx(subject: ModelSubject) -> Finding:
    """The network can be exported, which every compiling engine starts from."""
    _ = subject.network
    if missing := missing_packages():
        return skipped(f"needs {missing}")
    try:
        graph = onnx_from_model(subject.model, subject.weights)
    except ImgfxError as error:
        return failed(error.format_message())
    return passed(f"{len(graph) / 1e6:.1f} MB")


def checks_on_engines(catalog: Catalog) -> list[Check[ModelSubject]]:
    """For a model: the export, and each installed engine beside PyTorch."""
    others = [name for name in catalog.names("engine") if name != _REFERENCE]
    return [Check("onnx", onnx), *(Check(name, partial(_agrees, name)) for name in others)]


def _agrees(name: str, subject: ModelSubject) -> Finding:
    """What the engine makes of the model agrees with PyTorch in fp32."""
    weights = subject.weights
    if hasattr(subject.network, "features"):
        return skipped("its network is for `features`, which PyTorch runs")
    try:
        engine = subject.catalog.engine(name)
    except ImgfxError as error:
        return skipped(error.format_message())
    return _compared(engine, subject.model, weights, subject)


def _compared(engine: Engine, model: Model, weights: Weights, subject: Subject) -> Finding:
    if missing := engine.missing():
        return skipped(f"needs {missing}")
    device = next((d for d in ("cpu", "cuda") if d in engine.preference), None)
    with mock.patch.dict(os.environ, {_CACHE: str(subject.folder / "engines")}):
        try:
            if device is None or (device == "cuda" and not gpus()):
                return _compiled(engine, model, weights)
            return _measured(engine, model, weights, device)
        except DeviceError as error:
            return skipped(error.format_message())
        except ImgfxError as error:
            return failed(error.format_message())


def _compiled(engine: Engine, model: Model, weights: Weights) -> Finding:
    """As far as it goes without a GPU: some engines compile for one that is elsewhere."""
    if not isinstance(engine, Builds):
        return skipped("needs a GPU, and there is none here")
    return passed(f"compiled for {engine.build(model, weights, Request())}; run on no GPU")


def _measured(engine: Engine, model: Model, weights: Weights, device: str) -> Finding:
    reference = TorchEngine().open(model, weights, Request("cpu", "fp32"))
    runner = engine.open(model, weights, Request(device))
    try:
        psnr = gate.agreement(runner, reference, weights.spec)
        trouble = _of_threads(engine, model, weights, runner)
    finally:
        runner.close()
        reference.close()
    limit = gate.LIMITS[runner.choice.precision]
    found = f"{psnr:.0f} dB in {runner.choice.precision}"
    if psnr < limit:
        return failed(f"{found}, and {limit:.0f} dB are asked for")
    return failed(trouble) if trouble else passed(found)


def _of_threads(engine: Engine, model: Model, weights: Weights, alone: Runner) -> str:
    """What is wrong where several threads call at a time; empty if nothing, or one only may."""
    spec = weights.spec
    if not isinstance(engine, ManyAtOnce) or engine.at_once < 2 or spec.latent:
        return ""
    threads = engine.at_once
    choice = alone.choice
    together = engine.open(
        model, weights, Request(choice.device, choice.precision, at_once=threads)
    )
    rng = np.random.default_rng(3)
    planes = spec.channels + len(spec.conditions)
    sides = [spec.multiple_of * (8 + n % 5) for n in range(4 * threads)]
    batches = [rng.random((1, planes, side, side), dtype=np.float32) for side in sides]
    try:
        with ThreadPoolExecutor(threads) as pool:
            made = list(pool.map(together, batches))
    finally:
        together.close()
    off = max(float(np.abs(m - alone(b)).max()) for m, b in zip(made, batches, strict=True))
    return f"{threads} threads get other results than one, by {off:.2g}" if off > _APART else ""


def protocol(subject: Subject) -> Finding:
    """All that an engine has."""
    engine = subject.thing
    if not isinstance(engine, Engine):
        return failed("has not all of imgfx.api.Engine: name, preference, missing, open")
    missing: object = engine.missing()
    if not isinstance(missing, str):
        return failed("missing() answers no text: answer '' where nothing is missing")
    wrong = set(engine.preference) - {"cpu", "cuda"}
    return failed(f"preference for {', '.join(wrong)}: there are cpu, cuda") if wrong else passed()


def runs(subject: Subject) -> Finding:
    """A network of one layer comes out as in PyTorch."""
    engine: Engine = subject.thing
    if protocol(subject).status == "fail":
        return skipped("is no engine yet")
    return _surprised(lambda: _compared(engine, _MODEL, untrained(_MODEL), subject))


def _surprised(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # noqa: BLE001  # the plugin boundary
        return failed(f"open or run raises {surprise(error)}: raise EngineError")


CHECKS = [Check("protocol", protocol), Check("run", runs)]
