"""`imgfx eval`: figures that others compute from the saved files, and clear refusals."""

import json

import click
import numpy as np
import PIL.Image
import pytest
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from support import picture, pixels
from support_models import write_tiny_restorers
from torch import nn

from imgfx.cli import build_cli, main
from imgfx.files import write_image
from imgfx.image import Image
from imgfx_eval import protocol

FIGURES = ("psnr_before", "psnr_after", "ssim_before", "ssim_after")


pytestmark = pytest.mark.usefixtures("own_folder", "one_thread")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """By stage: untrained weights that change the image a little."""
    return write_tiny_restorers(
        tmp_path_factory.mktemp("weights"), lambda layer: nn.init.normal_(layer.weight, 0, 0.01)
    )


@pytest.fixture
def clean(tmp_path):
    """Two colour images of odd sizes and a gray one."""
    write_image(tmp_path / "clean" / "b.png", Image(pixels(41, 50)))
    write_image(tmp_path / "clean" / "deep" / "a.png", Image(pixels(36, 37)))
    write_image(tmp_path / "clean" / "gray.png", Image(pixels(30, 44, 1)))
    return tmp_path / "clean"


def evaluated(capfd, *words, code=0):
    """What `imgfx eval ... --json` prints."""
    assert main(["eval", *map(str, words), "--device", "cpu", "--json"]) == code
    return json.loads(capfd.readouterr().out, parse_constant=pytest.fail)


def saved(path):
    """(H, W, C) float64 of a PNG, by Pillow."""
    values = np.asarray(PIL.Image.open(path), dtype=np.float64) / 255
    return values.reshape(*values.shape[:2], -1)


def cropped_luma(image, border):
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    inner = slice(border, -border)
    return rgb2ycbcr(rgb)[inner, inner, :1] / 255


def figures_by_scikit_image(image, reference):
    ssim = structural_similarity(
        image, reference, channel_axis=2, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, data_range=1,
    )  # fmt: skip
    return peak_signal_noise_ratio(reference, image, data_range=1), ssim


