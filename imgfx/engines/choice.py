"""Which engine runs a model: the one that was asked for, or for `auto` the best that is there."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from imgfx.engines.base import Engine, ManyAtOnce, Request, Runner
from imgfx.errors import EngineError, ImgfxError, confined, surprise
from imgfx.model import Model
from imgfx.weights import Weights

EngineNamed = Callable[[str], Engine]


def open_engine(
    wanted: str,
    names: Sequence[str],
    engine_named: EngineNamed,
    model: Model,
    weights: Weights,
    request: Request,
) -> tuple[Engine, Runner]:
    """An engine with the model loaded.

    What was asked for is had or refused; `auto` tries engines by their preference for CUDA where
    there is some, then for the CPU, and says what it passes over though it is installed.

    Args:
        wanted: an engine's name, or auto.
        names: of all engines on offer.
        engine_named: answers the engine of a name.
        model: to be run.
        weights: its parameters.
        request: device and precision; of as many threads as the engine can make use of.

    Raises:
        EngineError: none can do it; the reason is the last one's.
    """
    if wanted != "auto":
        engine = engine_named(wanted)
        with confined(f"engine {wanted!r}"):
            return engine, _opened(engine, model, weights, request)
    passed_over: list[EngineError] = []
    for engine, device in _candidates(names, engine_named, request.device):
        try:
            runner = _opened(engine, model, weights, replace(request, device=device))
        except EngineError as error:
            passed_over.append(error)
            continue
        except ImgfxError:
            raise  # of the weights, say, and no other engine has better ones
        except (Exception, SystemExit) as error:  # broken libraries, drivers, a GPU that is full
            passed_over.append(EngineError(f"{engine.name}: {surprise(error)}"))
            continue
        for reason in passed_over:
            request.say(f"{reason.format_message()}; taking {engine.name} instead")
        return engine, runner
    if passed_over:
        raise passed_over[-1]
    raise EngineError(f"{model.name}: no engine is installed that runs on {request.device}")


_PARTS = ("choice", "batch", "largest", "memory", "close")


def _opened(engine: Engine, model: Model, weights: Weights, request: Request) -> Runner:
    """What the engine, which may be a plugin's, opens.

    Raises:
        EngineError: it answers something else.
    """
    runner = engine.open(model, weights, _within(request, engine))
    missing = [part for part in _PARTS if not hasattr(runner, part)]
    if missing or not callable(runner):
        lacks = " and ".join(missing) or "__call__"
        raise EngineError(
            f"engine {engine.name!r} is broken: what it opens, of type {type(runner).__name__}, "
            f"has no {lacks}"
        )
    return runner


def _within(request: Request, engine: Engine) -> Request:
    """With the threads that suit the engine."""
    most = max(1, engine.at_once) if isinstance(engine, ManyAtOnce) else 1
    return replace(request, at_once=min(request.at_once, most))


def _candidates(
    names: Sequence[str], engine_named: EngineNamed, device: str
) -> Iterator[tuple[Engine, str]]:
    """Engines that could run here, each with a device, the best first."""
    engines = []
    for name in names:
        # A broken plugin costs only its own engine.
        with contextlib.suppress(ImgfxError), confined(f"engine {name!r}"):
            engine = engine_named(name)
            engines.append((dict(engine.preference), engine))
    for place in ("cuda", "cpu"):
        if device not in ("auto", place) or (place == "cuda" and device == "auto" and not gpus()):
            continue
        able = [(ranks[place], engine) for ranks, engine in engines if place in ranks]
        for _rank, engine in sorted(able, key=lambda pair: -pair[0]):
            if _is_complete(engine):
                yield engine, place


def _is_complete(engine: Engine) -> bool:
    """Whether all is there that it needs; of one that cannot even say so, not."""
    with contextlib.suppress(ImgfxError), confined(f"engine {engine.name!r}"):
        return not engine.missing()
    return False


@lru_cache(maxsize=1)
def gpus() -> int:
    """CUDA devices that the driver sees; asks it directly, since importing PyTorch takes seconds.

    Source: CUDA Driver API, cuInit and cuDeviceGetCount.
    """
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
            return 0
    except (OSError, AttributeError):
        return 0
    return count.value
