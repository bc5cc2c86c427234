"""Photos: what is read, what is left out and said, and crops from everywhere."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from support import pixels

from imgfx.errors import TrainingError
from imgfx.files import write_image
from imgfx.image import Image
from imgfx.training.photos import (
    centre_crop,
    hold_out,
    image_paths,
    load_photos,
    random_crops,
    without,
)


def write_photos(folder, *names, size=(40, 30)):
    """Photos of these names; a name may have a folder."""
    for name in names:
        write_image(folder / name, Image(pixels(*size)))


@pytest.fixture
def shelf(tmp_path):
    """Two folders of photos among other files."""
    write_photos(tmp_path, "one/b.png", "one/a.JPG", "one/deep/er/c.webp", "two/d.png", "two/a.png")
    (tmp_path / "one" / "notes.txt").write_text("no image")
    (tmp_path / "one" / "folder.png").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        ([], ["a.JPG", "b.png", "c.webp", "a.png", "d.png"]),
        (["a.*"], ["b.png", "c.webp", "d.png"]),
        (["*.png", "c*"], ["a.JPG"]),
        (["nothing"], ["a.JPG", "b.png", "c.webp", "a.png", "d.png"]),
    ],
)
def test_images_are_found_in_order_but_for_the_excluded(shelf, exclude, expected):
    found = image_paths([shelf / "one", shelf / "two"], exclude)
    assert [path.name for path in found] == expected


def test_a_file_is_found_once_however_its_folders_are_named(shelf):
    (shelf / "link").symlink_to(shelf / "one")
    folders = [shelf / "one", shelf / "two" / ".." / "one", shelf / "link", shelf / "one" / "deep"]
    assert [path.name for path in image_paths(folders)] == ["a.JPG", "b.png", "c.webp"]


@pytest.mark.parametrize("end", [".safetensors", ".best.safetensors", ".state", ".metrics.jsonl"])
def test_pictures_of_a_run_are_not_found_where_its_files_are(tmp_path, end):
    write_photos(tmp_path, "m.samples.png", "m.curves.png", "m.png", "shop.samples.png")
    assert len(list(image_paths([tmp_path]))) == 4
    (tmp_path / f"m{end}").write_bytes(b"")
    found = image_paths([tmp_path])
    assert [path.name for path in found] == ["m.png", "shop.samples.png"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(TrainingError, match=r"nowhere: no such folder"):
        load_photos([tmp_path / "nowhere"])


def test_photos_of_any_kind_become_rgb_of_8_bits(tmp_path, capsys):
    gray16 = pixels(20, 24, 1, "uint16")
    write_image(tmp_path / "gray16.png", Image(gray16, depth="uint16"))
    opaque = np.full((20, 24), 255, np.uint8)
    write_image(tmp_path / "rgba.png", Image(pixels(20, 24), opaque))
    photos = {Path(path).name: photo for path, photo in load_photos([tmp_path]).items()}
    assert {(p.shape, p.dtype.name) for p in photos.values()} == {((20, 24, 3), "uint8")}
    np.testing.assert_array_equal(photos["rgba.png"], pixels(20, 24))
    expected = np.rint(gray16.astype(np.float64) * 255 / 65535)
    np.testing.assert_array_equal(photos["gray16.png"], np.repeat(expected, 3, axis=2))
    assert capsys.readouterr().err == ""


def test_what_lies_below_transparent_pixels_is_not_learned(tmp_path, capsys):
    alpha = np.full((20, 24), 255, np.uint8)
    alpha[:5], alpha[5] = 0, 51
    shown = pixels(20, 24)
    for name, hidden in (("black.png", 0), ("white.png", 255)):
        write_image(tmp_path / name, Image(np.where(alpha[..., None] > 0, shown, hidden), alpha))
    write_image(tmp_path / "plain.png", Image(shown))
    photos = {Path(path).name: photo for path, photo in load_photos([tmp_path]).items()}
    for name in ("black.png", "white.png"):
        assert set(np.unique(photos[name][:5])) == {128}
        np.testing.assert_allclose(photos[name][5], 0.2 * shown[5] + 0.8 * 127.5, atol=0.51)
        np.testing.assert_array_equal(photos[name][6:], shown[6:])
    said = capsys.readouterr().err
    assert said == "imgfx: 2 images have transparent pixels; they are learned from on gray\n"


def test_damaged_files_are_reported_and_left_out(shelf, capsys):
    whole = (shelf / "one" / "b.png").read_bytes()
    (shelf / "one" / "b.png").write_bytes(whole[: len(whole) // 2])
    (shelf / "two" / "empty.png").write_bytes(b"")
    photos = load_photos([shelf])
    assert {Path(path).name for path in photos} == {"a.JPG", "c.webp", "d.png", "a.png"}
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("imgfx: left out: ") for line in lines)
    assert "b.png" in lines[0]
    assert "empty.png" in lines[1]


def test_small_photos_are_reported_and_left_out(shelf, capsys):
    write_photos(shelf, "one/small.png", "one/narrow.png", size=(100, 29))
    assert len(load_photos([shelf], smallest=30)) == 5
    assert capsys.readouterr().err == "imgfx: left out: 2 images with a side under 30 px\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fewest": 6}, "one: 3 usable images, at least 6 needed"),
        ({"smallest": 31}, r"one: 0 usable images \(3 are smaller than 31 px\)"),
        ({"exclude": ["*"]}, "one: 0 usable images, at least 2 needed"),
    ],
)
def test_too_few_photos_are_refused(shelf, options, message):
    with pytest.raises(TrainingError, match=message):
        load_photos([shelf / "one"], **options)


def numbered(count, folder=""):
    """Photos that can be told apart, by path."""
    return {f"{folder}/{n:04d}.png": np.full((1, 1, 3), n, np.uint16) for n in range(count)}


def numbers(photos):
    return [int(photo[0, 0, 0]) for photo in photos]


@pytest.mark.parametrize(
    ("count", "held"), [(2, 1), (40, 1), (79, 1), (80, 2), (480, 12), (900, 12)]
)
def test_a_fortieth_is_held_out_at_most_twelve(count, held):
    training, validation = map(numbers, hold_out(numbered(count)))
    assert len(validation) == held
    assert sorted(training + validation) == list(range(count))


def test_what_is_held_out_depends_on_names_alone():
    photos = numbered(200, "here")
    training, validation = map(numbers, hold_out(photos))
    moved = {path.replace("here", "there/deep"): photo for path, photo in photos.items()}
    shuffled = dict(reversed(moved.items()))
    assert (training, validation) == tuple(map(numbers, hold_out(shuffled)))
    # Not simply the first ones, which may all come from one place.
    assert max(validation) > 40


@pytest.mark.parametrize("count", [4, 80])
def test_copies_of_what_is_held_out_are_not_trained_on(count):
    photos = numbered(count, "one") | numbered(count, "two")
    photos |= {f"{path}.copy": photo.copy() for path, photo in numbered(count).items()}
    training, validation = map(numbers, hold_out(photos))
    assert validation
    assert set(training) == set(range(count)) - set(validation)


def test_a_photo_of_another_shape_is_no_copy():
    wide, tall = np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)
    assert [photo.shape for photo in without([wide, tall, wide], [wide])] == [tall.shape]


@pytest.mark.parametrize(
    ("size", "limit", "multiple", "expected"),
    [((100, 80), 64, 12, (60, 60)), ((50, 30), 64, 12, (48, 24)), ((33, 70), 33, 1, (33, 33))],
)
def test_centre_crop_is_from_the_middle(size, limit, multiple, expected):
    photo = np.arange(size[0] * size[1]).reshape(*size, 1)
    crop = centre_crop(photo, limit, multiple)
    assert crop.shape == (*expected, 1)
    top, left = divmod(int(crop[0, 0, 0]), size[1])
    bottom, right = divmod(int(crop[-1, -1, 0]), size[1])
    assert abs(top - (size[0] - 1 - bottom)) <= 1
    assert abs(left - (size[1] - 1 - right)) <= 1


def symmetries(patch):
    """The eight symmetries of a square patch."""
    for turns, mirrored in itertools.product(range(4), [False, True]):
        turned = np.rot90(patch, turns)
        yield turned[:, ::-1] if mirrored else turned


def test_crops_come_in_all_eight_symmetries():
    photo = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    crops = random_crops([photo], 400, 3, np.random.default_rng(0))
    expected = [s.astype(np.float32) / 255 for s in symmetries(photo)]
    seen = [next(i for i, e in enumerate(expected) if np.allclose(crop, e)) for crop in crops]
    counts = np.bincount(seen, minlength=8)
    assert counts.min() > 25  # 50 each on the mean


def test_crops_of_a_photo_that_is_too_small_go_on_as_in_a_mirror():
    narrow = np.arange(6 * 3, dtype=np.uint8).reshape(6, 3, 1).repeat(3, axis=2)
    crops = random_crops([narrow], 50, 5, np.random.default_rng(0))
    assert crops.shape == (50, 5, 5, 3)
    mirrored = narrow[:, [0, 0, 1, 2, 2]]
    expected = [s for top in (0, 1) for s in symmetries(mirrored[top : top + 5])]
    for crop in np.rint(crops * 255):
        assert any(np.array_equal(crop, e) for e in expected)


def test_crops_come_from_everywhere_in_every_photo():
    wide = np.arange(4 * 6, dtype=np.uint8).reshape(4, 6, 1).repeat(3, axis=2)
    tall = np.arange(100, 100 + 5 * 3, dtype=np.uint8).reshape(5, 3, 1).repeat(3, axis=2)
    crops = random_crops([wide, tall], 600, 3, np.random.default_rng(0))
    assert crops.shape == (600, 3, 3, 3)
    assert crops.dtype == np.float32
    middles = np.rint(crops[:, 1, 1, 0] * 255).astype(int)
    expected = {6 * row + column for row in (1, 2) for column in (1, 2, 3, 4)}
    expected |= {100 + 3 * row + 1 for row in (1, 2, 3)}
    assert set(middles.tolist()) == expected
    assert 200 < (middles < 100).sum() < 400  # photos are equally likely


def test_crops_depend_on_the_generator_alone():
    photos = [pixels(20, 30), pixels(25, 22)]
    first = random_crops(photos, 5, 16, np.random.default_rng(1))
    np.testing.assert_array_equal(first, random_crops(photos, 5, 16, np.random.default_rng(1)))
    assert (first != random_crops(photos, 5, 16, np.random.default_rng(2))).any()
