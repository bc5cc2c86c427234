"""Writes docs/gallery.md and its pictures, what each stage makes of a photograph: `make gallery`.

Each scene degrades a photograph, has one `imgfx` line undo that, as a user would, and measures both
against the original. The record beside the pictures says what was measured, with which weights; the
page is written from it alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imgfx.degradations import add_noise, enlarge, lecture, shrink
from imgfx.files import jpeg_round_trip, read_image, write_image
from imgfx.image import Image, float_from_pixels, pixels_from_float
from imgfx.metrics import crop_border, psnr
from imgfx.model import bundled_weights
from imgfx.weights import load_weights

Float = npt.NDArray[np.float32]

DOCS = Path(__file__).parent
PAGE = DOCS / "gallery.md"
PICTURES = DOCS / "images" / "gallery"
RECORD = PICTURES / "record.json"
_PHOTOS = DOCS.parent / "examples" / "photos"
_MEASURED = 384
"""Side of the part of a photograph that is restored and measured; a multiple of every scale."""
_SIDE = 224
"""Of the part that is shown."""
_GAP = 6


@dataclass(frozen=True)
class Scene:
    """A stage at work on one photograph."""

    name: str
    """Of the picture."""
    title: str
    photo: str
    filters: str
    """The words between `open` and `save`."""
    degrade: Callable[[Float], Float]
    """(H, W, 3) in [0, 1], of a photograph -> what the line is given."""
    corner: tuple[int, int]
    """Top and left of the part that is shown."""
    models: Sequence[str]
    scale: int = 1
    given: str = ""
    """What was done to the photograph."""


@dataclass(frozen=True)
class Sheet:
    """Images that a generator makes."""

    name: str
    title: str
    words: str
    """The source with its options."""
    models: Sequence[str]
    columns: int = 12


@dataclass(frozen=True)
class Entry:
    """A picture of the page, as the record has it."""

    name: str
    title: str
    line: str
    given: str
    sha256: str
    """Of the picture."""
    weights: dict[str, str]
    """Digests of the models' weights."""
    before: float | None = None
    after: float | None = None


def _noise(clean: Float, sigma: int) -> Float:
    return add_noise(clean, sigma, seed=1)


def _noise_in_jpeg(clean: Float, sigma: int, quality: int) -> Float:
    return jpeg_round_trip(_noise(clean, sigma), quality)


def _small(clean: Float, scale: int) -> Float:
    return shrink(clean, scale)


def _small_and_noisy(clean: Float) -> Float:
    return add_noise(shrink(clean, 2), 15, seed=1)


SCENES = (
    Scene("denoise-25", "Noise", "koalas", "denoise-ae", partial(_noise, sigma=25),
          (6, 70), ["denoise-ae"], given="noise of sigma 25, level unknown"),
    Scene("denoise-50", "Strong noise", "taj-mahal", "denoise-ae --sigma 50",
          partial(_noise, sigma=50), (56, 86), ["denoise-ae"],
          given="noise of sigma 50, level given"),
    Scene("denoise-half", "Half the change", "row-houses", "denoise-ae --strength 0.5",
          partial(_noise, sigma=15), (86, 86), ["denoise-ae"],
          given="noise of sigma 15; half of what is found is left, as grain"),
    Scene("denoise-jpeg", "Noise that went through JPEG", "row-houses", "denoise-ae",
          partial(_noise_in_jpeg, sigma=15, quality=80), (136, 136), ["denoise-ae"],
          given="noise of sigma 15, then JPEG of quality 80"),
    Scene("fast-2", "Twice as large, fast", "row-houses", "superres-fast --scale 2",
          partial(_small, scale=2), (86, 86), ["superres-fast-x2"], 2, "shrunk to a half"),
    Scene("fast-3", "Three times as large, fast", "koalas", "superres-fast --scale 3",
          partial(_small, scale=3), (6, 70), ["superres-fast-x3"], 3, "shrunk to a third"),
    Scene("fast-4", "Four times as large, fast", "taj-mahal", "superres-fast --scale 4",
          partial(_small, scale=4), (56, 86), ["superres-fast-x4"], 4, "shrunk to a quarter"),
    Scene("rednet-2", "Twice as large, by the deep network", "row-houses",
          "superres-rednet --scale 2", partial(_small, scale=2), (150, 150),
          ["superres-rednet"], 2, "shrunk to a half"),
    Scene("rednet-1", "Sharpened, of the same size", "koalas", "superres-rednet --scale 1",
          lecture, (6, 70), ["superres-rednet"], 1, "softened: 2x down and up, bilinear"),
    Scene("chain", "Two stages in a chain", "taj-mahal", "denoise-ae superres-fast --scale 2",
          _small_and_noisy, (56, 86), ["denoise-ae", "superres-fast-x2"], 2,
          "shrunk to a half, then noise of sigma 15"),
)  # fmt: skip

SHEETS = (
    Sheet("fashion", "Clothes that do not exist", "gan-generate --count 36 --seed 7",
          ["gan-generate"]),
    Sheet("faces", "Faces of nobody", "gan-generate --model faces --count 16 --seed 7",
          ["gan-generate-faces"], columns=8),
)  # fmt: skip

