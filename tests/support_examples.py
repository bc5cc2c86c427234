"""The example packages: installed from their wheels, as a third party's, and run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support import ROOT, Ended, run_imgfx

EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Installed:
    """A package in a folder of its own, beside imgfx, which stays as it is."""

    package: str
    """Its distribution's name, which is its folder's in examples."""
    site: Path

    @property
    def source(self) -> Path:
        """The folder of its sources."""
        return EXAMPLES / self.package

    def runner(self, folder: Path) -> Callable[..., Ended]:
        """`run("open", ...)` with the package installed, in this folder."""
        return lambda *words, **more: run_imgfx(
            words, cwd=folder, PYTHONPATH=str(self.site), **more
        )

    def own_tests(self) -> subprocess.CompletedProcess[str]:
        """Its own tests, run once against what is installed."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
            cwd=self.source, env={**os.environ, "PYTHONPATH": str(self.site)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip


def install(package: str, folder: Path) -> Installed:
    """The package built from its sources and installed by pip, without a network."""
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--no-build-isolation", "--no-index", "--target", folder,
            EXAMPLES / package,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return Installed(package, folder)
