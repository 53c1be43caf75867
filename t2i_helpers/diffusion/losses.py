"""Guidance by the gradient of a loss: x_t <- x_t - s u P grad L(x^_0(x_t)) before every step, for what no caption says.

P is the number of an image's values, since a mean has a gradient of 1 / P for each; u is a unit of the loss's own. Both
make the strengths s comparable: 0.2 is barely seen and 1 too much, whatever the loss and the size of the images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from ..errors import BadValue
from .noise import NoisyBatch

# u, chosen by looking at what the shipped checkpoints draw in 20 steps; the effect grows with the number of steps
UNITS = {"colour": 0.005, "classifier": 0.001, "similarity": 0.01}


@dataclass(frozen=True)
class Loss:
    """A number to lower for every image, with the unit of its strengths."""

    of: Callable[..., torch.Tensor]             # (x^_0 [n, c, h, w] in the model's pixel range, targets) -> [n]
    unit: float                                 # u
    targets: torch.Tensor | None = None         # [n, ...], one for each image, if images have targets of their own

    def __call__(self, x_0: torch.Tensor) -> torch.Tensor:
        if self.targets is None:
            return self.of(x_0)
        if len(self.targets) != len(x_0):
            raise BadValue(f"a loss with {len(self.targets)} targets for {len(x_0)} images: give one for each image")
        return self.of(x_0, self.targets.to(x_0.device))


@dataclass(frozen=True)
class LossGuidance:
    """What to lower while drawing, and how strongly: one backward pass a step beyond what the guider needs."""

    loss: Loss | Callable[[torch.Tensor], torch.Tensor]     # for a bare function of x^_0 -> [n], u P is 1
    strength: float                                         # s

    targets = property(lambda self: getattr(self.loss, "targets", None))

    def part(self, batch: slice) -> "LossGuidance":
        """The guidance of some of the images, with their targets."""
        return self if self.targets is None else replace(self, loss=replace(self.loss, targets=self.targets[batch]))

    @torch.enable_grad()
    def guidance_update(self, noisy: NoisyBatch, prediction: torch.Tensor) -> torch.Tensor:
        """-s u P grad L, [n, c, h, w], at `noisy`.x_t, of a `prediction` that was made from it with autograd on.
        Raises BadValue for a loss that does not depend on the image, and for an update that is not finite."""
        loss = torch.as_tensor(self.loss(noisy.x_0(prediction)))                                        # [n]
        gradient = torch.autograd.grad(loss.sum(), noisy.x_t, allow_unused=True)[0] if loss.requires_grad else None
        if gradient is None:
            raise BadValue("the loss has no gradient: compute it from the images that it is given, in torch")
        unit = self.loss.unit * gradient[0].numel() if isinstance(self.loss, Loss) else 1.0             # u P
        update = -self.strength * unit * gradient
        if not (noisy.x_t + update).isfinite().all():
            raise BadValue(f"the gradient of the loss is NaN, or strength {self.strength:g} drives the images to "
                           "infinity: fix the loss, such as a root of zero, or lower the strength")
        return update


def colour_loss(colour) -> Loss:
    """The mean distance |x^_0 - `colour`| of an image's pixels; `colour` one number a channel, in the model's range."""
    target = torch.as_tensor(colour).view(-1, 1, 1)                                                     # [c, 1, 1]
    return Loss(lambda x_0: (x_0 - target.to(x_0)).abs().mean((1, 2, 3)), UNITS["colour"])


def classifier_loss(classifier, labels: Sequence[int], pixel_range: tuple[float, float]) -> Loss:
    """-log p(label | x^_0), for image i of labels[i]; the classifier takes images in [0, 1] and gives logits [n, k].
    Classifier guidance (Dhariwal & Nichol 2021, arXiv:2105.05233) by a classifier that never saw noise, and so looks
    at x^_0 and not at x_t (Bansal et al. 2023, arXiv:2302.07121). Raises BadValue for a label that is no class."""
    def loss(x_0, labels):
        logits = classifier(to_unit_straight_through(x_0, pixel_range))                                 # [n, k]
        lowest, highest, classes = int(labels.min()), int(labels.max()), logits.shape[1]
        if not 0 <= lowest <= highest < classes:
            raise BadValue(f"labels {lowest} to {highest}: the classes are 0 to {classes - 1}")
        return F.cross_entropy(logits, labels, reduction="none")

    return Loss(loss, UNITS["classifier"], torch.as_tensor(labels))


def similarity_loss(model, prompts: list[str], pixel_range: tuple[float, float],
                    decode: Callable[[torch.Tensor], torch.Tensor] = lambda x_0: x_0) -> Loss:
    """1 - cos(image, prompt), 0 to 2, for image i of prompts[i]: CLIP guidance of x^_0 (Nichol et al. 2022,
    arXiv:2112.10741, section 2.4), with a `model` that embeds images in [0, 1] and texts as unit vectors. `decode`
    makes images in `pixel_range` of a latent model's x^_0; the gradient goes through it."""
    def loss(x_0, texts):
        return 1 - (model.embed_images(to_unit_straight_through(decode(x_0), pixel_range)) * texts).sum(1)

    return Loss(loss, UNITS["similarity"], model.embed_texts(prompts))


def to_unit_straight_through(x_0: torch.Tensor, pixel_range: tuple[float, float]) -> torch.Tensor:
    """x^_0 in [0, 1]; the gradient passes the clamp, so that a pixel beyond its bound can return."""
    low, high = pixel_range
    unit = (x_0 - low) / (high - low)
    return unit.detach().clamp(0, 1) + (unit - unit.detach())
