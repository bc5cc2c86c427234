"""A batch can be killed at any moment and run again: only what is left is done."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import NEGATIVE, PROGRAM, pixels

from imgfx import atomic
from imgfx.formats._png_text import chunk
from imgfx.interrupts import Interrupts
from imgfx.journal import NAME, Journal, remove_abandoned
from imgfx.stamps import stamp_of


@pytest.fixture
def photos(tmp_path):
    """Six small photos in two folders, and one file that is none."""
    for number in range(6):
        path = tmp_path / "photos" / ("sub" if number % 2 else "") / f"p{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels(12 + number, 10))
    return tmp_path / "photos"


@pytest.fixture
def batch(imgfx, tmp_path):
    """`batch("--redo")`: a run over the photos, and what it reports."""

    def run(*options, chain=("open", "photos", "save", "out"), **environment):
        ended = imgfx(*chain, *options, "--report", "report.json", **environment)
        path = tmp_path / "report.json"
        report = json.loads(path.read_text()) if path.is_file() else {}
        return ended, report

    return run


def made(report):
    """Names of the images that the run has made."""
    return sorted(Path(i["input"]).name for i in report["images"] if i["output"] and not i["kept"])


def kept(report):
    """Names of those that it left as they are."""
    return sorted(Path(i["input"]).name for i in report["images"] if i["kept"])


ALL = [f"p{n}.png" for n in range(6)]


def test_a_second_run_does_nothing_and_says_so(photos, batch, tmp_path):
    first, report = batch()
    assert (first.code, made(report)) == (0, ALL)
    assert first.err == "imgfx: 6 images done\n"
    before = stamps(tmp_path / "out")
    second, report = batch()
    assert (second.code, made(report), kept(report)) == (0, [], ALL)
    assert second.err == "imgfx: 6 images done, 6 of them earlier\n"
    assert stamps(tmp_path / "out") == before
    assert (report["done"], report["kept"], report["failed"]) == (6, 6, 0)


def stamps(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def contents(folder):
    """Of all files but the journal."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != NAME
    }


def change_input(photos, out):
    cv2.imwrite(str(photos / "p2.png"), pixels(30, 30))


def touch_input(photos, out):
    os.utime(photos / "p2.png", ns=(1, 1))


def remove_output(photos, out):
    (out / "p2.png").unlink()


def replace_output(photos, out):
    """As a run does that is killed before its file has taken the place of an older one."""
    data = (out / "p2.png").read_bytes()
    older = (out / "p2.png").stat().st_mtime_ns - 10**9
    (out / "p2.png").unlink()
    (out / "p2.png").write_bytes(data[::-1])
    os.utime(out / "p2.png", ns=(older, older))


def truncate_output(photos, out):
    stamp = (out / "p2.png").stat().st_mtime_ns
    (out / "p2.png").write_bytes((out / "p2.png").read_bytes()[:-1])
    os.utime(out / "p2.png", ns=(stamp, stamp))


