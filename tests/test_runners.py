"""What a runner's other processes answer, and what becomes of it."""

from pathlib import Path

import pytest
from support import pixels

from imgfx.image import Image
from imgfx.outcomes import Made, Report
from imgfx.pipeline import StartedChain
from imgfx.runners import Blueprint, Maker, Part, Work
from imgfx.settings import Settings
from imgfx.stage import Item, ItemList

NOTING = """
from imgfx.api import hookimpl, learned_filter


@learned_filter("noting")
def noting(session):
    session.note("opened")

    def apply(image):
        if image.width > 10:
            session.note(f"{image.width} pixels are many")
        return image

    return apply


@hookimpl
def imgfx_stages():
    return [noting]
"""


@pytest.fixture
def maker(tmp_path, monkeypatch):
    """A chain with one stage that has much to say, as another process makes it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plug").mkdir()
    (tmp_path / "plug" / "noting.py").write_text(NOTING)
    save = {"target": "x.png", "format_name": None, "quality": None, "fps": None}
    sink = Part("imgfx:save", {**save, "overwrite": False})
    plan = Blueprint(
        [Part("noting.py:noting", {})], sink, Settings(), tmp_path, [tmp_path / "plug"]
    )
    maker = Maker(plan)
    yield maker
    maker.close()


def test_a_note_goes_with_the_image_that_it_came_with(maker):
    assert maker.new_notes() == ["opened"]
    notes = [
        maker(Item("a", lambda: None), 0, lambda w=width: Image(pixels(8, w))).session_notes
        for width in (9, 12, 9)
    ]
    assert notes == [(), ("12 pixels are many",), ()]


def test_the_run_is_told_of_them(tmp_path):
    told = []
    item = Item("a", lambda: None, path=Path("a.png"))
    chain = StartedChain(ItemList([item]), [], None)
    work = Work(
        chain, Settings(), Report(), lambda _outcome: None,
        learn=lambda choices, notes: told.append((choices, notes)),
    )  # fmt: skip
    work.place(0, item, Made("a", None, 0.0, error="a: no", session_notes=("smaller tiles",)))
    assert told == [({}, ("smaller tiles",))]
