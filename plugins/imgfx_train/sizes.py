"""A model of another size than its plugin's own: wider, narrower, deeper."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from imgfx.errors import TrainingError, confined

if TYPE_CHECKING:
    from imgfx.model import Model


def sizes_of(texts: Sequence[str]) -> dict[str, int]:
    """`("width=32", "depth=15")` by name.

    Raises:
        click.BadParameter: another form.
    """
    sizes: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not name or not number.isascii() or not number.isdigit() or int(number) < 1:
            raise click.BadParameter(f"{text!r} is not of the form NAME=N, such as width=32")
        sizes[name] = int(number)
    return sizes


def sized_model(model: Model, sizes: Mapping[str, int]) -> Model:
    """The model with another size of network, or itself where none is asked for.

    Raises:
        TrainingError: it has one size only, or none of that name.
    """
    if not sizes:
        return model
    known = model.spec.options
    if model.sized is None:
        raise TrainingError(f"--size: {model.name} has one size only; leave it out")
    unknown = [name for name in sizes if name not in known]
    if unknown:
        there = ", ".join(f"{name}={value}" for name, value in known.items())
        raise TrainingError(f"--size {unknown[0]}: {model.name} has {there}")
    with confined(f"the sizes of {model.name}"):
        spec = model.sized(**{**known, **sizes})
    return dataclasses.replace(model, spec=spec)
