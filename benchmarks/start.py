"""A cold start of one image through one network, whole processes, in turn.

    python benchmarks/start.py [--rounds 5]

A: `import torch` and the same inference in a bare script. B: `imgfx superres-rednet --scale 1` on
the same 256x256 image in a pipe, with each engine, what it compiled being there already. All find
compiled Python, as an installed package does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import cv2

INSTALLED = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
PHOTO = Path(__file__).parent.parent / "examples" / "photos" / "row-houses.webp"
BARE = """
import sys
import torch
from torch import nn
torch.manual_seed(0)
sizes = [3] + 29 * [64]
layers = [nn.Conv2d(i, o, 3, padding=1) for i, o in zip(sizes, [*sizes[1:], 3])]
network = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
with torch.inference_mode():
    network(torch.rand(1, 3, 256, 256))
"""


def main() -> None:
    """Medians and their ratios to the bare script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    image = cv2.imencode(".png", cv2.imread(str(PHOTO))[:256, :256])[1].tobytes()
    pipe = [sys.executable, "-m", "imgfx", "superres-rednet", "--scale", "1", "-q"]
    commands = {
        "import torch and infer": ([sys.executable, "-c", BARE], {}),
        "imgfx, torch": (pipe, {"IMGFX_ENGINE": "torch"}),
        "imgfx, openvino": (pipe, {"IMGFX_ENGINE": "openvino"}),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, (line, more) in commands.items():
            started = time.perf_counter()
            subprocess.run(
                line, input=image, stdout=subprocess.PIPE, env={**INSTALLED, **more}, check=True
            )
            seconds[name].append(time.perf_counter() - started)
    base = statistics.median(seconds["import torch and infer"][1:])
    for name, values in seconds.items():
        median = statistics.median(values[1:])
        print(f"{name:24} {median:6.2f} s   {median / base:5.2f} times")


if __name__ == "__main__":
    main()
