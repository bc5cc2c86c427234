"""The names that plugins may rely on: all there, sorted, light to import, typed as they are."""

import ast
import importlib
import subprocess
import sys
import warnings

import numpy as np
import pytest
from support import ROOT

import imgfx.api as api
from imgfx.errors import ApiDeprecationWarning
from imgfx.image import Image
from imgfx.model import Model, ModelSpec
from imgfx.stage import StageCommand, filter_, image_filter


def test_every_name_is_there_and_the_list_is_sorted():
    assert api.__all__ == sorted(api.__all__)
    assert len(set(api.__all__)) == len(api.__all__)
    assert all(getattr(api, name) is not None for name in api.__all__)


def test_names_for_types_and_names_for_running_are_the_same():
    """What a type checker sees behind a name is what is imported when it is used."""
    tree = ast.parse((ROOT / "imgfx" / "api.py").read_text(encoding="utf-8"))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in typed.body for alias in node.names}
    assert seen == api._HOMES
    for name, module in seen.items():
        assert getattr(api, name) is getattr(importlib.import_module(module), name)


def test_importing_it_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from imgfx.api import Item, hookimpl, image_filter, Model, ModelSpec\n"
        "heavy = {'numpy', 'torch', 'cv2', 'safetensors', 'tqdm'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'filtre'"):
        _ = api.filtre


def test_the_old_name_of_image_filter_works_and_warns():
    with pytest.warns(ApiDeprecationWarning, match=r"use imgfx\.api\.image_filter"):
        decorate = filter_("old")
    command = decorate(lambda image: image)
    assert isinstance(command, StageCommand)
    assert (command.name, command.kind) == ("old", "filter")


def test_the_new_name_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image_filter("new")(lambda image: image)


def test_floats_are_the_pixels_in_0_to_1():
    pixels = np.array([[[0], [51], [255]]], np.uint8)
    np.testing.assert_allclose(Image(pixels).floats, [[[0], [0.2], [1]]], atol=1e-7)


@pytest.mark.parametrize("spec", [ModelSpec("x", latent=4), ModelSpec("x", conditions=("sigma",))])
def test_a_model_filter_refuses_what_it_cannot_feed(spec):
    with pytest.raises(ValueError, match="needs a stage by hand"):
        api.model_filter("x", Model("x", spec, build=lambda spec: None))