@pytest.mark.parametrize(
    ("stage", "options", "multiple", "border"),
    [
        ("denoise-ae", ["--sigma", "25"], 1, 0),
        ("denoise-ae", ["--sigma", "7.5"], 1, 0),
        ("superres-rednet", ["--scale", "2"], 2, 2),
        ("superres-rednet", ["--scale", "3"], 3, 3),
        ("superres-rednet", ["--scale", "4"], 4, 4),
        ("superres-rednet", ["--protocol", "lecture"], 2, 0),
    ],
)
def test_figures_are_those_of_scikit_image_on_the_saved_files(
    tmp_path, clean, weights, capfd, stage, options, multiple, border
):
    words = [stage, "--data", clean, *options, "--weights", weights[stage], "--save", "out"]
    result = evaluated(capfd, *words)
    assert [row["image"] for row in result["images"]] == ["b", "deep/a", "gray"]
    for row in result["images"]:
        reference = saved(clean / f"{row['image']}.png")
        height, width = (n // multiple * multiple for n in reference.shape[:2])
        reference = reference[:height, :width]
        for kind in ("before", "after"):
            image = saved(tmp_path / "out" / f"{row['image']}_{kind}.png")
            assert image.shape == reference.shape
            pair = image, reference
            if border:
                pair = [cropped_luma(part, border) for part in pair]
            expected = figures_by_scikit_image(*pair)
            assert (row[f"psnr_{kind}"], row[f"ssim_{kind}"]) == pytest.approx(expected, abs=1e-4)
        assert row["psnr_before"] != row["psnr_after"]
    for name in FIGURES:
        mean = np.mean([row[name] for row in result["images"]])
        assert result["mean"][name] == pytest.approx(mean)


@pytest.mark.parametrize(
    ("stage", "options", "words"),
    [
        (
            "denoise-ae",
            ["--sigma", "25"],
            ["sigma 25/255", "clipped and rounded to 8 bits", "RGB", "no border"],
        ),
        (
            "superres-rednet",
            ["--scale", "3"],
            ["3 times", "bicubic", "MATLAB", "Y of BT.601", "3 border pixels"],
        ),
        ("superres-rednet", ["--protocol", "lecture"], ["half", "bilinear", "RGB", "no border"]),
    ],
)
def test_the_convention_and_the_engine_are_stated(clean, weights, capfd, stage, options, words):
    result = evaluated(capfd, stage, "--data", clean, *options, "--weights", weights[stage])
    for word in words:
        assert word in result["convention"]
    (engine,) = result["engines"]
    assert "torch" in engine
    assert "cpu" in engine


def test_the_same_noise_is_added_each_time(clean, weights, capfd):
    words = ["denoise-ae", "--data", clean, "--sigma", "25", "--weights", weights["denoise-ae"]]
    first, again = evaluated(capfd, *words), evaluated(capfd, *words)
    assert first == again
    assert first["images"][0]["psnr_before"] == pytest.approx(20.4, abs=0.5)


def test_the_table_says_what_json_says(clean, weights, capfd):
    words = ["denoise-ae", "--data", clean, "--sigma", "25", "--weights", weights["denoise-ae"]]
    result = evaluated(capfd, *words)
    assert main(["eval", *map(str, words), "--device", "cpu"]) == 0
    lines = capfd.readouterr().out.splitlines()
    rows = [*result["images"], {"image": "mean", **result["mean"]}]
    for line, row in zip(lines[1:], rows, strict=False):
        name, before, after, gain, *ssim = line.split()
        assert name == row["image"]
        assert float(before) == pytest.approx(row["psnr_before"], abs=0.0051)
        assert float(after) == pytest.approx(row["psnr_after"], abs=0.0051)
        assert float(gain) == pytest.approx(row["psnr_after"] - row["psnr_before"], abs=0.0051)
        expected = row["ssim_before"], row["ssim_after"]
        assert tuple(map(float, ssim)) == pytest.approx(expected, abs=6e-5)
    assert lines[-2:] == [result["convention"], *result["engines"]]


def test_a_result_equal_to_the_original_is_null_in_json(tmp_path, weights, capfd):
    write_image(tmp_path / "clean" / "tiny.png", Image(pixels(8, 8)))
    words = ["denoise-ae", "--data", "clean", "--sigma", "0", "--weights", weights["denoise-ae"]]
    (row,) = evaluated(capfd, *words)["images"]
    assert row["psnr_before"] is None  # infinite: nothing was added
    assert row["ssim_before"] is None  # undefined under 11 pixels
    assert 20 < row["psnr_after"] < 100


# Names.


def test_images_of_one_name_are_kept_apart(tmp_path, weights, capfd):
    for name in ("a.png", "a.bmp", "one/a.png", "two/a.png"):
        write_image(tmp_path / "clean" / name, Image(pixels(20, 20)))
    (tmp_path / "clean" / "folder.png").mkdir()
    words = ["denoise-ae", "--data", "clean", "--sigma", "5", "--weights", weights["denoise-ae"]]
    result = evaluated(capfd, *words, "--save", "out")
    assert [row["image"] for row in result["images"]] == ["a.bmp", "a.png", "one/a", "two/a"]
    files = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.png")}
    stems = ("a.bmp", "a.png", "one/a", "two/a")
    assert files == {f"{stem}_{kind}.png" for stem in stems for kind in ("before", "after")}


# Refusals.


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["denoise-ae", "--data", "clean"], 2, "give one of --sigma, --scale, --protocol"),
        (["denoise-ae", "--data", "clean", "--sigma", "5", "--scale", "2"], 2, "give one of"),
        (["denoise-ae", "--sigma", "5"], 2, "--data"),
        (["denoise-ae", "--data", "clean", "--sigma", "76"], 2, "--sigma"),
        (["denoise-ae", "--data", "clean", "--scale", "5"], 2, "--scale"),
        (["denoise-ae", "--data", "clean", "--protocol", "mine"], 2, "--protocol"),
        (["denoise-ae", "--data", "clean", "--sigma", "5", "--weights", "no"], 2, "--weights"),
        (["denoise-ae", "--data", "clean", "--sigma", "5", "--save", "clean/out"], 2, "--save"),
        (["denoise-ae", "--data", "clean", "--degraded", "x", "--sigma", "5"], 2, "leave out --si"),
        (["denoise-ae", "--data", "clean", "--degraded", "x"], 1, "x: no such folder"),
        (["denoise-ae", "--data", "clean", "--degraded", "empty"], 1, "empty: no images"),
        (
            ["denoise-ae", "--data", "clean", "--degraded", "d", "--save", "d/out"],
            2,
            "must not be in --degraded",
        ),
        (["denoise-ae", "--data", "nowhere", "--sigma", "5"], 1, "nowhere: no such folder"),
        (["denoise-ae", "--data", "empty", "--sigma", "5"], 1, "empty: no images"),
        (
            ["denoise", "--data", "clean", "--sigma", "5"],
            1,
            "no filter or generator named 'denoise'",
        ),
        (
            ["open", "--data", "clean", "--sigma", "5"],
            1,
            "there are denoise-ae, superres-fast, superres-rednet",
        ),
        (["denoise-ae", "--data", "clean", "--sigma", "5", "--engine", "x"], 1, "--engine x"),
        (["denoise-ae", "--data", "clean", "--scale", "2", "--weights", "{w}"], 1, "expected (40"),
        (["denoise-ae", "--data", "clean", "--sigma", "5", "--weights", "{r}"], 1, "'rednet-1'"),
    ],
)
def test_wrong_use_is_said_in_one_line(tmp_path, clean, weights, capfd, words, code, message):
    (tmp_path / "empty").mkdir()
    files = {"w": weights["denoise-ae"], "r": weights["superres-rednet"]}
    assert main(["eval", *(word.format(**files) for word in words)]) == code
    captured = capfd.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("imgfx: ")
    assert message in line


