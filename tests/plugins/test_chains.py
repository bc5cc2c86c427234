"""Chains as files, and images made again: `chain`, `run --chain` and `replay` as users run them."""

import hashlib
import json
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import NEGATIVE, pixels, run_imgfx
from support_models import TINY, write_weights

from imgfx.cli import build_cli, main
from imgfx.files import read_image, read_provenance, write_image
from imgfx.lines import TypedLines
from imgfx.plugins import Registry
from imgfx.provenance import runs_of
from imgfx_chains.chain_file import read_chain, write_chain

RESTORE = ["denoise-ae", "--strength", "0.6", "--weights", "w/denoise.safetensors"]
ENLARGE = ["superres-rednet", "--scale", "2", "--weights", "w/superres.safetensors"]

TINT = '''"""Tint."""

import click

from imgfx.api import hookimpl, image_filter


@image_filter("tint")
@click.option("--stage", type=int, default=3)
@click.option("--size", nargs=2, type=int)
@click.option("--tag", multiple=True)
@click.option("--warm/--cold", default=True)
@click.option("--lut", type=click.Path(exists=True))
@click.option("-v", "--more", count=True)
def tint(image, stage, **options):
    """Make images darker."""
    return image.with_pixels(image.pixels // stage)


@hookimpl
def imgfx_stages():
    return [tint]
'''


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Weights of tiny networks."""
    place = tmp_path_factory.mktemp("weights")
    for name, file in (("denoise-ae", "denoise"), ("superres-rednet", "superres")):
        write_weights(place / f"{file}.safetensors", *TINY[name])
    write_weights(place / "gan.safetensors", *TINY["gan-generate"])
    return place


@pytest.fixture
def folder(tmp_path, tiny):
    """The test's folder: two images in `photos`, and weights in `w`."""
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(["a.png", "b.png"]):
        cv2.imwrite(str(tmp_path / "photos" / name), pixels(20 + number, 24))
    (tmp_path / "w").symlink_to(tiny)
    return tmp_path


def seen(path):
    """The pixels of a file."""
    return read_image(Path(path)).pixels


def write_with(path, image, provenance):
    """An image that says this of how it was made."""
    write_image(path, replace(image, metadata=replace(image.metadata, provenance=provenance)))


def test_a_saved_chain_is_short_and_shows_as_the_line(imgfx, folder):
    ended = imgfx("chain", "save", "restore.toml", *RESTORE, *ENLARGE, "--device", "cpu")
    assert (ended.code, ended.out, ended.err) == (0, b"", "")
    assert (folder / "restore.toml").read_text() == (
        "imgfx-chain = 1\n\n"
        '[[stages]]\nstage = "denoise-ae"\nstrength = 0.6\nweights = "w/denoise.safetensors"\n\n'
        '[[stages]]\nstage = "superres-rednet"\nscale = 2\nweights = "w/superres.safetensors"\n\n'
        '[run]\ndevice = "cpu"\n'
    )
    shown = imgfx("chain", "show", "restore.toml")
    assert shown.out.decode() == shlex.join(["imgfx", "--device", "cpu", *RESTORE, *ENLARGE]) + "\n"


def test_a_chain_file_is_not_overwritten_unless_told_so(imgfx, folder):
    (folder / "c.toml").write_text("mine")
    ended = imgfx("chain", "save", "c.toml", "denoise-ae")
    assert ended.code == 1
    assert (
        ended.err == "imgfx: error: c.toml: is there already; choose another name, or --overwrite\n"
    )
    assert (folder / "c.toml").read_text() == "mine"
    for words in (["--overwrite", "c.toml"], ["c.toml", "--overwrite"]):
        assert imgfx("chain", "save", *words, "denoise-ae").code == 0
    assert "denoise-ae" in (folder / "c.toml").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("denoise-ae --strength 7", "denoise-ae: Invalid value for '--strength'"),
        ("denoise", "no stage or command named 'denoise'; did you mean 'denoise-ae'?"),
        ("denoise-ae open a.png", "'open' makes images, so it must come first"),
        ("--overwrite", "no stage is named"),
    ],
)
def test_a_line_that_could_not_run_is_not_saved(imgfx, folder, words, message):
    ended = imgfx("chain", "save", "c.toml", *words.split())
    assert ended.code == 2
    assert message in ended.err
    assert not (folder / "c.toml").exists()


