"""All that a plugin may use of imgfx, under one name; the rest is imgfx's own and changes at will.

Names are looked up when they are first used: importing this module imports Click and pluggy, and
neither numpy nor torch, so a plugin may import it at its top.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from imgfx.errors import (
    ApiDeprecationWarning,
    DecodeError,
    DeviceError,
    EncodeError,
    EngineError,
    ImageError,
    ImgfxError,
    OutOfMemoryError,
    PluginError,
    TrainingError,
    WeightsError,
)
from imgfx.hookspecs import API_VERSION, hookimpl
from imgfx.ranges import FiniteRange
from imgfx.stage import (
    Apply,
    Item,
    ItemList,
    Items,
    Journaled,
    Note,
    Sink,
    Stage,
    StageCommand,
    image_filter,
    learned_filter,
    model_filter,
    self_ensemble_option,
    sink,
    source,
    weights_option,
)

if TYPE_CHECKING:
    from imgfx.ahead import load
    from imgfx.alpha import enlarged_alpha, with_carried_colours
    from imgfx.catalog import Catalog
    from imgfx.decoding import decode
    from imgfx.degradations import add_noise, enlarge, round_to_8_bits, shrink
    from imgfx.encoding import encode
    from imgfx.engines.base import Builds, Choice, Engine, ManyAtOnce, Request, Runner
    from imgfx.engines.cache import EngineCache
    from imgfx.engines.compiled import Compiler, Program, open_compiled
    from imgfx.engines.memory import cuda_budget, processor_budget
    from imgfx.files import read_image, write_file, write_image
    from imgfx.formats import Format, format_from_suffix
    from imgfx.image import Image, Metadata, float_from_pixels, pixels_from_float
    from imgfx.loaded import LoadedModel
    from imgfx.model import Model, ModelSpec
    from imgfx.outcomes import Made
    from imgfx.resample import resize, taps
    from imgfx.runners import Blueprint, ChainRunner, Maker, Work, failed
    from imgfx.session import Session
    from imgfx.training.recipe import (
        Arrays,
        Learner,
        Recipe,
        Rng,
        Task,
        Teachable,
        Teacher,
        Tensors,
        ValidatedOn,
    )
    from imgfx.training.restoration import (
        Degrade,
        Probe,
        RestorationTask,
        l1_loss,
        psnr_loss,
        restoration_task,
    )
    from imgfx.weights import (
        Weights,
        load_weights,
        network_from_weights,
        save_weights,
        weights_from_network,
    )

_HOMES = {
    "Arrays": "imgfx.training.recipe",
    "Blueprint": "imgfx.runners",
    "Builds": "imgfx.engines.base",
    "Catalog": "imgfx.catalog",
    "ChainRunner": "imgfx.runners",
    "Choice": "imgfx.engines.base",
    "Compiler": "imgfx.engines.compiled",
    "Degrade": "imgfx.training.restoration",
    "Engine": "imgfx.engines.base",
    "EngineCache": "imgfx.engines.cache",
    "Format": "imgfx.formats",
    "Image": "imgfx.image",
    "Learner": "imgfx.training.recipe",
    "LoadedModel": "imgfx.loaded",
    "Made": "imgfx.outcomes",
    "Maker": "imgfx.runners",
    "ManyAtOnce": "imgfx.engines.base",
    "Metadata": "imgfx.image",
    "Model": "imgfx.model",
    "ModelSpec": "imgfx.model",
    "Probe": "imgfx.training.restoration",
    "Program": "imgfx.engines.compiled",
    "Recipe": "imgfx.training.recipe",
    "Request": "imgfx.engines.base",
    "RestorationTask": "imgfx.training.restoration",
    "Rng": "imgfx.training.recipe",
    "Runner": "imgfx.engines.base",
    "Session": "imgfx.session",
    "Task": "imgfx.training.recipe",
    "Teachable": "imgfx.training.recipe",
    "Teacher": "imgfx.training.recipe",
    "Tensors": "imgfx.training.recipe",
    "ValidatedOn": "imgfx.training.recipe",
    "Weights": "imgfx.weights",
    "Work": "imgfx.runners",
    "add_noise": "imgfx.degradations",
    "cuda_budget": "imgfx.engines.memory",
    "decode": "imgfx.decoding",
    "encode": "imgfx.encoding",
    "enlarge": "imgfx.degradations",
    "enlarged_alpha": "imgfx.alpha",
    "failed": "imgfx.runners",
    "float_from_pixels": "imgfx.image",
    "format_from_suffix": "imgfx.formats",
    "l1_loss": "imgfx.training.restoration",
    "load": "imgfx.ahead",
    "load_weights": "imgfx.weights",
    "network_from_weights": "imgfx.weights",
    "open_compiled": "imgfx.engines.compiled",
    "pixels_from_float": "imgfx.image",
    "processor_budget": "imgfx.engines.memory",
    "psnr_loss": "imgfx.training.restoration",
    "read_image": "imgfx.files",
    "resize": "imgfx.resample",
    "restoration_task": "imgfx.training.restoration",
    "round_to_8_bits": "imgfx.degradations",
    "save_weights": "imgfx.weights",
    "shrink": "imgfx.degradations",
    "taps": "imgfx.resample",
    "weights_from_network": "imgfx.weights",
    "with_carried_colours": "imgfx.alpha",
    "write_file": "imgfx.files",
    "write_image": "imgfx.files",
}
"""Where the names live whose modules are too slow to import at every start."""

__all__ = [
    "API_VERSION",
    "ApiDeprecationWarning",
    "Apply",
    "Arrays",
    "Blueprint",
    "Builds",
    "Catalog",
    "ChainRunner",
    "Choice",
    "Compiler",
    "DecodeError",
    "Degrade",
    "DeviceError",
    "EncodeError",
    "Engine",
    "EngineCache",
    "EngineError",
    "FiniteRange",
    "Format",
    "Image",
    "ImageError",
    "ImgfxError",
    "Item",
    "ItemList",
    "Items",
    "Journaled",
    "Learner",
    "LoadedModel",
    "Made",
    "Maker",
    "ManyAtOnce",
    "Metadata",
    "Model",
    "ModelSpec",
    "Note",
    "OutOfMemoryError",
    "PluginError",
    "Probe",
    "Program",
    "Recipe",
    "Request",
    "RestorationTask",
    "Rng",
    "Runner",
    "Session",
    "Sink",
    "Stage",
    "StageCommand",
    "Task",
    "Teachable",
    "Teacher",
    "Tensors",
    "TrainingError",
    "ValidatedOn",
    "Weights",
    "WeightsError",
    "Work",
    "add_noise",
    "cuda_budget",
    "decode",
    "encode",
    "enlarge",
    "enlarged_alpha",
    "failed",
    "float_from_pixels",
    "format_from_suffix",
    "hookimpl",
    "image_filter",
    "l1_loss",
    "learned_filter",
    "load",
    "load_weights",
    "model_filter",
    "network_from_weights",
    "open_compiled",
    "pixels_from_float",
    "processor_budget",
    "psnr_loss",
    "read_image",
    "resize",
    "restoration_task",
    "round_to_8_bits",
    "save_weights",
    "self_ensemble_option",
    "shrink",
    "sink",
    "source",
    "taps",
    "weights_from_network",
    "weights_option",
    "with_carried_colours",
    "write_file",
    "write_image",
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