def damage_journal_line(photos, out):
    lines = (out / NAME).read_text().splitlines()
    lines = [line[: len(line) // 2] if "p2.png" in line else line for line in lines]
    (out / NAME).write_text("\n".join(lines))


def other_version(photos, out):
    text = (out / NAME).read_text()
    lines = [
        line.replace('"v": 1', '"v": 99') if "p2.png" in line else line
        for line in text.splitlines()
    ]
    (out / NAME).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "change",
    [
        change_input, touch_input, remove_output, replace_output, truncate_output,
        damage_journal_line, other_version,
    ],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_only_what_is_missing_or_changed_is_done_again(photos, batch, tmp_path, change):
    batch()
    expected = contents(tmp_path / "out")
    change(photos, tmp_path / "out")
    ended, report = batch()
    assert ended.code == 0
    assert made(report) == ["p2.png"]
    if change is not change_input:
        assert contents(tmp_path / "out") == expected


@pytest.mark.parametrize(
    ("chain", "count"),
    [
        (("open", "photos", "save", "out", "--format", "jpeg"), 6),
        (("open", "photos", "save", "out/{stem}.png"), 3),  # the others are there already
    ],
)
def test_another_chain_makes_its_own_images(photos, batch, tmp_path, chain, count):
    batch()
    ended, report = batch(chain=chain)
    assert ended.code == 0
    assert len(made(report)) == count
    _, report = batch(chain=chain)
    assert made(report) == []


def test_other_weights_and_options_are_another_chain(photos, batch, tmp_path):
    from support_models import TINY, write_weights

    for seed in (0, 1):
        write_weights(tmp_path / f"{seed}.safetensors", *TINY["denoise-ae"], seed=seed)

    def chain(weights, strength="1"):
        stage = ("denoise-ae", "--weights", "w.safetensors", "--strength", strength)
        (tmp_path / "w.safetensors").write_bytes((tmp_path / weights).read_bytes())
        return ("open", "photos", *stage, "save", "out")

    done = [
        len(made(batch(chain=chain(*words))[1]))
        for words in [("0.safetensors",), ("0.safetensors",), ("1.safetensors",),
                      ("1.safetensors", "0.5"), ("1.safetensors", "0.5")]
    ]  # fmt: skip
    assert done == [6, 0, 6, 6, 0]


@pytest.mark.parametrize("changed", ["a", "b"])
def test_a_model_that_runs_twice_has_the_weights_of_both(photos, batch, tmp_path, changed):
    from support_models import TINY, write_weights

    for seed, name in enumerate("abc"):
        write_weights(tmp_path / f"{name}.safetensors", *TINY["denoise-ae"], seed=seed)
    stages = [f"denoise-ae --weights {name}.safetensors" for name in "ab"]
    chain = ("open", "photos", *" ".join(stages).split(), "save", "out")
    assert made(batch(chain=chain)[1]) == ALL
    assert made(batch(chain=chain)[1]) == []
    (tmp_path / "c.safetensors").replace(tmp_path / f"{changed}.safetensors")
    assert made(batch(chain=chain)[1]) == ALL


DARKER = """
import click
from pathlib import Path

from imgfx.api import hookimpl, image_filter


@image_filter("darker")
@click.option("--dark", type=click.Path(exists=True, path_type=Path), multiple=True)
@click.option("--flat", type=click.Path(exists=True, path_type=Path))
def darker(image, dark, flat):
    level = sum(int(file.read_text()) for file in (*dark, flat))
    return image.with_pixels(image.pixels // level)


@hookimpl
def imgfx_stages():
    return [darker]
"""


@pytest.mark.parametrize("changed", ["1", "2", "3"])
def test_files_of_one_name_are_told_apart(photos, imgfx, tmp_path, changed):
    (tmp_path / "plug").mkdir()
    (tmp_path / "plug" / "darker.py").write_text(DARKER)
    for folder in "123":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "f.txt").write_text(folder)
    words = ["--dark", "1/f.txt", "--dark", "2/f.txt", "--flat", "3/f.txt"]
    line = ("--plugins-dir", "plug", "open", "photos", "darker", *words, "save", "out")
    assert imgfx(*line).code == 0
    first = cv2.imread(str(tmp_path / "out" / "p0.png"))
    assert imgfx(*line).err == "imgfx: 6 images done, 6 of them earlier\n"
    # Made again from what the image says, whatever the order in which the files are named.
    files = [word for folder in "321" for word in ("--file", f"{folder}/f.txt")]
    again = imgfx(
        "--plugins-dir", "plug", "replay", "out/p0.png", "--on", "photos/p0.png",
        "--out", "again.png", *files,
    )  # fmt: skip
    assert again.code == 0, again.err
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "again.png")), first)
    (tmp_path / changed / "f.txt").write_text("7")
    assert imgfx(*line).err == "imgfx: 6 images done\n"
    assert (cv2.imread(str(tmp_path / "out" / "p0.png")) != first).any()


def test_an_input_on_another_drive_is_named_from_its_root(tmp_path, monkeypatch):
    """As Windows has them, where no relative path leads from one to the other."""

    def relpath(path, start):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr("os.path.relpath", relpath)
    source, target = tmp_path / "a.png", tmp_path / "out" / "a.png"
    source.write_bytes(b"a")
    journal = Journal(tmp_path / "out", "chain")
    target.write_bytes(b"b")
    journal.done(source, "a", stamp_of(source), target, stamp_of(target))
    journal.close()
    journal = Journal(tmp_path / "out", "chain")
    assert journal.known(source, "a", target).input == str(source)
    journal.close()


