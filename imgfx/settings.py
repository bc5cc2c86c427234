"""Settings: the options of a whole run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
    report: Path | None = None
    """Where to write a JSON report."""
    dry_run: bool = False
    """Show what would be done, and do nothing."""
    quiet: bool = False
    """Errors only."""
    verbose: bool = False
    """Choices and times too."""
