"""Write images to a file, a folder, a template or stdout."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgfx.errors import EncodeError, ImgfxError
from imgfx.formats import FORMATS, Format, format_from_name, format_from_suffix, sniff
from imgfx.hookspecs import hookimpl
from imgfx.in_place import in_place_loss, is_same_file
from imgfx.stage import Item, Note, Sink, StageCommand, sink
from imgfx_files.targets import (
    filled,
    has_field,
    is_folder,
    literal_of,
    plain_name,
    template_of,
    way_apart,
)

if TYPE_CHECKING:
    from imgfx.image import Image
    from imgfx.session import Session

_BLACK_AND_WHITE = ".pbm"
"""The ending of what has no grays between, and is not written."""


@dataclass
class FileSink:
    """Writes each image to its own file, whole or not at all."""

    template: str
    """With {stem}, {name}, {suffix}, {folder} and {index}; or a plain path."""
    format: Format | None
    """None takes the target's ending."""
    quality: int | None
    overwrite: bool
    rate: Fraction | None = None
    """Frames a second of a video's frame."""
    _note: Note | None = None
    _taken: dict[Path, str] = field(default_factory=dict)
    """Whose image goes to a path."""
    _read: dict[Path, str] = field(default_factory=dict)
    """Whose input a path is."""
    _written: dict[str, Path] = field(default_factory=dict)
    """What has been written, by its place as a file system names it that ignores case."""
    _earlier: Mapping[Path, Path] | None = None
    """What earlier runs have made, once it has been asked for."""
    _places: dict[Path, Path] = field(default_factory=dict)
    """What folders are without links."""

    def __post_init__(self) -> None:
        # An image's path is asked for several times while it is made.
        self._filled = lru_cache(maxsize=256)(partial(filled, self.template))
        self._filled("s" * 64, ".png", "f" * 64, 0)  # a wrong template is refused now

    def target(self, item: Item, index: int) -> str:
        """The path for an item."""
        return str(self._path(item, index))

    def _path(self, item: Item, index: int) -> Path:
        stem = item.name if item.path is not None else plain_name(item.name)
        if stem in (".", ".."):  # of `...png`, which would lead out of the folder
            stem = "_"
        return self._filled(stem, self._suffix(item), item.folder.as_posix(), index)

    def _suffix(self, item: Item) -> str:
        """The input's ending where it can be kept, else the format's own."""
        kept = format_from_suffix(item.suffix)
        if item.suffix.lower() == _BLACK_AND_WHITE and self.format in (None, kept):
            return ".pgm"
        if self.format is None:
            return item.suffix if kept else ".png"
        return item.suffix if kept == self.format else self.format.suffixes[0]

    def check(self, item: Item, index: int) -> None:
        """Refuses a target that is read-only, that another image has, or that is read, too.

        Raises:
            EncodeError: nothing may be written there.
        """
        self._checked(item, index)
        self._refuse_read_only(self._path(item, index))

    def _checked(self, item: Item, index: int) -> Path:
        """The target without links; see `check`."""
        path = self._path(item, index)
        self._format_of(path)
        place = self._resolved(path)
        other = self._taken.setdefault(place, item.origin)
        if other != item.origin:
            way = way_apart(self.template)
            if self._format_of(path).name == "y4m":
                way = f"write a video with 'save - --format y4m > {path}'"
            raise EncodeError(f"{other} and {item.origin} would both be written to {path}; {way}")
        if item.path is None:
            return place
        source = self._resolved(item.path)
        self._read[source] = item.origin
        reader, writer = self._read.get(place), self._taken.get(source)
        if reader not in (None, item.origin):
            raise EncodeError(f"{item.origin} would overwrite {reader}, which is read too")
        if writer not in (None, item.origin):
            raise EncodeError(f"{writer} would overwrite {item.origin}, which is read too")
        if not self.overwrite and is_same_file(path, item.path):
            raise EncodeError(
                f"{path}: would overwrite its own input; choose another target, or --overwrite"
            )
        return place

    def _refuse_read_only(self, path: Path) -> None:
        """Of what an earlier run has made it is not known yet whether it will be made again."""
        from imgfx.files import read_only
        from imgfx.journal import outputs_noted, place_of  # too slow for every start

        reason = read_only(path)
        if reason is None:
            return
        if self._earlier is None:
            folder = self.journal_folder()
            self._earlier = outputs_noted(folder) if folder is not None else {}
        if place_of(path) not in self._earlier:
            raise EncodeError(reason)

    def _resolved(self, path: Path) -> Path:
        """Without links; of a circle of them, as far as it goes.

        A folder is asked once: on a network each of its parents costs a question.
        """
        # Path.is_symlink raises where a name is too long.
        if path.name in ("", "..") or os.path.islink(path):  # noqa: PTH114
            return Path(os.path.realpath(path))
        folder = path.parent
        if folder not in self._places:
            self._places[folder] = Path(os.path.realpath(folder))
        return self._places[folder] / path.name

    def _format_of(self, path: Path) -> Format:
        chosen = self.format or format_from_suffix(path.suffix)
        if chosen is None:
            raise EncodeError(
                f"{path}: unknown format {path.suffix!r}; end the target with {{suffix}} or with a "
                "known ending, or give --format"
            )
        return chosen

    def accept(self, image: Image, item: Item, index: int) -> None:
        """Refuses an image that would replace more than itself, or become another format.

        Raises:
            EncodeError: it would, in its own file.
        """
        path = self._path(item, index)
        reason = in_place_loss(path, item.path, image.unread)
        if reason is None and is_same_file(path, item.path):
            told = self._misnamed(path, item)
            if told is not None:
                reason = f"{path}: {told}; rename it, or choose another target"
            elif path.suffix.lower() == ".pgm" and not image.is_gray:
                reason = f"{path}: it has colours, and a .pgm holds gray; choose another target"
        if reason is not None:
            raise EncodeError(reason)

    def _misnamed(self, path: Path, item: Item) -> str | None:
        """Tells of an input whose ending, which its output keeps, is not that of its content."""
        said = format_from_suffix(path.suffix)
        if self.format or item.path is None or path.suffix.lower() != item.suffix.lower():
            return None
        try:
            if not item.path.is_file():  # to open a pipe would wait for its writer
                return None
            with item.path.open("rb") as file:
                held = sniff(file.read(16))
        except OSError:
            return None
        if said is None or held in (None, said):
            return None
        return f"its content is {held.name}, its ending {path.suffix} says {said.name}"

    def encode(self, image: Image, item: Item, index: int) -> tuple[bytes, tuple[str, ...]]:
        """The format is the option's, or the one of the target's ending."""
        from imgfx.files import encode

        path = self._path(item, index)
        data, notes = encode(
            image,
            self._format_of(path),
            quality=self.quality,
            origin=str(path),
            rate=self.rate,
            ending=path.suffix,
        )
        told = self._misnamed(path, item)
        if told is not None:
            said = self._format_of(path).name
            notes = (*notes, f"{told}; written as {said}; --format takes another")
        return data, notes

    def write(self, data: bytes, item: Item, index: int) -> None:
        """By a temporary file and a rename."""
        from imgfx.files import write_file

        self._check_new(self._checked(item, index))
        path, note = self._path(item, index), self._note

        def before(found: os.stat_result) -> None:
            if note is not None:
                note(item, index, path, (found.st_size, found.st_mtime_ns))

        write_file(path, data, before)

    def _check_new(self, place: Path) -> None:
        """Refuses what the file system takes for another output of this run.

        Whether it does, as where it ignores case, is seen only when that has been written.
        """
        folded = unicodedata.normalize("NFC", str(place)).casefold()
        other = self._written.setdefault(folded, place)
        if other != place and is_same_file(place, other):
            raise EncodeError(
                f"{place}: this file system takes it for {other.name}, which was just written; "
                "use a template with {folder} or {index}"
            )

    def journal_folder(self) -> Path | None:
        """The template's part before the first field; None for a plain path."""
        if "{" not in self.template.replace("{{", ""):
            return None
        parts = itertools.takewhile(lambda part: not has_field(part), Path(self.template).parts)
        return Path(*(part.replace("{{", "{").replace("}}", "}") for part in parts))

    def journal_options(self) -> Mapping[str, Any]:
        """See `Journaled`."""
        rate = None if self.rate is None else str(self.rate)
        return {"format": self.format and self.format.name, "quality": self.quality, "fps": rate}

    def keep_journal(self, note: Note) -> None:
        """See `Journaled`."""
        self._note = note