def test_another_edition_of_a_plugin_is_another_chain(photos, imgfx, tmp_path):
    source = NEGATIVE.replace("NAME", "turn")
    (tmp_path / "plug").mkdir()
    line = ("--plugins-dir", "plug", "open", "photos", "turn", "save", "out")
    seen = []
    for body in ("pass", "pass", "image = image.with_pixels(image.pixels // 2)"):
        (tmp_path / "plug" / "turn.py").write_text(source.replace("BODY", body))
        ended = imgfx(*line)
        assert ended.code == 0, ended.err
        seen.append((ended.err, cv2.imread(str(tmp_path / "out" / "p0.png"))))
    assert [err for err, _ in seen] == [
        "imgfx: 6 images done\n", "imgfx: 6 images done, 6 of them earlier\n",
        "imgfx: 6 images done\n",
    ]  # fmt: skip
    assert (seen[2][1] != seen[0][1]).any()


def test_a_batch_goes_on_where_the_engine_is_another(photos, batch):
    batch()
    _, report = batch("--device", "cpu", "--jobs", "1", "--tile", "32")
    assert made(report) == []


def test_new_images_are_added(photos, batch):
    batch()
    cv2.imwrite(str(photos / "p9.png"), pixels(9, 9))
    _, report = batch()
    assert made(report) == ["p9.png"]


def test_a_batch_that_replaces_its_inputs_goes_on_too(photos, batch):
    in_place = ("open", "photos", "save", "photos", "--overwrite")
    _, report = batch(chain=in_place)
    assert made(report) == ALL
    cv2.imwrite(str(photos / "p2.png"), pixels(30, 30))
    lines = (photos / NAME).read_text().splitlines(keepends=True)
    (photos / NAME).write_text("".join(lines[1:]))
    _, report = batch(chain=in_place)
    assert (made(report), kept(report)) == (["p0.png", "p2.png"], ["p1.png", *ALL[3:]])
    _, report = batch("--redo", chain=in_place)
    assert made(report) == ALL


def test_an_output_within_the_input_is_not_read_again(photos, batch):
    chain = ("open", "photos", "save", "photos/sub/out")
    assert made(batch(chain=chain)[1]) == ALL
    ended, report = batch(chain=chain)
    assert (ended.code, made(report), kept(report)) == (0, [], ALL)
    assert "photos/sub/out: not read again: 6 made by earlier runs" in ended.err
    own = photos / "sub" / "out" / "mine.png"
    cv2.imwrite(str(own), pixels(8, 8))
    assert made(batch(chain=chain)[1]) == ["mine.png"]
    assert own.is_file()
    inner = ("open", "photos/sub/out", "save", "elsewhere")
    assert len(made(batch(chain=inner)[1])) == 8


@pytest.mark.parametrize(
    ("save", "gone"),
    [(["photos/{stem}_x{suffix}"], "p3_x.png"), (["photos", "--format", "webp"], "p3.webp")],
)
def test_an_output_beside_the_input_is_not_read_again(photos, batch, save, gone):
    for path in (photos / "sub").iterdir():
        path.rename(photos / path.name)
    (photos / "sub").rmdir()
    chain = ("open", "photos", "save", *save)
    assert made(batch(chain=chain)[1]) == ALL
    (photos / gone).unlink()
    ended, report = batch(chain=chain)
    assert (ended.code, made(report)) == (0, ["p3.png"])
    assert "photos: not read again: 5 made by earlier runs" in ended.err


def test_an_output_whose_input_is_gone_is_a_photograph(photos, batch):
    batch(chain=("open", "photos", "save", "photos", "--format", "webp"))
    for path in photos.rglob("*.png"):
        path.unlink()
    ended, report = batch(chain=("open", "photos", "save", "photos", "--overwrite"))
    assert (ended.code, len(made(report))) == (0, 6)
    assert "not read again" not in ended.err


@pytest.mark.parametrize("save", [["photos/out"], ["photos/out/{stem}{suffix}", "--overwrite"]])
def test_an_output_in_a_folder_of_its_own_is_none_even_when_its_input_is_gone(photos, batch, save):
    chain = ("open", "photos", "save", *save)
    batch(chain=chain)
    (photos / "p0.png").unlink()
    (photos / "p2.png").rename(photos / "sub" / "p2.png")
    before = contents(photos / "out")
    ended, report = batch(chain=chain)
    assert ended.code == 0
    assert made(report) == ["p2.png"]
    now = contents(photos / "out")
    assert {name: now[name] for name in before} == before


