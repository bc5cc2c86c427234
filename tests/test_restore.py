"""Restoring an image through a model: strength, gray, large results, and too little memory."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support import picture, pixels
from support_models import TINY, write_weights

import imgfx.result
import imgfx.tiling
from imgfx.engines.base import Choice, Request
from imgfx.engines.memory import allocating, free_memory, processor_budget
from imgfx.engines.torch_engine import TorchEngine
from imgfx.errors import ImageError, OutOfMemoryError
from imgfx.image import Image, pixels_from_float
from imgfx.model import Model, ModelSpec
from imgfx.resample import resize
from imgfx.session import Session
from imgfx.settings import Settings
from imgfx.weights import Weights, save_weights

SPEC = ModelSpec("darken", halo=4, floats_per_pixel=10)
BYTES = 4 * 10 + 3 * 4 * 6


class Darkening:
    """An engine whose networks darken what they are given, if it has so many pixels at most."""

    name, preference = "darkening", {"cpu": 1}

    def __init__(self, most=10**9, memory=1 << 40):
        self.shapes, self.choice = [], Choice("darkening", "cpu", "fp32")
        self.batch, self.largest, self.memory, self.most = 1, 0, memory, most

    def missing(self):
        return ""

    def open(self, model, weights, request):
        return self

    def __call__(self, batch):
        self.shapes.append(batch.shape)
        with allocating(batch.shape, self.choice):
            if batch[0, 0].size > self.most:
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return 0.8 * batch

    def close(self):
        pass


@pytest.fixture
def loaded(tmp_path):
    """Answers a model on an engine, the session that it is in, and what was said."""

    def load(engine, spec=SPEC, **settings):
        path = tmp_path / "darken.safetensors"
        save_weights(path, Weights(spec, {"w": np.zeros(1, np.float32)}, {}, "darken"))
        model = Model("darken", spec, build=lambda spec: None, weights=path)
        settings = Settings(engine="darkening", **settings)
        session = Session(settings, lambda _name: engine)
        return session.load(model), session

    return load


def test_memory_that_runs_out_halves_the_windows_and_is_said(loaded):
    engine = Darkening(most=40_000)
    model, session = loaded(engine)
    image = Image(picture(300, 500))
    result = model.restore(image)
    np.testing.assert_allclose(result, 0.8 * image.pixels, atol=1e-6)
    assert max(shape[2] * shape[3] for shape in engine.shapes if shape[2:] != (300, 500)) > 20_000
    assert 2 <= len(session.notes) <= 3
    said = "darken: too little memory for an input of 1x3x300x500 (darkening on cpu in fp32); "
    assert session.notes[0] == said + "going on with smaller tiles"
    # The next image begins with what has worked.
    engine.shapes.clear()
    model.restore(image)
    assert max(shape[2] * shape[3] for shape in engine.shapes) <= 40_000
    assert len(session.notes) <= 3


def test_windows_are_cut_to_the_engines_memory(loaded):
    engine = Darkening(memory=60_000 * BYTES)
    model, session = loaded(engine)
    model.restore(Image(picture(300, 500)))
    sizes = [shape[2] * shape[3] for shape in engine.shapes]
    assert 40_000 < max(sizes) <= 60_000
    assert session.notes == []


def test_memory_that_runs_out_between_windows_halves_them_too(loaded, monkeypatch):
    model, session = loaded(Darkening())
    stack = imgfx.tiling._batch

    def short(windows, conditions):
        if windows[0].shape[0] * windows[0].shape[1] > 40_000:
            raise MemoryError
        return stack(windows, conditions)

    monkeypatch.setattr("imgfx.tiling._batch", short)
    image = Image(picture(300, 500))
    monkeypatch.setattr(model, "_pixels", 300 * 500)
    np.testing.assert_allclose(model.restore(image), 0.8 * image.pixels, atol=1e-6)
    assert "too little memory for a window; going on with smaller tiles" in session.notes[0]


def test_a_tile_is_as_large_as_asked_for_where_the_engine_has_just_that_room(loaded):
    engine = Darkening()
    engine.largest = 64 + 2 * SPEC.margin
    model, _ = loaded(engine, tile=64)
    model.restore(Image(picture(256, 256)))
    assert len(engine.shapes) == 16
    assert max(shape[2] for shape in engine.shapes) == engine.largest


def test_a_network_for_gray_takes_gray_alone(tmp_path):
    spec = replace(SPEC, channels=1)
    engine = Darkening()
    path = tmp_path / "gray.safetensors"
    save_weights(path, Weights(spec, {"w": np.zeros(1, np.float32)}, {}, "gray"))
    session = Session(Settings(engine="darkening"), lambda _name: engine)
    model = session.load(Model("gray", spec, build=lambda spec: None, weights=path))
    for scale in (1, 2):
        result = model.restore(Image(picture(20, 30, 1)), enlarge=scale)
        assert result.shape == (20 * scale, 30 * scale, 1)
    assert {shape[1] for shape in engine.shapes} == {1}
    with pytest.raises(ImageError, match="gray: takes gray images only, and this has colours"):
        model.restore(Image(picture(20, 30)))


def test_more_latents_than_an_engine_takes_are_generated_in_parts(loaded):
    model, _ = loaded(engine := Darkening(most=64 * 8))
    made = model.generate(np.ones((150, 3, 1, 8), np.float32))
    assert made.shape[0] == 150
    assert [shape[0] for shape in engine.shapes] == [64, 64, 22]


def test_fewer_are_generated_at_once_where_memory_runs_out(loaded):
    engine = Darkening(most=20)
    # What counts is how many there are, not the picture that they are made on.
    engine.__class__ = type("Generator", (Darkening,), {"__call__": few_at_once})
    model, session = loaded(engine)
    latents = np.random.default_rng(0).normal(size=(50, 3, 1, 8)).astype(np.float32)
    made = model.generate(latents)
    np.testing.assert_array_equal(made, latents.transpose(0, 2, 3, 1))
    assert session.notes == [
        "darken: too little memory (darkening); going on with 25 at a time",
        "darken: too little memory; going on with 12 at a time",
    ]
    model.generate(latents[:13])  # begins with what has worked
    assert len(session.notes) == 2
    engine.most = 0
    with pytest.raises(ImageError, match="darken: too little memory"):
        model.generate(latents)


def few_at_once(self, latents):
    """Memory that runs out in an engine, or in NumPy around it."""
    if len(latents) > 2 * self.most:
        raise OutOfMemoryError("too little memory (darkening)", 1)
    if len(latents) > self.most:
        raise MemoryError
    return latents


class Overflowing(Darkening):
    """Its networks answer what is not finite, unless they are opened in fp32 and can be exact."""

    def __init__(self, precision, *, exact=True):
        super().__init__()
        self.choice, self.exact, self.opened = Choice("x", "cpu", precision), exact, []

    def open(self, model, weights, request):
        self.opened.append(request.precision)
        return self if len(self.opened) == 1 else Darkening() if self.exact else self

    def __call__(self, batch):
        return np.full_like(batch, np.inf)


def test_what_a_generator_makes_is_tried_again_in_fp32(loaded):
    engine = Overflowing("bf16")
    model, _ = loaded(engine)
    latents = np.ones((5, 3, 1, 8), np.float32)
    np.testing.assert_allclose(model.generate(latents), 0.8, atol=1e-6)
    assert engine.opened[1:] == ["fp32"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_not_finite_in_fp32_either_is_refused(loaded, precision):
    model, _ = loaded(Overflowing(precision, exact=False))
    with pytest.raises(ImageError, match=f"output is not finite .*{precision}"):
        model.generate(np.ones((5, 3, 1, 8), np.float32))


class Lighting(Darkening):
    """An engine whose networks make dark pictures bright."""

    def __call__(self, batch):
        return batch + np.float32(0.5)


def test_a_network_that_is_meant_to_change_the_brightness_may(loaded):
    image = Image(np.full((9, 9, 3), 0.1, np.float32))
    model, _ = loaded(Lighting(), spec=replace(SPEC, keeps_mean=False))
    np.testing.assert_allclose(model.restore(image), 0.6, atol=1e-6)
    restorer, _ = loaded(Lighting())
    with pytest.raises(ImageError, match="makes no sense"):
        restorer.restore(image)


def test_without_a_mean_to_keep_numbers_are_needed_still(loaded):
    model, _ = loaded(Overflowing("fp32"), spec=replace(SPEC, keeps_mean=False))
    with pytest.raises(ImageError, match="makes no sense"):
        model.restore(Image(np.ones((9, 9, 3), np.float32)))


WRONG = [
    (SPEC, {"conditions": [1.0]}, "darken: conditions: 1 given, its network takes 0$"),
    (
        replace(SPEC, conditions=("sigma", "blur")),
        {"conditions": [1.0]},
        r"darken: conditions: 1 given, its network takes 2 \(sigma, blur\)",
    ),
    (replace(SPEC, conditions=("sigma",)), {}, r"conditions: 0 given, .* takes 1 \(sigma\)"),
    (SPEC, {"enlarge": 0}, "enlarge is 0, expected 1 or more"),
    (SPEC, {"strength": 1.5}, "strength is 1.5, expected 0 to 1"),
    (SPEC, {"strength": float("nan")}, "strength is nan, expected 0 to 1"),
    (replace(SPEC, scale=2), {"strength": 0.5}, "strength is 0.5, but its network makes the image"),
    (replace(SPEC, scale=2), {"strength": 0}, "strength is 0, but its network makes the image"),
]


@pytest.mark.parametrize("method", ["restore", "apply"])
@pytest.mark.parametrize(("spec", "arguments", "message"), WRONG)
def test_arguments_that_do_not_suit_the_spec_are_refused(loaded, method, spec, arguments, message):
    model, _ = loaded(Darkening(), spec=spec)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(Image(picture(9, 9)), **arguments)


def test_strength_is_of_the_change_to_the_enlarged_image(loaded):
    model, _ = loaded(Darkening())
    image = Image(picture(40, 30))
    expected = np.clip(resize(image.pixels, 80, 60), 0, 1) * 0.9
    result = model.apply(image, enlarge=2, strength=0.5)
    np.testing.assert_allclose(result.pixels, expected, atol=1e-5)
    assert model.apply(image, enlarge=2, strength=0).pixels.shape == (80, 60, 3)
    assert model.apply(image, strength=0) is image


class Conditioned(Darkening):
    """Its networks take a plane more, and answer the image times its value."""

    def __call__(self, batch):
        return batch[:, :3] * batch[:, 3:]


def test_apply_hands_conditions_on(loaded):
    model, _ = loaded(Conditioned(), spec=replace(SPEC, conditions=("gain",)))
    image = Image(picture(20, 30))
    result = model.apply(image, conditions=[0.9])
    np.testing.assert_allclose(result.pixels, 0.9 * image.pixels, atol=1e-6)


class Blurring(Darkening):
    """Its networks take the mean of 3x3 pixels, of an image that is as large or twice."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def __call__(self, batch):
        padded = np.pad(batch, [(0, 0), (0, 0), (1, 1), (1, 1)], "edge")
        rows = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
        means = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9
        return means.repeat(self.scale, 2).repeat(self.scale, 3)


