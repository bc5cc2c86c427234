"""What all tests share: pictures, a command line in a process of its own, packages, places."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
PHOTOS = ROOT / "examples" / "photos"
DATA = ROOT.parent / "shared" / "data"
PROGRAM = [sys.executable, "-m", "imgfx"]


@dataclass(frozen=True)
class Ended:
    """What a process left: its exit code, the bytes of stdout and the text of stderr."""

    code: int
    out: bytes
    err: str


def run_imgfx(
    arguments: Sequence[object], *, stdin: bytes = b"", cwd: Path | None = None, **environment: str
) -> Ended:
    """`imgfx ARGUMENTS` as a user runs it."""
    ended = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=300,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr.decode())


def processor_seconds() -> float:
    """What all ended processes of this one have taken, however busy the machine is."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Site:
    """A folder of installed packages, for PYTHONPATH or `sys.path`."""

    folder: Path

    def install(
        self, package: str, source: str, *entries: str, kind: str = "filters", version: int = 1
    ) -> None:
        """A package of one module; each entry is a name, or `name = module`."""
        module = package.replace("-", "_")
        (self.folder / f"{module}.py").write_text(source)
        information = self.folder / f"{module}-1.0.dist-info"
        information.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        (information / "METADATA").write_text(metadata)
        lines = [entry if "=" in entry else f"{entry} = {module}" for entry in entries]
        text = "\n".join([f"[imgfx.{kind}.v{version}]", *lines, ""])
        (information / "entry_points.txt").write_text(text)


NEGATIVE = '''"""Turn an image into its negative."""

from imgfx.api import hookimpl, image_filter


@image_filter("NAME")
def negative(image):
    """Turn an image into its negative."""
    BODY
    return image.with_pixels(255 - image.pixels)


@hookimpl
def imgfx_stages():
    return [negative]
'''
"""The source of a plugin: replace NAME by the filter's, BODY by what it does first."""


def picture(height: int, width: int, channels: int = 3, *, seed: int = 0) -> np.ndarray:
    """(H, W, C) float32 in [0, 1]: smooth shapes with some texture, different in each channel."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    columns = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    phase, speed = rng.uniform(0, 6, (2, channels)).astype(np.float32)
    waves = 0.5 + 0.35 * np.sin(4 * rows * speed + phase) * np.cos(5 * columns * speed - phase)
    texture = rng.normal(0, 0.03, (height, width, channels))
    return np.clip(waves + texture, 0, 1).astype(np.float32)


def pixels(height: int, width: int, channels: int = 3, dtype: str = "uint8") -> np.ndarray:
    """A picture of an integer dtype."""
    peak = np.iinfo(dtype).max
    return np.rint(picture(height, width, channels) * peak).astype(dtype)
