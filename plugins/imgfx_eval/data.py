"""Which files of a folder are measured, and which degraded image belongs to each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from imgfx.errors import ImageError
from imgfx.formats import READABLE_SUFFIXES
from imgfx.training.photos import shown_below


def named_images(folder: Path) -> list[tuple[str, Path]]:
    """Images of a folder in alphabetical order, under names that differ.

    A name is the path in the folder without the suffix, where that is the only such path.

    Raises:
        ImageError: there is no such folder, or no image in it.
    """
    paths = _images(folder)
    within = [path.relative_to(folder) for path in paths]
    count = Counter(path.with_suffix("") for path in within)
    names = (path if count[path.with_suffix("")] > 1 else path.with_suffix("") for path in within)
    return [(name.as_posix(), path) for name, path in zip(names, paths, strict=True)]


def partners(
    clean: Iterable[Path], data: Path, degraded: Path, scale: int | None
) -> Mapping[Path, Path | str]:
    """By the clean image of `data` the file of `degraded` with its path, or why there is none.

    Suffixes may differ, and small images may have their scale in the name, as in DIV2K: the one of
    0801.png is 0801x2.png.

    Raises:
        ImageError: there is no such folder, or no image in it.
    """
    found: dict[Path, list[Path]] = {}
    for path in _images(degraded):
        found.setdefault(path.relative_to(degraded).with_suffix(""), []).append(path)
    names = {path: path.relative_to(data) for path in clean}
    times = Counter(name.with_suffix("") for name in names.values())
    return {
        path: _partner(name, degraded, found, scale, alone=times[name.with_suffix("")] == 1)
        for path, name in names.items()
    }


def _partner(
    path: Path,
    degraded: Path,
    found: Mapping[Path, list[Path]],
    scale: int | None,
    *,
    alone: bool,
) -> Path | str:
    stem = path.with_suffix("")
    here = found.get(stem) or found.get(stem.with_name(f"{stem.name}x{scale}"), [])
    exact = [file for file in here if file.suffix == path.suffix]
    if here and not exact and not alone:
        return f"{degraded / path}: no degraded image of this name, which several have"
    here = exact or here
    if len(here) == 1:
        return here[0]
    if not here:
        return f"{degraded / stem}: no degraded image of this name"
    return f"{degraded / stem}: {len(here)} degraded images have this name; leave one"


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder")
    found = (p for p in shown_below(folder) if p.suffix.lower() in READABLE_SUFFIXES)
    paths = sorted(path for path in found if path.is_file())
    if not paths:
        raise ImageError(f"{folder}: no images in this folder")
    return paths