@pytest.mark.parametrize("count", [1, 6])
def test_a_batch_over_its_input_through_a_link_restores_each_image_once(photos, batch, count):
    for path in photos.rglob("*.png"):
        if int(path.stem[1:]) >= count:
            path.unlink()
    Path(photos.parent / "link").symlink_to("photos")
    chain = ("open", "photos", "save", "link", "--overwrite")
    assert made(batch(chain=chain)[1]) == ALL[:count]
    before = contents(photos)
    ended, report = batch(chain=chain)
    assert (ended.code, made(report), kept(report)) == (0, [], ALL[:count])
    assert contents(photos) == before
    cv2.imwrite(str(photos / "p0.png"), pixels(30, 30))
    assert made(batch(chain=chain)[1]) == ["p0.png"]


def test_a_batch_that_shrinks_to_one_image_is_still_done(photos, batch):
    chain = ("open", "photos", "save", "photos", "--overwrite")
    batch(chain=chain)
    for path in photos.rglob("*.png"):
        if path.stem != "p3":
            path.unlink()
    ended, report = batch(chain=chain)
    assert (ended.code, made(report), kept(report)) == (0, [], ["p3.png"])
    assert ended.err == "imgfx: 1 image done, 1 of them earlier\n"


def test_a_single_image_with_its_output_within_the_input_can_be_run_again(imgfx, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), pixels(8, 8))
    assert imgfx("open", ".", "save", "out").code == 0
    ended = imgfx("open", ".", "save", "out")
    assert (ended.code, ended.err.splitlines()[-1]) == (0, "imgfx: 1 image done, 1 of them earlier")
    cv2.imwrite(str(tmp_path / "b.png"), pixels(8, 8))
    assert imgfx("open", ".", "save", "out").code == 0
    assert sorted(contents(tmp_path / "out")) == ["a.png", "b.png"]


def test_a_single_file_that_is_named_leaves_no_journal(imgfx, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), pixels(8, 8))
    assert imgfx("open", "a.png", "save", "out/").code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_an_earlier_output_that_is_named_is_read(photos, batch, tmp_path):
    batch(chain=("open", "photos", "save", "{stem}_x{suffix}"))
    named = ("open", "p0_x.png", "p1_x.png", "save", "{stem}_y{suffix}")
    assert made(batch(chain=named)[1]) == ["p0_x.png", "p1_x.png"]
    assert (tmp_path / "p1_x_y.png").is_file()


def test_a_line_that_was_cut_off_costs_itself_alone(photos, batch):
    chain = ("open", "photos", "save", "photos", "--overwrite")
    batch(chain=chain)
    whole = (photos / NAME).read_bytes()
    (photos / NAME).write_bytes(whole[:-20])
    assert len(made(batch(chain=chain)[1])) == 1
    assert made(batch(chain=chain)[1]) == []


def test_copies_that_keep_seconds_alone_are_known_again(photos, batch, tmp_path):
    chain = ("open", "photos", "save", "photos", "--overwrite")
    batch(chain=chain)
    for path in photos.rglob("*.png"):
        second = path.stat().st_mtime_ns // 10**9
        os.utime(path, ns=(second * 10**9, second * 10**9))
    assert made(batch(chain=chain)[1]) == []
    os.utime(photos / "p0.png", ns=(second * 10**9 - 10**9, second * 10**9 - 10**9))
    assert made(batch(chain=chain)[1]) == ["p0.png"]


def test_a_limit_that_was_raised_is_tried(photos, batch):
    cv2.imwrite(str(photos / "large.png"), pixels(50, 60))
    small = ("open", "photos", "--max-pixels", "0.001", "save", "out")
    ended, _ = batch(chain=small)
    assert ended.code == 3
    assert "failed in an earlier run" in batch(chain=small)[0].err
    ended, report = batch()
    assert (ended.code, made(report)) == (0, ["large.png"])


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x1c", "\n", "\\"])
def test_names_may_hold_what_ends_lines(photos, batch, mark):
    (photos / "p0.png").rename(photos / f"p0{mark}.png")
    batch()
    assert made(batch()[1]) == []


