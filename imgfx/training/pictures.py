"""Pictures of one size, for generators: IDX files (MNIST and its kin) or a folder of images."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imgfx.errors import TrainingError
from imgfx.image import float_from_pixels, pixels_from_float
from imgfx.resample import resize
from imgfx.training.photos import load_photos

Pictures = npt.NDArray[np.uint8]
"""(N, size, size, channels)."""

_FEWEST = 64
_TEST_SET = 10_000
"""Pictures held out of a collection as large as MNIST, as many as its own test set has."""


def read_idx_images(path: Path) -> npt.NDArray[np.uint8]:
    """(N, H, W) of an IDX file, gzipped or not.

    Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database, 'file formats'.

    Raises:
        TrainingError: damaged, or no uint8 images.
    """
    data = _read_whole(path)
    if len(data) < 16:
        raise TrainingError(f"{path}: not a readable IDX file: its header is cut off")
    magic, count, height, width = struct.unpack_from(">IIII", data)
    size = count * height * width
    if magic != 0x803 or size == 0 or len(data) != 16 + size:
        raise TrainingError(f"{path}: damaged, or no IDX file of uint8 images")
    return np.frombuffer(data, np.uint8, offset=16).reshape(count, height, width)


def read_idx_labels(path: Path) -> npt.NDArray[np.uint8]:
    """(N,) of an IDX file, gzipped or not.

    Raises:
        TrainingError: damaged, or no uint8 labels.
    """
    data = _read_whole(path)
    if len(data) < 8 or struct.unpack_from(">II", data) != (0x801, len(data) - 8):
        raise TrainingError(f"{path}: damaged, or no IDX file of uint8 labels")
    return np.frombuffer(data, np.uint8, offset=8)


def _read_whole(path: Path) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise TrainingError(f"{path}: not a readable IDX file: {error}") from error


def idx_files(folder: Path) -> list[Path]:
    """The folder's IDX files of images; of one that is there packed and unpacked, the latter."""
    found = {path.name.removesuffix(".gz"): path for path in folder.glob("*-images-idx3-ubyte.gz")}
    found |= {path.name: path for path in folder.glob("*-images-idx3-ubyte")}
    return [found[name] for name in sorted(found)]


def load_pictures(
    folders: Sequence[Path], exclude: Sequence[str], size: int, channels: int
) -> Pictures:
    """All images of the folders, each file once, centre-cropped and resized to size x size.

    Raises:
        TrainingError: a missing folder, damaged files, or too few images.
    """
    sheets: dict[Path, list[Path]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise TrainingError(f"{folder}: no such folder of training data")
        sheets[folder] = idx_files(folder)
    files = dict.fromkeys(file.resolve() for found in sheets.values() for file in found)
    fit = partial(_fit, size=size, channels=channels)
    parts = [np.stack([fit(image) for image in read_idx_images(f)[..., None]]) for f in files]
    photographed = [folder for folder, found in sheets.items() if not found]
    if photographed:
        # Fitted as they are read: a large collection of large photos need not fit in memory.
        parts.append(np.stack(list(load_photos(photographed, exclude, fewest=1, fit=fit).values())))
    images = np.concatenate(parts)
    if len(images) < _FEWEST:
        where = ", ".join(map(str, folders))
        raise TrainingError(f"{where}: {len(images)} images, at least {_FEWEST} needed")
    return images


def split_pictures(pictures: Pictures) -> tuple[Pictures, Pictures]:
    """(held out, the others): the first tenth, or of 60,000 and more the first 10,000."""
    count = _TEST_SET if len(pictures) >= 6 * _TEST_SET else len(pictures) // 10
    return pictures[:count], pictures[count:]


def without_copies(pictures: Pictures, others: Pictures) -> Pictures:
    """The pictures that are not among others, pixel by pixel."""
    known = {picture.tobytes() for picture in others}
    return pictures[[picture.tobytes() not in known for picture in pictures]]


def grid(pictures: Pictures, columns: int) -> npt.NDArray[np.uint8]:
    """(N, H, W, C) pictures side by side, as one (rows * H, columns * W, C) picture."""
    count, height, width, channels = pictures.shape
    rows = count // columns
    table = pictures[: rows * columns].reshape(rows, columns, height, width, channels)
    return table.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)


def _fit(image: npt.NDArray[np.uint8], size: int, channels: int) -> npt.NDArray[np.uint8]:
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = image[top : top + side, left : left + side]
    if side != size:
        square = pixels_from_float(np.clip(resize(square, size, size), 0, 1), "uint8")
    if square.shape[2] == channels:
        return square
    if channels == 3:
        return np.repeat(square, 3, axis=2)
    gray = float_from_pixels(square) @ np.array([[0.299], [0.587], [0.114]], np.float32)
    return pixels_from_float(gray, "uint8")
