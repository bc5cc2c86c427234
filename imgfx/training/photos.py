"""A pool of decoded photographs and random crops from it."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imgfx.errors import ImageError, TrainingError, tell
from imgfx.files import read_image
from imgfx.formats import READABLE_SUFFIXES
from imgfx.image import Image, float_from_pixels, peak, pixels_from_float

Photo = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""

_GRAY = np.float32(0.5)
_HELD_OUT_EVERY = 40
_HELD_OUT_MOST = 12
_PICTURES_OF_RUNS = (".samples.png", ".curves.png")
_FILES_OF_RUNS = (".safetensors", ".best.safetensors", ".state", ".metrics.jsonl")


def image_paths(folders: Iterable[Path], exclude: Sequence[str] = ()) -> Iterator[Path]:
    """Files with an image's suffix below the folders, sorted, each once, without excluded ones.

    Left out are hidden files and folders, as in `open`, and the pictures that `imgfx train` writes
    beside its weights, which may lie there too. That links to folders are, too, is told.

    Args:
        folders: searched with their sub-folders.
        exclude: glob patterns of file names, or of paths from the folder on.

    Raises:
        TrainingError: a folder does not exist.
    """
    seen: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise TrainingError(f"{folder}: no such folder of training data")
        for path in sorted(shown_below(folder)):
            wanted = path.suffix.lower() in READABLE_SUFFIXES and path.is_file()
            names = (path.name, path.relative_to(folder).as_posix())
            if not wanted or any(fnmatch.fnmatch(n, pattern) for n in names for pattern in exclude):
                continue
            file = path.resolve()  # a folder may be named twice, or lie within another
            if file not in seen and not _is_of_a_run(path):
                seen.add(file)
                yield path


def shown_below(folder: Path) -> Iterator[Path]:
    """What is in a folder and those below it, without hidden names; links to folders are told."""
    for path in folder.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_symlink() and path.is_dir():
            tell(f"{path}: a link to a folder is not followed; name it itself")
        yield path


def _is_of_a_run(path: Path) -> bool:
    """Whether it is a picture that belongs to the run whose files are beside it."""
    stems = [path.name.removesuffix(end) for end in _PICTURES_OF_RUNS if path.name.endswith(end)]
    return any(path.with_name(stem + end).is_file() for stem in stems for end in _FILES_OF_RUNS)


def load_photos(
    folders: Sequence[Path],
    exclude: Sequence[str] = (),
    *,
    smallest: int = 1,
    fewest: int = 2,
    fit: Callable[[Photo], Photo] = lambda photo: photo,
) -> dict[str, Photo]:
    """All photos as RGB uint8 by path; unreadable and small ones are reported and left out.

    Those with transparent pixels are laid on mid gray, and that is told: what lies below such
    pixels nobody has seen, and it is often black or noise. To leave them out would lose whole
    collections of which each picture has round corners.

    Args:
        folders: searched with their subfolders.
        exclude: glob patterns of file names to leave out.
        smallest: photos with a shorter side are left out.
        fewest: how many are needed.
        fit: what is kept of each.

    Raises:
        TrainingError: too few usable photos.
    """
    photos: dict[str, Photo] = {}
    small = transparent = 0
    for path in image_paths(folders, exclude):
        try:
            image = read_image(path)
        except ImageError as error:
            tell(f"left out: {error.format_message()}")
            continue
        if min(image.height, image.width) < smallest:
            small += 1
            continue
        laid = _on_gray(image)
        transparent += laid is not image
        photos[str(path)] = fit(_rgb8(laid))
    if len(photos) < fewest:
        where = ", ".join(map(str, folders))
        note = f" ({small} are smaller than {smallest} px)" if small else ""
        raise TrainingError(f"{where}: {len(photos)} usable images{note}, at least {fewest} needed")
    if small:
        tell(f"left out: {small} images with a side under {smallest} px")
    if transparent:
        tell(f"{transparent} images have transparent pixels; they are learned from on gray")
    return photos


def _on_gray(image: Image) -> Image:
    """The image without alpha, laid on mid gray; itself where it is opaque."""
    if image.alpha is None or image.alpha.min() >= peak(image.alpha.dtype):
        return image
    share = float_from_pixels(image.alpha)[..., None]
    return image.with_pixels(share * image.floats + (1 - share) * _GRAY, None)


def _rgb8(image: Image) -> Photo:
    pixels = pixels_from_float(image.pixels, "uint8")
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def hold_out(photos: dict[str, Photo]) -> tuple[list[Photo], list[Photo]]:
    """Photos split in (training, validation); which is which depends on file names alone.

    Copies of the held-out photos, which may have other names, are in neither.
    """
    ranked = sorted(photos, key=lambda name: hashlib.sha256(Path(name).name.encode()).digest())
    count = max(1, min(_HELD_OUT_MOST, len(ranked) // _HELD_OUT_EVERY))
    held = [photos[n] for n in ranked[:count]]
    return without((photos[n] for n in ranked[count:]), held), held


def without(photos: Iterable[Photo], others: Iterable[Photo]) -> list[Photo]:
    """The photos that are not among others, pixel by pixel."""
    known = {_digest(photo) for photo in others}
    shapes = {shape for shape, _ in known}  # digests of a large collection would take minutes
    return [p for p in photos if p.shape not in shapes or _digest(p) not in known]


def _digest(photo: Photo) -> tuple[tuple[int, ...], bytes]:
    return photo.shape, hashlib.sha256(photo.tobytes()).digest()


def centre_crop(photo: Photo, size: int, multiple: int = 1) -> Photo:
    """The middle of a photo, at most size on a side, sides a multiple of `multiple`."""
    height, width = (min(size, n) // multiple * multiple for n in photo.shape[:2])
    top, left = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
    return photo[top : top + height, left : left + width]


def random_crops(
    photos: Sequence[Photo], count: int, size: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """(count, size, size, 3) in [0, 1]: uniform over photos and places, in the eight symmetries.

    Photos with a side under `size` go on as in a mirror, as at an image's border.
    """
    crops = np.empty((count, size, size, 3), np.float32)
    for crop in crops:
        photo = _mirrored(photos[int(rng.integers(len(photos)))], size)
        top = rng.integers(photo.shape[0] - size + 1)
        left = rng.integers(photo.shape[1] - size + 1)
        patch = np.rot90(photo[top : top + size, left : left + size], int(rng.integers(4)))
        crop[...] = float_from_pixels(patch[:, ::-1] if rng.integers(2) else patch)
    return crops


def _mirrored(photo: Photo, size: int) -> Photo:
    """The photo with sides of at least size."""
    short = [max(0, size - side) for side in photo.shape[:2]]
    if not any(short):
        return photo
    return np.pad(photo, [*((n // 2, n - n // 2) for n in short), (0, 0)], "symmetric")
