"""A model at work on images: windows cut, run, checked and stitched."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from imgfx.abreast import MOST_PIXELS
from imgfx.alpha import enlarged_alpha, with_carried_colours, with_hidden_pixels
from imgfx.engines.base import Choice, Engine, ManyAtOnce, Request, Runner, Say
from imgfx.engines.compiled import Unbuilt
from imgfx.ensemble import self_ensembled
from imgfx.errors import ImageError, ImgfxError, OutOfMemoryError, confined
from imgfx.image import Image, Pixels
from imgfx.latents import AT_ONCE
from imgfx.model import Model, ModelSpec
from imgfx.readers import enlarged_reader
from imgfx.result import Result, check_request
from imgfx.settings import Settings
from imgfx.tiling import Limits, Progress, Reader, Run, run_tiled, unwatched
from imgfx.turns import Turns
from imgfx.weights import Weights

Float = npt.NDArray[np.float32]

# A restored tile keeps its mean; one that is off by this much has collapsed (black, white).
_LARGEST_SHIFT = 0.25
_BRIGHTEST = 2.0
"""What a photograph in floats may reach to; of others it is told."""
_FEWEST_PIXELS = 128 * 128
"""Of windows that memory is still looked for; below, the image fails."""


class LoadedModel:
    """A model ready to run: `restore` for image-to-image networks, `generate` for generators."""

    def __init__(
        self,
        model: Model,
        weights: Weights,
        engine: Engine | None,
        runner: Runner,
        settings: Settings,
        note: Say = lambda _text: None,
        watch: Progress = unwatched,
        *,
        for_several: bool = False,
    ) -> None:
        self.model, self.weights = model, weights
        self.spec: ModelSpec = weights.spec
        self._engine, self._settings, self._note = engine, settings, note
        self._watch = watch
        self._turns = Turns()
        self._in_fp32_lock = threading.Lock()
        self._runner = runner
        """What was opened first, for one thread or for several."""
        self._alone: Runner | None = runner
        self._exact: Runner | None = None
        self._shared_runner: Runner | None = None
        if for_several and self.at_once > 1:
            self._alone, self._shared_runner = None, runner
        self._threads, self._broken_off = 1, False
        self._pixels = runner.memory // self._bytes_per_pixel()
        # More than these no compiled engine takes at once where nothing else is asked for.
        self._most_latents = settings.batch or max(AT_ONCE, runner.batch)

    @property
    def choice(self) -> Choice:
        """The engine, device and precision that run it."""
        return self._runner.choice

    def apply(
        self,
        image: Image,
        *,
        conditions: Sequence[float] = (),
        enlarge: int = 1,
        strength: float = 1.0,
        self_ensemble: bool = False,
    ) -> Image:
        """The image restored, with its alpha enlarged along; a whole filter.

        What lies below fully transparent pixels is kept from the visible edge. Where the size stays
        these pixels do, too.

        Args:
            image: of any depth.
            conditions: as in `restore`.
            enlarge: as in `restore`.
            strength: as in `restore`; with 0 the image is answered as it is.
            self_ensemble: as in `restore`.

        Raises:
            ImageError: as `restore`.
            ValueError: as `restore`.
        """
        check_request(self.model.name, self.spec, conditions, enlarge, strength)
        factor = enlarge * self.spec.scale
        if strength == 0 and factor == 1:
            return image
        pixels = self.restore(
            with_carried_colours(image), conditions=conditions, enlarge=enlarge,
            strength=strength, self_ensemble=self_ensemble,
        )  # fmt: skip
        if factor == 1:
            return image.with_pixels(with_hidden_pixels(image, pixels))
        return image.with_pixels(pixels, enlarged_alpha(image, factor))

    @property
    def built(self) -> bool:
        """False where it would have to be compiled first, and a dry run does not."""
        return not isinstance(self._runner, Unbuilt)

    @property
    def is_for_several(self) -> bool:
        """Whether nothing has to be opened before it is shared."""
        return self._shared_runner is not None

    @property
    def at_once(self) -> int:
        """Images that it can make use of at a time, where they are small."""
        if not isinstance(self._engine, ManyAtOnce) or self._settings.tile is not None:
            return 1
        return self._engine.at_once

    def share(self, threads: int) -> None:
        """From now on so many threads call it, at most `at_once`; before any of them does.

        Small images then run side by side, each on its share of the processors; for a large one
        the others wait. With 1 all is as it was. Meanwhile one thread may go on calling it.
        """
        self._threads, self._broken_off = threads, False
        self._turns = Turns(threads)
        if threads > 1 and self._shared_runner is None:
            self._open_shared(threads)

    def break_off(self) -> None:
        """Has all threads fail at their next window, until it is shared anew."""
        self._broken_off = True

    def restore(
        self,
        image: Image,
        *,
        conditions: Sequence[float] = (),
        enlarge: int = 1,
        strength: float = 1.0,
        self_ensemble: bool = False,
    ) -> Pixels:
        """An image through the network, tile by tile; `apply` is for whole filters.

        Alpha is not looked at: the network sees what lies below transparent pixels, too. Gray is
        repeated for a network of three channels, and its mean taken behind it; a network of one
        channel takes nothing else. Where memory runs out, smaller tiles are taken and the session's
        notes say so.

        Args:
            image: (H, W, C) of any depth.
            conditions: a value for each of the spec's conditions, in its order.
            enlarge: the image is first enlarged so many times by bicubic interpolation.
            strength: 0 to 1, the share of the network's change; below 1 only if the network's scale
                is 1.
            self_ensemble: each window runs in its eight positions, turned and mirrored, and the
                mean is taken: a little better, in eight times the time. See `imgfx.ensemble`.

        Returns:
            (enlarge * scale * H, enlarge * scale * W, C) float32, finite. Of more than 22
            megapixels uint16, unless the image is to be written in float32.

        Raises:
            ImageError: the network's output makes no sense, in fp32 too; or there is too little
                memory.
            ValueError: an argument does not suit the spec.
        """
        check_request(self.model.name, self.spec, conditions, enlarge, strength)
        if self._settings.tile == 0:
            self._check_whole(image, enlarge)
        if self.spec.channels == 1 and not image.is_gray:
            raise ImageError(f"{self.model.name}: takes gray images only, and this has colours")
        read = enlarged_reader(image, enlarge, self.spec.channels)
        run = partial(self._run, read, image, enlarge, conditions, self_ensemble)
        if self._shared_runner is not None and self._runs_beside(image, enlarge):
            with self._turns.together(), contextlib.suppress(OutOfMemoryError, MemoryError):
                result = Result(image, read, enlarge, self.spec, strength)
                run(self._shared_runner, result)
                return result.pixels
        with self._turns.alone():
            result = Result(image, read, enlarge, self.spec, strength)  # once, for all tries
            runner = self._for_one()
            while True:
                try:
                    run(runner, result)
                except OutOfMemoryError as error:
                    self._pixels = self._less(error)
                except MemoryError:
                    short = OutOfMemoryError("too little memory for a window", self._pixels)
                    self._pixels = self._less(short)
                else:
                    return result.pixels

    def _runs_beside(self, image: Image, enlarge: int) -> bool:
        """Whether other images may run at the same time: not those whose windows need memory."""
        pixels = enlarge**2 * image.height * image.width
        return self._threads > 1 and pixels <= min(MOST_PIXELS, self._pixels // self._threads)

    def _for_one(self) -> Runner:
        """What makes use of all processors for one image; opened when the first one needs it."""
        if self._alone is None:
            self._alone = self._opened(1)
        return self._alone

    def _open_shared(self, threads: int) -> None:
        """Opens the network for several threads; if it cannot be, images go on running alone."""
        try:
            self._shared_runner = self._opened(threads)
        except ImgfxError as error:
            self._note(f"{self.model.name}: {error.format_message()}; images run one at a time")

    def _opened(self, threads: int) -> Runner:
        """The network as it was opened first, for so many threads."""
        assert self._engine is not None
        choice, settings = self.choice, self._settings
        request = Request(
            choice.device, choice.precision, self._note, settings.tile, settings.batch,
            at_once=threads,
        )  # fmt: skip
        with confined(f"engine {choice.engine!r}"):
            return self._engine.open(self.model, self.weights, request)

    def _run(
        self,
        read: Reader,
        image: Image,
        enlarge: int,
        conditions: Sequence[float],
        self_ensemble: bool,
        runner: Runner,
        result: Result,
    ) -> None:
        tile = self._settings.tile
        limits = Limits(tile, pixels=self._pixels, side=runner.largest)
        if tile and runner.largest:
            # As much of the tile asked for as the engine takes.
            multiple = self.spec.multiple_of
            margin = -(-self.spec.margin // multiple) * multiple
            room = (runner.largest - 2 * margin) // multiple * multiple
            limits = Limits(min(tile, room) if room > 0 else None, runner.largest, self._pixels)
        height, width = enlarge * image.height, enlarge * image.width
        run: Run = partial(self._sane, runner)
        run_tiled(
            read, height, width, self.spec, self_ensembled(run) if self_ensemble else run,
            result.keep,
            limits=limits, batch=self._settings.batch or runner.batch, conditions=conditions,
            progress=self._watch,
        )  # fmt: skip

    def _check_whole(self, image: Image, enlarge: int) -> None:
        """Whole images are not cut in secret.

        Raises:
            ImageError: the image is too large for the engine.
        """
        largest, side = self._runner.largest, enlarge * max(image.height, image.width)
        if largest and side > largest:
            raise ImageError(
                f"--tile 0: {self.choice.engine} takes at most {largest}x{largest} at once"
            )

    def _bytes_per_pixel(self) -> int:
        """Of a window: activations, and what goes in and comes out, held thrice on the way."""
        spec = self.spec
        planes = spec.channels * (1 + spec.scale**2) + len(spec.conditions)
        size = 4 if self.choice.precision == "fp32" else 2
        return size * spec.floats_per_pixel + 3 * 4 * planes

    def _less(self, error: OutOfMemoryError) -> int:
        """Half of the window's pixels, for this image and those that follow.

        Raises:
            ImageError: there is nothing to halve.
        """
        if self._settings.tile == 0:
            raise ImageError(f"--tile 0: {error.format_message()}; leave it out") from error
        if self._settings.tile is not None:
            advice = "choose a smaller --tile"
            raise ImageError(f"{self.model.name}: {error.format_message()}; {advice}") from error
        half = min(self._pixels, error.pixels) // 2
        if half < _FEWEST_PIXELS:
            raise ImageError(f"{self.model.name}: {error.format_message()}") from error
        self._note(f"{self.model.name}: {error.format_message()}; going on with smaller tiles")
        return half

    def generate(self, latents: Float) -> Float:
        """(N, latent) -> (N, H, W, channels) float32, finite.

        Where memory runs out, fewer are made at once and the session's notes say so.

        Raises:
            ImageError: the output is not finite, in fp32 too; or one image needs too much memory.
        """
        parts: list[Float] = []
        done = 0
        with self._turns.alone():
            runner = self._for_one()
            while done < len(latents) or not parts:
                some = latents[done : done + self._most_latents]
                try:
                    parts.append(self._finite(runner, some))
                except OutOfMemoryError as error:
                    self._most_latents = self._fewer(len(some), error)
                except MemoryError:
                    short = OutOfMemoryError("too little memory", self._pixels)
                    self._most_latents = self._fewer(len(some), short)
                else:
                    done += len(some)
        return np.concatenate(parts).transpose(0, 2, 3, 1)

    def _fewer(self, number: int, error: OutOfMemoryError) -> int:
        """Half of the latents, for this call and those that follow.

        Raises:
            ImageError: there is nothing to halve.
        """
        if number < 2:
            raise ImageError(f"{self.model.name}: {error.format_message()}") from error
        half = number // 2
        self._note(f"{self.model.name}: {error.format_message()}; going on with {half} at a time")
        return half

    def _finite(self, runner: Runner, latents: Float) -> Float:
        """(N, latent) -> (N, channels, H, W), made in fp32 where it does not come out finite."""
        images = runner(latents)
        if np.isfinite(images).all():
            return images
        exact = self._in_fp32(latents)
        if exact is not None and np.isfinite(exact).all():
            return exact
        raise ImageError(f"{self.model.name}: the network's output is not finite ({self.choice})")

    def _sane(self, runner: Runner, batch: Float) -> Float:
        if self._broken_off:
            raise ImageError(f"{self.model.name}: broken off")
        output = runner(batch)
        number, _, height, width = batch.shape
        scale, channels = self.spec.scale, self.spec.channels
        if output.shape != (number, channels, scale * height, scale * width):
            raise ImageError(
                f"{self.model.name}: the network answered {output.shape} for {batch.shape}, "
                f"against its spec (scale {scale}, {channels} channels)"
            )
        if output.dtype != np.float32:  # a foreign network's
            output = output.astype(np.float32)
        if self._makes_sense(batch, output):
            return output
        exact = self._in_fp32(batch)
        if exact is not None and self._makes_sense(batch, exact):
            return exact
        most = float(np.abs(batch[:, :channels]).max())
        why = f" for values of up to {most:g}, where 1 is white" if most > _BRIGHTEST else ""
        raise ImageError(
            f"{self.model.name}: the network's output makes no sense{why} ({self.choice}); "
            "the image is left out"
        )

    def _makes_sense(self, batch: Float, output: Float) -> bool:
        # Of a foreign network nothing more is known; some are meant to change the brightness.
        if self._engine is None or not self.spec.keeps_mean:
            return bool(np.isfinite(output).all())
        before = batch[:, : self.spec.channels].mean(axis=(1, 2, 3))
        shift = np.abs(output.mean(axis=(1, 2, 3)) - before)
        return bool(np.all(shift < _LARGEST_SHIFT))  # False for NaN and infinity too

    def _in_fp32(self, batch: Float) -> Float | None:
        """The same once more in fp32; None where that has been done, or cannot be."""
        if self._engine is None or self.choice.precision == "fp32":
            return None
        with self._in_fp32_lock:  # it takes one thread at a time
            if self._exact is None:
                choice, settings = self.choice, self._settings
                request = Request(choice.device, "fp32", self._note, settings.tile, settings.batch)
                self._exact = self._engine.open(self.model, self.weights, request)
            return self._exact(batch)

    def close(self) -> None:
        """Frees the engines."""
        for runner in (self._alone, self._exact, self._shared_runner):
            if runner is None:
                continue
            try:
                with confined(f"closing {self.model.name}"):
                    runner.close()
            except ImgfxError as error:  # when all images are done
                self._note(error.format_message())
