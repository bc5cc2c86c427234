"""Measure a generator: how near its images are to real ones, and whether it copies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import numpy.typing as npt

from imgfx.errors import TrainingError, WeightsError
from imgfx.files import write_image
from imgfx.image import Image, float_from_pixels, pixels_from_float
from imgfx.latents import TEMPERATURE, latent_vectors
from imgfx.model import Model
from imgfx.set_metrics import frechet, manifold, nearest, sliced_wasserstein
from imgfx.training.pictures import Pictures, grid, load_pictures, split_pictures, without_copies
from imgfx.weights import load_weights, network_from_weights

if TYPE_CHECKING:
    from imgfx.session import LoadedModel

Float = npt.NDArray[np.float32]

_MOST = 10_000
_FEWEST = 20
_PART = 250
_SHOWN = 64
_COPIES = 8
_NEIGHBOURS = 5


@dataclass(frozen=True)
class Measured:
    """A generator's figures, and those of as many real images in their place."""

    fakes: Mapping[str, float]
    floor: Mapping[str, float]
    convention: str
    engine: str

    def print_json(self) -> None:
        """One object on stdout."""
        click.echo(json.dumps({"convention": self.convention, "engine": self.engine,
                               "generated": self.fakes, "real": self.floor}, indent=2))  # fmt: skip

    def print_table(self) -> None:
        """A line for each figure, on stdout."""
        click.echo(f"{'':20}  generated        real")
        for name, value in self.fakes.items():
            click.echo(f"{name.replace('_', ' '):20}  {value:9.4f}   {self.floor[name]:9.4f}")
        click.echo(f"\n{self.convention}\n{self.engine}")


def measure(
    loaded: LoadedModel,
    judge: Model | None,
    folder: Path,
    count: int | None,
    save: Path | None,
) -> Measured:
    """As many fakes as there are reference images, against those.

    Args:
        loaded: the generator.
        judge: the classifier in whose features is measured; None leaves pixels alone.
        folder: real images, of which those that training on this folder alone holds out are the
            reference, and others show what real images reach in the fakes' place.
        count: at most so many of each.
        save: a folder for a sheet of samples and one of their nearest real images.

    Raises:
        TrainingError: too few real images.
        WeightsError: the judge has no weights.
    """
    first = generated(loaded, 1)
    size, channels = first.shape[1], first.shape[3]
    held_out, others = split_pictures(load_pictures([folder], (), size, channels))
    others = without_copies(others, held_out)  # as training does
    number = min(_MOST, len(held_out), len(others), count or _MOST)
    if number < _FEWEST:
        raise TrainingError(
            f"{folder}: {len(held_out) + len(others)} images, of which {len(held_out)} are held "
            f"out; at least {_FEWEST} of these are needed, the tenth of {10 * _FEWEST}"
        )
    fakes = generated(loaded, number)
    real, floor = (float_from_pixels(part[:number]) for part in (held_out, others))
    figures = _figures(judge)
    if save is not None:
        save_sheets(save, fakes, np.concatenate([held_out, others]))
    where = f"; features of {judge.name}, k = {_NEIGHBOURS}" if judge else ""
    return Measured(
        figures(fakes, real),
        figures(floor, real),
        f"{number} images of seed 0, temperature {TEMPERATURE}, against {number} held-out ones of "
        f"{folder.resolve().name}; "
        f"'real': {number} of its other images in their place{where}",
        f"{loaded.model.name}: {loaded.choice}",
    )


def generated(loaded: LoadedModel, count: int) -> Float:
    """(count, H, W, channels): the images that the stage makes of seed 0, as 8 bits hold them."""
    parts = []
    for start in range(0, count, _PART):
        numbers = range(start, min(count, start + _PART))
        latents = latent_vectors(0, numbers, loaded.spec.latent, TEMPERATURE)
        images = loaded.generate(latents)
        parts.append(float_from_pixels(pixels_from_float(images, "uint8")))
    return np.concatenate(parts)


def _figures(judge: Model | None) -> Callable[[Float, Float], dict[str, float]]:
    features = None if judge is None else _features(judge)

    def figures(images: Float, real: Float) -> dict[str, float]:
        named = {"sliced_wasserstein": sliced_wasserstein(images, real)}
        if features is not None:
            pair = features(real), features(images)
            near = manifold(*pair, k=_NEIGHBOURS)
            named |= {
                "density": near.density, "coverage": near.coverage,
                "precision": near.precision, "recall": near.recall, "frechet": frechet(*pair),
            }  # fmt: skip
        return named

    return figures


def _features(judge: Model) -> Callable[[Float], Float]:
    """(N, H, W, channels) -> (N, D), by the judge's network."""
    import torch

    if judge.weights is None:
        raise WeightsError(f"{judge.name} has no weights; train them with `imgfx train`")
    network = network_from_weights(judge, load_weights(judge.weights), judge.weights)

    def features(images: Float) -> Float:
        parts = []
        with torch.inference_mode():
            for part in np.array_split(images, -(-len(images) // 1000)):
                tensor = torch.from_numpy(np.ascontiguousarray(part.transpose(0, 3, 1, 2)))
                parts.append(network.features(tensor).numpy())  # type: ignore[operator]
        return np.concatenate(parts)

    return features


def save_sheets(folder: Path, fakes: Float, real: Pictures) -> None:
    """`samples.png`: 64 fakes; `nearest.png`: 16 rows of a fake and the real ones nearest to it.

    Nearest in pixels, so that a copy would be found.

    Raises:
        EncodeError: they cannot be written.
    """
    write_image(folder / "samples.png", Image(grid(pixels_from_float(fakes[:_SHOWN], "uint8"), 8)))
    shown = fakes[: 2 * _COPIES]
    points = 255 * shown.reshape(len(shown), -1)
    found: Sequence[Sequence[int]] = nearest(
        points, real.reshape(len(real), -1), _COPIES - 1
    ).tolist()
    rows = [
        np.concatenate([pixels_from_float(fake[None], "uint8"), real[near]])
        for fake, near in zip(shown, found, strict=True)
    ]
    write_image(folder / "nearest.png", Image(grid(np.concatenate(rows), _COPIES)))
