"""Checks of models: whether the spec is true, the weights fit, and other engines agree."""

from __future__ import annotations

import torch
from torch import nn

from imgfx.engines import gate
from imgfx.errors import surprise
from imgfx.testing.kit import networks
from imgfx.testing.kit.findings import (
    Check,
    Finding,
    NotReadyError,
    failed,
    passed,
    skipped,
    warned,
)
from imgfx.testing.kit.model_subject import ModelSubject
from imgfx.testing.processes import run
from imgfx.training.recipe import Recipe

_BEYOND = 0.5
"""A generator's images may be out of [0, 1] by so much; sinks clip."""
_SHIFT = 0.25
"""A restored image keeps its mean; what is off by more is taken for a failure when it is run."""
_ROWS = 1e-5
"""Rows of a batch, alone or together, may differ by fp32's order of adding up."""
_BORDER = 2e-5
_PATIENCE = 550.0
"""Seconds for two steps of training."""


def weights(subject: ModelSubject) -> Finding:
    """A network is built, and the weights fit it."""
    if subject.weights_error:
        return failed(subject.weights_error)
    if subject.given.weights is None and subject.model.weights is None:
        name = subject.model.name
        return skipped(f"has none of its own yet: `imgfx train {name}`, or test with --weights")
    return passed(f"sha256 {subject.weights.digest[:12]}")


def describes(subject: ModelSubject) -> Finding:
    """A sentence for the model card."""
    if subject.model.describe:
        return passed()
    return failed("give the Model `describe`: one sentence for the model card")


def channels(subject: ModelSubject) -> Finding:
    """The colour channels that the spec says, in and out."""
    network, spec = subject.restorer, subject.spec
    side = networks.side_for(networks.CANDIDATES[-1])
    found = networks.shape_of(network, spec, side, side)
    if isinstance(found, str):
        other = networks.fitting_channels(network, spec)
        hint = f"; with {other} it runs: channels={other}" if other else ""
        return failed(f"does not run with {spec.channels} channels: {found}{hint}")
    if len(found) != 4 or found[1] != spec.channels:
        return failed(f"answers {found}: channels={spec.channels} says (1, {spec.channels}, H, W)")
    return passed(f"{spec.channels}")


def scale(subject: ModelSubject) -> Finding:
    """As many times larger as the spec says."""
    network, spec = subject.restorer, subject.spec
    side = networks.side_for(networks.CANDIDATES[-1])
    found = networks.shape_of(network, spec, side, side)
    if isinstance(found, str) or len(found) != 4:
        raise NotReadyError("it does not run")
    if found[2:] == (spec.scale * side, spec.scale * side):
        return passed(f"{spec.scale}")
    true = found[2] / side
    hint = f"scale={true:.0f}" if true == int(true) else "answer a whole multiple of the input"
    return failed(f"enlarges {true:g} times, and the spec says {spec.scale}: {hint}")


def multiple_of(subject: ModelSubject) -> Finding:
    """Runs at all multiples of what the spec says."""
    network, spec = subject.restorer, subject.spec
    if "fail" in (channels(subject).status, scale(subject).status):
        raise NotReadyError("its channels or its scale are not true yet")
    trouble = networks.trouble_at_multiples(network, spec, spec.multiple_of)
    if not trouble:
        return passed(f"{spec.multiple_of}")
    right = networks.fitting_multiple(network, spec)
    hint = f"multiple_of={right} works" if right else "no power of 2 up to 64 works"
    return failed(f"multiple_of={spec.multiple_of}, but at {trouble}; {hint}")


def _fit(subject: ModelSubject) -> nn.Module:
    """The restorer, if it runs on what its spec says.

    Raises:
        NotReadyError: it does not.
    """
    network = subject.restorer
    for check in (channels, scale, multiple_of):
        if check(subject).status == "fail":
            raise NotReadyError("its spec is not true yet")
    return network


def halo(subject: ModelSubject) -> Finding:
    """At least as far as the layers see, so that tiles equal the whole."""
    network, spec = _fit(subject), subject.spec
    found = networks.measured_radius(subject.model.build, spec)
    if found.everywhere:
        return failed(
            f"sees {found.pixels} pixels far and more: what looks at the whole image (a mean, "
            "attention, normalisation by the image) cannot be tiled"
        )
    if found.pixels > spec.halo:
        return failed(f"halo={spec.halo}, but the layers see {found.pixels}: halo={found.pixels}")
    if not _same_each_time(subject):
        raise NotReadyError("what it answers is not the same each time")
    error = networks.border_error(network, spec, spec.margin)
    if error > _BORDER:
        return failed(f"with a border of {spec.margin} pixels tiles are off by {error:.2g}")
    if found.pixels + 2 * spec.multiple_of < spec.halo:
        return warned(f"halo={spec.halo}, but the layers see {found.pixels}: tiles cost too much")
    return passed(f"{spec.halo}, measured {found.pixels}")


