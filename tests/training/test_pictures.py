"""Pictures of one size: what is read, what is refused, what is held out."""

import gzip
import struct

import numpy as np
import pytest
from support import pixels
from support_training import digits, idx_bytes

from imgfx.errors import TrainingError
from imgfx.files import write_image
from imgfx.image import Image
from imgfx.training.pictures import (
    grid,
    idx_files,
    load_pictures,
    read_idx_images,
    read_idx_labels,
    split_pictures,
    without_copies,
)


def write_folder(folder, count, size=(8, 8), channels=3):
    for number in range(count):
        value = np.full((*size, channels), 2 * number, np.uint8)
        write_image(folder / f"{number:03d}.png", Image(value))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_read_gzipped_or_not(tmp_path, suffix):
    images = digits(5)
    data = idx_bytes(images)
    path = tmp_path / f"train-images-idx3-ubyte{suffix}"
    path.write_bytes(gzip.compress(data) if suffix else data)
    np.testing.assert_array_equal(read_idx_images(path), images)


def test_a_file_that_is_there_packed_and_unpacked_counts_once(tmp_path):
    data = idx_bytes(digits(70))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(data)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(data))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(data))
    assert [p.name for p in idx_files(tmp_path)] == [
        "t10k-images-idx3-ubyte.gz", "train-images-idx3-ubyte",
    ]  # fmt: skip
    assert len(load_pictures([tmp_path], [], 8, 1)) == 140


WHOLE = gzip.compress(idx_bytes(digits(100)))
DAMAGED = {
    "empty": b"",
    "no gzip": idx_bytes(digits(3)),
    "truncated": WHOLE[: len(WHOLE) // 2],
    "bad sum": WHOLE[:-6] + bytes([WHOLE[-6] ^ 255]) + WHOLE[-5:],
    "no deflate": WHOLE[:10] + b"\xff" + WHOLE[11:],
    "short header": gzip.compress(b"\0\0\x08\x03"),
    "labels": gzip.compress(idx_bytes(digits(3), magic=0x801)),
    "missing rows": gzip.compress(idx_bytes(digits(3))[:-8]),
    "more than it says": gzip.compress(idx_bytes(digits(3)) + b"x"),
    "no images": gzip.compress(struct.pack(">IIII", 0x803, 0, 8, 8)),
    "no pixels": gzip.compress(struct.pack(">IIII", 0x803, 8, 0, 0)),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_idx_files_are_named(tmp_path, data):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(data)
    with pytest.raises(TrainingError, match=r"train-images-idx3-ubyte\.gz: (not|damaged)"):
        load_pictures([tmp_path], [], 8, 1)


def test_images_of_the_right_size_pass_unchanged(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(digits(70)))
    images = load_pictures([tmp_path], [], 8, 1)
    np.testing.assert_array_equal(images[..., 0], digits(70))


def test_gray_becomes_rgb_where_the_generator_makes_rgb(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(digits(64)))
    images = load_pictures([tmp_path], [], 8, 3)
    np.testing.assert_array_equal(images, digits(64)[..., None].repeat(3, axis=3))


def test_pictures_of_any_shape_are_cut_to_the_middle_square_and_resized(tmp_path):
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, 10:50] = 200  # the middle square
    for number in range(64):
        write_image(tmp_path / f"{number}.png", Image(picture))
    images = load_pictures([tmp_path], [], 16, 3)
    assert images.shape == (64, 16, 16, 3)
    assert (images == 200).all()


@pytest.mark.parametrize(("rgb", "gray"), [((255, 0, 0), 76), ((0, 255, 0), 150), ((9, 9, 9), 9)])
def test_rgb_becomes_gray_by_its_luma(tmp_path, rgb, gray):
    for number in range(64):
        value = np.broadcast_to(np.array(rgb, np.uint8), (8, 8, 3)).copy()
        write_image(tmp_path / f"{number}.png", Image(value))
    assert (load_pictures([tmp_path], [], 8, 1) == gray).all()


def test_folders_are_counted_together_and_damaged_pictures_left_out(tmp_path, capsys):
    write_folder(tmp_path / "one", 34)
    write_folder(tmp_path / "two", 33, size=(20, 12))
    (tmp_path / "two" / "000.png").write_bytes(b"no picture")
    images = load_pictures([tmp_path / "one", tmp_path / "two"], ["032.*"], 8, 1)
    assert images.shape == (33 + 31, 8, 8, 1)
    assert "000.png" in capsys.readouterr().err


def test_files_that_are_reached_twice_count_once(tmp_path):
    write_folder(tmp_path / "all" / "one", 34)
    write_folder(tmp_path / "all", 33, size=(20, 12))
    folders = [tmp_path / "all" / "one", tmp_path / "all", tmp_path / "all" / ".." / "all"]
    assert len(load_pictures(folders, [], 8, 1)) == 34 + 33
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx" / "train-images-idx3-ubyte").write_bytes(idx_bytes(digits(70)))
    twice = [tmp_path / "idx", tmp_path / "idx"]
    assert len(load_pictures(twice, [], 8, 1)) == 70
    assert len(load_pictures([*twice, *folders], [], 8, 1)) == 70 + 34 + 33


def test_copies_of_what_is_held_out_are_no_training_data():
    pictures = np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2)
    left = without_copies(pictures, pictures[[3, 7]])
    assert left[:, 0, 0, 0].tolist() == [0, 1, 2, 4, 5, 6, 8, 9]
    assert left.shape == (8, 4, 4, 1)
    assert without_copies(pictures, pictures).shape == (0, 4, 4, 1)


