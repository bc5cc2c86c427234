"""Weights on disk: safetensors, with the model's spec, its recipe and a digest in the header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imgfx.atomic import write_whole
from imgfx.errors import WeightsError
from imgfx.model import Model, ModelSpec
from imgfx.stored import Bytes, StoredTensors, bytes_of

if TYPE_CHECKING:
    from torch import nn

_FORMAT = "imgfx-weights-1"

Tensors = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Weights:
    """A network's parameters with what is needed to rebuild it."""

    spec: ModelSpec
    tensors: Tensors
    """Parameters and buffers by their name in the network, float32."""
    training: Mapping[str, str] = field(default_factory=dict)
    """How they were made: steps, minutes, metrics, command line."""
    model: str = ""
    """The name of the model they were trained as."""

    @cached_property
    def digest(self) -> str:
        """sha256 over model, spec and tensors, in hexadecimal; names these weights anywhere."""
        return _digest(self.model, self.spec, self.tensors)


def _digest(model: str, spec: ModelSpec, tensors: Tensors) -> str:
    total = hashlib.sha256(f"{model}\n{spec.to_json()}\n".encode())
    for name, shape, pieces in _contents(tensors):
        total.update(f"{name} {shape}\n".encode())
        for piece in pieces:
            total.update(piece.data)
    return total.hexdigest()


def _contents(tensors: Tensors) -> Iterable[tuple[str, tuple[int, ...], Iterable[Bytes]]]:
    """See `StoredTensors.contents`."""
    if isinstance(tensors, StoredTensors):
        return tensors.contents()
    return ((name, tensors[name].shape, [bytes_of(tensors[name])]) for name in sorted(tensors))


def save_weights(path: Path, weights: Weights) -> None:
    """Writes the file under another name and renames it, so no half-written one is ever seen.

    Raises:
        WeightsError: the file cannot be written.
    """
    from safetensors.numpy import save

    header = {
        "format": _FORMAT,
        "model": weights.model,
        "spec": weights.spec.to_json(),
        "training": json.dumps(dict(weights.training), sort_keys=True),
        "sha256": weights.digest,
    }
    try:
        write_whole(path, save(dict(weights.tensors), metadata=header))
    except OSError as error:
        raise WeightsError(f"{path}: cannot write the weights: {error.strerror}") from error


def load_weights(path: Path) -> Weights:
    """The weights of a file, checked against their digest; tensors are read when they are needed.

    Raises:
        WeightsError: the file is missing, damaged, tampered with, or not of imgfx.
    """
    from safetensors import SafetensorError

    try:
        tensors = StoredTensors(path)
        weights = _from_header(path, tensors.header, tensors)
        sound = weights.digest == tensors.header.get("sha256")
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such weights file") from error
    except (SafetensorError, OSError, TypeError) as error:  # the last: types numpy has not
        raise WeightsError(f"{path}: not a readable safetensors file: {error}") from error
    if not sound:
        raise WeightsError(f"{path}: damaged: its content does not match its sha256")
    return weights


def _from_header(path: Path, header: Mapping[str, str], tensors: Tensors) -> Weights:
    if header.get("format") != _FORMAT:
        raise WeightsError(f"{path}: not written by `imgfx train` (no {_FORMAT} header)")
    try:
        spec = ModelSpec.from_json(header["spec"])
        training = json.loads(header.get("training", "{}"))
        if not isinstance(training, dict):
            raise TypeError("its record of training is no object")
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: unreadable header: {error}") from error
    return Weights(spec, tensors, training, header.get("model", ""))


def weights_from_network(
    network: nn.Module, spec: ModelSpec, model: str, training: Mapping[str, str]
) -> Weights:
    """A network's parameters and buffers as float32 weights."""
    state = network.state_dict()
    tensors = {name: value.detach().float().cpu().numpy().copy() for name, value in state.items()}
    return Weights(spec, tensors, training, model)


def check_purpose(model: Model, spec: ModelSpec, where: Path | str) -> None:
    """Refuses weights that do not do what the model does; widths and depths may differ.

    Raises:
        WeightsError: another architecture, scale, number of channels, or other conditions.
    """
    if spec.architecture != model.spec.architecture:
        raise WeightsError(
            f"{where}: weights of {spec.architecture!r}, but {model.name} needs "
            f"{model.spec.architecture!r}"
        )
    for field_ in ("scale", "channels", "conditions"):
        found, needed = getattr(spec, field_), getattr(model.spec, field_)
        if found != needed:
            raise WeightsError(
                f"{where}: weights with {field_} {found}, but {model.name} needs {needed}"
            )


def network_from_weights(model: Model, weights: Weights, origin: Path | str = "") -> nn.Module:
    """The model's network with these weights, in evaluation mode, float32, on the CPU.

    Raises:
        WeightsError: the weights belong to another architecture.
    """
    import torch

    where = origin or weights.model
    check_purpose(model, weights.spec, where)
    network = model.build(weights.spec)
    state = {name: torch.from_numpy(value) for name, value in weights.tensors.items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(f"{where}: does not fit {model.name}: {reason}") from error
    return network.eval()