def _format(name: str | None, target: str) -> Format | None:
    target = target if has_field(target) else literal_of(target)
    suffix = Path(target).suffix
    if suffix.lower() == _BLACK_AND_WHITE and (name or "ppm").lower() == "ppm":
        raise click.UsageError(
            f"save: {target!r}: black and white alone is not written; end it with .pgm or .png"
        )
    if name is not None:
        return format_from_name(name)
    folder = is_folder(Path(target), target) or "{suffix}" in target
    if not folder and not suffix.startswith("{") and format_from_suffix(suffix) is None:
        if not suffix:
            raise click.UsageError(
                f"save: {target!r} has no ending that says the format; give --format"
            )
        known = " ".join(sorted(s for f in FORMATS for s in f.suffixes))
        raise click.UsageError(
            f"save: unknown format {suffix!r}; known endings: {known}; a folder is written "
            f"{target + '/'!r}"
        )
    return None


def _check_rate(rate: Fraction | None, format_name: str | None, target: str) -> None:
    by_ending = format_from_suffix(Path(target).suffix)
    name = format_name or (by_ending.name if by_ending else None)
    if rate is not None and name != "y4m":
        raise click.UsageError("save: only Y4M has a frame rate; give --format y4m with --fps")


def _check_quality(quality: int | None, chosen: Format | None) -> None:
    if quality is not None and chosen is not None and chosen.quality is None:
        raise click.UsageError(f"save: {chosen.name} has no quality; leave out --quality")


