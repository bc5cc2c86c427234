"""The table of weights/README.md says of each model what its file says."""

import importlib
import sys

import pytest
from support import ROOT

EARLIER = "weights of 7 steps, 112.5 minutes, sha256 `ab...`"


@pytest.fixture(scope="module")
def quality():
    """The module benchmarks/quality.py, which writes the table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
        yield importlib.import_module("quality")


def test_the_table_is_what_the_weights_say(quality):
    page = (ROOT / "weights" / "README.md").read_text(encoding="utf-8")
    table = page.partition("<!-- models -->\n")[2].partition("\n<!-- end of models -->")[0]
    assert table == quality.models_table()


@pytest.mark.parametrize(
    ("origin", "minutes"),
    [
        ("", 20.0),
        (EARLIER, 132.5),
        (f"{EARLIER}, those from weights of 9 steps, 3.5 minutes, sha256 `cd...`", 136.0),
    ],
)
def test_minutes_are_those_of_all_runs(quality, origin, minutes):
    assert quality.minutes({"minutes": "20.0", "origin": origin}) == minutes


def test_weights_that_say_nothing_of_a_beginning_have_their_own_minutes(quality):
    assert quality.minutes({"minutes": "3.7"}) == 3.7
