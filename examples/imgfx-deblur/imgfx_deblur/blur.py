"""How sharp images are blurred: by a lens out of focus and a hand that shakes a little."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imgfx.api import float_from_pixels, pixels_from_float

Float = npt.NDArray[np.float32]
Rng = np.random.Generator

RADIUS = 9
"""Of the kernels: three standard deviations of the widest."""
_NARROWEST, _WIDEST = 0.4, 3.0
_NOISE = 4 / 255
"""Largest standard deviation of the noise that a camera adds behind the lens."""


def kernel(across: float, along: float, angle: float) -> Float:
    """A Gaussian ellipse, (2 * RADIUS + 1, 2 * RADIUS + 1), of sum 1.

    Args:
        across: standard deviation along one axis, in pixels.
        along: that along the other.
        angle: between the second axis and the rows, in radians.
    """
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    major = x * np.cos(angle) + y * np.sin(angle)
    minor = y * np.cos(angle) - x * np.sin(angle)
    values = np.exp(-0.5 * (np.square(major / along) + np.square(minor / across)))
    return np.asarray(values / values.sum(), np.float32)


def random_kernel(rng: Rng) -> Float:
    """From nearly none to three pixels wide, round or long, at any angle."""
    along = float(rng.uniform(_NARROWEST, _WIDEST))
    across = float(rng.uniform(_NARROWEST, along))
    return kernel(across, along, float(rng.uniform(0, np.pi)))


def blurred(images: Float, kernels: Float) -> Float:
    """(N, H, W, C) with a kernel for each; RADIUS pixels fewer on each side."""
    height, width = images.shape[1:3]
    spectra = np.fft.rfft2(images, axes=(1, 2))
    # The product of spectra wraps around the borders; what it spoils is what is cut off.
    spectra *= np.fft.rfft2(kernels, (height, width))[..., None]
    full = np.fft.irfft2(spectra, (height, width), axes=(1, 2))
    return np.asarray(full[:, 2 * RADIUS :, 2 * RADIUS :], np.float32)


def with_noise(images: Float, sigma: Float | float, rng: Rng) -> Float:
    """Noise added, and all rounded to 8 bits as a file does."""
    noise = rng.standard_normal(images.shape, np.float32)
    return float_from_pixels(pixels_from_float(images + noise * np.float32(sigma), "uint8"))


def degrade(clean: Float, rng: Rng) -> tuple[Float, Float]:
    """(N, h, w, 3) crops -> blurred and sharp, both (N, 3, h - 2 * RADIUS, w - 2 * RADIUS)."""
    kernels = np.stack([random_kernel(rng) for _ in clean])
    sigmas = rng.uniform(0, _NOISE, (len(clean), 1, 1, 1)).astype(np.float32)
    soft = with_noise(blurred(clean, kernels), sigmas, rng)
    sharp = clean[:, RADIUS:-RADIUS, RADIUS:-RADIUS]
    return _planes(soft), _planes(sharp)


def _planes(images: Float) -> Float:
    """(N, H, W, C) -> (N, C, H, W)."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def probe_pair(clean: Float, seed: int, *, shape: Float) -> tuple[Float, Float]:
    """(H, W, 3) -> blurred by one kernel, (3, H, W), and the clean image; borders mirrored."""
    margin = ((RADIUS, RADIUS), (RADIUS, RADIUS), (0, 0))
    padded = np.pad(clean, margin, mode="symmetric")
    soft = blurred(padded[None], shape[None])
    noisy = with_noise(soft, 1 / 255, np.random.default_rng(seed))
    return _planes(noisy)[0], clean