def _rate(ctx: click.Context, param: click.Parameter, value: str | None) -> Fraction | None:
    """The fraction that is written: 25, 23.976 or 30000/1001."""
    if value is None:
        return None
    written = re.fullmatch(r"\d{1,9}(\.\d{1,6}|[/:]0*[1-9]\d{0,8})?", value)
    rate = Fraction(value.replace(":", "/")) if written else Fraction(0)
    if rate == 0:
        reason = f"{value!r} is no frame rate; write it as 25 or 30000/1001"
        raise click.BadParameter(reason, ctx, param)
    return rate


@sink("save")
@click.argument(
    "target", metavar="TARGET", type=click.Path(allow_dash=True, readable=False, writable=False)
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(
        # Written out for completion.
        ["png", "jpeg", "webp", "tiff", "avif", "bmp", "ppm", "pam", "y4m"],
        case_sensitive=False,
    ),
    help="The format; by default the target's ending, in a folder the input's.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    metavar="1..100",
    help="Of JPEG (default 95), WebP (95, 100 is lossless) and AVIF (90).",
)
@click.option(
    "--fps",
    callback=_rate,
    metavar="RATE",
    help="Frames a second of Y4M: 25, 30000/1001; by default the input video's, else 25.",
)
@click.option("--overwrite", is_flag=True, help="Allow an image to replace its own input.")
def save_images(
    session: Session,
    target: str,
    format_name: str | None,
    quality: int | None,
    fps: Fraction | None,
    overwrite: bool,
) -> Sink:
    """Write images to a file, a folder, a template or stdout (-).

    A target without an ending is a folder; it keeps the names, formats and sub-folders of the
    inputs. A template is a path with {stem}, {name}, {suffix}, {folder} or {index}, the number of
    the image ({index:04d}). Files appear whole or not at all.

    \b
    Examples:
      imgfx open a.jpg denoise-ae save b.png
      imgfx open photos denoise-ae save out --format webp --quality 90
      imgfx open *.jpg superres-rednet save 'out/{stem}_x2.png'
      imgfx open a.jpg denoise-ae save - --format ppm | pnmtops
      imgfx open in.y4m superres-fast save - --format y4m | ffmpeg -i - out.mp4
    """
    _check_rate(fps, format_name, target)
    if target == "-":
        from imgfx.stdio import StdoutSink

        stdout_format = format_from_name(format_name or "png")
        assert stdout_format is not None, "the option's choices are known formats"
        _check_quality(quality, stdout_format)
        return StdoutSink(session, stdout_format, quality, fps)
    if not target:
        raise ImgfxError("save: the target is empty")
    chosen = _format(format_name, target)
    _check_quality(quality, chosen or format_from_suffix(Path(literal_of(target)).suffix))
    _note_misnamed(session, format_name, target)
    return FileSink(template_of(target), chosen, quality, overwrite, fps)


def _note_misnamed(session: Session, format_name: str | None, target: str) -> None:
    """Tells of an ending that says another format than is written."""
    suffix = Path(target if has_field(target) else literal_of(target)).suffix
    said = format_from_suffix(suffix)
    if format_name is None or said is None or said == format_from_name(format_name):
        return
    session.note(f"{target}: written as {format_name.lower()}, whatever its ending {suffix} says")


@hookimpl
def imgfx_stages() -> Sequence[StageCommand]:
    """The stage `save`."""
    return [save_images]
