"""The kit on models: each untrue spec, and each network that breaks a promise, is found out."""

import re

import pytest
from support import ROOT

from imgfx.testing import conformance, failures

RIGHT = '''"""Blur with a network."""

from imgfx.api import Model, ModelSpec, Recipe, hookimpl, model_filter


def build(spec):
    import torch
    from torch import nn

    class Blur(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(LAYERS)
            for layer in self.layers:
                if isinstance(layer, nn.Conv2d):
                    nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
                    nn.init.zeros_(layer.bias)
            START

        def forward(self, x):
            x = x[:, :3]
            FORWARD
            return self.layers(x)

    return Blur()


SPEC = ModelSpec("blur-1", halo=2, floats_per_pixel=8)
MODEL = Model("wrong", SPEC, build, describe="A blur.")


@hookimpl
def imgfx_models():
    return [MODEL]


@hookimpl
def imgfx_stages():
    return [model_filter("wrong", MODEL)]
'''
TWO = "nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)"
HALVED = "nn.AvgPool2d(2), nn.Conv2d(3, 3, 1), nn.Upsample(scale_factor=2)"


def network(layers=TWO, spec="halo=2", forward="pass", start="pass", model=""):
    code = RIGHT.replace("LAYERS", layers).replace("FORWARD", forward).replace("START", start)
    return code.replace("halo=2", spec).replace('"A blur."', f'"A blur."{model}')


WRONG = {
    "a small halo": (network(spec="halo=1"), "halo", "the layers see 2: halo=2"),
    "no halo": (network(spec="halo=0"), "halo", "halo=0, but the layers see 2"),
    "the whole image": (
        network(forward="x = x - x.mean(dim=(2, 3), keepdim=True) + 0.5"), "halo", "cannot be tiled"
    ),
    "another scale": (
        network(f"{TWO}, nn.Upsample(scale_factor=2)"), "scale", "enlarges 2 times, .* scale=2"
    ),
    "a scale that is not": (network(spec="halo=2, scale=2"), "scale", "enlarges 1 times.* scale=1"),
    "channels in": (
        network(spec="halo=2, channels=1", forward="assert x.shape[1] == 3"),
        "channels",
        "channels=3",
    ),
    "channels out": (
        network(f"{TWO}, nn.Conv2d(3, 1, 1)"), "channels", r"answers \(1, 1, 128, 128\)"
    ),
    "strides": (network(HALVED), "multiple_of", "multiple_of=2 works"),
    "a net that does not build": (network(start="1 / 0"), "weights", "ZeroDivisionError"),
    "half precision": (
        network(forward="return self.layers(x).to(torch.bfloat16)"), "output", "end with .float"
    ),
    "not a number": (network(forward="x = x / 0 * 0"), "output", "NaN or infinity"),
    "noise": (
        network(forward="x = x + 0.01 * torch.rand_like(x)"), "repeat", "dropout or noise"
    ),
    "statistics of the batch": (
        network(forward="x = x - 0.1 * x.mean(dim=(0, 2, 3), keepdim=True)"),
        "halo repeat",
        "a row depends on the others",
    ),
    "no description": (network().replace('describe="A blur."', ""), "describe", "model card"),
    "no recipe": (network(model=", recipe=lambda: None"), "recipe", "answers NoneType"),
    "a broken recipe": (network(model=", recipe=lambda: 1 / 0"), "recipe", "ZeroDivisionError"),
}  # fmt: skip


def test_a_right_model_passes_every_check(examined):
    results = examined(network(), kind="models")
    skipped = {check for check, result in results.items() if result.status == "skip"}
    assert failures(results.values()) == []
    assert skipped == {"weights", "recipe", "training"}
    assert results["halo"].reason == "2, measured 2"
    assert list(results) == [
        "listing", "hooks", "import", "deprecations", "describe", "weights", "channels", "scale",
        "multiple_of", "halo", "output", "repeat", "recipe", "training", "onnx",
    ]  # fmt: skip


def test_strides_and_conditions_are_borne(examined, failed):
    spec = "halo=1, multiple_of=2, conditions=('sigma',)"
    results = examined(network(HALVED, spec=spec), kind="models")
    assert failed(results) == set()
    assert results["multiple_of"].reason == "2"


@pytest.mark.parametrize(("source", "checks", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_model_fails_the_check_that_is_for_it(examined, failed, source, checks, reason):
    results = examined(source, kind="models")
    assert failed(results) - {"onnx"} == set(checks.split())  # some cannot be exported either
    assert re.search(reason, results[checks.split()[-1]].reason)


def test_a_large_halo_is_a_warning(examined, failed):
    results = examined(network(spec="halo=12"), kind="models")
    assert failed(results) == set()
    assert results["halo"].status == "warn"
    assert "halo=12, but the layers see 2" in results["halo"].reason


def test_a_small_halo_shows_in_the_stage_s_tiles(examined, failed):
    results = examined(network(spec="halo=0"))
    assert failed(results) == {"tiles"}
    assert "the halo of the model's spec is too small" in results["tiles"].reason
    assert results["start"].reason == "tried with untrained weights of wrong"


BY_HAND = '''
from imgfx.api import enlarged_alpha, learned_filter


@learned_filter("wrong")
def by_hand(session):
    """Blur with a network."""
    loaded = session.load(MODEL)

    def apply(image):
        pixels = loaded.restore(image, ENLARGE)
        return image.with_pixels(pixels, enlarged_alpha(image, SCALE))

    return apply
'''


def by_hand(enlarge="", scale=1):
    """The stage written with `restore`, as it once stood in the documentation."""
    stage = BY_HAND.replace("ENLARGE", enlarge).replace("SCALE", str(scale))
    return network().replace('[model_filter("wrong", MODEL)]', "[by_hand]") + stage


@pytest.mark.parametrize(("source", "status"), [
    (by_hand("enlarge=2", 2), "fail"), (by_hand(), "warn"), (network(), "pass"),
])  # fmt: skip
def test_hidden_colours_that_a_network_mixes_into_edges_are_found_out(examined, source, status):
    results = examined(source)
    assert results["edges"].status == status
    assert {result.check for result in results.values() if result.status == "fail"} <= {"edges"}


BRIGHTER = network(forward="return self.layers(x) + 0.4")


def test_a_network_that_changes_the_brightness_says_so_in_its_spec(examined):
    wrong = examined(BRIGHTER, kind="models")
    assert wrong["output"].status == "warn"
    assert "keeps_mean=False" in wrong["output"].reason


def test_a_network_may_be_meant_to_change_the_brightness(examined, failed):
    right = BRIGHTER.replace("halo=2", "halo=2, keeps_mean=False")
    results = examined(right, kind="models")
    assert failed(results) == set()
    assert results["output"].status == "pass"


def test_weights_that_do_not_fit_are_found_out(examined, failed, tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"no weights")
    results = examined(network(), kind="models", weights=path)
    assert failed(results) == {"weights"}
    assert results["halo"].status == "skip"


def test_a_bundled_model_trains_two_steps(examined):
    found = conformance("fashion-classifier")
    assert failures(found) == []
    results = {result.check: result for result in found}
    assert results["halo"].reason == "its network is for `features`, not for images"
    assert results["training"].reason == "give --data DIR to train it for two steps"
    data = ROOT / "examples" / "photos"
    found = {result.check: result for result in conformance("superres-fast-x2", data=data)
             if result.kind == "model"}  # fmt: skip
    assert found["training"].status == "pass"
    assert failures(found.values()) == []