@pytest.mark.parametrize(
    ("count", "exclude", "message"),
    [
        (63, [], "few: 63 images, at least 64 needed"),
        (70, ["00*"], "few: 60 images, at least 64 needed"),
        (0, [], "few: 0 usable images"),
    ],
)
def test_too_few_images_are_refused(tmp_path, count, exclude, message):
    (tmp_path / "few").mkdir()
    write_folder(tmp_path / "few", count)
    with pytest.raises(TrainingError, match=message):
        load_pictures([tmp_path / "few"], exclude, 8, 1)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(TrainingError, match="nowhere: no such folder"):
        load_pictures([tmp_path / "nowhere"], [], 8, 1)


def test_labels_are_read_and_damaged_ones_named(tmp_path):
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    whole = struct.pack(">II", 0x801, 4) + bytes([3, 0, 9, 1])
    path.write_bytes(gzip.compress(whole))
    np.testing.assert_array_equal(read_idx_labels(path), [3, 0, 9, 1])
    for damaged in (whole[:-1], whole + b"x", whole[:5], b"\0\0\x08\x03" + whole[4:]):
        path.write_bytes(gzip.compress(damaged))
        with pytest.raises(TrainingError, match=r"train-labels-idx1-ubyte\.gz: damaged"):
            read_idx_labels(path)
    with pytest.raises(TrainingError, match=r"nowhere.*: not a readable IDX file"):
        read_idx_labels(tmp_path / "nowhere")


@pytest.mark.parametrize(("count", "held_out"), [(70, 7), (59_999, 5_999), (60_000, 10_000)])
def test_a_tenth_is_held_out_or_as_much_as_the_test_set_of_mnist(count, held_out):
    pictures = np.arange(count, dtype=np.uint32).view(np.uint8).reshape(count, 2, 2, 1)
    first, others = split_pictures(pictures)
    assert (len(first), len(others)) == (held_out, count - held_out)
    np.testing.assert_array_equal(np.concatenate([first, others]), pictures)


def test_a_grid_is_filled_row_by_row():
    images = np.arange(6, dtype=np.uint8)[:, None, None, None].repeat(2, 1).repeat(3, 2)
    result = grid(images, 3)
    assert result.shape == (4, 9, 1)
    np.testing.assert_array_equal(result[::2, ::3, 0], [[0, 1, 2], [3, 4, 5]])
    assert (grid(pixels(2, 3)[None], 1) == pixels(2, 3)).all()
