"""Images that replace their own inputs, and what other runs and chains do to the journal."""

import os
import subprocess

import cv2
import numpy as np
import pytest
from support import PROGRAM

from imgfx.formats._png_text import chunk
from imgfx.journal import NAME, Journal
from imgfx.stamps import stamp_of

STAGES = '''
import os, time
from imgfx.api import ImageError, image_filter, hookimpl

@image_filter("invert")
def invert(image):
    """Negative.

    Examples:
      imgfx open a.png invert save b.png
    """
    time.sleep(float(os.environ.get("PAUSE", "0")))
    touched = os.environ.get("TOUCHED")
    if touched:
        os.utime(touched, ns=(5, 5))
    return image.with_pixels(255 - image.pixels)

@image_filter("dim")
def dim(image):
    """Half as light.

    Examples:
      imgfx open a.png dim save b.png
    """
    return image.with_pixels(image.pixels // 2)

@image_filter("fail")
def fail(image):
    """Fails.

    Examples:
      imgfx open a.png fail save b.png
    """
    raise ImageError("no luck")

@hookimpl
def imgfx_stages():
    return [invert, dim, fail]
'''
IN_PLACE = ("save", "photos", "--overwrite")


@pytest.fixture
def photos(tmp_path):
    """Four photos of one value each: 10, 11, 12, 13."""
    (tmp_path / "plug").mkdir()
    (tmp_path / "plug" / "stages.py").write_text(STAGES)
    (tmp_path / "photos").mkdir()
    for number in range(4):
        image = np.full((6, 5), 10 + number, np.uint8)
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), image)
    return tmp_path / "photos"


@pytest.fixture
def run(imgfx, photos):
    """`run("invert", "save", "out")`: what the chain over the photos left."""

    def run(*words, **environment):
        return imgfx("--plugins-dir", "plug", "open", "photos", *words, **environment)

    return run


def values(folder):
    """Of the pixels of each photo."""
    return [int(cv2.imread(str(p), -1)[0, 0]) for p in sorted(folder.glob("*.png"))]


INVERTED = [245, 244, 243, 242]


def test_a_chain_that_fails_does_not_undo_what_another_has_done(run, photos):
    assert run("invert", *IN_PLACE).code == 0
    assert run("fail", *IN_PLACE).code == 1
    ended = run("invert", *IN_PLACE)
    assert (ended.code, values(photos)) == (0, INVERTED)
    assert ended.err == "imgfx: 4 images done, 4 of them earlier\n"


def tag(path):
    """As a program that writes a name into a photo."""
    data = path.read_bytes()
    path.write_bytes(data[:33] + chunk(b"tEXt", b"Author\0somebody") + data[33:])


