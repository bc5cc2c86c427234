"""What the doctor looks at; each check answers findings and raises nothing."""

from __future__ import annotations

import difflib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from imgfx import __version__
from imgfx.engines.cache import EngineCache
from imgfx.engines.choice import gpus
from imgfx.errors import ImgfxError
from imgfx.hookspecs import API_VERSION, GROUPS
from imgfx.installed import NAMELESS, installed_points
from imgfx.offers import FOLDER, PACKAGES, UNPARSABLE, source_path
from imgfx.weights import load_weights
from imgfx_plugins.elsewhere import Crash, asked

if TYPE_CHECKING:
    from imgfx.catalog import Catalog
    from imgfx.offers import Offer

State = Literal["ok", "note", "fail"]

_OPENCV = ("opencv-python", "opencv-contrib-python", "opencv-python-headless",
           "opencv-contrib-python-headless")  # fmt: skip
_EXPORT = ("onnx", "onnxscript")
_ENGINES = {
    "openvino": {"openvino": "imgfx[openvino]"},
    "tensorrt": {"tensorrt": "imgfx[tensorrt]", "tensorrt-rtx-cu13": "imgfx[tensorrt-rtx]"},
}
"""By engine: what it needs beside the export's packages, one of these, and what installs that."""
_OF_GPUS = ("tensorrt",)
_VARIABLES = (PACKAGES, FOLDER, "IMGFX_ENGINE", "IMGFX_CACHE")
_LITTLE = 1 << 30
"""Bytes left on the disk of the cache from which on it is mentioned."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    state: State
    """Note: works, but may not be what you want."""
    topic: str
    text: str


def examine(catalog: Catalog) -> Iterator[Finding]:
    """All findings, as they are made."""
    yield _ok(
        "imgfx", f"{__version__}, plugin API {API_VERSION}, Python {platform.python_version()}"
    )
    yield from opencv()
    yield from pytorch()
    yield from engines()
    yield from weights(catalog)
    yield from cache()
    yield from plugins(catalog)
    yield from environment()


def _ok(topic: str, text: str) -> Finding:
    return Finding("ok", topic, text)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def opencv() -> Iterator[Finding]:
    """One OpenCV, which can be imported; two packages write the same files over each other."""
    there = [f"{name} {_version(name)}" for name in _OPENCV if _version(name)]
    if len(there) > 1:
        names = " and ".join(there)
        yield Finding(
            "fail", "OpenCV", f"{names} overwrite each other's files; uninstall all, install one"
        )
    found = asked("import cv2; answer(version=cv2.__version__)")
    if isinstance(found, Crash):
        advice = "install opencv-python" if not there else "reinstall it, or its system libraries"
        yield Finding("fail", "OpenCV", f"cannot be imported ({found.reason}); {advice}")
    elif len(there) < 2:
        yield _ok("OpenCV", ", ".join(there) or f"{found['version']}, of no package")


_TORCH = """
import torch
cuda = torch.cuda.is_available()
answer(
    version=torch.__version__,
    built=torch.version.cuda,
    devices=[torch.cuda.get_device_name(n) for n in range(cuda and torch.cuda.device_count())],
    capability=torch.backends.cpu.get_cpu_capability(),
    threads=torch.get_num_threads(),
)
"""
_BF16 = "from imgfx.engines.torch_engine import bf16_pays; answer(pays=bf16_pays())"


def pytorch() -> Iterator[Finding]:
    """PyTorch, the processor, and CUDA devices."""
    found = asked(_TORCH)
    if isinstance(found, Crash):
        yield Finding("fail", "PyTorch", f"cannot be imported ({found.reason}); reinstall torch")
        return
    yield _ok("PyTorch", str(found["version"]))
    bf16 = asked(_BF16)
    quick = not isinstance(bf16, Crash) and bool(bf16["pays"])
    use = "bf16 is faster here, and --precision auto takes it" if quick else "fp32 is used"
    yield _ok("processor", f"{found['capability']}, {found['threads']} threads; {use}")
    devices = found["devices"]
    if isinstance(devices, list) and devices:
        yield _ok("CUDA", ", ".join(map(str, devices)))
    elif found["built"]:
        text = f"PyTorch is built for CUDA {found['built']}, but finds no device; runs on the CPU"
        yield Finding("note", "CUDA", text)
    else:
        yield _ok("CUDA", "none: PyTorch is built for processors only")


def engines() -> Iterator[Finding]:
    """The packages that engines beside PyTorch need; no engine is imported."""
    for name, extras in _ENGINES.items():
        there = [package for package in extras if _version(package)]
        lacks = " and ".join(package for package in _EXPORT if not _version(package))
        if not there:
            ways = " or ".join(f"'{extra}'" for extra in extras.values())
            yield _ok(f"engine {name}", f"not installed; pip install {ways} adds it")
        elif lacks:
            way = f"pip install '{extras[there[0]]}'"
            yield Finding("fail", f"engine {name}", f"lacks {lacks}; {way}")
        else:
            useless = name in _OF_GPUS and not gpus()
            idle = "; runs on CUDA devices, and there is none here" if useless else ""
            yield _ok(f"engine {name}", f"{there[0]} {_version(there[0])}{idle}")


def weights(catalog: Catalog) -> Iterator[Finding]:
    """The weights that come with imgfx: all there, undamaged."""
    folder = Path(str(resources.files("imgfx_weights")))
    models = [o.name for o in catalog.offers if o.kind == "model" and o.bundled]
    missing = [name for name in models if not (folder / f"{name}.safetensors").is_file()]
    if missing:
        yield Finding("fail", "weights", f"missing: {', '.join(missing)}; reinstall imgfx")
    sound = 0
    for path in sorted(folder.glob("*.safetensors")):
        try:
            load_weights(path)
            sound += 1
        except ImgfxError as error:
            yield Finding("fail", "weights", f"{error.format_message()}; reinstall imgfx")
    yield _ok("weights", f"{sound} files agree with their sha256")


def cache() -> Iterator[Finding]:
    """The folder of compiled engines: its size, and whether there is room beside it."""
    store = EngineCache()
    try:
        entries = store.entries()
        place = next(p for p in (store.folder, *store.folder.parents) if p.exists())
        free = shutil.disk_usage(place).free
        writable = os.access(place, os.W_OK)
    except (OSError, ImgfxError) as error:
        yield Finding("fail", "cache", f"{store.folder}: {error}; set IMGFX_CACHE")
        return
    megabytes = sum(entry.bytes for entry in entries) / 1e6
    text = f"{store.folder}, {len(entries)} compiled engines, {megabytes:.1f} MB"
    if not writable:
        yield Finding("fail", "cache", f"{text}; cannot be written: set IMGFX_CACHE")
    elif free < _LITTLE:
        yield Finding("note", "cache", f"{text}; {free / 1e6:.0f} MB are left on its disk")
    else:
        yield _ok("cache", text)


def plugins(catalog: Catalog) -> Iterator[Finding]:
    """Names that clash, modules that are missing or do not parse, other versions of the API."""
    others = [offer for offer in catalog.offers if not offer.bundled]
    for offer in others:
        trouble = _trouble(offer)
        if trouble:
            yield Finding(
                "fail", f"plugin {offer.package}", f"{offer.kind} {offer.name}: {trouble}"
            )
        elif catalog.shown_name(offer) != offer.name:
            text = f"{offer.kind} {offer.name} clashes; it is called {catalog.shown_name(offer)}"
            yield Finding("note", f"plugin {offer.package}", text)
    yield from _mistyped()
    packages = sorted({offer.package for offer in others})
    yield _ok("plugins", f"{len(packages)} packages of others: {', '.join(packages) or 'none'}")


def _mistyped() -> Iterator[Finding]:
    """Entry points in groups that imgfx does not look at, though they are named as if it did."""
    for point in installed_points(lambda group: re.match(r"imgfx\b", group.replace("_", "."))):
        if re.sub(r"\.v\d+$", ".v1", point.group) in GROUPS.values():
            continue
        near = difflib.get_close_matches(point.group, GROUPS.values(), n=1)
        hint = f"; did its author mean {near[0]}?" if near else ""
        package = NAMELESS if point.package is None else point.package.name
        text = f"{point.name}: imgfx has no group {point.group}{hint}"
        yield Finding("fail", f"plugin {package}", text)


def _trouble(offer: Offer) -> str:
    """What can be seen to be wrong without importing it."""
    if not offer.supported:
        return f"is written for version {offer.version} of the plugin API; this is {API_VERSION}"
    try:
        path = source_path(offer)
        if path is None or not path.is_file():
            return f"its module {offer.module!r} is not there"
        compile(path.read_bytes(), str(path), "exec")
        if ":" in offer.module:
            return f"its entry point must name the module alone, not {offer.module!r}"
    except (AttributeError, OSError, *UNPARSABLE) as error:
        return f"{offer.module!r} cannot be read: {error}"
    return ""


def environment() -> Iterator[Finding]:
    """The variables that change what imgfx does."""
    for name in _VARIABLES:
        if name in os.environ:
            yield Finding("note", "environment", f"{name}={os.environ[name]}")