# Pairs.


@pytest.fixture
def noisy(tmp_path, clean):
    """For each clean image a darker one of the same name, two of them of another format."""
    for path, name in (("b", "b.tif"), ("deep/a", "deep/a.png"), ("gray", "gray.png")):
        values = PIL.Image.open(clean / f"{path}.png")
        target = tmp_path / "noisy" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        values.point(lambda value: value * 9 // 10).save(target)
    return tmp_path / "noisy"


def test_given_pairs_are_measured_as_scikit_image_does(clean, noisy, weights, capfd):
    words = ["denoise-ae", "--data", clean, "--degraded", noisy, "--save", "out"]
    result = evaluated(capfd, *words, "--weights", weights["denoise-ae"])
    assert "the degraded image of the same name" in result["convention"]
    names = {"b": "b.tif", "deep/a": "deep/a.png", "gray": "gray.png"}
    assert [row["image"] for row in result["images"]] == list(names)
    for row in result["images"]:
        reference = saved(clean / f"{row['image']}.png")
        expected = figures_by_scikit_image(saved(noisy / names[row["image"]]), reference)
        assert (row["psnr_before"], row["ssim_before"]) == pytest.approx(expected, abs=1e-4)
        expected = figures_by_scikit_image(saved(f"out/{row['image']}_after.png"), reference)
        assert (row["psnr_after"], row["ssim_after"]) == pytest.approx(expected, abs=1e-4)


def test_pairs_of_two_sizes_give_the_figures_of_images_that_are_shrunk(
    tmp_path, clean, weights, capfd
):
    words = ["superres-rednet", "--data", clean, "--weights", weights["superres-rednet"]]
    expected = evaluated(capfd, *words, "--scale", 3)
    shrunk = protocol.shrunk(3)
    for number, name in enumerate(("b", "deep/a", "gray")):
        _, small = shrunk.example(clean / f"{name}.png", 0)
        # As in DIV2K, or under the same name.
        write_image(tmp_path / "small" / f"{name}{'x3' if number else ''}.png", small)
    found = evaluated(capfd, *words, "--scale", 3, "--degraded", tmp_path / "small")
    assert found["images"] == expected["images"]


def test_pairs_of_one_size_are_sharpened_by_a_stage_of_many_scales(clean, noisy, weights, capfd):
    words = ["superres-rednet", "--data", clean, "--degraded", noisy]
    result = evaluated(capfd, *words, "--weights", weights["superres-rednet"])
    assert len(result["images"]) == 3


def test_clean_images_of_one_name_take_partners_of_their_own_kind(clean, noisy, weights, capfd):
    write_image(clean / "gray.webp", Image(pixels(20, 24)))  # another picture than gray.png
    words = ["--data", clean, "--degraded", noisy, "--weights", weights["denoise-ae"]]
    result = evaluated(capfd, "denoise-ae", *words, code=3)
    assert [row["image"] for row in result["images"]] == ["b", "deep/a", "gray.png"]
    assert result["failed"][0].endswith(
        "gray.webp: no degraded image of this name, which several have"
    )


def test_what_is_no_pair_is_named_and_the_others_measured(clean, noisy, weights, capfd):
    (noisy / "b.tif").unlink()
    write_image(noisy / "deep" / "a.png", Image(pixels(36, 38)))
    words = ["--data", clean, "--degraded", noisy, "--weights", weights["denoise-ae"]]
    result = evaluated(capfd, "denoise-ae", *words, code=3)
    assert [row["image"] for row in result["images"]] == ["gray"]
    missing, unlike = result["failed"]
    assert missing.endswith("b.png: " + f"{noisy / 'b'}: no degraded image of this name")
    assert "37x36 in colour, which is not that of" in unlike
    assert unlike.endswith("a.png, 38x36 in colour")


def test_a_degraded_image_may_have_but_one_file_of_another_suffix(clean, noisy, weights, capfd):
    values = Image(pixels(41, 50))
    write_image(noisy / "b.jpg", values)
    words = ["--data", clean, "--degraded", noisy, "--weights", weights["denoise-ae"]]
    result = evaluated(capfd, "denoise-ae", *words, code=3)
    assert "2 degraded images have this name; leave one" in result["failed"][0]
    write_image(noisy / "b.png", values)
    result = evaluated(capfd, "denoise-ae", *words)
    assert result["images"][0]["psnr_before"] is None  # infinite: the one that has the suffix too
    assert len(result["images"]) == 3


# Images that fail.


def test_a_damaged_image_is_named_and_the_others_measured(tmp_path, clean, weights, capfd):
    whole = (clean / "b.png").read_bytes()
    (clean / "bad.png").write_bytes(whole[: len(whole) // 2])
    words = ["denoise-ae", "--data", clean, "--sigma", "5", "--weights", weights["denoise-ae"]]
    assert main(["eval", *map(str, words), "--json", "--device", "cpu"]) == 3
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert len(lines) == 2
    assert "bad.png" in lines[0]
    assert lines[1] == "imgfx: error: 1 of 4 images failed; the figures are of the others"
    result = json.loads(out)
    assert [row["image"] for row in result["images"]] == ["b", "deep/a", "gray"]
    assert len(result["failed"]) == 1
    assert result["mean"]["psnr_before"] > 30


@pytest.mark.parametrize("scale", [2, 4])
def test_an_image_too_small_for_the_protocol_is_named(tmp_path, weights, capfd, scale):
    write_image(tmp_path / "clean" / "a.png", Image(pixels(2 * scale, 50)))
    words = ["superres-rednet", "--data", "clean", "--weights", weights["superres-rednet"]]
    assert main(["eval", *map(str, words), "--scale", str(scale)]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "imgfx: error: clean/a.png: too small to be measured so\n"


# Stages of others.

OTHERS = '''
"""Stages of another package."""

import os
from dataclasses import replace

import click
import numpy as np

from imgfx.hookspecs import hookimpl
from imgfx.stage import image_filter


@image_filter("chatty")
def chatty(image):
    os.write(1, b"working on it\\n")
    return image


@image_filter("twice")
@click.option("--scale", type=int, default=3)
def twice(image, scale):
    return replace(image, pixels=image.pixels.repeat(scale, 0).repeat(scale, 1))


@image_filter("picky")
def picky(image):
    if image.name == "b":
        raise KeyError("no b")
    return image


@image_filter("hollow")
def hollow(image):
    return replace(image, pixels=np.full(image.pixels.shape, np.nan, np.float32))


@hookimpl
def imgfx_stages():
    return [chatty, twice, picky, hollow]
'''


@pytest.fixture
def others(site, monkeypatch):
    """`others("chatty", ...)`: the error that `imgfx eval` ends with, where others offer stages."""
    site.install("imgfx-others", OTHERS, "chatty", "twice", "picky", "hollow")
    monkeypatch.syspath_prepend(site.folder)

    def run(*words):
        try:
            build_cli().main(["eval", *words, "--json"], standalone_mode=False)
        except click.ClickException as error:
            return error
        return None

    return run


def test_a_stage_of_others_is_measured_and_cannot_spoil_the_output(clean, capfd, others):
    assert others("chatty", "--data", "clean", "--sigma", "10") is None
    out, err = capfd.readouterr()
    result = json.loads(out)
    assert err.count("working on it") == 3
    assert result["engines"] == []
    assert result["mean"]["psnr_after"] == result["mean"]["psnr_before"] > 25


@pytest.mark.parametrize(("protocol", "better"), [(["--scale", "2"], False)])
def test_a_stage_of_others_is_given_the_scale(clean, capfd, others, protocol, better):
    assert others("twice", "--data", "clean", *protocol) is None
    result = json.loads(capfd.readouterr().out)
    # Repeating pixels is worse than bicubic interpolation.
    assert (result["mean"]["psnr_after"] > result["mean"]["psnr_before"]) is better


def test_a_stage_that_enlarges_is_measured_with_scale(clean, capfd):
    line = ["eval", "superres-fast", "--data", "clean", "--device", "cpu"]
    assert main([*line, "--degraded", "clean"]) == 2
    assert capfd.readouterr().err == (
        "imgfx: eval: superres-fast does not work at scale 1; say with --scale how many times it "
        "enlarges\n"
    )


def test_sizes_that_do_not_fit_are_said_to_be_those_of_an_enlargement(clean, capfd, others):
    error = others("twice", "--data", "clean", "--sigma", "10")
    assert "what enlarges is measured with --scale" in error.format_message()


def test_an_image_that_a_stage_fails_on_is_named(clean, capfd, others):
    error = others("picky", "--data", "clean", "--sigma", "10")
    assert error.exit_code == 3
    out, err = capfd.readouterr()
    assert len(json.loads(out)["images"]) == 2
    (line,) = err.splitlines()
    assert line.startswith("imgfx: clean/b.png: KeyError: 'no b'")


def test_values_that_are_no_numbers_are_a_failure(clean, capfd, others):
    error = others("hollow", "--data", "clean", "--sigma", "10")
    assert (error.exit_code, error.format_message()) == (1, "all 3 images failed")
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("values that are not numbers") == 3


def test_weights_are_refused_where_a_stage_takes_none(clean, weights, others):
    path = str(weights["denoise-ae"])
    error = others("chatty", "--data", "clean", "--sigma", "10", "--weights", path)
    assert (error.exit_code, error.format_message()) == (2, "chatty has no --weights")


def test_the_self_ensemble_is_measured_and_said(clean, weights, capfd):
    line = ["denoise-ae", "--data", "clean", "--sigma", 25, "--weights", weights["denoise-ae"]]
    once, mean = evaluated(capfd, *line), evaluated(capfd, *line, "--self-ensemble")
    assert mean["convention"] == f"{once['convention']}; with --self-ensemble"
    assert mean["mean"]["psnr_before"] == once["mean"]["psnr_before"]
    assert mean["mean"]["psnr_after"] != once["mean"]["psnr_after"]


def test_the_self_ensemble_is_refused_where_there_is_none(clean, capfd, others):
    error = others("chatty", "--data", "clean", "--sigma", "10", "--self-ensemble")
    assert (error.exit_code, error.format_message()) == (2, "chatty has no --self-ensemble")
    error = others("gan-generate", "--data", "clean", "--self-ensemble")
    assert (error.exit_code, error.format_message()) == (
        2,
        "--sigma, --scale, --protocol, --degraded and --self-ensemble are for filters",
    )


# Protocols.


def test_what_is_measured_is_what_a_file_would_hold():
    clean = picture(20, 24)
    noise = protocol.noise(10)
    image = clean + np.float32(0.0004)  # a tenth of a level
    rounded = np.rint(np.clip(image, 0, 1) * 255) / 255
    assert noise.measure(image, clean) == noise.measure(rounded.astype(np.float32), clean)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shrinking_takes_images_of_any_size(scale):
    shrunk = protocol.shrunk(scale)
    clean = shrunk.prepare(picture(31, 26))
    small = shrunk.degrade(clean, 0)
    assert (clean.shape[0] // scale, clean.shape[1] // scale) == small.shape[:2]
    assert shrunk.baseline(small).shape == clean.shape


def test_an_image_of_16_bits_is_what_it_is(tmp_path, capfd, weights):
    fine = np.random.default_rng(0).integers(0, 65536, (20, 22, 3), dtype=np.uint16)
    for folder in ("clean", "degraded"):
        write_image(tmp_path / folder / "a.png", Image(fine, depth="uint16"))
    words = ("denoise-ae", "--data", "clean", "--weights", weights["denoise-ae"])
    for way in (("--degraded", "degraded"), ("--sigma", "0")):
        (row,) = evaluated(capfd, *words, *way)["images"]
        assert row["psnr_before"] in (None, "inf")
        assert row["ssim_before"] == 1


def test_hidden_files_are_no_test_images(tmp_path, capfd, weights, clean):
    words = ("denoise-ae", "--data", clean, "--sigma", "25", "--weights", weights["denoise-ae"])
    expected = evaluated(capfd, *words)
    (clean / "._b.png").write_bytes(b"\0\5\26\7 of a Mac")
    assert evaluated(capfd, *words) == expected


def test_an_image_smaller_than_the_scale_is_too_small(tmp_path, capfd, weights, clean):
    write_image(clean / "c.png", Image(pixels(1, 1)))
    words = ["superres-rednet", "--data", clean, "--scale", "2"]
    words += ["--weights", weights["superres-rednet"]]
    assert main(["eval", *map(str, words), "--device", "cpu"]) == 3
    assert "c.png: too small to be measured so" in capfd.readouterr().err