def test_what_could_not_be_written_is_tried_again(photos, batch, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").write_text("in the way of a folder")
    ended, report = batch()
    assert (ended.code, made(report)) == (3, ALL[::2])
    (tmp_path / "out" / "sub").unlink()
    ended, report = batch()
    assert (ended.code, made(report)) == (0, ALL[1::2])


def test_an_empty_journal_in_use_is_not_removed(tmp_path):
    folder = tmp_path / "out"
    first, second = Journal(folder, "a"), Journal(folder, "b")
    second.close()
    first.failed(tmp_path / "a.png", "a.png", None, folder / "a.png", "broken")
    first.close()
    assert (folder / NAME).stat().st_size
    (folder / NAME).unlink()
    Journal(folder, "a").close()
    assert not (folder / NAME).exists()


def test_an_empty_folder_goes_only_if_it_was_made_for_the_journal(tmp_path):
    for folder in (tmp_path / "mine", tmp_path / "new"):
        if folder.name == "mine":
            folder.mkdir()
        Journal(folder, "a").close()
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]
    assert not list((tmp_path / "mine").iterdir())


def test_a_journal_that_is_a_link_into_nowhere_is_an_error(photos, batch, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAME).symlink_to(tmp_path / "gone" / "journal")
    ended, _ = batch()
    assert (ended.code, ended.err) == (
        1, f"imgfx: error: out/{NAME}: cannot write there: No such file or directory\n",
    )  # fmt: skip


def edit_out(path):
    """As somebody does in another program, a while after."""
    cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    later = path.stat().st_mtime_ns + 5 * 10**9
    os.utime(path, ns=(later, later))
    return path.read_bytes()


def test_an_output_that_was_edited_is_kept_with_a_warning(photos, batch, tmp_path):
    batch()
    path = tmp_path / "out" / "p0.png"
    edited = edit_out(path)
    for _ in range(2):
        ended, report = batch()
        line = "out/p0.png has been changed since it was made, and is kept; --redo makes it anew"
        assert (ended.code, made(report)) == (0, [])
        assert f"imgfx: warning: photos/p0.png: {line}\n" in ended.err
        assert path.read_bytes() == edited
    assert "keep    photos/p0.png -> out/p0.png" in batch("--dry-run")[0].err
    assert made(batch("--redo")[1]) == ALL
    assert path.read_bytes() != edited


def test_an_output_that_was_tagged_is_kept_though_its_time_was_set_back(photos, batch, tmp_path):
    batch()
    path = tmp_path / "out" / "p0.png"
    written = path.stat().st_mtime_ns
    data = path.read_bytes()
    path.write_bytes(data[:33] + chunk(b"tEXt", b"Author\0somebody") + data[33:])
    os.utime(path, ns=(written, written))
    ended, report = batch()
    assert (ended.code, made(report)) == (0, [])
    assert "out/p0.png has been changed since it was made, and is kept" in ended.err


def test_an_edited_output_is_made_anew_of_a_changed_input_and_by_another_chain(
    photos, batch, tmp_path
):
    batch()
    for name in ("p0.png", "p2.png"):
        edit_out(tmp_path / "out" / name)
    cv2.imwrite(str(photos / "p2.png"), pixels(9, 9))
    assert made(batch()[1]) == ["p2.png"]
    _, report = batch(chain=("open", "photos", "save", "out", "--quality", "90"))
    assert made(report) == ALL


def test_what_a_crash_left_of_an_output_is_no_edit(photos, batch, tmp_path):
    batch()
    path = tmp_path / "out" / "p0.png"
    written = path.stat().st_mtime_ns
    path.write_bytes(b"")
    os.utime(path, ns=(written + 5 * 10**9,) * 2)
    assert made(batch()[1]) == ["p0.png"]


def test_redo_makes_all(photos, batch):
    batch()
    ended, report = batch("--redo")
    assert (ended.code, made(report)) == (0, ALL)


