"""Random vectors that depend on a seed and a number alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

TEMPERATURE = 0.85
"""Of what users get and `imgfx eval` measures: a little less varied, and nearer to real images."""
AT_ONCE = 64
"""Vectors that a generator takes at once where --batch does not say."""


def latent_vectors(
    seed: int, numbers: Iterable[int], length: int, temperature: float = 1.0
) -> npt.NDArray[np.float32]:
    """(N, length) normal: a generator's input for these numbers of images of a seed.

    Their standard deviation is the temperature.

    Source: Kingma, Dhariwal, Glow: Generative Flow with Invertible 1x1 Convolutions, 2018, sec. 6.
    """
    # A counter-based generator: image k needs none of the numbers of the images before it.
    generators = (np.random.Generator(np.random.Philox(key=[seed, number])) for number in numbers)
    vectors = np.stack([g.standard_normal(length, dtype=np.float32) for g in generators])
    return vectors * np.float32(temperature)
