"""Each image that imgfx has made says how; the record survives formats, pipes and further runs."""

import json
import pickle
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import XMP, image_of, known, passed_through, without_chunk
from support import NEGATIVE, pixels
from support_models import TINY, write_weights

from imgfx import __version__
from imgfx.chain import Piece
from imgfx.files import decode, encode, read_image, read_provenance
from imgfx.image import Image, Metadata
from imgfx.plugins import Registry
from imgfx.provenance import (
    PIPE,
    ProvenanceError,
    Run,
    Step,
    UsedFile,
    UsedModel,
    runs_of,
    text_of,
)  # fmt: skip
from imgfx.recorder import Recorded, Recorder
from imgfx.runners import Blueprint, Maker, Part
from imgfx.settings import Settings
from imgfx.stage import Item
from imgfx.steps import step_of
from imgfx.weights import load_weights

CARRYING = ["png", "jpeg", "webp", "tiff", "avif"]
MODEL = UsedModel("denoise-ae", "0" * 64, "torch", "cpu", "fp32")
RUNS = [
    Run("0.1", [Step("denoise-ae", options={"strength": 0.6, "sigma": "auto"}, models=[MODEL])]),
    Run(
        "0.2",
        [
            Step(
                "acme:tint",
                "1.0",
                {"lut": 'ä<&>".cube', "on": True},
                [UsedFile("lut", 'ä<&>".cube', "1" * 64)],
            )
        ],
    ),
]
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
value = st.recursive(
    text | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
name = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=9)
models = st.builds(UsedModel, name, name, name, name, name)
steps = st.builds(
    Step, name, name, st.dictionaries(text, value, max_size=3),
    st.lists(st.builds(UsedFile, name, name, name), max_size=2), st.lists(models, max_size=2),
)  # fmt: skip
runs = st.lists(st.builds(Run, name, st.lists(steps, max_size=2)), max_size=2)

TINT = '''"""Tint."""

import click

from imgfx.api import Image, hookimpl, image_filter


@image_filter("tint")
@click.option("--lut", type=click.Path(exists=True))
@click.option("--table")
@click.option("--warm/--cold", default=True)
@click.option("--drop", is_flag=True)
def tint(image, lut, table, warm, drop):
    """Leave images as they are, and forget their metadata if told so."""
    return Image(image.pixels) if drop else image


@hookimpl
def imgfx_stages():
    return [tint]
'''


@given(runs=runs)
def test_runs_come_back_from_their_text(runs):
    found = text_of(runs)
    assert found.isascii()
    assert found.isprintable()
    assert runs_of(found) == runs


@pytest.mark.parametrize("name", CARRYING)
@pytest.mark.parametrize("packet", [None, XMP], ids=["alone", "beside XMP"])
@settings(max_examples=10, deadline=None)
@given(runs=runs)
def test_every_format_that_has_metadata_carries_it(name, packet, runs):
    metadata = Metadata(xmp=packet, provenance=text_of(runs))
    image = image_of(pixels(16, 16), metadata=metadata)
    again, notes = passed_through(image, name)
    assert (again.metadata.provenance, again.metadata.xmp) == (metadata.provenance, packet)
    assert notes == ()


@pytest.mark.parametrize("name", ["ppm", "pam", "bmp", "y4m"])
def test_formats_without_metadata_lose_it_without_a_word(name):
    image = image_of(pixels(8, 8), metadata=Metadata(provenance=text_of(RUNS)))
    again, notes = passed_through(image, name)
    assert (again.metadata.provenance, notes) == (None, ())


