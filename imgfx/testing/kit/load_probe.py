"""How long a plugin takes to load, and what it brings in: run in a process of its own.

    python -m imgfx.testing.kit.load_probe KIND NAME PACKAGE

The last line of stdout is a JSON object: seconds of this process and by the clock, of imgfx and of
the plugin; packages that are new; warnings of the API; the error, if there is one.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any


def main(kind: str, name: str, package: str) -> None:
    """Loads what a command line would, and says what that took."""
    began, clock = time.process_time(), time.monotonic()
    import imgfx.api
    import imgfx.plugins

    if kind in ("engine", "runner"):  # these are loaded beside pixels
        import imgfx.session
    bare, bare_clock = time.process_time() - began, time.monotonic() - clock
    registry = imgfx.plugins.Registry()
    key = kind, name, package
    offer = next(o for o in registry.offers if (o.kind, o.name, o.package) == key)
    before = set(sys.modules)
    found: dict[str, Any] = {"bare": bare, "bare_clock": bare_clock, "error": ""}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", imgfx.api.ApiDeprecationWarning)
        began, clock = time.process_time(), time.monotonic()
        try:
            registry.load(offer)
        except imgfx.api.ImgfxError as error:
            found["error"] = error.format_message()
        found |= {"seconds": time.process_time() - began, "clock": time.monotonic() - clock}
    found["warnings"] = [str(warning.message) for warning in caught]
    found["packages"] = sorted(_tops(set(sys.modules) - before))
    print(json.dumps(found))  # noqa: T201  # the result, for the process that waits for it


def _tops(modules: set[str]) -> set[str]:
    """Packages of others than Python and imgfx."""
    tops = {module.partition(".")[0] for module in modules}
    return tops - {"imgfx"} - set(sys.stdlib_module_names)


if __name__ == "__main__":
    main(*sys.argv[1:])
