"""Protocols: where the input comes from, and how the output is measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imgfx import degradations
from imgfx.errors import ImageError
from imgfx.files import read_image
from imgfx.image import Image, float_from_pixels, pixels_from_float
from imgfx.metrics import crop_border, luma, psnr, ssim

Float = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Protocol(ABC):
    """One way to measure."""

    convention: str
    """What the figures mean, to be read beside them."""
    baseline: Callable[[Float], Float]
    """What the stage gets -> what a user has without it, at the clean image's size."""
    border: int = 0
    on_luma: bool = False
    scale: int | None = None
    """For the stage's --scale."""

    @abstractmethod
    def example(self, path: Path, seed: int) -> tuple[Float, Image]:
        """The clean image of a file, and what the stage gets.

        Raises:
            ImageError: one cannot be read, or the two do not belong together.
        """

    def measure(self, image: Float, clean: Float) -> tuple[float, float]:
        """(PSNR in dB, SSIM) of two images rounded to 8 bits.

        Both are: else a clean image of 16 bits would differ from itself.
        """
        pair = [degradations.round_to_8_bits(part) for part in (image, clean)]
        if self.on_luma:
            pair = [luma(part) for part in pair]
        cropped, reference = (crop_border(part, self.border) for part in pair)
        return psnr(cropped, reference), ssim(cropped, reference)


@dataclass(frozen=True, kw_only=True)
class Made(Protocol):
    """The input is made from the clean image."""

    prepare: Callable[[Float], Float]
    """The clean image, cropped to a size that the degradation can take."""
    degrade: Callable[[Float, int], Float]
    """(clean, seed) -> what the stage gets."""

    def example(self, path: Path, seed: int) -> tuple[Float, Image]:
        """See `Protocol`; the input has 8 bits."""
        clean = self.prepare(float_from_pixels(read_image(path).pixels))
        if 0 in clean.shape:
            raise ImageError(f"{path}: too small to be measured so")
        degraded = pixels_from_float(self.degrade(clean, seed), "uint8")
        return clean, Image(degraded, name=path.stem)


@dataclass(frozen=True, kw_only=True)
class Given(Protocol):
    """The input is a file of its own, as in sets of pairs."""

    partners: Mapping[Path, Path | str]
    """By the clean image the degraded one, or why there is none."""

    def example(self, path: Path, seed: int) -> tuple[Float, Image]:  # noqa: ARG002
        """See `Protocol`; the clean image is cropped to what the degraded one covers."""
        partner = self.partners[path]
        if isinstance(partner, str):
            raise ImageError(partner)
        clean, degraded = float_from_pixels(read_image(path).pixels), read_image(partner)
        scale = self.scale or 1
        height, width, channels = degraded.pixels.shape
        beyond = [n - scale * m for n, m in zip(clean.shape[:2], (height, width), strict=True)]
        if channels != clean.shape[2] or not all(0 <= n < scale for n in beyond):
            times = f"{scale} times " if scale > 1 else ""
            raise ImageError(
                f"{path}: is {_size(clean)}, which is not {times}that of {partner}, "
                f"{_size(degraded.pixels)}"
            )
        return clean[: scale * height, : scale * width], degraded


def _size(pixels: npt.NDArray[np.generic]) -> str:
    height, width, channels = pixels.shape
    return f"{width}x{height} in {'gray' if channels == 1 else 'colour'}"


def noise(sigma: float) -> Made:
    """White Gaussian noise; RGB."""
    return Made(
        convention=(
            f"input: white Gaussian noise of sigma {sigma:g}/255, clipped and rounded to 8 bits, "
            "seeded by the image's number; measured on RGB (gray on its one channel), no border "
            "cropped"
        ),
        prepare=lambda clean: clean,
        degrade=lambda clean, seed: degradations.add_noise(clean, sigma, seed),
        baseline=lambda noisy: noisy,
    )


def shrunk(scale: int) -> Made:
    """Bicubic shrinking as MATLAB's imresize; Y; the border of `scale` pixels cropped."""
    return Made(
        convention=(
            f"input: the image, cropped to a multiple of {scale}, shrunk {scale} times by "
            "antialiased bicubic interpolation (a = -0.5, as MATLAB's imresize), 8 bits; 'before' "
            f"is it enlarged by bicubic interpolation; measured on Y of BT.601, {scale} border "
            "pixels cropped"
        ),
        prepare=lambda clean: degradations.crop_to_multiple(clean, scale),
        degrade=lambda clean, _seed: degradations.shrink(clean, scale),
        baseline=lambda small: degradations.enlarge(small, scale),
        border=scale,
        on_luma=True,
        scale=scale,
    )


def lecture() -> Made:
    """The lecture's 2x down, 2x up; RGB; the stage keeps the size."""
    return Made(
        convention=(
            "input: the image, cropped to even sides, shrunk to a half and enlarged again, both "
            "bilinear without antialiasing, 8 bits; measured on RGB, no border cropped"
        ),
        prepare=lambda clean: degradations.crop_to_multiple(clean, 2),
        degrade=lambda clean, _seed: degradations.lecture(clean),
        baseline=lambda soft: soft,
        scale=1,
    )


def given(partners: Mapping[Path, Path | str], scale: int | None) -> Given:
    """Pairs of files; RGB for images of the same size, else Y, `scale` pixels cropped."""
    if scale is None:
        return Given(
            convention=(
                "input: the degraded image of the same name; measured on RGB (gray on its one "
                "channel) at 8 bits, no border cropped"
            ),
            partners=partners,
            baseline=lambda degraded: degraded,
            scale=1,
        )
    return Given(
        convention=(
            "input: the degraded image of the same name; 'before' is it enlarged by bicubic "
            f"interpolation; measured on Y of BT.601 at 8 bits, {scale} border pixels cropped"
        ),
        partners=partners,
        baseline=lambda small: degradations.enlarge(small, scale),
        border=scale,
        on_luma=True,
        scale=scale,
    )