def test_what_failed_is_not_tried_again_unless_asked_or_changed(photos, batch, tmp_path):
    bad = photos / "bad.png"
    bad.write_bytes(b"bad")
    first, _ = batch()
    assert first.code == 3
    again, report = batch()
    assert (again.code, made(report)) == (3, [])
    error = f"{Path('photos') / 'bad.png'}: not an image of a known format"
    remembered = f"{error} (failed in an earlier run; --retry-failed tries again)"
    assert f"imgfx: error: {remembered}\n" in again.err
    retried, report = batch("--retry-failed")
    assert retried.code == 3
    assert f"imgfx: error: {error}\n" in retried.err
    cv2.imwrite(str(bad), pixels(8, 8))
    mended, report = batch()
    assert (mended.code, made(report)) == (0, ["bad.png"])


def test_templates_keep_their_journal_before_the_first_field(photos, batch, tmp_path):
    chain = ("open", "photos", "save", "a/b/{stem}-{index:02d}.png")
    _, report = batch(chain=chain)
    assert len(made(report)) == 6
    assert (tmp_path / "a" / "b" / NAME).is_file()
    _, report = batch(chain=chain)
    assert made(report) == []


def test_one_image_is_always_made_and_leaves_no_journal(photos, imgfx, tmp_path):
    for target in ("out/", "b.png"):
        for _ in range(2):
            assert imgfx("open", "photos/p0.png", "save", target).code == 0
    assert not list(tmp_path.rglob(NAME))


