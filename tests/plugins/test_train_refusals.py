"""What `imgfx train` refuses: wrong options, devices, models and data, each in a clear line."""

import shutil

import pytest
import torch
from support import picture, pixels
from support_training import digest, write_pictures

from imgfx.cli import main
from imgfx.files import write_image
from imgfx.image import Image
from imgfx.plugins import Registry


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--steps", "1", "--minutes", "1"], 2, "--steps and --minutes exclude each other"),
        (["--resume", "--overwrite"], 2, "--resume and --overwrite exclude each other"),
        (["--resume", "--init", "{weights}"], 2, "--resume goes on from the saved state"),
        (["--out", "a.state"], 2, "the name must end in .safetensors"),
        (["--size", "width"], 2, "'width' is not of the form NAME=N, such as width=32"),
        (["--size", "fine=0"], 2, "'fine=0' is not of the form NAME=N"),
        (["--size", "width=8"], 1, "--size width: denoise-ae has fine=64, half=96"),
        (["--size", "fine=8", "--resume"], 2, "leave out --size"),
        (["--size", "fine=8", "--init", "{weights}"], 2, "--init brings its own size"),
        (["--renew", "latent"], 2, "--renew needs --init"),
        (
            ["--renew", "first", "--init", "{weights}"],
            1,
            "--renew first: the network has no such part; it has head, encode_fine, down_fine",
        ),
        (["--steps", "0"], 2, "--steps"),
        (["--minutes", "0"], 2, "--minutes"),
        (["--rate", "-1"], 2, "--rate"),
        (["--batch", "0"], 2, "--batch"),
        (["--seed", str(2**63)], 2, "--seed"),
        (["--precision", "fp16"], 2, "--precision"),
        (["--init", "nowhere.safetensors"], 2, "nowhere.safetensors"),
        (["--init", "{rednet}"], 1, "weights of 'rednet-1', but denoise-ae needs"),
        (["--data", "nowhere"], 1, "nowhere: no such folder of training data"),
        (["--validation", "nowhere"], 1, "nowhere: no such folder to validate on; name another"),
        (["--exclude", "*"], 1, "photos: 0 usable images, at least 2 needed"),
    ],
)
def test_wrong_use_is_said_in_one_line_and_writes_nothing(
    tmp_path, shelf, train, capfd, options, code, message
):
    files = {
        "weights": shelf / "denoise-ae.safetensors",
        "rednet": shelf / "superres-rednet.safetensors",
    }
    options = [option.format(**files) for option in options]
    assert train("denoise-ae", "photos", *options, new=False) == code
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("imgfx: ")
    assert message in line
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_refused_before_data_are_read(train, capfd):
    assert train("denoise-ae", "nowhere", "--device", "cuda") == 1
    assert "--device cuda: PyTorch finds no CUDA device" in capfd.readouterr().err


def test_an_unknown_model_is_answered_with_the_known_ones(train, capfd):
    assert train("denoise", "photos", new=False) == 1
    err = capfd.readouterr().err
    assert "no model named 'denoise'" in err
    known = Registry().names("model")
    assert {"denoise-ae", "gan-generate", "superres-rednet"} <= set(known)
    assert ", ".join(known) in err


def test_no_data_option_is_wrong_use(capfd):
    assert main(["train", "denoise-ae"]) == 2
    assert "--data" in capfd.readouterr().err


def test_photos_that_cannot_be_used_are_named_and_the_others_trained_on(
    tmp_path, shelf, train, capfd
):
    mixed = write_pictures(tmp_path / "mixed", 2, 100, 98)
    write_image(mixed / "small.png", Image(picture(63, 90)))
    (mixed / "corrupt.png").write_bytes((mixed / "0.png").read_bytes()[:500])
    (mixed / "text.jpg").write_text("not a photo")
    assert train("denoise-ae", mixed, "--steps", "1") == 0
    err = capfd.readouterr().err
    assert "left out: 1 images with a side under 96 px" in err
    for name in ("corrupt.png", "text.jpg"):
        assert sum("left out" in line and name in line for line in err.splitlines()) == 1
    assert "1 photos, 1 held out" in err


@pytest.mark.parametrize("model", ["denoise-ae", "superres-rednet", "gan-generate"])
@pytest.mark.parametrize("files", [[], ["text.txt"], ["small.png"]])
def test_a_folder_without_enough_images_is_refused(tmp_path, train, capfd, model, files):
    folder = tmp_path / "few"
    folder.mkdir()
    for name in files:
        if name.endswith("txt"):
            (folder / name).write_text("words")
        else:
            write_image(folder / name, Image(pixels(30, 30)))
    assert train(model, folder, "--steps", "1") == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "few: " in line
    assert "needed" in line


def test_a_model_of_one_size_says_so(train, capfd):
    assert train("gan-generate", "photos", "--size", "width=8", new=False) == 1
    assert "--size: gan-generate has one size only" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["a.best.safetensors", "a.metrics.jsonl", "a.state"])
def test_what_an_older_run_left_is_not_removed_unasked(tmp_path, train, capfd, name):
    (tmp_path / name).write_text("of an older run")
    assert train("denoise-ae", "nowhere") == 1
    (line,) = capfd.readouterr().err.splitlines()
    way = "go on with --resume, choose" if name == "a.state" else "choose"
    assert line == f"imgfx: error: {name} exists; {way} another --out, or --overwrite"
    assert train("denoise-ae", "nowhere", "--overwrite") == 1  # for its data then
    assert "nowhere: no such folder" in capfd.readouterr().err
    assert (tmp_path / name).read_text() == "of an older run"


@pytest.mark.parametrize("name", ["a.best.safetensors", "a.safetensors"])
@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_the_weights_to_start_from_are_not_replaced(tmp_path, shelf, train, capfd, name, options):
    shutil.copy(shelf / "denoise-ae.safetensors", tmp_path / name)
    before = digest(tmp_path / name)
    words = ["--init", str(tmp_path / name), "--steps", "1", *options]
    assert train("denoise-ae", "photos", *words, new=False) == 1
    assert "would be replaced; choose another --out" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert digest(tmp_path / name) == before
