"""The acceptance gate: what is compared, and what is refused."""

import numpy as np
import pytest

from imgfx.engines.gate import LIMITS, agreement, check, probes
from imgfx.errors import EngineError
from imgfx_denoise_ae.model import MODEL as DENOISE
from imgfx_gan_generate.model import FASHION
from imgfx_superres_fast.model import MODELS as FAST


def identity(batch):
    return batch[:, :3]


@pytest.mark.parametrize("spec", [DENOISE.spec, FAST[2].spec, FASHION.spec], ids=str)
def test_probes_are_inputs_that_the_network_takes(spec):
    inputs = probes(spec)
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(inputs, probes(spec))
    if spec.latent:
        assert inputs.shape == (4, spec.latent)
        return
    assert inputs.shape[1] == spec.channels + len(spec.conditions)
    assert all(side % spec.multiple_of == 0 for side in inputs.shape[2:])
    assert inputs.min() >= 0
    assert inputs.max() <= 1
    assert len({image.tobytes() for image in inputs}) == len(inputs)


def test_the_worst_probe_counts():
    def wrong_in_the_dark(batch):
        output = identity(batch).copy()
        output[output.max(axis=(1, 2, 3)) < 0.1] += 0.01
        return output

    assert agreement(identity, identity, FAST[2].spec) > 150
    assert agreement(wrong_in_the_dark, identity, FAST[2].spec) == pytest.approx(40, abs=0.1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_results_that_are_no_numbers_never_agree(value):
    def broken(batch):
        output = identity(batch).copy()
        output[..., 3, 5] = value
        return output

    assert agreement(broken, identity, FAST[2].spec) == float("-inf")


def test_results_of_another_shape_never_agree():
    assert agreement(lambda b: b[:, :3, 1:], identity, FAST[2].spec) == float("-inf")


@pytest.mark.parametrize("precision", LIMITS)
def test_below_the_limit_of_its_precision_an_engine_is_refused(precision):
    check(LIMITS[precision] + 0.1, precision, "a on b")
    with pytest.raises(EngineError, match=f"a on b: refused: its results in {precision} are"):
        check(LIMITS[precision] - 0.1, precision, "a on b")


def test_a_precision_without_a_limit_of_its_own_has_the_one_of_bf16():
    with pytest.raises(EngineError, match="at least 42 dB"):
        check(41, "fp8", "a on b")
