"""`imgfx train` as users run it: what it writes, and what its options do."""

import json
import re
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import pixels
from support_models import TINY
from support_training import digest, facts, records, write_pictures

from imgfx.cli import main
from imgfx.files import read_image, write_image
from imgfx.image import Image
from imgfx.weights import load_weights
from imgfx_gan_generate.model import FASHION
from imgfx_superres_rednet.model import MODEL as REDNET
from imgfx_train.state import load_state, save_state


@pytest.mark.parametrize(
    ("model", "data", "chain"),
    [
        ("denoise-ae", "photos", ["open", "{photo}", "denoise-ae"]),
        ("superres-rednet", "photos", ["open", "{photo}", "superres-rednet", "--scale", "2"]),
        ("gan-generate", "idx", ["gan-generate", "--seed", "3"]),
        ("gan-generate", "png", ["gan-generate", "--seed", "3"]),
    ],
)
def test_a_model_is_trained_and_runs_in_a_chain(tmp_path, shelf, train, capfd, model, data, chain):
    assert train(model, data, "--steps", "3", "--licence", "CC0", "--licence", "MIT") == 0
    names = {".safetensors", ".best.safetensors", ".md", ".metrics.jsonl", ".state"}
    names |= {".samples.png", ".curves.png"}
    assert {path.name for path in tmp_path.iterdir()} == {f"a{name}" for name in names}
    weights = load_weights(tmp_path / "a.safetensors")
    spec = TINY[model][1]
    assert (weights.model, replace(weights.spec, reach=0)) == (model, spec)
    assert weights.spec.reach <= spec.halo
    assert bool(weights.spec.reach) is (model != "gan-generate")
    assert weights.digest != digest(shelf / f"{model}.safetensors")
    assert {"steps": "3", "batch": "2", "licence": "CC0; MIT"}.items() <= facts().items()
    assert data in facts()["data"]
    metric = TINY[model][0].recipe().metric
    (record,) = records()
    assert record["step"] == 3
    assert json.loads(facts()["metrics"])[metric] == pytest.approx(record[metric], abs=1e-3)
    card = (tmp_path / "a.md").read_text()
    for part in [
        weights.digest,
        "3 of 2 examples each, the whole run",
        "CC0; MIT",
        f"imgfx train {model}",
    ]:
        assert part in card, part
    samples = read_image(tmp_path / "a.samples.png").pixels
    assert samples.std() > 1
    assert capfd.readouterr().out == ""
    chain = [word.format(photo=shelf / "photos" / "0.png") for word in chain]
    assert main([*chain, "--weights", "a.safetensors", "save", "b.png", "--device", "cpu"]) == 0
    sizes = {"denoise-ae": (104, 100), "superres-rednet": (208, 200), "gan-generate": (28, 28)}
    assert read_image(tmp_path / "b.png").pixels.shape[:2] == sizes[model]


def test_a_recipe_needs_no_weights_to_start_from(tmp_path, train, capfd):
    assert train("superres-rednet", "photos", "--steps", "1", "--batch", "1", new=False) == 0
    assert replace(load_weights(tmp_path / "a.safetensors").spec, reach=0) == REDNET.spec
    said = capfd.readouterr().err
    assert "superres-rednet: 3 photos, 1 held out, of photos; cpu, fp32" in said
    assert re.search(r"imgfx: a\.safetensors, after 1 steps: .*psnr \d\d\.\d+; its card is", said)


def test_weights_to_start_from_are_where_it_starts(tmp_path, shelf, train):
    assert train("denoise-ae", "photos", "--steps", "1", "--rate", "1e-12") == 0
    start, end = (
        load_weights(p) for p in (shelf / "denoise-ae.safetensors", tmp_path / "a.safetensors")
    )
    for name in start.tensors:
        np.testing.assert_allclose(end.tensors[name], start.tensors[name], atol=1e-9)


def test_the_same_seed_gives_the_same_weights(train):
    digests = []
    for seed in ("5", "5", "6"):
        assert train("gan-generate", "idx", "--steps", "3", "--seed", seed, "--overwrite") == 0
        digests.append(digest())
    assert digests[0] == digests[1] != digests[2]


def test_networks_start_from_the_seed_too(tmp_path, train):
    starts = []
    for seed in ("5", "5", "6"):
        options = ["--steps", "1", "--rate", "1e-12", "--seed", seed, "--overwrite"]
        assert train("gan-generate", "idx", *options) == 0
        networks = load_state(tmp_path / "a.state", FASHION)["learner"]["networks"]
        starts.append(networks["discriminator"]["judge.weight"])
    torch.testing.assert_close(starts[0], starts[1])
    assert (starts[0] - starts[2]).abs().mean() > 1e-3


def test_a_run_by_time_ends_by_time(train):
    started = time.monotonic()
    assert train("superres-rednet", "photos", "--minutes", "0.02") == 0
    assert 1.2 < time.monotonic() - started < 30
    assert facts()["minutes"] == "0.0"


