"""Memory and time of one photograph through one stage, from 1 to 48 megapixels, whole processes.

    python benchmarks/memory.py [--engine openvino] [--megapixels 1 3 12 48]

The photographs are mirrored copies of an example side by side, as JPEG. The peak of the resident
set is the process's own; what is allowed is input and output decoded (3 bytes a pixel each) and
1 GiB. The exponent is the slope of the logarithm of the seconds that the report gives.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

PHOTO = Path(__file__).parent.parent / "examples" / "photos" / "row-houses.webp"
ALLOWED = 1 << 30


def main() -> None:
    """A table, and the exponent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--stage", default="denoise-ae", help="with its options, in one word")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 3, 12, 48])
    options = parser.parse_args()
    rows = []
    print(f"{'MP':>6} {'seconds':>9} {'peak MiB':>9} {'allowed':>9}")
    for size in options.megapixels:
        pixels, seconds, peak = _measured(size, options.engine, options.stage.split())
        rows.append((pixels, seconds))
        allowed = (6 * pixels + ALLOWED) >> 20
        print(f"{pixels / 1e6:6.1f} {seconds:9.2f} {peak >> 20:9} {allowed:9}", flush=True)
    if len(rows) > 1:
        logarithms = np.log(np.array(rows))
        slope = np.polyfit(logarithms[:, 0], logarithms[:, 1], 1)[0]
        print(f"time grows with the number of pixels to the power of {slope:.3f}")


def _measured(megapixels: float, engine: str, stage: list[str]) -> tuple[int, float, int]:
    """Pixels, seconds for the image, and the peak of the resident set in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        pixels = _write_photo(Path(folder) / "a.jpg", megapixels)
        line = [sys.executable, "-m", "imgfx", "open", "a.jpg", *stage, "save", "b.jpg"]
        run = ["--engine", engine, "--report", "report.json", "-q"]
        process = subprocess.Popen([*line, *run], cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"imgfx ended with {os.waitstatus_to_exitcode(status)}")
        report = json.loads((Path(folder) / "report.json").read_text())
        return pixels, report["images"][0]["seconds"], _bytes(usage)


def _bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _write_photo(path: Path, megapixels: float) -> int:
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height)
    photo = cv2.imread(str(PHOTO))
    rows, columns = (-(-n // m) for n, m in zip((height, width), photo.shape, strict=False))
    pair = np.concatenate([photo, photo[:, ::-1]], axis=1)
    block = np.concatenate([pair, pair[::-1]])
    large = np.tile(block, (rows // 2 + 1, columns // 2 + 1, 1))[:height, :width]
    cv2.imwrite(str(path), large, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return height * width


if __name__ == "__main__":
    main()
