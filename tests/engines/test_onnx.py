"""The one export: equal to PyTorch in ONNX Runtime, for every bundled model and every size."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from support_models import TINY, last_layer

from imgfx.engines import onnx as export
from imgfx.engines.base import Request
from imgfx.engines.torch_engine import TorchEngine
from imgfx.errors import EngineError
from imgfx.model import Model, ModelSpec
from imgfx.weights import weights_from_network
from imgfx_superres_fast.model import MODELS as FAST
from imgfx_superres_fast.model import fast_spec


class Foreign(torch.nn.Module):
    """A third party's network, with what the bundled ones do not have.

    Depthwise convolution, PReLU, batch normalisation, channel attention, a deconvolution of stride
    2 and bilinear enlarging.
    """

    def __init__(self):
        super().__init__()
        self.depthwise = torch.nn.Conv2d(3, 6, 3, padding=1, groups=3)
        self.slope = torch.nn.PReLU(6)
        self.norm = torch.nn.BatchNorm2d(6)
        self.down = torch.nn.Conv2d(6, 8, 2, stride=2)
        self.attention = torch.nn.Conv2d(8, 8, 1)
        self.up = torch.nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1)

    def forward(self, x):
        inner = self.down(self.norm(self.slope(self.depthwise(x))))
        inner = inner * torch.sigmoid(self.attention(inner.amax(dim=1, keepdim=True) + inner))
        change = torch.tanh(self.up(inner))
        return torch.nn.functional.interpolate(x + change, scale_factor=2, mode="bilinear")


FOREIGN = ModelSpec("foreign-1", scale=2, halo=6, multiple_of=2)
MODELS = {
    **TINY,
    **{f"superres-fast-x{s}": (FAST[s], fast_spec(s, 8, 1)) for s in FAST},
    "foreign": (Model("foreign", FOREIGN, build=lambda _spec: Foreign()), FOREIGN),
}


class Uncasting(torch.nn.Module):
    """A network that knows nothing of precisions: it adds its input to what its layers make."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.GroupNorm(2, 8)
        self.last = torch.nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x):
        return x + 0.1 * self.last(torch.relu(self.norm(self.first(x))))


def test_half_precision_is_exported_whatever_the_network_does_about_it():
    """The image itself stays fp32: only the layers are halved, as by the torch engine."""
    spec = ModelSpec("uncasting-1", halo=2)
    model = Model("uncasting", spec, build=lambda _spec: Uncasting())
    weights = random_weights(model, spec)
    batch = np.random.default_rng(0).random((1, 3, 24, 17), dtype=np.float32)
    whole, half = (
        onnxruntime.InferenceSession(export.onnx_from_model(model, weights, half=each)).run(
            None, {"input": batch}
        )[0]
        for each in (False, True)
    )
    assert half.dtype == np.float32
    assert 0 < np.abs(half - whole).max() < 1e-3
    graph = onnx.load_from_string(export.onnx_from_model(model, weights, half=True))
    assert {t.data_type for t in graph.graph.initializer if len(t.dims) == 4} == {10}  # FLOAT16


def random_weights(model, spec):
    """Whose last layer is not silent, as those of fresh restorers are."""
    torch.manual_seed(3)
    network = model.build(spec)
    with torch.no_grad():
        if hasattr(network, "tail") or hasattr(network, "deconvolutions"):
            torch.nn.init.normal_(last_layer(network).weight, std=0.02)
    return weights_from_network(network, spec, model.name, {})


def inputs(spec):
    rng = np.random.default_rng(0)
    if spec.latent:
        return [rng.standard_normal((n, spec.latent), dtype=np.float32) for n in (1, 3)]
    channels, multiple = spec.channels + len(spec.conditions), spec.multiple_of
    shapes = [(1, 2, 2), (3, 5, 9), (2, 8, 3)]
    return [
        rng.random((n, channels, h * multiple, w * multiple), dtype=np.float32)
        for n, h, w in shapes
    ]


def run_onnx(graph, batch):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return session.run([export.OUTPUT], {export.INPUT: batch})[0]


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_computes_what_pytorch_does_at_any_size(name):
    model, spec = MODELS[name]
    weights = random_weights(model, spec)
    graph = export.onnx_from_model(model, weights)
    reference = TorchEngine().open(model, weights, Request("cpu", "fp32"))
    for batch in inputs(spec):
        np.testing.assert_allclose(run_onnx(graph, batch), reference(batch), atol=1e-4)


def test_the_graph_is_of_the_stated_opset_with_deconvolutions_folded():
    model, spec = MODELS["superres-rednet"]
    graph = onnx.load_from_string(export.onnx_from_model(model, random_weights(model, spec)))
    onnx.checker.check_model(graph)
    (opset,) = [o.version for o in graph.opset_import if o.domain == ""]
    assert opset == export.OPSET
    operators = {node.op_type for node in graph.graph.node}
    assert "Conv" in operators
    assert "ConvTranspose" not in operators


def test_exporting_says_nothing(capfd):
    model, spec = MODELS["superres-rednet"]
    export.onnx_from_model(model, random_weights(model, spec))
    assert capfd.readouterr() == ("", "")


class Branching(torch.nn.Module):
    """A network whose way depends on the pixels: no graph can say that."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.layer(x) if float(x.mean()) > 0.5 else x


def test_a_network_that_cannot_be_exported_is_named_in_one_line():
    model = Model("branching", ModelSpec("branching-1", halo=1), build=lambda _spec: Branching())
    weights = weights_from_network(Branching(), model.spec, model.name, {})
    with pytest.raises(EngineError, match="branching: cannot be exported to ONNX: ") as caught:
        export.onnx_from_model(model, weights)
    assert "\n" not in caught.value.format_message()
