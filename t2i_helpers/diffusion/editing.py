"""Other words or another beginning on the way: the prompt swapped at a step, Prompt-to-Prompt, and SDEdit."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..errors import BadValue
from .attention import AroundGuider, CrossAttentionGuider, attend, attention_maps
from .noise import alpha_bar
from .specs import check_range

SUPPORTS_PARTIAL_START = ("DDPMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler")


class PromptSwitch(AroundGuider):
    """Draws with the captions `first` for the first share `tau` of the steps, and with those of `sample` afterwards.

    first     [n or 1, length, dim], embeddings.
    tau       a number from 0 to 1 for each of the n images, rounded to whole steps: at 0 `first` is never seen, at 1
              nothing else.
    """

    def __init__(self, guider, first: torch.Tensor, tau: Sequence[float]):
        super().__init__(guider)
        self.first, self.tau = first, _shares(tau)

    def prepare_inputs(self, data):
        cond, null = data["encoder_hidden_states"]
        _check_count(self.tau, len(cond))
        if self.first.shape not in (cond.shape, (1, *cond.shape[1:])):
            raise BadValue(f"first captions {tuple(self.first.shape)}: give one or {len(cond)}, embedded as the others")
        early = _early(self).to(cond.device).view(-1, 1, 1)
        chosen = torch.where(early, self.first.to(cond), cond)
        return self.guider.prepare_inputs({"encoder_hidden_states": (chosen, null)})


class PromptToPrompt(CrossAttentionGuider):
    """Word swap of Prompt-to-Prompt (Hertz et al. 2022, arXiv:2208.01626, Algorithm 1): the first image of the batch is
    the source, and the others are drawn with their own captions but the source's cross-attention maps M_t, for the
    first share `tau` of the steps. A token stands for the source's token in its place.

    tau       a number from 0 to 1 for each of the n - 1 edited images, rounded to whole steps.

    Edited images begin from the source's noise where they have its seed.
    """

    def __init__(self, guider, tau: Sequence[float]):
        super().__init__(guider)
        self.tau = _shares(tau)

    def prepare_inputs(self, data):
        cond, _ = data["encoder_hidden_states"]
        _check_count(self.tau, len(cond) - 1)
        return super().prepare_inputs(data)

    def hook(self, attention):
        def edit(attention, args, kwargs, output):
            x, c = args[0], kwargs["encoder_hidden_states"]
            edited = 1 + _early(self).nonzero()[:, 0].to(output.device)                  # places in the batch
            source = attention_maps(attention, x[:1], c[:1])
            return output.index_copy(0, edited, attend(attention, source, c[edited]))

        return attention.register_forward_hook(edit, with_kwargs=True)


@dataclass(frozen=True)
class SDEditInit:
    """Images to begin from in place of pure noise: SDEdit (Meng et al. 2021, arXiv:2108.01073, Algorithm 1).

    They are noised as far as the last share `strength` of the steps removes: x_t0 = sqrt(abar) x + sqrt(1 - abar) eps.
    """

    images: torch.Tensor        # float32 [n, c, h, w]; for `sample` in the model's pixel range
    strength: float             # above 0, little is changed, to 1, as much noise as the first timestep has

    def check(self, scheduler, shape, bound) -> None:
        """Raises BadValue unless the images have `shape` and lie within +-`bound`, and `scheduler` can begin midway."""
        check_range("strength", self.strength, 0, 1)
        if self.strength == 0:
            raise BadValue("strength = 0 would leave the images as they are: choose a number above 0, up to 1")
        if type(scheduler).__name__ not in SUPPORTS_PARTIAL_START:
            raise BadValue(f"{type(scheduler).__name__} cannot begin midway: with a start choose ddpm, ddim or dpm++")
        if self.images.shape != shape:
            raise BadValue(f"start images {tuple(self.images.shape)}: the model draws {tuple(shape)}")
        if not self.images.is_floating_point() or not (self.images.abs() <= (bound or torch.inf)).all():
            raise BadValue("start images must be floats in the model's pixel range, without NaN")

    def enter(self, scheduler, noise: torch.Tensor) -> tuple[int, torch.Tensor]:
        """(the place of the first step among `scheduler`'s, x_t0 [n, c, h, w] from `noise`)."""
        steps = len(scheduler.timesteps)
        first = steps - max(1, round(self.strength * steps))
        abar = alpha_bar(scheduler, scheduler.timesteps[first])
        return first, abar.sqrt() * self.images.to(noise) + (1 - abar).sqrt() * noise


def _shares(tau) -> torch.Tensor:
    for share in tau:
        check_range("tau", share, 0, 1)
    return torch.tensor(tau)


def _check_count(tau, images):
    if len(tau) != images:
        raise BadValue(f"{len(tau)} numbers tau for {images} images of a batch: give one for each, in one batch")


def _early(guider) -> torch.Tensor:
    """bool [n]: which images have not come to their tau at the guider's step."""
    return guider.step < (guider.tau * guider.steps).round()