def test_a_chain_runs_as_the_line_that_it_stands_for(imgfx, folder):
    imgfx("chain", "save", "restore.toml", *RESTORE, *ENLARGE)
    data = (folder / "photos" / "a.png").read_bytes()
    piped = imgfx("run", "--chain", "restore.toml", stdin=data)
    assert (piped.code, piped.err) == (0, "")
    assert piped.out == imgfx(*RESTORE, *ENLARGE, stdin=data).out
    ended = imgfx("run", "--chain", "restore.toml", "open", "photos/a.png", "save", "b.png")
    assert (ended.code, ended.err) == (0, "")
    imgfx("open", "photos/a.png", *RESTORE, *ENLARGE, "save", "c.png")
    assert (folder / "b.png").read_bytes() == (folder / "c.png").read_bytes()


def test_a_batch_goes_on_whether_its_chain_is_typed_or_in_a_file(imgfx, folder):
    (folder / "kept").mkdir()
    imgfx("chain", "save", "kept/restore.toml", *RESTORE)
    around = ["open", "photos", "save", "out"]
    first = imgfx("run", "--chain", "kept/restore.toml", *around)
    assert first.err == "imgfx: 2 images done\n"
    for words in (
        [*around[:2], *RESTORE, *around[2:]],
        ["run", "--chain", "kept/restore.toml", *around],
    ):
        again = imgfx(*words)
        assert again.err == "imgfx: 2 images done, 2 of them earlier\n"


def test_stages_around_a_chain_have_their_places(imgfx, folder, site):
    site.install("acme-tint", TINT, "tint")
    found = {"PYTHONPATH": str(site.folder)}
    imgfx("chain", "save", "c.toml", "open", "photos/a.png", *RESTORE, "save", "x.png", "-q")
    words = ["tint", "--stage", "2", "save", "y.png", "-n", "--device", "cpu"]
    ended = imgfx("run", "--chain", "c.toml", *words, **found)
    assert "chain   open | denoise-ae | tint | save\n" in ended.err
    assert "image   photos/a.png (24x20) -> y.png\n" in ended.err
    ended = imgfx(
        "--device",
        "cpu",
        "run",
        "--json",
        "-n",
        "--chain",
        "c.toml",
        "open",
        "photos",
        "save",
        "z/",
    )
    plan = json.loads(ended.out)
    assert plan["models"][0]["runs"].startswith("torch on cpu")
    assert len(plan["images"]) == 2
    assert not list(folder.glob("[xy].png"))


def test_paths_in_a_chain_file_are_those_from_its_folder(imgfx, folder):
    (folder / "deep" / "er").mkdir(parents=True)
    imgfx(
        "chain",
        "save",
        "deep/er/c.toml",
        "open",
        "photos/",
        *RESTORE,
        "save",
        "out/",
        "--report",
        "r.json",
    )
    found = tomllib.loads((folder / "deep" / "er" / "c.toml").read_text())
    assert found["stages"][0]["paths"] == ["../../photos/"]
    assert found["stages"][1]["weights"] == "../../w/denoise.safetensors"
    assert (found["stages"][2]["target"], found["run"]["report"]) == ("../../out/", "../../r.json")
    ended = imgfx("run", "--chain", folder / "deep" / "er" / "c.toml")
    assert ended.code == 0, ended.err
    assert {path.name for path in (folder / "out").glob("*.png")} == {"a.png", "b.png"}
    assert (folder / "r.json").exists()