_HEAD = """# Gallery

What the stages make of three photographs of `examples/photos`, with the weights that come with
imgfx. Written by `make gallery`, pictures and figures.

Left what the stage is given (enlarged by bicubic interpolation where the stage enlarges), in the
middle what it makes of it, right the original. The figures are PSNR in dB against the original, on
RGB, over the middle {measured}x{measured} pixels of the photograph without a border as wide as the
scale; higher is better. The pictures show {side}x{side} of these pixels. `open` and `save` are in
every line, and change nothing.
"""


def main() -> None:
    """Pictures, record, page."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    entries = [_of_scene(scene) for scene in SCENES] + [_of_sheet(sheet) for sheet in SHEETS]
    RECORD.write_text(json.dumps([asdict(entry) for entry in entries], indent=2) + "\n")
    PAGE.write_text(page(recorded()), encoding="utf-8")


def recorded() -> list[Entry]:
    """What the record has."""
    return [Entry(**fields) for fields in json.loads(RECORD.read_text(encoding="utf-8"))]


def page(entries: Sequence[Entry]) -> str:
    """The page of a record."""
    return _HEAD.format(side=_SIDE, measured=_MEASURED) + "".join(
        _section(entry) for entry in entries
    )


def _section(entry: Entry) -> str:
    figures = f"{entry.given[:1].upper()}{entry.given[1:]}."
    alt = entry.title.lower()
    if entry.before is not None and entry.after is not None:
        figures += f" {entry.before:.2f} dB before, **{entry.after:.2f} dB** after."
        alt += ": before, after, original"
    return (
        f"\n## {entry.title}\n\n```sh\n{entry.line}\n```\n\n"
        f"![{alt}](images/gallery/{entry.name}.webp)\n\n{figures}\n"
    )


def _of_scene(scene: Scene) -> Entry:
    """Degrades, restores, measures, and writes the picture."""
    clean = _middle(read_float(_PHOTOS / f"{scene.photo}.webp"))
    given = scene.degrade(clean)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "a.png", Path(folder) / "b.png"
        write_image(source, Image(pixels_from_float(given, "uint8")))
        _imgfx(["open", str(source), *shlex.split(scene.filters), "save", str(target)])
        restored = read_float(target)
    before = enlarge(given, scene.scale) if scene.scale > 1 else given
    _write(scene.name, [_part(values, scene.corner) for values in (before, restored, clean)])
    return _entry(
        scene, f"imgfx open a.png {scene.filters} save b.png", scene.given,
        _figure(before, clean, scene.scale), _figure(restored, clean, scene.scale),
    )  # fmt: skip


def _of_sheet(sheet: Sheet) -> Entry:
    """Generates, and writes the images side by side."""
    with tempfile.TemporaryDirectory() as folder:
        _imgfx([*shlex.split(sheet.words), "save", folder])
        images = [_as_rgb(read_float(path)) for path in sorted(Path(folder).glob("*.png"))]
    rows = [images[k : k + sheet.columns] for k in range(0, len(images), sheet.columns)]
    _write(sheet.name, [np.concatenate([np.concatenate(row, 1) for row in rows])])
    return _entry(sheet, f"imgfx {sheet.words} save out", "as they come, none picked out")


def _entry(
    made: Scene | Sheet, line: str, given: str,
    before: float | None = None, after: float | None = None,
) -> Entry:  # fmt: skip
    picture = (PICTURES / f"{made.name}.webp").read_bytes()
    digest = hashlib.sha256(picture).hexdigest()
    return Entry(made.name, made.title, line, given, digest, weights(made.models), before, after)


def weights(models: Sequence[str]) -> dict[str, str]:
    """The digests of the bundled weights of these models."""
    files = {name: bundled_weights(name) for name in models}
    return {name: load_weights(path).digest for name, path in files.items() if path is not None}


def _imgfx(words: Sequence[str]) -> None:
    """The command a user would type, without anyone's plugins."""
    environment = {**os.environ, "IMGFX_PLUGINS": "", "IMGFX_PLUGINS_DIR": ""}
    subprocess.run([sys.executable, "-m", "imgfx", "-q", *words], env=environment, check=True)


def read_float(path: Path) -> Float:
    """(H, W, C) in [0, 1]."""
    return float_from_pixels(read_image(path).pixels)


def _as_rgb(values: Float) -> Float:
    return np.broadcast_to(values, (*values.shape[:2], 3))


def _middle(values: Float) -> Float:
    top, left = ((size - _MEASURED) // 2 for size in values.shape[:2])
    return values[top : top + _MEASURED, left : left + _MEASURED]


def _part(values: Float, corner: tuple[int, int]) -> Float:
    top, left = corner
    return values[top : top + _SIDE, left : left + _SIDE]


def _figure(values: Float, clean: Float, scale: int) -> float:
    """PSNR as the page states it."""
    border = scale if scale > 1 else 0
    return round(float(psnr(crop_border(values, border), crop_border(clean, border))), 2)


def _write(name: str, parts: Sequence[Float]) -> None:
    """Pictures side by side, with a gap."""
    gap = np.ones((parts[0].shape[0], _GAP, 3), np.float32)
    spaced = [piece for part in parts for piece in (part, gap)][:-1]
    pixels = pixels_from_float(np.concatenate(spaced, axis=1), "uint8")
    write_image(PICTURES / f"{name}.webp", Image(pixels), quality=88)


if __name__ == "__main__":
    main()