def test_the_journal_moves_with_its_folders(photos, batch, imgfx, tmp_path):
    batch()
    (tmp_path / "moved").mkdir()
    for name in ("photos", "out"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    ended = imgfx("open", "moved/photos", "save", "moved/out")
    assert ended.err == "imgfx: 6 images done, 6 of them earlier\n"


def test_a_batch_in_which_nothing_was_done_leaves_nothing(imgfx, tmp_path):
    (tmp_path / "in").mkdir()
    ended = imgfx("open", "nowhere1.png", "nowhere2.png", "save", "out", "--on-error", "stop")
    assert ended.code == 1
    assert not (tmp_path / "out").exists()
    (tmp_path / "in" / "a.png").write_bytes(b"no image")
    ended = imgfx("open", "in", "nowhere2.png", "save", "out", "--on-error", "stop")
    assert ended.code == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == [NAME]  # that one failed is noted


def test_images_that_are_made_are_known_by_their_options(imgfx, tmp_path):
    def generate(*options):
        words = ["gan-generate", "--count", "3", *options, "save", "g/{index}.png"]
        return imgfx(*words).err

    assert "3 images done\n" in generate("--seed", "1")
    assert "3 of them earlier" in generate("--seed", "1")
    assert "earlier" not in generate("--seed", "2")


def test_a_folder_that_vanishes_ends_the_run(photos, tmp_path, site):
    slow = """
from imgfx.hookspecs import hookimpl
from imgfx.stage import image_filter
@image_filter("slow")
def slow(image):
    import pathlib, shutil, time
    if pathlib.Path("out/p2.png").exists():
        shutil.rmtree("out")
    return image
@hookimpl
def imgfx_stages():
    return [slow]
"""
    site.install("imgfx-slow", slow, "slow")
    line = [*PROGRAM, "open", "photos", "slow", "save", "out"]
    environment = {**os.environ, "PYTHONPATH": str(site.folder)}
    ended = subprocess.run(
        line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        "imgfx: error: out: the folder has been moved or removed, and what was written with it\n"
    )


WAITING = """
from imgfx.hookspecs import hookimpl
from imgfx.stage import image_filter
@image_filter("wait")
def wait(image):
    import time
    time.sleep(0.03)
    return image
@hookimpl
def imgfx_stages():
    return [wait]
"""


@pytest.fixture
def waiting(tmp_path, site):
    """Answers a process over 100 images that takes 0.03 seconds for each."""
    folder = tmp_path / "many"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(100):
        cv2.imwrite(str(folder / f"{number:03d}.png"), rng.integers(0, 255, (60, 60, 3), np.uint8))
    site.install("imgfx-wait", WAITING, "wait")

    def start(*options, out="out"):
        line = [*PROGRAM, "open", "many", "wait", "save", out, *options]
        environment = {**os.environ, "PYTHONPATH": str(site.folder)}
        return subprocess.Popen(
            line, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        )

    return start


def wait_for(folder, count):
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*.png"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing_and_leave_nothing(waiting, tmp_path):
    waiting(out="whole").communicate()
    expected = contents(tmp_path / "whole")
    assert len(expected) == 100
    random.seed(0)
    out, made_twice = tmp_path / "out", 0
    out.mkdir()
    for _ in range(30):
        process = waiting("-q")
        before = len(finished(out))
        target = min(99, before + random.randint(1, 8))
        while len(finished(out)) < target and process.poll() is None:
            time.sleep(0.002)
        time.sleep(random.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        done = finished(out)
        assert all(data == expected[name] for name, data in done.items())
        if len(done) > 90:
            for name in random.sample(sorted(done), 70):
                (out / name).unlink()
    entries = len((out / NAME).read_text().splitlines())
    left = 100 - len(finished(out))
    waiting().communicate()
    assert contents(out) == expected  # byte by byte, and no stray file
    made_twice = len((out / NAME).read_text().splitlines()) - entries - left
    # At most what was noted and had not yet got its name, or had it and was not noted.
    assert 0 <= made_twice <= 2


def finished(folder):
    """Contents of the images that have their names."""
    return {path.name: path.read_bytes() for path in folder.glob("[0-9]*.png")}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_interrupt_finishes_what_is_in_work(waiting, tmp_path, number, code):
    process = waiting()
    wait_for(tmp_path / "out", 5)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    done = len(contents(tmp_path / "out"))
    assert 5 <= done < 100
    finishing, ended = err.splitlines()
    assert finishing.startswith("imgfx: finishing the images in work; another interrupt")
    assert ended == f"imgfx: interrupted; {done} images done, the same command goes on"
    again = waiting()
    _, err = again.communicate(timeout=60)
    assert err == f"imgfx: 100 images done, {done} of them earlier\n"


def test_the_second_interrupt_stops_at_once(waiting, tmp_path):
    process = waiting("--jobs", "8")
    wait_for(tmp_path / "out", 5)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert not [name for name in contents(tmp_path / "out") if name.endswith(".tmp")]


def test_an_interrupt_while_a_stream_is_waited_for_ends_at_once(tmp_path):
    line = [*PROGRAM, "save", "out/{index}.png"]
    process = subprocess.Popen(line, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdin.write(cv2.imencode(".png", pixels(8, 8))[1].tobytes())
    process.stdin.flush()
    wait_for(tmp_path, 0)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "0.png").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    process.stdin.close()


def test_a_signal_that_was_ignored_from_the_start_stays_so():
    old = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        said = []
        with Interrupts(said.append) as interrupts:
            for number in old:
                os.kill(os.getpid(), number)
            assert not interrupts()
        assert said == []
        assert {signal.getsignal(number) for number in old} == {signal.SIG_IGN}
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def test_a_signal_is_ignored_and_the_other_is_not():
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts(lambda _text: None) as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupts.came == signal.SIGTERM
    finally:
        signal.signal(signal.SIGINT, old)


def test_what_a_killed_run_left_half_written_is_removed(photos, batch, tmp_path):
    (tmp_path / "out" / "sub").mkdir(parents=True)
    stray = tmp_path / "out" / "sub" / ".p1.png.0123abcd.tmp"
    foreign = tmp_path / "out" / ".other.png.0123abcd.tmp"
    for path in (stray, foreign):
        path.write_bytes(b"half")
    batch()
    assert not stray.exists()
    assert foreign.exists()  # of nothing that this batch writes


def test_what_another_process_is_writing_is_left_alone(photos, batch, tmp_path):
    import fcntl

    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / ".p0.png.0123abcd.tmp"
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        batch()
        assert path.exists()
    batch()
    assert not path.exists()


@pytest.mark.skipif(os.name != "posix", reason="elsewhere nothing tells what is abandoned")
def test_a_new_file_is_not_lost_to_a_run_that_cleans_up(tmp_path, monkeypatch):
    target, cleaned, hold = tmp_path / "a.png", [], atomic._hold

    def cleaned_before(file):
        if not cleaned:
            remove_abandoned([target])
            cleaned.append(file.name)
        hold(file)

    monkeypatch.setattr(atomic, "_hold", cleaned_before)
    atomic.write_whole(target, b"whole")
    assert cleaned
    assert not Path(cleaned[0]).exists()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"whole"]