@pytest.mark.parametrize(("scale", "enlarge"), [(1, 1), (2, 1), (1, 3), (2, 2)])
def test_what_is_hidden_does_not_get_into_the_visible_edge(loaded, scale, enlarge):
    """A red patch on black that nobody sees stays red up to its edge."""
    model, _ = loaded(Blurring(scale), spec=replace(SPEC, scale=scale))
    shown = np.zeros((40, 40), np.uint8)
    shown[10:30, 12:28] = 255
    red = np.array([0.8, 0.0, 0.0], np.float32)
    hidden = np.where(shown[..., None] > 0, red, np.float32(0))
    result = model.apply(Image(hidden, shown), enlarge=enlarge)
    factor = scale * enlarge
    assert result.alpha.shape == result.pixels.shape[:2] == (40 * factor, 40 * factor)
    visible = pixels_from_float(result.alpha, "float32") > 0.02
    np.testing.assert_allclose(result.pixels[visible], [red] * int(visible.sum()), atol=1e-5)


def test_hidden_pixels_stay_as_they_are_where_the_size_stays(loaded):
    model, _ = loaded(Darkening())
    image = Image(pixels(300, 40), np.zeros((300, 40), np.uint8))
    image.alpha[5:20] = image.alpha[250:260] = 255
    result = model.apply(image)
    assert result.alpha is image.alpha
    hidden = image.alpha == 0
    stored = pixels_from_float(result.pixels, "uint8")
    np.testing.assert_array_equal(stored[hidden], image.pixels[hidden])
    np.testing.assert_allclose(result.pixels[~hidden], 0.8 * image.floats[~hidden], atol=1e-6)


