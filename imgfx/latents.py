"""Random vectors that depend on a seed and a number alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def latent_vectors(seed: int, numbers: Iterable[int], length: int) -> npt.NDArray[np.float32]:
    """(N, length) standard normal: a generator's input for these numbers of images of a seed."""
    # A counter-based generator: image k needs none of the numbers of the images before it.
    generators = (np.random.Generator(np.random.Philox(key=[seed, number])) for number in numbers)
    return np.stack([g.standard_normal(length, dtype=np.float32) for g in generators])
