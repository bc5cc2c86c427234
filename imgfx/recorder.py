"""The recorder: writes into each image how this run made it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imgfx import __version__
from imgfx.errors import WeightsError
from imgfx.provenance import PIPE, ProvenanceError, Run, Step, UsedModel, runs_of, text_of

if TYPE_CHECKING:
    from imgfx.image import Image
    from imgfx.session import LoadedModel
    from imgfx.stage import Item


@dataclass(frozen=True)
class Recorded:
    """A started stage, as it is to be recorded."""

    step: Step
    models: Sequence[LoadedModel] = ()
    """What it runs."""

    def now(self) -> Step:
        """With what runs its models by now: that may change when one fails."""
        models = [
            UsedModel(
                loaded.model.name,
                loaded.weights.digest,
                loaded.choice.engine,
                loaded.choice.device,
                loaded.choice.precision,
            )
            for loaded in self.models
        ]
        return replace(self.step, models=models)


@dataclass(frozen=True)
class Recorder:
    """Writes the provenance of a chain's images."""

    filters: Sequence[Recorded] = ()
    source: Recorded | None = None
    """Of images that are made, not read."""
    wanted: bool = True
    """False takes away what images carry, too."""

    def __call__(self, image: Image, item: Item, carried: str | None) -> Image:
        """The image with its provenance.

        Args:
            image: behind the filters, which may have lost its metadata.
            item: what the source announced.
            carried: the provenance that it came with.
        """
        if not self.wanted:
            return _with(image, None)
        steps = self._steps(item)
        if not steps:
            return _with(image, carried)
        earlier: Sequence[Run] = []
        if carried is not None:
            try:
                earlier = runs_of(carried)
            except ProvenanceError as error:
                note = f"{error.format_message()}; it begins anew"
                image = replace(image, notes=(*image.notes, note))
        return _with(image, text_of([*earlier, *_runs(steps)]))

    def has_made(self, carried: str | None) -> bool:
        """Whether a provenance has these filters, one behind the other, of whatever versions."""
        own = _told(_runs([recorded.step for recorded in self.filters]))
        try:
            told = _told(runs_of(carried)) if carried else []
        except ProvenanceError:
            return False
        return bool(own) and any(own == told[k : k + len(own)] for k in range(len(told)))

    def _steps(self, item: Item) -> list[Step]:
        steps = [recorded.now() for recorded in self.filters]
        if self.source is None or item.again is None:
            return steps
        made = self.source.now()
        return [replace(made, options={**made.options, **item.again}), *steps]


def _runs(steps: Sequence[Step]) -> list[Run]:
    """Cut at each `PIPE`."""
    groups: list[list[Step]] = [[]]
    for step in steps:
        if step.stage == PIPE.stage:
            groups.append([])
        else:
            groups[-1].append(step)
    return [Run(__version__, group) for group in groups if group]


def _told(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Name and options of each stage, the options as text."""
    return [
        (step.stage, json.dumps(dict(step.options), sort_keys=True))
        for run in runs
        for step in run.steps
    ]


def _with(image: Image, provenance: str | None) -> Image:
    if image.metadata.provenance == provenance:
        return image
    return replace(image, metadata=replace(image.metadata, provenance=provenance))


def carried_by(image: object) -> str | None:
    """The provenance of what a source answered, which may be no image."""
    text: str | None = getattr(getattr(image, "metadata", None), "provenance", None)
    return text


def check_weights(stage: str, wanted: Mapping[str, str], models: Sequence[LoadedModel]) -> None:
    """Refuses weights other than those that a stage must have.

    Raises:
        WeightsError: says both digests.
    """
    for loaded in models:
        name, digest = loaded.model.name, loaded.weights.digest
        if wanted.get(name, digest) != digest:
            raise WeightsError(
                f"stage {stage!r}: the image was made with weights {wanted[name]} of {name}, and "
                f"here are {digest}; name the others with --file, or go on with --anyway"
            )
