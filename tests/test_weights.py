"""Weights files: whole, of the right model, or refused with the file's name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

from imgfx.errors import WeightsError
from imgfx.weights import (
    Weights,
    load_weights,
    network_from_weights,
    save_weights,
    weights_from_network,
)
from imgfx_denoise_ae.model import MODEL as DENOISE
from imgfx_denoise_ae.model import denoise_spec
from imgfx_superres_rednet.model import MODEL as REDNET
from imgfx_superres_rednet.model import rednet_spec

SMALL = rednet_spec(width=4, depth=3)


@pytest.fixture
def saved(tmp_path):
    """A file of small weights with a training record."""
    torch.manual_seed(1)
    path = tmp_path / "small.safetensors"
    network = REDNET.build(SMALL)
    save_weights(path, weights_from_network(network, SMALL, REDNET.name, {"steps": "7"}))
    return path


def test_a_network_comes_back_as_it_was_saved(saved):
    weights = load_weights(saved)
    assert weights.spec == SMALL
    assert weights.model == "superres-rednet"
    assert weights.training == {"steps": "7"}
    torch.manual_seed(1)
    expected = REDNET.build(SMALL).state_dict()
    found = network_from_weights(REDNET, weights, saved).state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_digest_changes_with_any_weight_and_with_the_spec(saved):
    weights = load_weights(saved)
    name = next(iter(weights.tensors))
    changed = {**weights.tensors, name: weights.tensors[name] + np.float32(1e-6)}
    assert replace(weights, tensors=changed).digest != weights.digest
    assert replace(weights, spec=replace(SMALL, halo=1)).digest != weights.digest


@pytest.mark.parametrize("place", np.linspace(0, 1, 40))
def test_every_flipped_bit_is_noticed(saved, place):
    whole = bytearray(saved.read_bytes())
    whole[int(place * (len(whole) - 1))] ^= 0x10
    saved.write_bytes(whole)
    try:
        weights = load_weights(saved)
    except WeightsError as error:
        message = error.format_message()
    else:  # only the training record, which changes no pixel, stands outside the digest
        message = f"{saved}: steps {weights.training.get('steps')}"
    assert str(saved) in message
    assert not message.endswith("steps 7")


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_the_digest_of_a_file_is_that_of_its_tensors(tmp_path, kind):
    rng = np.random.default_rng(2)
    large = rng.random((3, 1, 90_001)).astype(kind)  # more than is read at a time
    tensors = {"large": large, "none": large[:0], "one": np.asarray(large[0, 0, 0])}
    path = tmp_path / "w.safetensors"
    save_weights(path, Weights(SMALL, tensors))
    loaded = load_weights(path)
    assert loaded.digest == Weights(SMALL, tensors).digest
    assert loaded.tensors.keys() == tensors.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(loaded.tensors[name], value)


def test_a_file_that_is_replaced_before_it_is_read_is_refused(saved):
    weights = load_weights(saved)
    save_weights(saved, replace(weights, training={"steps": "8"}, tensors=dict(weights.tensors)))
    assert load_weights(saved).digest == weights.digest
    weights = load_weights(saved)
    changed = {name: value + 1 for name, value in load_weights(saved).tensors.items()}
    save_weights(saved, replace(weights, tensors=changed))
    with pytest.raises(WeightsError, match=r"small\.safetensors: was changed while it was in use"):
        network_from_weights(REDNET, weights, saved)
    saved.unlink()
    with pytest.raises(WeightsError, match=r"small\.safetensors: cannot be read any more"):
        network_from_weights(REDNET, weights, saved)


def test_tensors_are_read_wherever_one_has_gone_meanwhile(saved, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    weights = load_weights(Path(saved.name))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    network_from_weights(REDNET, weights)


def test_a_file_that_is_replaced_while_it_is_opened_is_refused(saved, monkeypatch):
    other = load_weights(saved)
    network_from_weights(REDNET, other)
    inner = safetensors.safe_open

    def replaced_first(path, **how):
        save_weights(saved, Weights(SMALL, {"another": np.ones(7, np.float32)}))
        return inner(path, **how)

    monkeypatch.setattr(safetensors, "safe_open", replaced_first)
    with pytest.raises(WeightsError, match="was changed while it was in use"):
        load_weights(saved)


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_truncated_files_are_refused(saved, length):
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(WeightsError, match=r"small\.safetensors"):
        load_weights(saved)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"gone\.safetensors: no such weights file"):
        load_weights(tmp_path / "gone.safetensors")


def test_foreign_safetensors_are_refused(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "foreign.safetensors"
    save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(WeightsError, match="not written by `imgfx train`"):
        load_weights(path)


def test_weights_of_another_model_are_refused(saved):
    with pytest.raises(WeightsError, match="denoise-ae needs"):
        network_from_weights(DENOISE, load_weights(saved), saved)


def test_weights_that_do_not_fit_their_spec_are_refused(saved):
    wider = replace(load_weights(saved), spec=rednet_spec(width=8, depth=3))
    with pytest.raises(WeightsError, match="does not fit superres-rednet"):
        network_from_weights(REDNET, wider, saved)


def test_a_failed_write_leaves_nothing(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    weights = weights_from_network(DENOISE.build(denoise_spec()), denoise_spec(), "x", {})
    with pytest.raises(WeightsError, match="cannot write the weights"):
        save_weights(blocked / "w.safetensors", weights)
    assert list(tmp_path.iterdir()) == [blocked]