HEAD = "imgfx-chain = 1\n"
STAGE = HEAD + '[[stages]]\nstage = "denoise-ae"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "c.toml: no chain file: not TOML (Expected '=' after a key"),
        ("\xff", "c.toml: no chain file: not TOML (no UTF-8); `imgfx chain save` writes one"),
        ("a = 1", "c.toml: no chain file: it does not begin with imgfx-chain = 1"),
        ("imgfx-chain = true", "c.toml: no chain file: it does not begin with imgfx-chain = 1"),
        ("imgfx-chain = 2", "c.toml: a chain file of version 2, and imgfx"),
        (HEAD, "c.toml: it holds no stages; write [[stages]] and stage = \"denoise-ae\""),
        (HEAD + "stages = 3", "c.toml: it holds no stages"),
        (HEAD + "[[stages]]", "c.toml: stage 1 has no name"),
        (HEAD + "runs = 3", "c.toml: unknown key 'runs'; a chain file has imgfx-chain, [[stages]]"),
        (STAGE + "[[stages]]\nstage = 'blurr'", "c.toml: stage 2 (blurr): no stage named 'blurr'"),
        (
            STAGE + "[[stages]]\nstage = 'acme-tint:tint'",
            "c.toml: stage 2 (acme-tint:tint): stage 'tint' is not installed; install its package",
        ),
        (STAGE + "strenght = 1", "c.toml: stage 1 (denoise-ae): no option 'strenght'; did you"),
        (STAGE + "strength = 7", "c.toml: stage 1 (denoise-ae): Invalid value for '--strength'"),
        (STAGE + "strength = true", "c.toml: stage 1 (denoise-ae): strength is no flag"),
        (STAGE + "strength = 2020-01-01", "c.toml: stage 1 (denoise-ae): strength is a date"),
        (STAGE + "weights = 'gone'", "c.toml: stage 1 (denoise-ae): Invalid value for '--weights'"),
        (STAGE + "[run]\ndevise = 'cpu'", "c.toml: [run]: no option 'devise'; did you mean"),
        (STAGE + "[run]\ndevice = 'tpu'", "c.toml: [run]: Invalid value for '--device'"),
        (STAGE + "[run]\nquiet = 3", "c.toml: [run]: quiet is on or off; write true or false"),
        (STAGE + "[[stages]]\nstage = 'open'\npaths = ['a']", "c.toml: 'open' makes images"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["run --chain c.toml save x.png", "chain show c.toml"])
def test_what_is_wrong_in_a_chain_file_is_said_in_one_line(
    tmp_path, monkeypatch, capsys, text, message, command
):
    monkeypatch.chdir(tmp_path)
    Path("c.toml").write_bytes(text.encode("latin-1"))
    assert main(command.split()) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"imgfx: error: {message}"), error
    assert error.count("\n") == 1


def test_a_chain_file_that_is_not_there(imgfx, folder):
    ended = imgfx("run", "--chain", "gone.toml")
    assert (ended.code, ended.err) == (
        1, "imgfx: error: gone.toml: cannot read: No such file or directory\n",
    )  # fmt: skip


def catalog_of(site, monkeypatch):
    """The plugins with the stage `tint`, and lines as a command would have them."""
    site.install("acme-tint", TINT, "tint")
    monkeypatch.syspath_prepend(str(site.folder))
    registry = Registry()
    root = build_cli(registry)
    registry.lines = TypedLines(registry, click.Context(root, info_name="imgfx"))
    return registry


word = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
number = st.integers(-(10**9), 10**9)


