"""Networks without weights of their own yet are tried with those that they are built with."""

from __future__ import annotations

from pathlib import Path

from imgfx.model import Model
from imgfx.plugins import Registry
from imgfx.session import LoadedModel, Session
from imgfx.settings import Settings
from imgfx.weights import Weights, load_weights, save_weights, weights_from_network


def untrained(model: Model) -> Weights:
    """The weights of a newly built network, the same each time."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = model.build(model.spec)
    return weights_from_network(network, model.spec, model.name, {})


def weights_of(model: Model, given: Path | None = None) -> Weights:
    """The weights of a file, else the model's own, else untrained ones.

    Raises:
        WeightsError: the file is missing, damaged, or not of imgfx.
    """
    path = given or model.weights
    return untrained(model) if path is None else load_weights(path)


class TrialSession(Session):
    """A session on the CPU, in PyTorch and fp32, that makes weights for models without any."""

    def __init__(self, folder: Path, tile: int | None = None) -> None:
        settings = Settings(device="cpu", engine="torch", precision="fp32", tile=tile)
        super().__init__(settings, Registry().engine)
        self._folder = folder
        self.made: list[Path] = []
        """The files of weights that had to be made."""

    def load(self, model: Model, weights: Path | None = None) -> LoadedModel:
        """See `Session`."""
        if weights is None and model.weights is None:
            weights = self._folder / f"untrained-{model.name}.safetensors"
            if not weights.exists():
                save_weights(weights, untrained(model))
            if weights not in self.made:
                self.made.append(weights)
        return super().load(model, weights)