@pytest.mark.parametrize(
    ("packet", "kept"),
    [
        (XMP.replace(b"\xe2\x82\xac", b"x" * 65_300), True),
        (b"<x:xmpmeta/>", True),
        (None, False),
    ],
)
def test_a_jpeg_without_room_for_it_is_written_with_a_note(packet, kept):
    long = replace(RUNS[0].steps[0], options={"text": "x" * (10 if packet else 66_000)})
    provenance = text_of([Run("0.1", [long])])
    image = image_of(pixels(8, 8), metadata=Metadata(xmp=packet, provenance=provenance))
    data, notes = encode(image, known("jpeg"))
    assert notes == ("the XMP in jpeg has no room for how it was made; left out",)
    again = decode(data, "again.jpg").metadata
    assert (again.provenance, again.xmp) == (None, packet if kept else None)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("", "damaged"),
        ("[]", "damaged"),
        ("{}", "no 'imgfx-provenance'"),
        ('{"imgfx-provenance":1}', "no 'runs'"),
        ('{"imgfx-provenance":true,"runs":[]}', "an int is expected|a int is expected"),
        ('{"imgfx-provenance":2,"runs":[]}', "of version 2, and this imgfx reads version 1"),
        ('{"imgfx-provenance":1,"runs":[{"imgfx":"1","stages":[{"stage":1}]}]}', "damaged"),
        ('{"imgfx-provenance":1,"runs":' + "[" * 9000 + "]" * 9000 + "}", "damaged"),
        ('{"imgfx-provenance":1,"runs":[{"imgfx":"\\u001b[","stages":[]}]}', "control characters"),
        ('{"imgfx-provenance":1,"runs":[]' + " " * (1 << 20) + "}", "too long"),
    ],
)  # fmt: skip
def test_a_damaged_or_later_record_is_refused(found, message):
    with pytest.raises(ProvenanceError, match=message):
        runs_of(found)


def test_text_that_no_imgfx_writes_is_not_taken_along():
    image = image_of(pixels(4, 5), metadata=Metadata(provenance="two\nlines"))
    assert passed_through(image, "png")[0].metadata.provenance is None


def recorded(image, *steps, wanted=True, again=None, source=None):
    """The image behind a recorder of these steps."""
    recorder = Recorder([Recorded(step) for step in steps], source, wanted)
    item = Item("a", lambda: image, again=again)
    return recorder(image, item, image.metadata.provenance)


def test_a_run_is_added_to_what_an_image_carries():
    first = recorded(image_of(pixels(4, 5)), Step("one"))
    second = recorded(first, Step("two"), PIPE, Step("three"), Step("four"))
    found = runs_of(second.metadata.provenance)
    assert [[s.stage for s in run.steps] for run in found] == [["one"], ["two"], ["three", "four"]]
    assert {run.imgfx for run in found} == {__version__}


def test_what_cannot_be_read_is_begun_anew_with_a_note():
    image = image_of(pixels(4, 5), metadata=Metadata(provenance="?"))
    made = recorded(image, Step("one"))
    assert [run.steps[0].stage for run in runs_of(made.metadata.provenance)] == ["one"]
    (note,) = made.notes
    assert note.endswith("; it begins anew")
    assert recorded(image) is image