def _outputs(subject: ModelSubject, network: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        output = network(torch.from_numpy(gate.probes(subject.spec)))
    if not isinstance(output, torch.Tensor):
        raise NotReadyError("it answers no tensor")
    return output


def _runnable(subject: ModelSubject) -> nn.Module:
    """The network of any kind; of a restorer one whose spec is true."""
    images = not subject.spec.latent and not hasattr(subject.network, "features")
    return _fit(subject) if images else subject.network


def output(subject: ModelSubject) -> Finding:
    """Float32, finite, and in [0, 1] but for a little."""
    network = _runnable(subject)
    found = _outputs(subject, network)
    if found.dtype != torch.float32:
        return failed(f"answers {found.dtype}: end with .float()")
    if not bool(torch.isfinite(found).all()):
        return failed("answers NaN or infinity for plain pictures")
    trouble = _out_of_range(subject, found)
    if not trouble:
        return passed()
    trained = subject.given.weights is not None or subject.model.weights is not None
    return failed(trouble) if trained else warned(f"untrained, it {trouble}")


def _out_of_range(subject: ModelSubject, found: torch.Tensor) -> str:
    """Why a network's images are not in [0, 1]; empty if they are, or are no images."""
    low, high = float(found.min()), float(found.max())
    if subject.spec.latent:
        off = low < -_BEYOND or high > 1 + _BEYOND
        return f"answers {low:.2g} to {high:.2g}; images are in [0, 1]" if off else ""
    if found.ndim != 4 or not subject.spec.keeps_mean:
        return ""
    inputs = torch.from_numpy(gate.probes(subject.spec))[:, : subject.spec.channels]
    shift = float((found.mean(dim=(1, 2, 3)) - inputs.mean(dim=(1, 2, 3))).abs().max())
    if shift <= _SHIFT:
        return ""
    return (
        f"shifts the mean of an image by {shift:.2g}; is it in [0, 1]? Where that is meant so, say "
        "keeps_mean=False in the spec"
    )


def _same_each_time(subject: ModelSubject) -> bool:
    network, inputs = _runnable(subject), torch.from_numpy(gate.probes(subject.spec))[:2]
    with torch.inference_mode():
        return torch.allclose(network(inputs), network(inputs), 0, 0, equal_nan=True)


def repeat(subject: ModelSubject) -> Finding:
    """The same each time, and for each row whatever the others are."""
    network = _runnable(subject)
    inputs = torch.from_numpy(gate.probes(subject.spec))[:2]
    with torch.inference_mode():
        both, alone = network(inputs), network(inputs[:1])
    if not _same_each_time(subject):
        return failed("answers something else the second time: dropout or noise in eval()")
    error = float((both[:1] - alone).abs().max())
    if error > _ROWS:
        return failed(f"a row depends on the others, by {error:.2g}: statistics over the batch")
    return passed()


def recipe(subject: ModelSubject) -> Finding:
    """How it is trained, if it is."""
    model = subject.model
    if model.recipe is None:
        return skipped("has no recipe, so it cannot be trained")
    try:
        found: object = model.recipe()
    except Exception as error:  # noqa: BLE001  # the plugin boundary
        return failed(f"its recipe cannot be had: {surprise(error)}")
    if not isinstance(found, Recipe):
        return failed(f"recipe answers {type(found).__name__}: answer an imgfx.api.Recipe")
    return passed(f"by {found.metric}")


def training(subject: ModelSubject) -> Finding:
    """Two steps of `imgfx train` on the images that were given."""
    if subject.model.recipe is None:
        return skipped("has no recipe")
    if subject.given.data is None:
        return skipped("give --data DIR to train it for two steps")
    out = subject.folder / "trained.safetensors"
    words = ["train", subject.full_name, "--data", subject.given.data.resolve(), "--steps", 2]
    more = ["--batch", 2, "--device", "cpu", "--precision", "fp32", "--out", out]
    ended = run(*words, *more, cwd=subject.folder, env=subject.env, timeout=_PATIENCE)
    if ended.code or not out.exists():
        last = (ended.err.strip().splitlines() or ["it says nothing"])[-1]
        return failed(f"`imgfx train` ends with {ended.code}: {last}")
    return passed(f"{out.stat().st_size / 1e6:.1f} MB of weights")


CHECKS = [
    Check("describe", describes),
    Check("weights", weights),
    Check("channels", channels),
    Check("scale", scale),
    Check("multiple_of", multiple_of),
    Check("halo", halo),
    Check("output", output),
    Check("repeat", repeat),
    Check("recipe", recipe),
    Check("training", training),
]