def test_a_chain_saved_and_shown_is_the_same_chain(site, tmp_path, monkeypatch):
    catalog = catalog_of(site, monkeypatch)
    path = tmp_path / "deep" / "c.toml"

    @settings(deadline=None)
    @given(
        stage=number, size=st.none() | st.tuples(number, number), tags=st.lists(word, max_size=3),
        warm=st.none() | st.booleans(), more=st.integers(0, 3), target=word.filter(bool),
    )  # fmt: skip
    def check(stage, size, tags, warm, more, target):
        words = ["acme-tint:tint", f"--stage={stage}"]
        words += ["--size", *map(str, size)] if size else []
        words += [f"--tag={tag}" for tag in tags] + ["-v"] * more
        words += [] if warm is None else ["--warm" if warm else "--cold"]
        words += ["save", "--format", "png", "--", f"/{target}"]
        line = catalog.lines.parse(words)
        write_chain(path, line, catalog, overwrite=True)
        again = read_chain(path, catalog)
        shown = catalog.lines.parse(shlex.split(shlex.join(catalog.lines.words(again))))
        for other in (again, shown):
            assert [(w.stage, w.values) for w in other.stages] == [
                (w.stage, w.values) for w in line.stages
            ]

    check()


def test_replay_does_to_another_image_what_was_done_to_one(imgfx, folder):
    imgfx("open", "photos/a.png", *RESTORE, *ENLARGE, "save", "w.jpg")
    imgfx("open", "photos/b.png", *RESTORE, *ENLARGE, "save", "expected.png")
    words = ["--file", "w/denoise.safetensors", "--file", "w/superres.safetensors"]
    ended = imgfx("replay", "w.jpg", "--on", "photos/b.png", *words)
    assert (ended.code, ended.err) == (0, "")
    np.testing.assert_array_equal(
        seen(folder / "photos" / "b_as_w.png"), seen(folder / "expected.png")
    )
    made, typed = (
        runs_of(read_provenance(folder / p)) for p in ("photos/b_as_w.png", "expected.png")
    )
    assert made == typed
    ended = imgfx("replay", "w.jpg", "--on", "photos/b.png", *words)
    assert ended.err == (
        "imgfx: error: photos/b_as_w.png: is there already; choose another --out, or --overwrite\n"
    )
    assert imgfx("replay", "w.jpg", "--on", "photos/b.png", *words, "--overwrite").code == 0
    data = (folder / "photos" / "b.png").read_bytes()
    piped = imgfx("replay", "w.jpg", "--on", "-", *words, stdin=data)
    (folder / "piped.png").write_bytes(piped.out)
    np.testing.assert_array_equal(seen(folder / "piped.png"), seen(folder / "expected.png"))


def test_replay_rounds_where_a_pipe_has_rounded(imgfx, folder):
    data = (folder / "photos" / "a.png").read_bytes()
    (folder / "p.png").write_bytes(imgfx(*ENLARGE, stdin=imgfx(*RESTORE, stdin=data).out).out)
    (folder / "denoise.safetensors").symlink_to("w/denoise.safetensors")
    (folder / "superres.safetensors").symlink_to("w/superres.safetensors")
    ended = imgfx("replay", "p.png", "--on", "photos/a.png", "--out", "q.png")
    assert (ended.code, ended.err) == (0, "")
    np.testing.assert_array_equal(seen(folder / "q.png"), seen(folder / "p.png"))
    assert read_provenance(folder / "q.png") == read_provenance(folder / "p.png")


def test_a_generated_image_is_made_again_with_the_same_pixels(imgfx, folder):
    weights = ["--weights", "w/gan.safetensors"]
    imgfx("gan-generate", "--seed", "7", "--count", "3", *weights, "save", "g")
    enlarged = imgfx(*ENLARGE, stdin=(folder / "g" / "fashion_7_0002.png").read_bytes())
    (folder / "dress.png").write_bytes(enlarged.out)
    words = ["--file", "w/gan.safetensors", "--file", "w/superres.safetensors"]
    assert imgfx("replay", "g/fashion_7_0002.png", *words).err == ""
    np.testing.assert_array_equal(
        seen(folder / "g" / "fashion_7_0002_again.png"), seen(folder / "g" / "fashion_7_0002.png")
    )
    assert imgfx("replay", "dress.png", "--out", "x{stem}.png", *words).err == ""
    np.testing.assert_array_equal(seen(folder / "x{stem}.png"), seen(folder / "dress.png"))
    ended = imgfx("replay", "dress.png", "--on", "photos/a.png", *words, "--out", "a.png")
    assert (ended.code, seen(folder / "a.png").shape) == (0, (40, 48, 3))


