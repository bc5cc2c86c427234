"""`imgfx engine`: what has been compiled, told apart, and what no run takes any more removed."""

import json
import os

import pytest

from imgfx import __version__
from imgfx.engines.cache import EngineCache, EngineKey, Entry

OPTIONS = "windows to 1024, batch to 4"


@pytest.fixture
def cache(tmp_path):
    """`cache.keep("openvino 1.0, imgfx 0.1.0")` stores an entry; `cache.engines()` has them."""
    return Kept(EngineCache(tmp_path / "cache" / "engines"), str(tmp_path / "cache"))


class Kept:
    """A cache of entries that differ in what made them."""

    def __init__(self, store, folder):
        self.store, self.own = store, {"IMGFX_CACHE": folder}

    def keep(self, engine, options=""):
        key = EngineKey(engine, "denoise-ae", "ab" * 32, "cd" * 32, "here", "fp32", options)
        self.store.store(Entry(key, b"code", 90.0, 1.5))
        return self.store.folder / f"{key.digest}.engine"

    def engines(self):
        return {listed.entry and listed.entry.key.engine for listed in self.store.entries()}


def made(engine):
    """By this imgfx."""
    return f"{engine}, imgfx {__version__}"


def test_what_is_stale_is_removed_and_nothing_else(imgfx, cache, site):
    version = pytest.importorskip("openvino").__version__.partition("-")[0]
    current = {made(f"openvino {version}"), made("openvino 1.0 of_no_package 7")}
    for engine in (*current, made("openvino 1999.1"), made("gone 1.0"), "openvino 1, imgfx 0.0.1"):
        cache.keep(engine)
    cache.keep("damaged").write_bytes(b"damaged")
    (cache.store.folder / "a.lock").write_bytes(b"")
    ended = imgfx("engine", "clear", "--stale", **cache.own)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(b"4 compiled engines removed, ")
    assert cache.engines() == current
    assert (cache.store.folder / "a.lock").exists()
    assert imgfx("engine", "clear", "--stale", **cache.own).out.startswith(b"0 ")


def test_an_engine_whose_package_is_broken_keeps_what_it_compiled(imgfx, cache, site):
    site.install("imgfx-odd", "raise RuntimeError('broken')\n", "odd", kind="engines")
    cache.keep(made("odd 1.0"))
    ended = imgfx("engine", "clear", "--stale", PYTHONPATH=str(site.folder), **cache.own)
    assert (ended.code, ended.out[:2]) == (0, b"0 ")
    assert cache.engines() == {made("odd 1.0")}


def test_entries_are_listed_with_their_time_and_options(imgfx, cache):
    os.utime(cache.keep(made("tensorrt tensorrt_rtx 1.7"), OPTIONS), (86400.0, 86400.0))
    row = imgfx("engine", "list", TZ="UTC", **cache.own).out.decode().splitlines()[-1]
    assert row.endswith(f"1.5 s to compile, 1970-01-02 00:00; {OPTIONS}")
    (told,) = json.loads(imgfx("engine", "list", "--json", TZ="UTC", **cache.own).out)["compiled"]
    assert told["written"] == "1970-01-02T00:00:00+00:00"


def test_an_engine_of_gpus_alone_is_said_to_be_of_no_use_without_one(imgfx, cache):
    pytest.importorskip("tensorrt_rtx")
    own = {**cache.own, "CUDA_VISIBLE_DEVICES": ""}
    states = json.loads(imgfx("engine", "list", "--json", **own).out)["engines"]
    assert states["tensorrt"] == "installed; runs on CUDA devices, and there is none here"
    assert states["torch"] == "installed"


def test_pytorch_has_nothing_to_compile(imgfx, cache):
    words = ["engine", "build", "superres-fast-x2", "--engine", "torch", "--precision", "fp32"]
    ended = imgfx(*words, "--device", "cpu", **cache.own)
    assert ended.code == 0, ended.err
    said = "superres-fast-x2: torch on cpu in fp32; it runs as it is, there is nothing to compile\n"
    assert ended.out.decode() == said
    assert cache.engines() == set()
