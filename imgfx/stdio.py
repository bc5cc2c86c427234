"""The chain's ends when none is named: images from stdin, images to stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import click

from imgfx.errors import EncodeError, ImgfxError
from imgfx.files import MOST_PIXELS, decode, descriptor_of, encode
from imgfx.formats import Format, format_from_name, sniff, y4m
from imgfx.stage import Item, Stage
from imgfx.stdout import write_all
from imgfx.stream_buffer import CERTAIN_BEGINNING
from imgfx.streams import DELIMITED, reaches_to_the_end, split

if TYPE_CHECKING:
    from imgfx.image import Image
    from imgfx.session import Session


_WIRES = ("ppm", "pam", "bmp", "y4m")
"""Formats between programs; in a folder such images become PNG files."""


class StdinItems:
    """The images of a concatenated stream on stdin.

    Raises:
        click.UsageError: stdin is a terminal or closed.
        ImgfxError: while iterating, when there is not a single byte.
    """

    count: int | None = None

    def __init__(self, most_pixels: int | None = MOST_PIXELS) -> None:
        self._most_pixels = most_pixels
        if sys.stdin is None or sys.stdin.closed:
            raise click.UsageError("stdin is closed; name the images with 'open FILE...'")
        if sys.stdin.isatty():
            raise click.UsageError(
                "no images: name them with 'open FILE...', or pipe them to stdin"
            )

    def __iter__(self) -> Iterator[Item]:
        number = -1
        for number, data in enumerate(split(sys.stdin.buffer, self._most_pixels)):
            yield _item(number, data, self._most_pixels)
        if number < 0:
            raise ImgfxError("stdin: the stream is empty")


def _item(number: int, data: bytes, most_pixels: int | None) -> Item:
    origin = f"stdin #{number}"
    # The number is the item's name, not the image's: it is no name to be handed on.
    name = f"image_{number:04d}"
    known = sniff(data)
    suffix = "" if known is None or known.name in _WIRES else known.suffixes[0]

    def load() -> Image:
        image = decode(data, origin, most_pixels=most_pixels)
        if not reaches_to_the_end(data) or CERTAIN_BEGINNING.search(data, 8) is None:
            return image
        assert known is not None, "it has been decoded"
        note = f"a {known.name} in a pipe takes all that follows it: the images there are not read"
        return replace(image, notes=(*image.notes, note))

    return Item(origin, load, name, suffix)


class StdoutSink:
    """Writes images to stdout, one behind the other.

    Raises:
        click.UsageError: stdout is a terminal, or the report would go there too.
    """

    def __init__(
        self,
        session: Session,
        target: Format,
        quality: int | None = None,
        rate: Fraction | None = None,
    ) -> None:
        self._descriptor = 1 if session.images_out is None else session.images_out
        self._format, self._quality, self._rate = target, quality, rate
        self._video: y4m.Header | None = None
        if os.isatty(self._descriptor) and not session.settings.dry_run:
            raise click.UsageError(
                "stdout is a terminal: redirect it ('> image.png') or end with 'save FILE'"
            )
        report = session.settings.report
        if report is not None and descriptor_of(report) == 1:
            raise click.UsageError(f"--report {report}: stdout has the images")

    def target(self, item: Item, index: int) -> str:
        """Always stdout."""
        del item, index
        return "stdout"

    def check(self, item: Item, index: int) -> None:
        """Refuses a second image in a format that does not say where a file ends.

        Raises:
            EncodeError: whoever reads the stream would lose it.
        """
        if index and self._format.name not in DELIMITED:
            raise EncodeError(
                f"{item.origin}: {self._format.name} holds one image a stream; save to files, or "
                f"in one of {', '.join(sorted(DELIMITED))}"
            )

    def encode(self, image: Image, item: Item, index: int) -> tuple[bytes, tuple[str, ...]]:
        """PNG with cheap compression unless another format was asked for."""
        del item, index
        return encode(
            image,
            self._format,
            quality=self._quality,
            origin="stdout",
            stream=True,
            rate=self._rate,
        )

    def write(self, data: bytes, item: Item, index: int) -> None:
        """Raises ReaderGoneError when the reader has gone."""
        self.check(item, index)
        if self._format.name == "y4m":
            data = self._frame(data, item)
        write_all(self._descriptor, data)

    def _frame(self, data: bytes, item: Item) -> bytes:
        """A Y4M as it follows those before: only the first one's header is written.

        Raises:
            EncodeError: it does not fit that header.
        """
        if self._video is None:
            self._video = y4m.parse_header(data)
            return data
        try:
            return y4m.next_frame(self._video, data)
        except ValueError as error:
            raise EncodeError(f"{item.origin}: {error}") from error


def stdin_stage() -> Stage:
    """The source of a chain that names none."""
    return Stage("stdin", "source", lambda session: StdinItems(session.settings.most_pixels))


def stdout_stage() -> Stage:
    """The sink of a chain that names none."""
    png = format_from_name("png")
    assert png is not None
    return Stage("stdout", "sink", lambda session: StdoutSink(session, png))