def test_other_weights_are_refused_unless_told_to_go_on(imgfx, folder):
    imgfx("open", "photos/a.png", *RESTORE, "save", "out.png")
    (model,) = runs_of(read_provenance(folder / "out.png"))[0].steps[0].models
    ended = imgfx("replay", "out.png", "--on", "photos/b.png")
    assert ended.err == (
        "imgfx: error: out.png: stage 'denoise-ae' used the file 'denoise.safetensors' (sha256 "
        f"{model.weights}), which is neither beside the image nor here; name it with --file\n"
    )
    write_weights(folder / "denoise.safetensors", *TINY["denoise-ae"], seed=1)
    ended = imgfx("replay", "out.png", "--on", "photos/b.png")
    assert ended.code == 1
    assert f"was made with weights {model.weights} of denoise-ae, and here are" in ended.err
    assert ended.err.endswith("; name the others with --file, or go on with --anyway\n")
    assert not (folder / "photos" / "b_as_out.png").exists()
    assert imgfx("replay", "out.png", "--on", "photos/b.png", "--anyway").code == 0


def test_other_packages_files_and_versions_are_told(imgfx, folder, site):
    site.install("acme-tint", TINT, "tint")
    found = {"PYTHONPATH": str(site.folder)}
    (folder / "a.cube").write_text("one")
    words = ["open", "photos/a.png", "tint", "--lut", "a.cube", "--cold", "save", "out.png"]
    assert imgfx(*words, **found).code == 0
    ended = imgfx("replay", "out.png", "--on", "photos/b.png")
    assert ended.err == (
        "imgfx: error: out.png: was made with the stage 'tint' of acme-tint 1.0, which is not "
        "installed: pip install acme-tint\n"
    )
    shown = imgfx("replay", "out.png", "--show").out.decode()
    assert "acme-tint:tint 1.0\n  file a.cube of lut, sha256 " in shown
    (folder / "a.cube").write_text("two")
    ended = imgfx("replay", "out.png", "--on", "photos/b.png", **found)
    assert ended.err.startswith(
        "imgfx: error: a.cube: stage 'acme-tint:tint' used a file of this name"
    )
    metadata = site.folder / "acme_tint-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    ended = imgfx("replay", "out.png", "--on", "photos/b.png", "--anyway", **found)
    warning = "out.png: made with acme-tint 1.0, and here is 1.1; the pixels may differ"
    assert (ended.code, ended.err) == (0, f"imgfx: warning: {warning}\n")


