"""Guidance by the gradient of a loss: x_t <- x_t - s grad L(x^_0(x_t)) before every step, for what no caption says."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..errors import BadValue
from .noise import NoisyImages


@dataclass(frozen=True)
class LossGuidance:
    """What to lower while drawing, and how strongly: one backward pass a step beyond what the guider needs."""

    loss: Callable[[torch.Tensor], torch.Tensor]        # x^_0 [n, c, h, w] in the model's pixel range -> [n]
    strength: float                                     # s

    @torch.enable_grad()
    def push(self, noisy: NoisyImages, prediction: torch.Tensor) -> torch.Tensor:
        """-s grad L, [n, c, h, w], at `noisy`.x_t, from which `prediction` was made with autograd on.

        Raises BadValue for a loss that is not finite or does not depend on the image, and for a push out of bounds.
        """
        loss = self.loss(noisy.x_0(prediction))                                                         # [n]
        if not loss.isfinite().all():
            raise BadValue("the loss is NaN or infinite: mend it, or lower the strength")
        if not loss.requires_grad:
            raise BadValue("the loss has no gradient: compute it from the images that it is given, in torch")
        (gradient,) = torch.autograd.grad(loss.sum(), noisy.x_t)
        push = -self.strength * gradient
        if not (noisy.x_t + push).isfinite().all():
            raise BadValue(f"strength {self.strength:g} drives the images to infinity: lower it")
        return push


def colour_loss(colour) -> Callable[[torch.Tensor], torch.Tensor]:
    """The mean distance |x^_0 - `colour`| of an image's pixels; `colour` one number a channel, in the model's range."""
    target = torch.as_tensor(colour).view(-1, 1, 1)                                                     # [c, 1, 1]

    def loss(x_0):
        return (x_0 - target.to(x_0)).abs().mean((1, 2, 3))

    return loss
