"""What runs on the nodes: reading, and the chain's filters, sent by Ray to where there is room."""

from __future__ import annotations

import pickle
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imgfx.engines.base import Choice
from imgfx.errors import ImageError, ImgfxError
from imgfx.image import Image
from imgfx.runners import Blueprint, Made, Maker, load
from imgfx.stage import Item


@dataclass(frozen=True)
class Opened:
    """A worker that is ready, or why it is not."""

    choices: Mapping[str, Choice]
    notes: Sequence[str] = ()
    error: str | None = None


class Reader:
    """Reads images; what cannot be read is answered as the message of its failure."""

    def __init__(self, blueprint: Blueprint) -> None:
        self._blueprint = blueprint

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of the data set with the image in it."""
        index, item = pickle.loads(row["item"])  # noqa: S301  # our own driver's
        found: Image | str
        try:
            self._blueprint.enter()
            found = load(item)
        except ImgfxError as error:
            found = error.format_message()
        # As an array: Arrow's strings of bytes end at 2 GiB.
        return {"image": np.frombuffer(pickle.dumps((index, item, found), protocol=5), np.uint8)}


class Worker:
    """The chain's filters with their models, opened once."""

    def __init__(self, blueprint: Blueprint) -> None:
        self._blueprint = blueprint
        self._maker: Maker | None = None

    def open(self) -> Opened:
        """Loads the models; must come first."""
        try:
            self._maker = Maker(self._blueprint)
        except ImgfxError as error:
            return Opened({}, error=f"on node {platform.node()}: {error.format_message()}")
        return Opened(self._maker.choices, self._maker.new_notes())

    def make(self, block: Any) -> tuple[int, Item, Made]:
        """The image of a block, which has one row."""
        assert self._maker is not None, "opened before"
        (image,) = block.column("image").to_numpy()
        index, item, found = pickle.loads(memoryview(image))  # noqa: S301  # our own reader's

        def answer() -> Image:
            if isinstance(found, str):
                raise ImageError(found)
            assert isinstance(found, Image)
            return found

        return index, item, self._maker(item, index, answer)