def test_what_made_an_image_is_shown_and_saved(imgfx, folder):
    imgfx("open", "photos/a.png", *RESTORE, *ENLARGE, "save", "out.png", "--precision", "fp32")
    shown = imgfx("replay", "out.png", "--show").out.decode().splitlines()
    assert shown[0] == (
        "imgfx denoise-ae --strength 0.6 --sigma auto --weights denoise.safetensors "
        "superres-rednet --scale 2 --strength 1.0 --weights superres.safetensors"
    )
    found = json.loads(imgfx("replay", "out.png", "--show", "--json").out)
    assert [step["stage"] for step in found["runs"][0]["stages"]] == [
        "denoise-ae",
        "superres-rednet",
    ]
    assert shown[1].startswith("denoise-ae of imgfx ")
    assert shown[2].startswith("  model denoise-ae, weights sha256 ")
    assert shown[3] == "  run by torch on cpu in fp32"
    image = read_image(folder / "out.png")
    write_with(folder / "x.png", image, image.metadata.provenance.replace("auto", "\\u001b[2J"))
    assert "\x1b" not in imgfx("replay", "x.png", "--show").out.decode()
    words = ["--file", "w/denoise.safetensors", "--file", "w/superres.safetensors"]
    assert imgfx("replay", "out.png", "--save-chain", "c.toml", *words).code == 0
    ended = imgfx(
        "run",
        "--chain",
        "c.toml",
        "open",
        "photos/a.png",
        "save",
        "again.png",
        "--precision",
        "fp32",
    )
    assert ended.code == 0, ended.err
    np.testing.assert_array_equal(seen(folder / "again.png"), seen(folder / "out.png"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("photos/a.png", "photos/a.png: does not say how it was made"),
        ("gone.png", "gone.png: cannot read: No such file or directory"),
        ("out.png", "out.png: was made from an image, which it does not carry; name one with --on"),
        ("out.png --on photos", "photos: is a folder; write a chain with --save-chain FILE"),
        ("out.png --on photos/a.png --out x", "x: give the result a name that ends in .png"),
        ("out.png --on photos/a.png --engine no", "--engine no: no such engine is installed"),
        ("bad.png", "bad.png: its provenance is damaged"),
        ("evil.png --on photos/a.png", "evil.png: its provenance is damaged: 'save' is no filter"),
        ("later.png", "later.png: its provenance is of version 9"),
        ("other.png", "other.png: was made with a stage 'swirl', which this imgfx"),
    ],
)
def test_what_cannot_be_replayed_is_said_in_one_line(imgfx, folder, words, message):
    imgfx("open", "photos/a.png", "denoise-ae", "--strength", "0", "save", "out.png")
    text = read_provenance(folder / "out.png")
    for name, changed in {
        "bad.png": "{}",
        "evil.png": text.replace('"denoise-ae","options"', '"save","options"', 1),
        "later.png": text.replace('provenance":1', 'provenance":9'),
        "other.png": text.replace('"denoise-ae","options"', '"swirl","options"', 1),
    }.items():
        write_with(folder / name, read_image(folder / "out.png"), changed)
    ended = imgfx("replay", *words.split())
    assert ended.code == 1
    assert ended.err.startswith(f"imgfx: error: {message}"), ended.err
    assert ended.err.count("\n") == 1


def test_a_file_s_stage_stays_the_one_it_was_where_another_has_its_name(imgfx, folder):
    (folder / "plug").mkdir()
    source = NEGATIVE.replace("NAME", "denoise-ae").replace("BODY", "pass")
    (folder / "plug" / "dup.py").write_text(source)
    plug = ("--plugins-dir", "plug")
    line = ("open", "photos/a.png", "plug/dup.py:denoise-ae")
    assert imgfx(*plug, *line, "save", "out.png").code == 0
    negative = read_image(folder / "out.png").pixels
    shown = imgfx(*plug, "replay", "out.png", "--show").out.decode()
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    assert shown.splitlines() == ["imgfx dup.py:denoise-ae", f"dup.py:denoise-ae sha256 {digest}"]
    again = ("replay", "out.png", "--on", "photos/a.png", "--out")
    assert imgfx(*plug, *again, "b.png").code == 0
    np.testing.assert_array_equal(read_image(folder / "b.png").pixels, negative)
    assert imgfx(*again, "c.png").code == 1
    assert imgfx(*plug, "chain", "save", "dup.toml", "plug/dup.py:denoise-ae").code == 0
    assert 'stage = "dup.py:denoise-ae"' in (folder / "dup.toml").read_text()
    run = ("run", "--chain", "dup.toml", "open", "photos/a.png", "save", "d.png")
    assert imgfx(*plug, *run).code == 0
    np.testing.assert_array_equal(read_image(folder / "d.png").pixels, negative)
    (folder / "plug" / "dup.py").write_text(source + "# changed\n")
    assert "made with dup.py sha256" in imgfx(*plug, *again, "e.png").err


def test_paths_are_right_where_the_file_s_folder_is_a_link(imgfx, folder):
    (folder / "real" / "deep").mkdir(parents=True)
    (folder / "link").symlink_to("real/deep")
    assert imgfx("chain", "save", "link/c.toml", "open", "photos", "save", "out").code == 0
    assert imgfx("run", "--chain", "link/c.toml").code == 0
    assert (folder / "out" / "a.png").is_file()