def test_an_image_for_which_no_memory_is_found_fails(loaded):
    model, _ = loaded(Darkening(most=10))
    with pytest.raises(ImageError, match="darken: too little memory for an input of"):
        model.restore(Image(picture(100, 100)))


@pytest.mark.parametrize(
    ("tile", "advice"), [(0, "--tile 0: too little memory .*; leave it out"),
                         (90, "too little memory .*; choose a smaller --tile")],
)  # fmt: skip
def test_a_tile_that_was_asked_for_is_kept_or_refused(loaded, tile, advice):
    model, _ = loaded(Darkening(most=1000), tile=tile)
    with pytest.raises(ImageError, match=advice):
        model.restore(Image(picture(100, 100)))


@pytest.mark.parametrize("error", [
    MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate"),
    RuntimeError("std::bad_alloc"), RuntimeError("could not allocate memory"),
    RuntimeError("cpu_memory.cpp:257: Failed to allocate 53222400 bytes of memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
])  # fmt: skip
def test_libraries_say_in_many_ways_that_memory_ran_out(error):
    with (
        pytest.raises(OutOfMemoryError, match=r"an input of 1x2 \(here\)"),
        allocating((1, 2), "here"),
    ):
        raise error


def test_other_errors_are_not_taken_for_it():
    with pytest.raises(RuntimeError, match="shapes differ"), allocating((1, 1), "here"):
        raise RuntimeError("shapes differ")


def test_the_budget_is_little_and_never_nothing(monkeypatch):
    assert free_memory() > 0
    for free, budget in [(0, 64 << 20), (1 << 30, 256 << 20), (1 << 40, 576 << 20)]:
        monkeypatch.setattr("imgfx.engines.memory.free_memory", lambda free=free: free)
        assert processor_budget() == budget


def test_a_container_with_less_memory_counts(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    (tmp_path / "memory.stat").write_text("anon 600\ninactive_file 0\nactive_file 0\n")
    monkeypatch.setattr("imgfx.engines.memory._GROUP", tmp_path)
    assert free_memory() == 2_000_000
    # Files that were read lie in memory until somebody needs it.
    (tmp_path / "memory.stat").write_text("anon 600\ninactive_file 300000\nactive_file 50000\n")
    assert free_memory() == 2_350_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 2_000_000


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_strength_is_the_share_of_the_change(loaded, strength):
    model, _ = loaded(Darkening(memory=5000 * BYTES))
    image = Image(pixels(120, 90, dtype="uint16"))
    expected = image.pixels / 65535 * (1 - 0.2 * strength)
    np.testing.assert_allclose(model.restore(image, strength=strength), expected, atol=1e-6)


def test_gray_stays_gray(loaded):
    model, _ = loaded(Darkening())
    image = Image(picture(40, 30, 1))
    result = model.restore(image)
    assert result.shape == (40, 30, 1)
    np.testing.assert_allclose(result, 0.8 * image.pixels, atol=1e-6)


def test_an_image_is_enlarged_before_the_network(loaded):
    model, _ = loaded(Darkening(memory=5000 * BYTES))
    image = Image(picture(40, 30))
    expected = np.clip(resize(image.pixels, 120, 90), 0, 1) * 0.8
    np.testing.assert_allclose(model.restore(image, enlarge=3), expected, atol=1e-5)


@pytest.mark.parametrize(("depth", "dtype"), [("uint8", "uint16"), ("float32", "float32")])
def test_large_results_take_half_the_memory(loaded, monkeypatch, depth, dtype):
    monkeypatch.setattr(imgfx.result, "_LARGE", 10_000)
    model, _ = loaded(Darkening())
    image = Image(pixels_from_float(picture(60, 70), depth), depth=depth)
    result = model.restore(image)
    assert result.dtype == dtype
    expected = 0.8 * pixels_from_float(image.pixels, "float32")
    np.testing.assert_allclose(pixels_from_float(result, "float32"), expected, atol=1e-5)
    assert model.restore(Image(picture(20, 20))).dtype == np.float32


TIGHT = """
import resource, sys
import numpy as np
from imgfx.image import Image
from imgfx.engines.torch_engine import TorchEngine
from imgfx.session import Session
from imgfx.settings import Settings
from support_models import TINY
import torch
torch.set_num_threads(1)
model = TINY["superres-rednet"][0]
session = Session(Settings(engine="torch", device="cpu", precision="fp32"), lambda _: TorchEngine())
from pathlib import Path
loaded = session.load(model, Path(sys.argv[1]))
rng = np.random.default_rng(0)
image = Image(rng.random((1200, 1200, 3), dtype=np.float32))
loaded.restore(Image(image.pixels[:64, :64].copy()))
loaded._pixels = 1200 * 1200
free = resource.getrlimit(resource.RLIMIT_AS)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (90 << 20), free[1]))
tight = loaded.restore(image)
resource.setrlimit(resource.RLIMIT_AS, free)
assert session.notes, "memory did not run out"
loaded._pixels = 1200 * 1200
assert abs(loaded.restore(image) - tight).max() < 1e-5
print(len(session.notes))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limit of memory")
def test_pytorch_goes_on_when_memory_runs_out_for_real(tmp_path):
    path = write_weights(tmp_path / "r.safetensors", *TINY["superres-rednet"])
    line = [sys.executable, "-c", TIGHT, path]
    ended = subprocess.run(
        line, capture_output=True, text=True, check=False, cwd=imgfx_tests(), timeout=120
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert int(ended.stdout) >= 1


def imgfx_tests():
    from support import ROOT

    return ROOT / "tests"


def test_a_batch_on_cuda_is_as_large_as_memory_allows():
    # What `Limits.pixels` bounds is the windows of a call together.
    from imgfx.tiling import Limits, run_tiled

    sizes = []

    def run(batch):
        sizes.append(batch.shape[0] * batch.shape[2] * batch.shape[3])
        return batch

    black = SimpleNamespace(pixels=np.zeros((64, 640, 3), np.float32))
    run_tiled(
        lambda w: black.pixels[w.top : w.bottom, w.left : w.right], 64, 640, SPEC, run,
        lambda *_: None, limits=Limits(tile=32, pixels=6000), batch=8,
    )  # fmt: skip
    assert max(sizes) <= 6000
    assert max(sizes) > 3000


def test_the_reference_engine_tells_its_memory():
    model, spec = TINY["superres-rednet"]
    from imgfx.weights import weights_from_network

    weights = weights_from_network(model.build(spec), spec, model.name, {})
    runner = TorchEngine().open(model, weights, Request("cpu", "fp32"))
    assert 64 << 20 <= runner.memory <= 576 << 20
