"""A model as it is checked: its network, with weights of some kind."""

from __future__ import annotations

from functools import cached_property

from torch import nn

from imgfx.errors import ImgfxError, surprise
from imgfx.model import Model, ModelSpec
from imgfx.testing.kit.findings import NotReadyError
from imgfx.testing.kit.subjects import Subject
from imgfx.testing.kit.untrained import weights_of
from imgfx.weights import Weights, network_from_weights


class ModelSubject(Subject):
    """A model, with its own weights, those that were given, or untrained ones."""

    @property
    def model(self) -> Model:
        """The model."""
        model: Model = self.thing
        return model

    @cached_property
    def weights_error(self) -> str:
        """Why there is no network with weights; empty if there is one."""
        try:
            _ = self._opened
        except ImgfxError as error:
            return error.format_message()
        except Exception as error:  # noqa: BLE001  # building a network runs the plugin's code
            return f"its network cannot be built: {surprise(error)}"
        return ""

    @cached_property
    def _opened(self) -> tuple[Weights, nn.Module]:
        weights = weights_of(self.model, self.given.weights)
        return weights, network_from_weights(self.model, weights)

    @property
    def weights(self) -> Weights:
        """The weights.

        Raises:
            NotReadyError: there are none.
        """
        if self.weights_error:
            raise NotReadyError("its weights do not load")
        return self._opened[0]

    @property
    def network(self) -> nn.Module:
        """The network, in evaluation mode."""
        _ = self.weights
        return self._opened[1]

    @property
    def spec(self) -> ModelSpec:
        """As the weights have it."""
        return self.weights.spec

    @property
    def restorer(self) -> nn.Module:
        """The network, of a model that turns images into images.

        Raises:
            NotReadyError: it is another one.
        """
        if self.spec.latent:
            raise NotReadyError("a generator has no input image")
        if hasattr(self.network, "features"):
            raise NotReadyError("its network is for `features`, not for images")
        return self.network
