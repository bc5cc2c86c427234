"""docs/gallery.md: of every stage a picture, and nothing that its record does not say."""

import hashlib
import importlib
import sys

import pytest
from support import ROOT

from imgfx.files import read_image
from imgfx.offers import installed_offers


@pytest.fixture(scope="module")
def gallery():
    """The module docs/gallery.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "docs"), *sys.path])
        yield importlib.import_module("gallery")


def test_every_stage_has_a_picture(gallery):
    shown = {word for entry in gallery.recorded() for word in entry.line.split()}
    kinds = ("source", "filter", "sink")
    stages = {o.name for o in installed_offers() if o.bundled and o.kind in kinds}
    assert stages <= shown


def test_the_page_is_that_of_the_record(gallery):
    assert gallery.PAGE.read_text(encoding="utf-8") == gallery.page(gallery.recorded())


def test_the_record_is_that_of_the_script(gallery):
    made = [made.name for made in (*gallery.SCENES, *gallery.SHEETS)]
    assert [entry.name for entry in gallery.recorded()] == made, "run `make gallery`"


def test_the_pictures_are_those_of_the_record(gallery):
    names = {f"{entry.name}.webp" for entry in gallery.recorded()}
    assert {path.name for path in gallery.PICTURES.iterdir()} == {*names, gallery.RECORD.name}
    for entry in gallery.recorded():
        path = gallery.PICTURES / f"{entry.name}.webp"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256, entry.name
        assert read_image(path).width >= 300


def test_the_weights_are_those_that_are_bundled(gallery):
    for entry in gallery.recorded():
        assert entry.weights, entry.name
        assert entry.weights == gallery.weights(list(entry.weights)), "run `make gallery`"


def test_every_restorer_brings_its_image_nearer_to_the_original(gallery):
    for entry in gallery.recorded():
        if entry.before is not None:
            assert entry.after > entry.before + 0.5, entry.name


def test_the_pictures_are_small(gallery):
    assert sum(path.stat().st_size for path in gallery.PICTURES.iterdir()) < 1_500_000
