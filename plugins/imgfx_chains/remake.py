"""From the provenance of an image to lines that do the same again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from imgfx import __version__
from imgfx.catalog import Catalog
from imgfx.errors import ImgfxError
from imgfx.option_paths import with_paths
from imgfx.provenance import Run, Step, UsedFile, UsedModel
from imgfx.stage import StageCommand
from imgfx.written import Line, Value, Written


@dataclass(frozen=True)
class Remake:
    """What an image's provenance says, as lines of stages that are installed here.

    Args:
        image: the file that carries it, for messages, and beside which files are looked for.
        runs: what it says.
        catalog: the plugins.
        files: named by the user, to be used where a recorded option has their name.
        anyway: leaves weights and files unchecked.
    """

    image: Path
    runs: Sequence[Run]
    catalog: Catalog
    files: Sequence[Path] = ()
    anyway: bool = False

    @property
    def steps(self) -> list[Step]:
        """Of all runs."""
        return [step for run in self.runs for step in run.steps]

    @property
    def models(self) -> list[UsedModel]:
        """Of all steps."""
        return [model for step in self.steps for model in step.models]

    @property
    def is_made(self) -> bool:
        """Whether it begins with a source, so that no image is needed."""
        return bool(self.steps) and self._command(self.steps[0]).kind == "source"

    def lines(self) -> list[Line]:
        """A line for each run.

        Raises:
            ImgfxError: a stage or a file is not here.
        """
        return [Line([self._written(step) for step in run.steps]) for run in self.runs]

    def check_kinds(self) -> None:
        """Refuses a record that no run can have written: it could read and write files.

        Raises:
            ImgfxError: a stage is missing, or no filter.
        """
        for number, step in enumerate(self.steps):
            kind = self._command(step).kind
            if kind != "filter" and (number or kind != "source"):
                raise ImgfxError(
                    f"{self.image}: its provenance is damaged: {step.stage!r} is no filter"
                )

    def _command(self, step: Step) -> StageCommand:
        command = self.catalog.stage(step.stage)
        if command is not None:
            return command
        package, _, name = step.stage.rpartition(":")
        if package and not package.endswith(".py"):
            raise ImgfxError(
                f"{self.image}: was made with the stage {name!r} of {package} {step.version}, "
                f"which is not installed: pip install {package}"
            )
        raise ImgfxError(
            f"{self.image}: was made with a stage {name!r}, which this imgfx {__version__} does "
            "not have; update it, or name the folder of the plugin's file with --plugins-dir"
        )

    def _written(self, step: Step) -> Written:
        parameters = self._command(step).params
        values: dict[str, Value] = {}
        for option, value in step.options.items():
            used = [file for file in step.files if file.option == option]
            values |= with_paths(parameters, {option: value}, partial(self._found, step, used))
        origin = f"{self.image}: stage {step.stage!r}"
        pins = {} if self.anyway else {model.model: model.weights for model in step.models}
        return Written(step.stage, values, origin, pins)

    def _found(self, step: Step, used: list[UsedFile], name: str) -> str:
        """A file that an option names: named by the user, beside the image, or here.

        Of several with its name the one that was used then. Takes it off `used`, for an option may
        name two files of one name, in their order.
        """
        name = PurePath(name).name  # whatever a stranger's image says
        file = next((file for file in used if file.name == name), None)
        if file is not None:
            used.remove(file)
        places = [place for place in self.files if place.name == name]
        places += [self.image.parent / name, Path(name)]
        there = [place for place in places if name and place.exists()]
        if there:
            return str(there[0] if file is None or self.anyway else _used_then(step, file, there))
        digests = [file and file.sha256, *(model.weights for model in step.models)]
        known = next((f" (sha256 {digest})" for digest in digests if digest), "")
        raise ImgfxError(
            f"{self.image}: stage {step.stage!r} used the file {name!r}{known}, which is neither "
            "beside the image nor here; name it with --file"
        )

    def differences(self) -> list[str]:
        """What is of another version than recorded."""
        found = [f"imgfx {run.imgfx}" for run in self.runs if run.imgfx != __version__]
        texts = [f"made with {what}, and this is {__version__}" for what in dict.fromkeys(found)]
        for step in self.steps:
            offer = self.catalog.find(step.stage, "source", "filter")
            here = offer.edition if offer is not None else ""
            if step.version and here != step.version:
                package = step.stage.rpartition(":")[0] or step.stage
                texts.append(f"made with {package} {step.version}, and here is {here}")
        return texts

    def settings(self, typed: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """(run options by which the same runs the models, why there are none).

        There are none, either, where models ran on several engines, or the user chooses.
        """
        ran = {(m.engine, m.device, m.precision) for m in self.models}
        if len(ran) != 1 or self.anyway:
            return {}, ""
        ((engine, device, precision),) = ran
        if typed.keys() & {"engine", "device", "precision"}:
            return {}, ""
        reason = self._missing(engine, device)
        if reason:
            return {}, f"made by {engine} on {device} in {precision}; {reason}"
        return {"engine": engine, "device": device, "precision": precision}, ""

    def _missing(self, engine: str, device: str) -> str:
        from imgfx.engines.choice import gpus

        if engine not in self.catalog.names("engine"):
            return "there is no such engine here"
        missing = self.catalog.engine(engine).missing()
        if missing:
            return f"which is not installed: {missing}"
        return "there is no GPU here" if device == "cuda" and not gpus() else ""


def _used_then(step: Step, used: UsedFile, places: Sequence[Path]) -> Path:
    """The place whose file is the one that was used.

    Raises:
        ImgfxError: none is.
    """
    digests: dict[Path, str] = {}
    for place in filter(Path.is_file, places):
        with place.open("rb") as file:
            digests[place] = hashlib.file_digest(file, "sha256").hexdigest()
        if digests[place] == used.sha256:
            return place
    path, digest = next(iter(digests.items()), (places[0], "none"))
    raise ImgfxError(
        f"{path}: stage {step.stage!r} used a file of this name with sha256 {used.sha256}, and "
        f"this one has {digest}; name the other with --file, or go on with --anyway"
    )
