"""The lecture's forward and backward pass of a GAN, one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from imgfx.training.recipe import Learner

Penalty = Callable[["Tensor"], "Tensor"]
"""The originals -> a scalar added to the discriminator's loss."""
Change = Callable[["Tensor"], "Tensor"]
"""Images -> images as the discriminator is shown them; gradients pass."""


def lecture_step(
    learner: Learner,
    originals: Tensor,
    latents: Tensor,
    penalty: Penalty | None = None,
    change: Change | None = None,
) -> Mapping[str, Tensor]:
    """One step of both networks, in the lecture's order.

    Args:
        learner: its networks are `generator` and `discriminator`.
        originals: (N, C, H, W) in [0, 1], 1. taken from the data set by the caller.
        latents: (N, latent), the generator's random seeds.
        penalty: regularises the discriminator.
        change: augments originals and fakes alike before the discriminator sees them.

    Returns:
        The two losses, and the share of the extended minibatch that was judged rightly.
    """
    generator, discriminator = learner.networks["generator"], learner.networks["discriminator"]

    # 2. The generator runs forward: as many fakes as there are originals.
    with learner.autocast():
        fakes = generator(latents)

    # 3. Originals and fakes in one extended minibatch; the discriminator gives a logit for each.
    extended = torch.cat([originals, fakes.detach()])
    if change is not None:
        extended = change(extended)
    with learner.autocast():
        logits = discriminator(extended)

    # 4. Labels: 1 for originals, 0 for fakes.
    labels = torch.cat([torch.ones(len(originals)), torch.zeros(len(fakes))]).to(logits)

    # 5. Loss: sigmoid cross-entropy of logits and labels.
    loss = functional.binary_cross_entropy_with_logits(logits, labels)

    # 6. The discriminator learns from it; the generator from its fakes labelled as originals,
    #    through the discriminator.
    learner.update("discriminator", loss if penalty is None else loss + penalty(originals))
    with learner.autocast():
        fooled = discriminator(fakes if change is None else change(fakes))
    generator_loss = functional.binary_cross_entropy_with_logits(fooled, torch.ones_like(fooled))
    learner.update("generator", generator_loss)

    rightly = ((logits > 0) == (labels > 0.5)).float().mean()
    return {"loss": loss, "generator_loss": generator_loss, "rightly": rightly}


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], weight: float) -> Penalty:
    """R1: the squared gradient of the logits at the originals, times weight / 2.

    It keeps the discriminator smooth where the data are, which is what makes training converge.

    Source: Mescheder, Geiger, Nowozin, Which Training Methods for GANs do actually Converge?,
    ICML 2018, eq. 9.
    """

    def penalty(originals: Tensor) -> Tensor:
        watched = originals.detach().requires_grad_()
        total = discriminator(watched).sum()
        (gradient,) = torch.autograd.grad(total, watched, create_graph=True)
        return 0.5 * weight * gradient.square().sum(dim=(1, 2, 3)).mean()

    return penalty
