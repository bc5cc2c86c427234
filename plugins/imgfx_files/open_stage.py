"""Read images from files, folders, globs or stdin."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import click

from imgfx.errors import DecodeError, ImageError
from imgfx.formats import READABLE_SUFFIXES, DamagedError, y4m
from imgfx.hookspecs import hookimpl
from imgfx.stage import Item, ItemList, Items, StageCommand, source

if TYPE_CHECKING:
    from imgfx.image import Image
    from imgfx.session import Session

_READABLE = READABLE_SUFFIXES | {".apng", ".mpo", ".jps", ".insp", ".avifs"}
"""Endings that a folder's files are read by: those of formats, and of kinds of PNG, JPEG and AVIF
of which the first picture is read."""
_UNREADABLE = frozenset((
    ".heic", ".heif", ".heics", ".hif", ".gif", ".jxl", ".jp2", ".jpx", ".j2k", ".jxr", ".svg",
    ".psd", ".psb", ".xcf", ".exr", ".hdr", ".dpx", ".pfm", ".tga", ".pcx", ".ico",
    ".raw", ".dng", ".gpr", ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".erf", ".fff", ".iiq",
    ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2",
    ".srw", ".x3f",
    ".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm",
))  # fmt: skip
"""Endings of pictures and videos that imgfx does not read, above all of cameras and phones: those
of a folder are not passed over in silence."""
_DIGITS = re.compile("[0-9]+")


def _load(path: Path, folder: PurePath, most_pixels: int | None) -> Image:
    from imgfx.files import read_image

    return replace(read_image(path, most_pixels), folder=folder)


def _file_item(path: Path, folder: PurePath, most_pixels: int | None) -> Item:
    load = partial(_load, path, folder, most_pixels)
    return Item(str(path), load, path.stem, path.suffix, folder, path)


@dataclass(frozen=True)
class _Frame:
    """One frame of a video, which is read when it is its turn."""

    path: Path
    folder: PurePath
    header: bytes
    place: tuple[int, int]
    """Its first byte in the file, and its length."""
    number: int
    most_pixels: int | None

    def item(self) -> Item:
        """With no ending: in a folder, frames become PNG files."""
        return Item(self.origin, self.load, self.name, "", self.folder, self.path)

    @property
    def origin(self) -> str:
        """For messages."""
        return f"{self.path} #{self.number}"

    @property
    def name(self) -> str:
        """The stem of the output's name."""
        return f"{self.path.stem}_{self.number:04d}"

    def load(self) -> Image:
        """The frame."""
        from imgfx.files import decode

        try:
            with self.path.open("rb") as file:
                file.seek(self.place[0])
                data = self.header + file.read(self.place[1])
        except OSError as error:
            raise DecodeError(f"{self.path}: cannot read: {error.strerror}") from error
        image = decode(data, self.origin, self.name, self.most_pixels)
        return replace(image, source=self.path, folder=self.folder)


def _natural(path: Path) -> tuple[tuple[str, ...], Path]:
    """What sorts names as people do, frame_9999 before frame_10000; alike ones as plain text."""
    return tuple(_DIGITS.sub(_counted, part) for part in path.parts), path


def _counted(found: re.Match[str]) -> str:
    """A number behind the number of its digits: of more digits it is larger."""
    digits = found[0].lstrip("0")
    return f"{len(digits):03d}{digits}"


def _items_of_file(path: Path, folder: PurePath, most_pixels: int | None) -> list[Item]:
    """One, but of a video one for each frame; what cannot be read fails when it is loaded."""
    if path.suffix.lower() != ".y4m" or not _holds(path.is_file):
        return [_file_item(path, folder, most_pixels)]
    try:
        with path.open("rb") as file:
            header, places = y4m.places(file)
    except (OSError, DamagedError):
        return [_file_item(path, folder, most_pixels)]
    frames = (
        _Frame(path, folder, header, place, number, most_pixels)
        for number, place in enumerate(places)
    )
    return [frame.item() for frame in frames]


