"""A session: the models of one run, opened once each and closed at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from imgfx.engines.base import Choice, Engine, Request, Runner, Say
from imgfx.engines.choice import open_engine
from imgfx.errors import EngineError, ImageError, WeightsError
from imgfx.image import Image, float_from_pixels
from imgfx.model import Model, ModelSpec
from imgfx.resample import apply_taps, taps
from imgfx.settings import Settings
from imgfx.tiling import Reader, Window, largest_tile, run_tiled
from imgfx.weights import Weights, load_weights

Float = npt.NDArray[np.float32]

# A restored tile keeps its mean; one that is off by this much has collapsed (black, white).
_LARGEST_SHIFT = 0.25


class LoadedModel:
    """A model ready to run: `restore` for image-to-image networks, `generate` for generators."""

    def __init__(
        self, model: Model, weights: Weights, engine: Engine, runner: Runner, settings: Settings
    ) -> None:
        self.model, self.weights = model, weights
        self.spec: ModelSpec = weights.spec
        self._engine, self._settings = engine, settings
        self._lock = threading.Lock()
        self._runner = runner
        self._exact: Runner | None = None

    @property
    def choice(self) -> Choice:
        """The engine, device and precision that run it."""
        return self._runner.choice

    def restore(
        self, read: Reader, height: int, width: int, conditions: Sequence[float] = ()
    ) -> Float:
        """An image through the network, tile by tile.

        Args:
            read: answers the (h, w, channels) float32 pixels of any window.
            height: of the image.
            width: of the image.
            conditions: a value for each of the spec's conditions.

        Returns:
            (scale * height, scale * width, channels) float32, finite.

        Raises:
            ImageError: the network's output makes no sense, in fp32 too.
        """
        batch = self._runner.batch
        with self._lock:
            return run_tiled(
                read, height, width, self.spec, self._sane,
                tile=self._tile(height, width), batch=batch, conditions=conditions,
            )  # fmt: skip

    def _tile(self, height: int, width: int) -> int | None:
        """Of what was asked for, as much as the engine takes; whole images are not cut in secret.

        Raises:
            ImageError: the image is to be run whole, and is too large for that.
        """
        wanted, largest = self._settings.tile, self._runner.largest
        if not largest:
            return wanted
        if wanted == 0 and max(height, width) > largest:
            raise ImageError(
                f"--tile 0: {self.choice.engine} takes at most {largest}x{largest} at once"
            )
        fitting = largest_tile(self.spec, largest)
        return fitting if wanted is None else min(wanted, fitting)

    def generate(self, latents: Float) -> Float:
        """(N, latent) -> (N, H, W, channels) float32."""
        with self._lock:
            images = self._runner(latents)
        if not np.isfinite(images).all():
            raise ImageError(f"{self.model.name}: the network's output is not finite")
        return images.transpose(0, 2, 3, 1)

    def _sane(self, batch: Float) -> Float:
        output = self._runner(batch)
        number, _, height, width = batch.shape
        scale, channels = self.spec.scale, self.spec.channels
        if output.shape != (number, channels, scale * height, scale * width):
            raise ImageError(
                f"{self.model.name}: the network answered {output.shape} for {batch.shape}, "
                f"against its spec (scale {scale}, {channels} channels)"
            )
        if self._makes_sense(batch, output):
            return output
        if self._runner.choice.precision != "fp32":
            output = self._in_fp32(batch)
            if self._makes_sense(batch, output):
                return output
        raise ImageError(
            f"{self.model.name}: the network's output makes no sense ({self.choice}); "
            "the image is left out"
        )

    def _makes_sense(self, batch: Float, output: Float) -> bool:
        before = batch[:, : self.spec.channels].mean(axis=(1, 2, 3))
        shift = np.abs(output.mean(axis=(1, 2, 3)) - before)
        return bool(np.all(shift < _LARGEST_SHIFT))  # False for NaN and infinity too

    def _in_fp32(self, batch: Float) -> Float:
        if self._exact is None:
            request = Request(self._runner.choice.device, "fp32")
            self._exact = self._engine.open(self.model, self.weights, request)
        return self._exact(batch)

    def close(self) -> None:
        """Frees the engines."""
        for runner in (self._runner, self._exact):
            if runner is not None:
                runner.close()


class Session:
    """What a run's stages share. A context manager; models are closed when it ends."""

    def __init__(
        self,
        settings: Settings,
        engine_named: Callable[[str], Engine],
        images_out: int | None = None,
        engines: Sequence[str] = ("torch",),
        say: Say = lambda _text: None,
    ) -> None:
        self.settings = settings
        self.notes: list[str] = []
        """What was done otherwise than asked, and what took long; for the report."""
        self._engines, self._say = engines, say
        self.images_out = images_out
        """The descriptor that image bytes for stdout go to; None outside a command line."""
        self._engine_named = engine_named
        self._models: dict[tuple[str, str], LoadedModel] = {}
        self._stack = ExitStack()

    def load(self, model: Model, weights: Path | None = None) -> LoadedModel:
        """The model with the weights of a file, or with its own; opened at the first call.

        Raises:
            WeightsError: no weights, or they are damaged or of another model.
            EngineError: the engine, device or precision cannot be had.
        """
        path = weights or model.weights
        if path is None:
            raise WeightsError(
                f"{model.name} has no weights of its own yet; train some with "
                f"`imgfx train {model.name}` and name them with --weights"
            )
        key = (model.name, str(path))
        if key not in self._models:
            loaded = self._opened(model, load_weights(path))
            self._models[key] = loaded
            self._stack.callback(loaded.close)
        return self._models[key]

    def _opened(self, model: Model, weights: Weights) -> LoadedModel:
        settings = self.settings
        request = Request(settings.device, settings.precision, self._note)
        engine, runner = open_engine(
            settings.engine, self._engines, self._engine_named, model, weights, request
        )
        return LoadedModel(model, weights, engine, runner, settings)

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self._say(text)

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """The models opened so far."""
        return tuple(self._models.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


def no_engine(name: str) -> Engine:
    """For sessions without models.

    Raises:
        EngineError: always.
    """
    raise EngineError(f"no engine named {name!r} here")


def rgb_reader(image: Image) -> Reader:
    """Reads windows of an image as RGB float32; gray is repeated in all three channels."""

    def read(window: Window) -> Float:
        part = image.pixels[window.top : window.bottom, window.left : window.right]
        values = float_from_pixels(part)
        return np.broadcast_to(values, (*values.shape[:2], 3))

    return read


def enlarged_reader(image: Image, scale: int) -> Reader:
    """Reads windows of the image enlarged by bicubic interpolation, clipped to [0, 1].

    Only the window is ever computed, so the enlarged image need not fit in memory.
    """
    if scale == 1:
        return rgb_reader(image)
    rows = taps(image.height, scale * image.height)
    columns = taps(image.width, scale * image.width)

    def read(window: Window) -> Float:
        across = columns.window(window.left, window.right)
        values = apply_taps(image.pixels, rows.window(window.top, window.bottom), across)
        np.clip(values, 0, 1, out=values)
        return np.broadcast_to(values, (*values.shape[:2], 3))

    return read


def as_gray(rgb: Float) -> Float:
    """(H, W, 3) to (H, W, 1) by the mean: the inverse of repeating gray."""
    return np.asarray(rgb.mean(axis=2, keepdims=True), dtype=np.float32)
