"""What compiling engines share: export, cache, acceptance. A compiler is the part of each."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from imgfx import __version__
from imgfx.engines import gate
from imgfx.engines.base import Choice, Request, Runner, Say
from imgfx.engines.cache import EngineCache, EngineKey, Entry, package_sources, sources_digest
from imgfx.engines.memory import allocating, cuda_budget, processor_budget
from imgfx.errors import EngineError
from imgfx.model import Model
from imgfx.weights import Weights

Float = npt.NDArray[np.float32]


class Program(Protocol):
    """A compiled network, loaded."""

    def __call__(self, batch: Float) -> Float:
        """(N, C, H, W) or (N, latent) float32 -> (N, C', H', W') float32."""
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...


class Compiler(Protocol):
    """What turns the exported graph into something that runs."""

    name: str
    """Of the engine."""
    device: str
    """cpu or cuda."""
    precision: str
    """Of the arithmetic: fp32, bf16, fp16 or int8."""
    half: bool
    """Whether it wants the graph in fp16."""
    batch: int
    """Tiles a call that suit the device."""
    largest: int
    """Side of the largest window that it can take; 0 where there is no limit."""

    def version(self) -> str:
        """Of the packages that compile and run."""
        ...

    def hardware(self) -> str:
        """The processor or GPU, as exactly as compiled code depends on it."""
        ...

    def options(self) -> str:
        """Whatever else compiled code depends on."""
        ...

    def compile(self, graph: bytes) -> bytes:
        """An ONNX graph as compiled code.

        Raises:
            EngineError: it cannot be compiled.
        """
        ...

    def load(self, blob: bytes) -> Program:
        """What `compile` answered, ready to run.

        Raises:
            EngineError: it cannot be loaded here.
        """
        ...


class CompiledRunner:
    """A program with the choice that led to it. Satisfies `Runner`."""

    def __init__(self, program: Program, compiler: Compiler) -> None:
        self.choice = Choice(compiler.name, compiler.device, compiler.precision)
        self.batch, self.largest = compiler.batch, compiler.largest
        self.memory = cuda_budget() if compiler.device == "cuda" else processor_budget()
        self._program = program

    def __call__(self, batch: Float) -> Float:
        """See `Runner`."""
        with allocating(batch.shape, self.choice):
            return self._program(batch)

    def close(self) -> None:
        """See `Runner`."""
        self._program.close()


class Unbuilt:
    """What would run a model, had it been compiled: for plans. Satisfies `Runner`."""

    def __init__(self, compiler: Compiler) -> None:
        self.choice = Choice(compiler.name, compiler.device, compiler.precision)
        self.batch, self.largest, self.memory = compiler.batch, compiler.largest, 0

    def __call__(self, batch: Float) -> Float:
        """Nothing is compiled for a plan.

        Raises:
            EngineError: always.
        """
        del batch
        raise EngineError(f"{self.choice.engine}: has not been compiled yet")

    def close(self) -> None:
        """Nothing is open."""


def open_compiled(
    compiler: Compiler,
    model: Model,
    weights: Weights,
    request: Request,
    cache: EngineCache | None = None,
) -> Runner:
    """The model's network from the cache; built, accepted and stored first if it is not there.

    Only building imports PyTorch. Of several processes that need the same engine one builds, and
    the others wait and take what it stored.

    Args:
        compiler: the engine's part.
        model: whose network it is.
        weights: its parameters.
        request: is told of what takes long; may ask for nothing to be built.
        cache: where compiled engines are; the user's own when left out.

    Raises:
        EngineError: it cannot be built, loaded or accepted.
    """
    cache = EngineCache() if cache is None else cache
    key = key_of(compiler, model, weights)
    what = f"{model.name} on {key.engine}"
    found = _cached(compiler, cache, key, what)
    if found is None:
        if not request.build:
            return Unbuilt(compiler)
        with cache.building(key):
            found = _cached(compiler, cache, key, what)
            if found is None:
                entry = _compiled(compiler, model, weights, key, request.say)
                found = entry, compiler.load(entry.blob)
                _accept(*found, model, weights, cache)
    elif found[0].psnr is None:
        _accept(*found, model, weights, cache)
    return CompiledRunner(found[1], compiler)


def build_ahead(
    compiler: Compiler, model: Model, weights: Weights, cache: EngineCache, say: Say
) -> None:
    """Compiles and stores without running: the gate is left to the first load.

    Raises:
        EngineError: it cannot be built.
    """
    key = key_of(compiler, model, weights)
    with cache.building(key):
        if cache.load(key) is None:
            cache.store(_compiled(compiler, model, weights, key, say))


def key_of(compiler: Compiler, model: Model, weights: Weights) -> EngineKey:
    """The key of a model's engine."""
    builder = getattr(model.build, "func", model.build)  # of a partial, the function
    sources = package_sources(builder.__module__), *_export_sources()
    return EngineKey(
        engine=f"{compiler.name} {compiler.version()}, imgfx {__version__}",
        model=model.name,
        weights=weights.digest,
        graph=sources_digest(*sources),
        device=compiler.hardware(),
        precision=compiler.precision,
        options=compiler.options(),
    )


def _export_sources() -> list[Path]:
    here = Path(__file__).parent
    # The last: building blocks that the bundled networks share.
    shared = here.parent / "training" / "networks.py"
    return [here / "onnx.py", here / "torch_engine.py", shared]


def _cached(
    compiler: Compiler, cache: EngineCache, key: EngineKey, what: str
) -> tuple[Entry, Program] | None:
    """The stored entry, loaded; None if there is none, or it does not load any more.

    Raises:
        EngineError: it has been compared before, and was not near enough.
    """
    entry = cache.load(key)
    if entry is None:
        return None
    if entry.psnr is not None:
        gate.check(entry.psnr, key.precision, what)
    try:
        return entry, compiler.load(entry.blob)
    except EngineError:
        return None


def _compiled(
    compiler: Compiler, model: Model, weights: Weights, key: EngineKey, say: Say
) -> Entry:
    """An entry that has not been compared yet."""
    from imgfx.engines.onnx import onnx_from_model

    say(f"{model.name}: compiling for {compiler.name}, once")
    started = time.monotonic()
    blob = compiler.compile(onnx_from_model(model, weights, half=compiler.half))
    return Entry(key, blob, None, round(time.monotonic() - started, 3))


def _accept(
    entry: Entry, program: Program, model: Model, weights: Weights, cache: EngineCache
) -> None:
    """Compares a program with PyTorch in fp32, and stores what it reached.

    Of one that is refused, too: the next run need not compile it to know.

    Raises:
        EngineError: it is not near enough.
    """
    from imgfx.engines.torch_engine import TorchEngine

    reference = TorchEngine().open(model, weights, Request("cpu", "fp32"))
    psnr = gate.agreement(program, reference, weights.spec)
    reference.close()
    try:
        gate.check(psnr, entry.key.precision, f"{model.name} on {entry.key.engine}")
    except EngineError:
        program.close()
        cache.store(dataclasses.replace(entry, blob=b"", psnr=round(psnr, 2)))
        raise
    cache.store(dataclasses.replace(entry, psnr=round(psnr, 2)))
