"""A folder through one stage: against pure inference, against a shell loop, and its memory.

    python benchmarks/batch.py [--images 300] [--size 320x240] [--engine auto] [--rounds 3]

Pure inference is the sum of what the network takes for the same decoded images in one process; the
batch is a whole process, from start to end, with decoding and encoding. The shell loop starts a
process an image, for a tenth of the images. Processes find compiled Python, as an installed
package's do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

INSTALLED = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
PHOTOS = Path(__file__).parent.parent / "examples" / "photos"
PURE = """
import sys, time
from pathlib import Path
from imgfx.files import read_image
from imgfx.plugins import Registry
from imgfx.session import Session
from imgfx.settings import Settings
registry = Registry()
settings = Settings(engine=sys.argv[2])
with Session(settings, registry.engine, engines=registry.names("engine")) as session:
    loaded = session.load(registry.model("denoise-ae"))
    images = [read_image(path) for path in sorted(Path(sys.argv[1]).iterdir())]
    loaded.restore(images[0], conditions=(-1.0,))
    started = time.perf_counter()
    for image in images:
        loaded.restore(image, conditions=(-1.0,))
    print(time.perf_counter() - started)
"""


def main() -> None:
    """The figures and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--size", default="320x240", type=size, metavar="WIDTHxHEIGHT")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photos(folder / "all", options.images, options.size)
        make_photos(folder / "tenth", options.images // 10, options.size)
        width, height = options.size
        print(f"{options.images} photos of {width}x{height}, {options.engine}")
        measure(folder, options.images, options.engine, options.rounds)


def size(text: str) -> tuple[int, int]:
    """`320x240` as (320, 240)."""
    width, _, height = text.partition("x")
    return int(width), int(height)


def measure(folder: Path, images: int, engine: str, rounds: int) -> None:
    """Runs alternate; the ratio is of the medians."""
    batch(folder, "tenth", engine)  # compiles, where the engine does
    pure, whole, peaks = [], [], {"all": 0, "tenth": 0}
    for _ in range(rounds):
        line = [sys.executable, "-c", PURE, str(folder / "all"), engine]
        pure.append(
            float(subprocess.run(line, capture_output=True, check=True, env=INSTALLED).stdout)
        )
        for part in ("tenth", "all"):
            seconds, peaks[part] = batch(folder, part, engine)
        whole.append(seconds)
    loop = shell_loop(folder, engine)
    ratio = statistics.median(whole) / statistics.median(pure)
    print(f"pure inference   {statistics.median(pure):7.2f} s")
    print(f"imgfx, a batch   {statistics.median(whole):7.2f} s   {ratio:.3f} times pure inference")
    print(f"a shell loop     {10 * loop:7.2f} s   {10 * loop / statistics.median(whole):.1f} times")
    small, large = (peaks[part] / 2**20 for part in ("tenth", "all"))
    print(f"peak memory      {small:.0f} MiB with {images // 10}, {large:.0f} MiB with {images}")


def batch(folder: Path, part: str, engine: str) -> tuple[float, int]:
    """Seconds and peak of the resident set, in bytes, of one process over a folder.

    Into a new folder, and none is removed before the end: while many files have just been deleted,
    ext4 takes longer for new ones.
    """
    out = tempfile.mkdtemp(prefix="out-", dir=folder)
    line = [sys.executable, "-m", "imgfx", "open", part, "denoise-ae", "save", out]
    started = time.perf_counter()
    process = subprocess.Popen([*line, "-q", "--engine", engine], cwd=folder, env=INSTALLED)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return time.perf_counter() - started, usage.ru_maxrss * 1024


def shell_loop(folder: Path, engine: str) -> float:
    """Seconds of a process an image over the tenth of them."""
    command = (
        f'for f in tenth/*; do "{sys.executable}" -m imgfx open "$f" denoise-ae '
        f'save "loop/$(basename "$f")" -q --engine {engine}; done'
    )
    started = time.perf_counter()
    subprocess.run(["sh", "-c", command], cwd=folder, check=True, env=INSTALLED)
    return time.perf_counter() - started


def make_photos(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Noisy crops of the example photographs, as JPEG."""
    folder.mkdir()
    photos = [cv2.imread(str(path)) for path in sorted(PHOTOS.iterdir())]
    rng = np.random.default_rng(0)
    width, height = size
    for number in range(count):
        photo = photos[number % len(photos)]
        across = -(-width // photo.shape[1])  # a photo smaller than that is laid side by side
        down = -(-height // photo.shape[0])
        photo = np.tile(photo, (down, across, 1))
        top = int(rng.integers(0, photo.shape[0] - height + 1))
        left = int(rng.integers(0, photo.shape[1] - width + 1))
        crop = photo[top : top + height, left : left + width]
        noisy = np.clip(crop + rng.normal(0, 20, crop.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:04d}.jpg"), noisy)


if __name__ == "__main__":
    main()