def test_a_folder_s_name_is_no_pattern_and_no_template(imgfx, folder):
    odd = folder / "o[1]{x}"
    odd.mkdir()
    (folder / "photos").rename(odd / "photos")
    chain = ["open", "photos/*.png", "save", "out"]
    assert run_imgfx(["chain", "save", "c.toml", *chain], cwd=odd).code == 0
    for file, place in ((odd / "c.toml", folder), ("o[1]{x}/c.toml", folder), ("c.toml", odd)):
        ended = run_imgfx(["run", "--chain", file, "--redo"], cwd=place)
        assert (ended.code, ended.err) == (0, "imgfx: 2 images done\n")
    assert (odd / "out" / "b.png").is_file()
    assert run_imgfx(["chain", "save", "../d.toml", *chain], cwd=odd).code == 0
    assert "2 images done, 2 of them earlier" in imgfx("run", "--chain", "d.toml").err


@pytest.mark.parametrize(
    ("inside", "target", "made"),
    [
        ("x}y", "x}y/out.png", "x}y/out.png"),
        ("d", "z}.png", "z}.png"),
        ("x}y", "x}}y/{stem}-{index}.png", "x}y/b-0.png"),
        ("x{y", "x{{y/o}ut.png", "x{y/o}ut.png"),
    ],
)
def test_a_chain_saves_where_it_says_whatever_braces_are_in_the_way(folder, inside, target, made):
    (folder / inside).mkdir()
    file = f"{inside}/c.toml"
    chain = ["open", "photos/b.png", "save", target]
    assert run_imgfx(["chain", "save", file, *chain], cwd=folder).code == 0
    before = set(folder.rglob("*"))
    assert run_imgfx(["run", "--chain", file], cwd=folder).code == 0
    assert set(folder.rglob("*")) - before == {folder / made}


def test_a_chain_is_written_through_links_and_into_pipes(imgfx, folder):
    (folder / "real.toml").write_text("# mine\n")
    (folder / "link.toml").symlink_to("real.toml")
    assert imgfx("chain", "save", "--overwrite", "link.toml", "denoise-ae").code == 0
    assert (folder / "link.toml").is_symlink()
    assert "denoise-ae" in (folder / "real.toml").read_text()
    ended = imgfx("chain", "save", "--overwrite", "/dev/stdout", "denoise-ae")
    assert (ended.code, ended.out) == (0, (folder / "real.toml").read_bytes())


def test_run_options_count_on_both_sides_of_replay(imgfx, folder):
    imgfx("open", "photos/a.png", *RESTORE, "save", "out.png")
    (folder / "denoise.safetensors").symlink_to("w/denoise.safetensors")
    words = ["replay", "out.png", "--on", "photos/b.png", "--overwrite"]
    ended = imgfx("--engine", "bogus", *words)
    assert ended.code != 0
    assert "bogus" in ended.err
    assert imgfx("--engine", "torch", "--precision", "fp32", *words).code == 0
    (made,) = runs_of(read_provenance(folder / "photos" / "b_as_out.png"))
    assert made.steps[0].models[0].precision == "fp32"


def test_an_engine_that_is_not_here_is_replaced_and_told(imgfx, folder):
    imgfx("open", "photos/a.png", *RESTORE, "save", "out.png")
    (folder / "denoise.safetensors").symlink_to("w/denoise.safetensors")
    image = read_image(folder / "out.png")
    other = image.metadata.provenance.replace('"engine":"torch"', '"engine":"abacus"')
    write_with(folder / "out.png", image, other)
    ended = imgfx("replay", "out.png", "--on", "photos/a.png", "--out", "again.png")
    assert ended.code == 0
    assert "made by abacus on cpu in" in ended.err
    assert "there is no such engine here; auto is taken; the pixels may differ" in ended.err
