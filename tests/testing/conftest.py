"""Packages of one module each, examined by the conformance kit in this process."""

import importlib
import os
import sys
from collections.abc import Callable, Mapping

import pytest
from support import Site

from imgfx.offers import installed_offers
from imgfx.plugins import Registry
from imgfx.testing import Result, conformance
from imgfx.testing.kit import loading

Examined = Callable[..., Mapping[str, Result]]


@pytest.fixture
def examined(site: Site, monkeypatch: pytest.MonkeyPatch) -> Examined:
    """`examined(source, "name", kind="filters")`: results by check of what a package offers.

    Models are not compiled for other engines, and plugins are loaded once, to save time.
    """
    monkeypatch.setattr(loading, "_TIMES", 1)
    monkeypatch.setenv("PYTHONPATH", str(site.folder))
    monkeypatch.syspath_prepend(str(site.folder))
    modules = set(sys.modules)

    def examine(source: str, name: str = "wrong", kind: str = "filters", **more: object):
        site.install("imgfx-wrong", source, name, kind=kind)
        metadata = site.folder / "imgfx_wrong-1.0.dist-info" / "METADATA"
        with metadata.open("a") as file:
            file.write("Requires-Dist: imgfx>=0.1,<1\n")
        importlib.invalidate_caches()
        spared = "engine" if kind == "models" else ""
        offers = [o for o in installed_offers() if o.kind != spared or o.name == "torch"]
        more = {"catalog": Registry(offers), **more}
        return {result.check: result for result in conformance(name, **more)}

    yield examine
    for module in set(sys.modules) - modules:
        if getattr(sys.modules[module], "__file__", None) and str(site.folder) in os.fspath(
            sys.modules[module].__file__
        ):
            del sys.modules[module]


def statuses(results: Mapping[str, Result], status: str) -> set[str]:
    """The checks with this status."""
    return {check for check, result in results.items() if result.status == status}


@pytest.fixture
def failed() -> Callable[[Mapping[str, Result]], set[str]]:
    """The checks that failed."""
    return lambda results: statuses(results, "fail")