def test_the_card_repeats_the_run(tmp_path, shelf, train):
    (tmp_path / "my photos").symlink_to(shelf / "photos")
    options = ["--data", str(tmp_path / "my photos"), "--steps", "2", "--licence", "CC BY 4.0"]
    assert train("denoise-ae", "photos", *options, "--rate", "0.00001", "--exclude", "[x]*") == 0
    line = (tmp_path / "a.md").read_text().split("Made by\n\n    ")[1]
    assert line == (
        "imgfx train denoise-ae --data photos --data photos --exclude '[x]*' --steps 2 --batch 2 "
        "--rate 1e-05 --init denoise-ae.safetensors --precision fp32 --licence 'CC BY 4.0' "
        "--seed 0 --out a.safetensors\n"
    )


def test_the_card_of_a_resumed_run_says_from_which_weights_it_began(tmp_path, train):
    assert train("superres-rednet", "photos", "--steps", "2") == 0
    assert train("superres-rednet", "photos", "--steps", "3", "--resume", new=False) == 0
    resumed = (tmp_path / "a.md").read_text().split("Made by\n\n    ")[1]
    assert "--steps 3 --batch 2 --rate 0.0005 --init superres-rednet.safetensors" in resumed


def test_a_resumed_run_validates_leaves_out_and_says_what_it_did_before(
    tmp_path, shelf, train, monkeypatch
):
    others = tmp_path / "others"
    write_image(others / "new.png", Image(pixels(80, 84)))
    begun = ["--validation", "others", "--exclude", "0.*", "--licence", "CC0", "--licence", "MIT"]
    size = ["--size", "width=4", "--size", "depth=2"]
    assert train("superres-rednet", "photos", *begun, *size, "--steps", "1", new=False) == 0
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    there = ["--resume", "--out", "../a.safetensors"]
    assert train("superres-rednet", "photos", *there, "--steps", "2", new=False) == 0
    told = facts("../a.safetensors")
    assert told["data"] == "3 photos of photos; validated on 1 of others"
    assert told["licence"] == "CC0; MIT"
    assert "--validation others --exclude '0.*' --steps 2" in told["command"]
    assert "--size width=4 --size depth=2" in told["command"]
    more = ["--validation", str(shelf / "photos"), "--exclude", "1.*", "--licence", "BSD"]
    assert train("superres-rednet", others, *there, *more, "--data", str(shelf / "photos"),
                 "--steps", "3", new=False) == 0  # fmt: skip
    first, told = told["data"], facts("../a.safetensors")
    now = "1 photos of others, photos; validated on 4 of photos"
    assert told["data"] == f"{now}; before that {first}"
    assert told["licence"] == "BSD"
    assert "--exclude '1.*'" in told["command"]


def test_a_state_of_an_older_version_is_resumed(tmp_path, train):
    assert train("superres-rednet", "photos", "--steps", "1") == 0
    state = dict(load_state(tmp_path / "a.state", REDNET))
    for name in ("validation", "exclude", "licence", "size", "validate_every"):
        del state["begun"][name]
    save_state(tmp_path / "a.state", state)
    assert train("superres-rednet", "photos", "--steps", "2", "--resume", new=False) == 0
    assert facts()["steps"] == "2"


def test_weights_and_pictures_may_lie_among_the_photos(tmp_path, train):
    data = write_pictures(tmp_path / "data", 3, 100, 98)
    there = ["--out", str(data / "a.safetensors")]
    assert train("denoise-ae", data, *there, "--steps", "1") == 0
    assert (data / "a.samples.png").is_file()
    assert train("denoise-ae", data, *there, "--steps", "2", "--resume", new=False) == 0
    assert facts(data / "a.safetensors")["data"] == "2 photos, 1 held out, of data"


def test_weights_go_to_a_folder_that_does_not_exist_yet(tmp_path, train):
    assert train("superres-rednet", "photos", "--steps", "1", "--out", "new/er/a.safetensors") == 0
    assert (tmp_path / "new" / "er" / "a.md").is_file()


def test_other_photos_can_be_validated_on(tmp_path, shelf, train):
    others = tmp_path / "others"
    others.mkdir()
    (first, *_) = sorted((shelf / "photos").iterdir())
    shutil.copy(first, others)
    write_image(others / "new.png", Image(pixels(64, 72)))
    assert train("denoise-ae", "photos", "--steps", "1", "--validation", str(others)) == 0
    # The one of them that is in both is not trained on.
    assert facts()["data"] == "3 photos of photos; validated on 2 of others"
    assert "--validation others" in facts()["command"]


def test_a_generator_has_no_use_for_validation_photos(shelf, train, capfd):
    photos = str(shelf / "photos")
    assert train("gan-generate", "png", "--steps", "1", "--validation", photos) == 2
    assert "gan-generate has no use for --validation" in capfd.readouterr().err
