"""Settings: the options of a whole run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MEGAPIXELS = 500.0
"""Of the largest image that is read where nothing else is said: 1.5 GB as 8-bit RGB. Neither a
camera nor a scanner makes more; OpenCV itself stops at twice as many."""
_ENDLESS = 1e12


@dataclass(frozen=True)
class Settings:
    """What the user asked of a run, as a whole; stages have their own options."""

    device: str = "auto"
    """auto, cpu or cuda."""
    engine: str = "auto"
    """auto, or an engine's name."""
    precision: str = "auto"
    """auto, fp32, bf16 or fp16."""
    tile: int | None = None
    """Side of a tile in input pixels; None chooses by memory, 0 runs images whole."""
    batch: int | None = None
    """Windows a call at most; None leaves it to the engine."""
    jobs: int = 2
    """Images decoded or encoded at a time beside the one in the network."""
    on_error: str = "continue"
    """What a failed image does to a batch: continue or stop."""
    retry_failed: bool = False
    """Try again what failed in an earlier run of the batch."""
    redo: bool = False
    """Make every image, whatever earlier runs have done."""
    runner: str = "local"
    """What drives the chain: local, or a plugin's."""
    runner_address: str | None = None
    """Of the cluster, for runners that have one."""
    max_pixels: float = MEGAPIXELS
    """Megapixels of the largest image that is read; 0 reads all."""
    provenance: bool = True
    """Write into each image how it was made; else it carries nothing of the kind."""
    report: Path | None = None
    """Where to write a JSON report."""
    json: bool = False
    """The plan of a dry run as JSON on stdout."""
    dry_run: bool = False
    """Show what would be done, and do nothing."""
    quiet: bool = False
    """Errors only."""
    verbose: bool = False
    """Choices and times too."""

    @property
    def most_pixels(self) -> int | None:
        """Of an image that is read; None for any number."""
        return round(self.max_pixels * 1_000_000) if 0 < self.max_pixels < _ENDLESS else None
