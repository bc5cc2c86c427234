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


PROMISED = [
    "imgfx_denoise_ae", "imgfx_gan_generate", "imgfx_openvino", "imgfx_ray", "imgfx_superres_fast",
    "imgfx_superres_rednet",
]  # fmt: skip
"""Bundled plugins of the kinds that anyone may write: stages, recipes, engines, runners. Not
`imgfx_files`, which has what there is but once: all formats, stdin and stdout, the journal."""
OURS = {
    "imgfx.model": {"bundled_weights"},  # of imgfx's own wheel; others name a file beside theirs
    "imgfx.settings": {"Settings"},  # of the run, which comes to others in a Work
    "imgfx.engines.base": {"Say"},  # a type that Request shows
    "imgfx.files": {"jpeg_round_trip"},  # `encode` and `decode` do it
    "imgfx.degradations": {"lecture"},  # one bundled model's task
    # Pieces of networks and losses, which each author has, or takes, of his own.
    "imgfx.training.networks": {"StrideOneDeconvolution", "fan_in_normal_"},
    "imgfx.training.photos": {"random_crops"},
    "imgfx.training.teaching": {"answered", "mixed"},
    # Generators: their data are not photographs, and `imgfx eval` knows the bundled ones alone.
    "imgfx.latents": {"latent_vectors"},
    "imgfx.set_metrics": {"sliced_wasserstein"},
    "imgfx.training.pictures": {
        "Pictures", "grid", "idx_files", "load_pictures", "read_idx_images", "read_idx_labels",
        "split_pictures", "without_copies",
    },
}  # fmt: skip
"""What they use of imgfx beyond its API, and why others can do without."""


def test_what_bundled_plugins_use_is_in_the_api():
    """A kind of plugin that ours cannot be without is one that nobody else can write, either."""
    beyond = {}
    for path in (file for name in PROMISED for file in (ROOT / "plugins" / name).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "imgfx":
                names = {alias.name for alias in node.names} - set(api.__all__)
                if names:
                    beyond.setdefault(node.module, set()).update(names)
    assert beyond == OURS


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
