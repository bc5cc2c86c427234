"""What an author needs to test a plugin: sample images, ways to run it, comparisons, the kit.

Together with `imgfx.api` it is public and keeps its names; docs/testing.md explains it. Names are
looked up when they are first used, so importing this module imports nothing else: pytest loads
`imgfx.testing.pytest_plugin` in every environment where imgfx is installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgfx.testing.compare import assert_images_equal, difference
    from imgfx.testing.kit.findings import Result
    from imgfx.testing.kit.performing import conformance, failures
    from imgfx.testing.offering import offered
    from imgfx.testing.processes import Ended, run
    from imgfx.testing.samples import sample_image, sample_images
    from imgfx.testing.stages import apply

_HOMES = {
    "Ended": "imgfx.testing.processes",
    "Result": "imgfx.testing.kit.findings",
    "apply": "imgfx.testing.stages",
    "assert_images_equal": "imgfx.testing.compare",
    "conformance": "imgfx.testing.kit.performing",
    "difference": "imgfx.testing.compare",
    "failures": "imgfx.testing.kit.performing",
    "offered": "imgfx.testing.offering",
    "run": "imgfx.testing.processes",
    "sample_image": "imgfx.testing.samples",
    "sample_images": "imgfx.testing.samples",
}

__all__ = [
    "Ended",
    "Result",
    "apply",
    "assert_images_equal",
    "conformance",
    "difference",
    "failures",
    "offered",
    "run",
    "sample_image",
    "sample_images",
]


def __getattr__(name: str) -> Any:
    """A name of `_HOMES`, imported now."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