def test_a_photo_that_was_tagged_after_it_was_restored_in_place_is_kept(run, photos):
    assert run("invert", *IN_PLACE).code == 0
    tag(photos / "1.png")
    for _ in range(2):
        ended = run("invert", *IN_PLACE)
        assert (ended.code, values(photos)) == (0, INVERTED)
        assert (
            "imgfx: warning: photos/1.png: photos/1.png has been changed since these stages "
            "restored it, and is kept; --redo does it again\n"
        ) in ended.err
    assert run("dim", *IN_PLACE).code == 0
    assert values(photos) == [value // 2 for value in INVERTED]


def test_a_photo_that_was_put_in_the_place_of_a_restored_one_is_restored(run, photos):
    assert run("invert", *IN_PLACE).code == 0
    cv2.imwrite(str(photos / "1.png"), np.full((6, 5), 50, np.uint8))
    assert run("invert", *IN_PLACE).code == 0
    assert values(photos) == [245, 205, 243, 242]


def test_a_chain_that_fails_leaves_edits_protected(run, photos, tmp_path):
    out = tmp_path / "out"
    assert run("invert", "save", "out").code == 0
    cv2.imwrite(str(out / "0.png"), np.full((6, 5), 77, np.uint8))
    later = (out / "0.png").stat().st_mtime_ns + 5 * 10**9
    os.utime(out / "0.png", ns=(later, later))
    assert run("fail", "save", "out").code == 1
    ended = run("invert", "save", "out")
    assert (ended.code, values(out)) == (0, [77, *INVERTED[1:]])
    assert "out/0.png has been changed since it was made, and is kept" in ended.err


def test_a_failure_is_remembered_until_the_chain_has_made_the_image(run, photos):
    assert run("fail", "save", "out").code == 1
    ended = run("fail", "save", "out")
    assert "failed in an earlier run; --retry-failed tries again" in ended.err
    (photos.parent / "plug" / "stages.py").write_text(
        STAGES.replace('raise ImageError("no luck")', "return image")
    )
    ended = run("fail", "save", "out")
    assert (ended.code, ended.err) == (0, "imgfx: 4 images done\n")


def test_chains_in_turn_restore_each_image_once(run, photos):
    for _ in range(3):
        assert run("invert", *IN_PLACE).code == 0
        assert run("dim", *IN_PLACE).code == 0
    assert values(photos) == [122, 122, 121, 121]
    cv2.imwrite(str(photos / "2.png"), np.full((6, 5), 50, np.uint8))  # the original, from a copy
    assert run("invert", *IN_PLACE).code == 0
    assert values(photos) == [122, 122, 205, 121]


def test_another_version_does_not_restore_again_in_place(run, photos, tmp_path):
    assert run("invert", *IN_PLACE).code == 0
    path = tmp_path / "plug" / "stages.py"
    path.write_text(path.read_text() + "# another edition\n")
    ended = run("invert", *IN_PLACE)
    assert (ended.code, values(photos)) == (0, INVERTED)
    for number in range(4):
        assert (
            f"warning: photos/{number}.png: photos/{number}.png is what these stages made of it, "
            "with other weights or versions, and is kept; --redo does it again\n"
        ) in ended.err
    assert run("invert", *IN_PLACE, "--redo").code == 0
    assert values(photos) == [10, 11, 12, 13]


def test_another_version_makes_outputs_elsewhere_anew(run, photos, tmp_path):
    assert run("invert", "save", "out").code == 0
    path = tmp_path / "plug" / "stages.py"
    path.write_text(path.read_text() + "# another edition\n")
    assert run("invert", "save", "out").err == "imgfx: 4 images done\n"


def test_two_runs_in_place_at_once_restore_each_image_once(run, photos, tmp_path):
    words = ["--plugins-dir", "plug", "open", "photos", "invert", *IN_PLACE, "--jobs", "1"]
    with subprocess.Popen(
        [*PROGRAM, *words], cwd=tmp_path, env={**os.environ, "PAUSE": "0.2"}
    ) as first:
        journal = photos / NAME
        while first.poll() is None and not (journal.exists() and journal.stat().st_size):
            pass
        run("invert", *IN_PLACE, "--jobs", "1", PAUSE="1")
    assert first.returncode in (0, 3)
    assert values(photos) == INVERTED


def test_what_changes_while_it_is_in_work_is_left_as_it_is(run, photos):
    before = (photos / "0.png").read_bytes()
    ended = run("invert", *IN_PLACE, TOUCHED=str(photos / "0.png"))
    assert (ended.code, values(photos)) == (3, [10, *INVERTED[1:]])
    assert (photos / "0.png").read_bytes() == before
    assert "photos/0.png: has changed since it was read, and is left as it is" in ended.err
    assert not list(photos.glob(".*.tmp"))


def test_lines_of_other_runs_are_taken_in(tmp_path):
    photo = tmp_path / "a.png"
    photo.write_bytes(b"as it was")
    one, other = Journal(tmp_path, "chain"), Journal(tmp_path, "chain")
    assert other.known(photo, "a", photo) is None
    read = stamp_of(photo)
    photo.write_bytes(b"as it is now")
    one.done(photo, "a", read, photo, stamp_of(photo))
    assert other.known(photo, "a", photo).written == stamp_of(photo)
    one.close()
    other.close()


def test_a_line_that_is_still_being_written_is_waited_for(tmp_path):
    target = tmp_path / "b.png"
    target.write_bytes(b"made")
    one, other = Journal(tmp_path, "chain"), Journal(tmp_path, "chain")
    one.done(None, "a", None, target, stamp_of(target))
    one.close()
    line = (tmp_path / NAME).read_bytes()
    os.truncate(tmp_path / NAME, len(line) - 9)
    assert other.known(None, "a", target) is None
    with (tmp_path / NAME).open("ab") as file:
        file.write(line[-9:])
    assert other.known(None, "a", target) is not None
    other.close()