def test_recording_takes_less_than_two_milliseconds():
    image = image_of(pixels(4, 5), metadata=Metadata(provenance=text_of(RUNS * 10)))
    step = replace(RUNS[0].steps[0], models=[])
    begun = time.perf_counter()
    for _ in range(50):
        recorded(image, step, step)
    assert (time.perf_counter() - begun) / 50 < 0.002


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The test's folder with an image, and weights of a tiny network in a folder of their own."""
    cv2.imwrite(str(tmp_path / "a.png"), pixels(20, 24))
    private = tmp_path / "private"
    private.mkdir()
    write_weights(private / "tiny.safetensors", *TINY["denoise-ae"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


DENOISE = ["denoise-ae", "--strength", "0.5", "--weights", "private/tiny.safetensors"]


def runs_in(path):
    """What a file says."""
    return runs_of(read_provenance(Path(path)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_a_run_writes_what_it_did(imgfx, folder, suffix):
    out = f"b{suffix}"
    ended = imgfx("open", "a.png", *DENOISE, "save", out, "--device", "cpu")
    assert (ended.code, ended.err) == (0, "")
    digest = load_weights(folder / "private" / "tiny.safetensors").digest
    ((step,),) = [run.steps for run in runs_in(out)]
    assert step.options == {
        "strength": 0.5, "sigma": "auto", "self-ensemble": False, "weights": "tiny.safetensors"
    }  # fmt: skip
    (model,) = step.models
    assert (model.model, model.weights, model.engine) == ("denoise-ae", digest, "torch")
    assert (step.stage, step.version, step.files) == ("denoise-ae", "", [])
    assert b"private" not in (folder / out).read_bytes()
    first = (folder / out).read_bytes()
    assert imgfx("open", "a.png", *DENOISE, "save", out, "--device", "cpu").code == 0
    assert (folder / out).read_bytes() == first


def test_it_adds_up_across_a_pipe_and_across_runs(imgfx, folder):
    first = imgfx(*DENOISE, stdin=(folder / "a.png").read_bytes())
    second = imgfx(*DENOISE, "--sigma", "25", "save", "b.jpg", stdin=first.out)
    assert (second.code, second.err) == (0, "")
    assert imgfx("open", "b.jpg", *DENOISE, *DENOISE, "save", "c.webp").code == 0
    assert [len(run.steps) for run in runs_in("c.webp")] == [1, 1, 2]
    assert [run.steps[0].options["sigma"] for run in runs_in("c.webp")] == ["auto", 25, "auto"]


def test_without_filters_what_an_image_carries_is_kept_and_nothing_added(imgfx, folder):
    imgfx("open", "a.png", "save", "b.png")
    assert read_provenance(folder / "b.png") is None
    imgfx("open", "a.png", *DENOISE, "save", "c.jpg")
    imgfx("open", "c.jpg", "save", "d.png")
    assert read_provenance(folder / "d.png") == read_provenance(folder / "c.jpg")


def test_no_provenance_leaves_nothing(imgfx, folder):
    imgfx("open", "a.png", *DENOISE, "save", "b.png")
    for words in (DENOISE, []):
        assert imgfx("open", "b.png", *words, "save", "c.png", "--no-provenance").code == 0
        assert b"imgfx" not in (folder / "c.png").read_bytes()
    plain = without_chunk((folder / "b.png").read_bytes(), b"iTXt")
    assert imgfx("open", "a.png", *DENOISE, "save", "c.png", "--no-provenance").code == 0
    assert (folder / "c.png").read_bytes() == plain


def test_another_package_s_stage_is_named_with_its_package_and_its_files_by_digest(
    imgfx, folder, site
):
    site.install("acme-tint", TINT, "tint")
    for name in ("one.cube", "two.cube"):
        (folder / "private" / name).write_bytes(b"x")
    ended = imgfx(
        "open", "a.png", *DENOISE, "tint", "--lut", "private/one.cube", "--table",
        folder / "private" / "two.cube", "--cold", "--drop", "save", "b.png",
        PYTHONPATH=str(site.folder),
    )  # fmt: skip
    assert ended.code == 0, ended.err
    ((_, step),) = [run.steps for run in runs_in("b.png")]
    assert (step.stage, step.version) == ("acme-tint:tint", "1.0")
    assert step.options == {"lut": "one.cube", "table": "two.cube", "warm": False, "drop": True}
    ((option, name, digest),) = [(u.option, u.name, u.sha256) for u in step.files]
    assert (option, name, len(digest)) == ("lut", "one.cube", 64)
    assert b"private" not in (folder / "b.png").read_bytes()


def test_the_files_that_a_source_reads_are_not_read_for_digests(folder):
    """They are the images themselves, and may be many."""
    registry = Registry()
    piece = Piece(registry.stage("open"), [str(folder / "a.png")])
    step = step_of(piece, registry)
    assert (step.options["paths"], step.files) == (["a.png"], [])


def test_a_generated_image_says_its_seed_and_number(imgfx, folder):
    write_weights(folder / "gan.safetensors", *TINY["gan-generate"])
    imgfx(
        "gan-generate", "--seed", "7", "--count", "3", "--weights", "gan.safetensors", "save", "g"
    )
    ((step,),) = [run.steps for run in runs_in("g/fashion_7_0002.png")]
    assert step.stage == "gan-generate"
    assert step.options["weights"] == "gan.safetensors"
    assert {"seed": 7, "first": 2, "count": 1, "model": "fashion"}.items() <= step.options.items()
    assert [model.model for model in step.models] == ["gan-generate"]


def test_another_process_writes_the_same(imgfx, folder, monkeypatch):
    """As a cluster's worker makes an image: from a blueprint that was sent there."""
    imgfx("open", "a.png", *DENOISE, "save", "out/", "--engine", "torch", "--device", "cpu")
    recorded_ = runs_in("out/a.png")[0].steps[0]
    options = {
        "strength": 0.5, "sigma": None, "self_ensemble": False,
        "weights": Path("private/tiny.safetensors"),
    }  # fmt: skip
    step = replace(recorded_, models=())
    save = {
        "target": "x.png",
        "format_name": None,
        "quality": None,
        "fps": None,
        "overwrite": False,
    }
    plan = Blueprint(
        [Part("imgfx:denoise-ae", options, step)], Part("imgfx:save", save),
        Settings(device="cpu", engine="torch"), folder,
    )  # fmt: skip
    maker = Maker(pickle.loads(pickle.dumps(plan)))
    made = maker(Item("a.png", lambda: None, "a"), 0, lambda: read_image(Path("a.png")))
    maker.close()
    assert made.data == (folder / "out" / "a.png").read_bytes()


def test_a_batch_that_is_to_say_nothing_is_not_taken_for_done(imgfx, folder):
    cv2.imwrite("b.png", pixels(8, 9))
    line = ["open", "a.png", "b.png", *DENOISE, "save", "out"]
    assert imgfx(*line).code == 0
    assert imgfx(*line).err.endswith("2 of them earlier\n")
    assert imgfx(*line, "--no-provenance").err.endswith("2 images done\n")
    assert read_provenance(folder / "out" / "a.png") is None


def test_a_png_shows_it_to_everyone(imgfx, folder):
    from PIL import Image as Pillow

    imgfx("open", "a.png", *DENOISE, "save", "b.png")
    with Pillow.open("b.png") as file:
        found = json.loads(file.text["imgfx:provenance"])
    assert found["runs"][0]["stages"][0]["stage"] == "denoise-ae"
    assert isinstance(read_image(Path("b.png")), Image)
    assert np.array_equal(read_image(Path("b.png")).pixels.shape, (20, 24, 3))


def test_another_process_has_the_plugins_of_the_folders_that_were_named(folder):
    (folder / "plug").mkdir()
    source = NEGATIVE.replace("NAME", "turn").replace("BODY", "pass")
    (folder / "plug" / "turn.py").write_text(source)
    registry = Registry()
    registry.add_folder(Path("plug"))
    save = {
        "target": "x.png", "format_name": None, "quality": None, "fps": None, "overwrite": False,
    }  # fmt: skip
    plan = Blueprint(
        [Part("plug/turn.py:turn", {})], Part("imgfx:save", save),
        Settings(device="cpu", engine="torch"), folder, registry.folders,
    )  # fmt: skip
    maker = Maker(pickle.loads(pickle.dumps(plan)))
    made = maker(Item("a.png", lambda: None, "a"), 0, lambda: read_image(Path("a.png")))
    maker.close()
    np.testing.assert_array_equal(
        decode(made.data, "x.png").pixels, 255 - read_image(Path("a.png")).pixels
    )
