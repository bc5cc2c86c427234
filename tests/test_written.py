"""Words of a stage and the values that they give say the same, in both directions."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgfx.option_paths import paths_in, with_paths, without_folders
from imgfx.written import typed, words_of

PARAMETERS = [
    click.Option(["--strength"], type=float, default=1.0),
    click.Option(["-m", "--mode", "kind"]),
    click.Option(["--sharp/--soft"], default=True),
    click.Option(["--fast"], is_flag=True),
    click.Option(["-v", "--more"], count=True),
    click.Option(["--size"], nargs=2),
    click.Option(["--tag"], multiple=True),
    click.Option(["--pair"], nargs=2, multiple=True),
    click.Option(["-x"]),
    click.Option(["--lut"], type=click.Path()),
    click.Option(["--both"], type=(str, click.Path()), multiple=True),
    click.Option(["--low", "level"], flag_value="low"),
    click.Option(["--high", "level"], flag_value="high"),
    click.Option(["--choice"], type=click.Choice(["1", "2"]), default="2"),
    click.Argument(["first"]),
    click.Argument(["others"], nargs=-1, type=click.Path()),
]
word = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
value = word | st.integers(-999, 10**15) | st.floats(0, 1e6).map(lambda n: round(n, 3))
VALUES = st.fixed_dictionaries(
    {"first": value},
    optional={
        "strength": st.floats(0, 1),
        "mode": value,
        "sharp": st.booleans(),
        "fast": st.just(value=True),
        "more": st.integers(1, 5),
        "size": st.lists(value, min_size=2, max_size=2),
        "tag": st.lists(value, min_size=1, max_size=3),
        "pair": st.lists(st.lists(value, min_size=2, max_size=2), min_size=1, max_size=2),
        "x": value,
        "lut": word,
        "low": st.just(value=True),
        "choice": st.sampled_from([1, 2]),
        "others": st.lists(word, min_size=1, max_size=3),
    },
)


def as_words(found):
    """Numbers and texts of the same letters are one to a command line."""
    if isinstance(found, list):
        return [as_words(part) for part in found]
    return found if isinstance(found, bool) else str(found)


@given(values=VALUES)
def test_values_come_back_from_their_words(values):
    words = words_of(PARAMETERS, values)
    again = typed(PARAMETERS, words)
    assert again.rest == []
    assert {k: as_words(v) for k, v in again.given.items()} == {
        k: as_words(v) for k, v in values.items()
    }
    assert words_of(PARAMETERS, again.given) == words


@pytest.mark.parametrize(
    ("words", "given_", "used"),
    [
        ("", {}, {"strength": 1.0, "sharp": True, "fast": False, "more": 0, "choice": 2}),
        ("--strength 0.60", {"strength": "0.60"}, None),
        ("--strength 0.6 --soft -vv", {"strength": 0.6, "sharp": False, "more": 2}, None),
        ("--tag a --tag=7", {"tag": ["a", 7]}, None),
        ("--high", {"high": True}, None),
    ],
)
def test_what_is_typed_and_what_is_used(words, given_, used):
    found = typed(PARAMETERS, words.split())
    assert found.given == given_
    assert found.used.items() >= (used or given_).items()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"strenght": 1}, "no option 'strenght'; did you mean 'strength'"),
        ({"qqq": 1}, "no option 'qqq'; there are strength, mode"),
        ({"strength": True}, "strength is no flag"),
        ({"strength": [1, 2]}, r"strength takes one value, not \[1, 2\]"),
        ({"fast": 1}, "fast is on or off; write true or false, not 1"),
        ({"more": "x"}, "more is counted"),
        ({"size": 3}, "size takes a list of 2 values"),
        ({"mode": "a\0b"}, "mode holds a zero byte"),
    ],
)
def test_a_wrong_value_is_refused_with_the_option_s_name(values, message):
    with pytest.raises(ValueError, match=message):
        words_of(PARAMETERS, values)


def test_paths_are_known_by_the_options_types():
    values = {"lut": "a/b", "mode": "c/d", "both": [["e/f", "g/h"]], "others": ["i/j", "-"]}
    assert list(paths_in(PARAMETERS, values)) == [
        ("lut", "a/b"), ("both", "g/h"), ("others", "i/j"),
    ]  # fmt: skip
    moved = with_paths(PARAMETERS, values, lambda path: f"top/{path}")
    assert moved == {
        "lut": "top/a/b", "mode": "c/d", "both": [["e/f", "top/g/h"]], "others": ["top/i/j", "-"],
    }  # fmt: skip


def test_folders_are_cut_off_paths_whatever_the_option_says(tmp_path):
    (tmp_path / "secret.cube").touch()
    values = {"lut": "/home/me/a.cube", "mode": str(tmp_path / "secret.cube"), "x": "1/2"}
    assert without_folders(PARAMETERS, values) == {
        "lut": "a.cube",
        "mode": "secret.cube",
        "x": "1/2",
    }