def _folder_items(folder: Path, recursive: bool, session: Session) -> list[Item]:
    items = []
    passed_over: Counter[str] = Counter()
    found = _files_below(folder, recursive, session.note, passed_over)
    for path in sorted(found, key=_natural):
        items += _items_of_file(path, path.relative_to(folder).parent, session.settings.most_pixels)
    if passed_over:
        told = ", ".join(f"{count} {suffix}" for suffix, count in sorted(passed_over.items()))
        session.note(f"{folder}: formats that are not supported are passed over: {told}")
    if not items:
        raise ImageError(f"{folder}: no images in this folder")
    return items


def _holds(question: Callable[[], bool]) -> bool:
    """The answer; no, where a file may not be looked at, which then fails when it is loaded."""
    try:
        return question()
    except OSError:
        return False


def _files_below(
    folder: Path, recursive: bool, note: Callable[[str], None], passed_over: Counter[str]
) -> Iterator[Path]:
    """What bears the name of an image, and is not hidden; counts other pictures by their ending.

    A link that leads nowhere is among them: it was an image, and is one that fails. Links to
    folders, which may lead in a circle, are not followed.

    Raises:
        OSError: a folder cannot be read.
    """
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in shown:
        path = folder / entry.name
        if entry.is_dir(follow_symlinks=False):
            if recursive:
                yield from _files_below(path, recursive, note, passed_over)
        elif _holds(path.is_dir):
            if recursive:
                note(f"{path}: a link to a folder is not followed; open it by its name")
        elif path.suffix.lower() in _READABLE and (_holds(path.is_file) or not _holds(path.exists)):
            yield path
        elif path.suffix.lower() in _UNREADABLE:
            passed_over[path.suffix.lower()] += 1


def _items_of(name: str, recursive: bool, session: Session) -> list[Item]:
    if not _holds(Path(name).exists) and glob.has_magic(name):
        matches = sorted(map(Path, glob.glob(name, recursive=True)), key=_natural)
        if not matches:
            raise ImageError(f"{name}: no file matches")
        return [item for match in matches for item in _items_at(match, recursive, session)]
    return _items_at(Path(name), recursive, session)


def _items_at(path: Path, recursive: bool, session: Session) -> list[Item]:
    if _holds(path.is_dir):
        try:
            return _folder_items(path, recursive, session)
        except OSError as error:
            raise ImageError(f"{error.filename}: cannot read: {error.strerror}") from error
    return _items_of_file(path, PurePath(), session.settings.most_pixels)


@source("open")
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="PATH...",
    type=click.Path(allow_dash=True, readable=False),  # what cannot be read fails as an image
)
@click.option(
    "--recursive/--no-recursive",
    default=True,
    show_default=True,
    help="Look into the folders below a folder.",
)
def open_images(session: Session, paths: tuple[str, ...], recursive: bool) -> Items:
    """Read images from files, folders, globs or stdin (-).

    Of a folder, the files with the ending of an image are read, and `save FOLDER` keeps the
    structure of the folders below it. Hidden files are left out. Folders and quoted patterns are
    read in alphabetical order, but numbers by their size: frame_9999 before frame_10000. A file
    that is named twice is read once. A .y4m video is read frame by frame. A file that bears a
    stage's name is written ./name.

    \b
    Examples:
      imgfx open a.jpg denoise-ae save b.png
      imgfx open photos denoise-ae save out
      imgfx open 'scans/*.tif' superres-rednet --scale 2 save out
    """
    if "" in paths:
        raise click.UsageError("open: a path is empty")
    if "-" in paths:
        if len(paths) > 1:
            raise click.UsageError("open: '-' (stdin) cannot stand beside other paths")
        from imgfx.stdio import StdinItems

        return StdinItems(session.settings.most_pixels)
    items = [item for name in paths for item in _items_of(name, recursive, session)]
    once: dict[tuple[Path | None, str], Item] = {}
    for item in items:  # a file that is named twice, as by a folder and a glob, is one image
        once.setdefault((item.path and item.path.absolute(), item.name), item)
    return ItemList(list(once.values()))


@hookimpl
def imgfx_stages() -> Sequence[StageCommand]:
    """The stage `open`."""
    return [open_images]
