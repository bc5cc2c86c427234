"""Write images to a file, a folder, a template or stdout."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgfx.errors import EncodeError, ImgfxError
from imgfx.formats import FORMATS, Format, format_from_name, format_from_suffix
from imgfx.hookspecs import hookimpl
from imgfx.in_place import in_place_loss, is_same_file
from imgfx.stage import Item, Note, Sink, StageCommand, sink

if TYPE_CHECKING:
    from imgfx.image import Image
    from imgfx.session import Session

_FIELDS = ("stem", "name", "suffix", "folder", "index")


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
    _places: dict[Path, Path] = field(default_factory=dict)
    """What folders are without links."""

    def __post_init__(self) -> None:
        # An image's path is asked for several times while it is made.
        self._filled = lru_cache(maxsize=256)(self._fill)

    def target(self, item: Item, index: int) -> str:
        """The path for an item."""
        return str(self._path(item, index))

    def _path(self, item: Item, index: int) -> Path:
        stem = item.name if item.path is not None else _plain_name(item.name)
        if stem in (".", ".."):  # of `...png`, which would lead out of the folder
            stem = "_"
        return self._filled(stem, self._suffix(item), item.folder.as_posix(), index)

    def _fill(self, stem: str, suffix: str, folder: str, index: int) -> Path:
        values = {
            "stem": stem,
            "name": stem + suffix,
            "suffix": suffix,
            "folder": folder,
            "index": index,
        }
        try:
            return Path(self.template.format(**values))
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise click.UsageError(
                f"save: {self.template!r} is no template ({error}); fields are "
                + ", ".join(f"{{{name}}}" for name in _FIELDS)
            ) from error

    def _suffix(self, item: Item) -> str:
        """The input's ending where it can be kept, else the format's own."""
        kept = format_from_suffix(item.suffix)
        if self.format is None:
            return item.suffix if kept else ".png"
        return item.suffix if kept == self.format else self.format.suffixes[0]

    def check(self, item: Item, index: int) -> None:
        """Refuses a target that another image of the run has, or that is an input of the run.

        Raises:
            EncodeError: nothing may be written there.
        """
        self._checked(item, index)

    def _checked(self, item: Item, index: int) -> Path:
        """The target without links; see `check`."""
        path = self._path(item, index)
        self._format_of(path)
        place = self._resolved(path)
        other = self._taken.setdefault(place, item.origin)
        if other != item.origin:
            way = "save to a folder or use a template with {stem}, {folder} or {index}"
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
        """Refuses an image that would replace more than itself.

        Raises:
            EncodeError: it would, in its own file.
        """
        reason = in_place_loss(self._path(item, index), item.path, image.unread)
        if reason is not None:
            raise EncodeError(reason)

    def encode(self, image: Image, item: Item, index: int) -> tuple[bytes, tuple[str, ...]]:
        """The format is the option's, or the one of the target's ending."""
        from imgfx.files import encode

        path = self._path(item, index)
        return encode(
            image, self._format_of(path), quality=self.quality, origin=str(path), rate=self.rate
        )

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
        parts = itertools.takewhile(lambda part: not _has_field(part), Path(self.template).parts)
        return Path(*(part.replace("{{", "{").replace("}}", "}") for part in parts))

    def journal_options(self) -> Mapping[str, Any]:
        """See `Journaled`."""
        rate = None if self.rate is None else str(self.rate)
        return {"format": self.format and self.format.name, "quality": self.quality, "fps": rate}

    def keep_journal(self, note: Note) -> None:
        """See `Journaled`."""
        self._note = note


def _has_field(part: str) -> bool:
    return "{" in part.replace("{{", "")


def _plain_name(name: str) -> str:
    """A name that is one on every system: that of an image from a pipe may be anyone's."""
    plain = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]', "_", name).rstrip(". ")
    return plain[:80] or "image"


def _template(target: str) -> str:
    """A template for a target: a folder gets the names and the structure of the inputs."""
    if _has_field(target):
        return target
    literal = _literal(target)
    path = Path(literal)
    plain = literal.replace("{", "{{").replace("}", "}}")
    if _is_folder(path, literal):
        return plain.rstrip("/") + "/{folder}/{stem}{suffix}"
    return plain


def _is_folder(path: Path, literal: str) -> bool:
    """Whether a target is, or will be, a folder; a pipe or a device is none."""
    if path.exists() and not path.is_file():
        return path.is_dir()
    return literal.endswith("/") or not path.suffix


def _literal(target: str) -> str:
    """A target without fields as the path that it means."""
    return target.replace("{{", "{").replace("}}", "}") if "{{" in target else target


def _format(name: str | None, target: str) -> Format | None:
    if name is not None:
        return format_from_name(name)
    target = target if _has_field(target) else _literal(target)
    suffix = Path(target).suffix
    folder = _is_folder(Path(target), target) or "{suffix}" in target
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
    _check_quality(quality, chosen or format_from_suffix(Path(_literal(target)).suffix))
    _note_misnamed(session, format_name, target)
    return FileSink(_template(target), chosen, quality, overwrite, fps)


def _note_misnamed(session: Session, format_name: str | None, target: str) -> None:
    """Tells of an ending that says another format than is written."""
    suffix = Path(target if _has_field(target) else _literal(target)).suffix
    said = format_from_suffix(suffix)
    if format_name is None or said is None or said == format_from_name(format_name):
        return
    session.note(f"{target}: written as {format_name.lower()}, whatever its ending {suffix} says")


@hookimpl
def imgfx_stages() -> Sequence[StageCommand]:
    """The stage `save`."""
    return [save_images]
