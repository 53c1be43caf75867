"""Edits: a start other than noise, a prompt switched on the way, Prompt-to-Prompt, and recorded attention. The last
three wrap a guider, and so each other: they change what a step sees or how the U-Net attends, then guide as it does.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from ..errors import BadValue
from .noise import NoisyBatch, noise_level, predicted
from .schedulers import BEGIN_ANYWHERE, check_range


@dataclass(frozen=True)
class SDEditInit:
    """Images to begin from in place of pure noise: SDEdit (Meng et al. 2021, arXiv:2108.01073, Algorithm 1). They are
    noised as far as the last share `strength` of the steps removes: x_t0 = signal x + noise eps."""

    images: torch.Tensor        # float32 [n, c, h, w]; for `sample` in the model's pixel range
    strength: float             # above 0, little is changed, to 1, as much noise as the first timestep has

    def begin(self, scheduler, noise: torch.Tensor, bound: float | None) -> tuple[int, torch.Tensor]:
        """(the index of the first of `scheduler`'s steps to run, x_t0 [n, c, h, w] from `noise`). Raises BadValue
        unless the images fit `noise` and +-`bound`, and `scheduler` can begin midway."""
        if not 0 < self.strength <= 1:
            raise BadValue(f"strength = {self.strength}: choose a number above 0, where nothing is changed, up to 1")
        if not isinstance(scheduler, BEGIN_ANYWHERE):
            raise BadValue(f"{type(scheduler).__name__} cannot begin midway: with a start choose ddpm, ddim or dpm++, "
                           "or a flow's euler")
        if self.images.shape != noise.shape:
            raise BadValue(f"start images {tuple(self.images.shape)}: the model draws {tuple(noise.shape)}")
        if not self.images.is_floating_point() or not (self.images.abs() <= (bound or math.inf)).all():
            raise BadValue("start images must be floats in the model's pixel range, without NaN")
        steps = len(scheduler.timesteps)
        first = steps - max(1, round(self.strength * steps))
        noisy = NoisyBatch(noise, noise_level(scheduler, scheduler.timesteps[first]), predicted(scheduler))
        return first, noisy.signal * self.images.to(noise) + noisy.noise * noise


@dataclass(frozen=True, eq=False)
class PromptSwitch:
    """Draws with the captions `source` for a first share of the steps, and with those of `sample` afterwards."""

    guider: Callable
    source: torch.Tensor            # [n or 1, length, dim], embeddings
    switch_at: Sequence[float]      # [n], from 0, `source` is never used, to 1, nothing else is; whole steps, rounded

    def __call__(self, step):
        early = _before_switch(self.switch_at, step, len(step.captions)).view(-1, 1, 1)
        if self.source.shape not in (step.captions.shape, (1, *step.captions.shape[1:])):
            raise BadValue(f"source captions {tuple(self.source.shape)}: give one or {len(step.captions)} of one size")
        step.captions = torch.where(early, self.source.to(step.captions), step.captions)
        return self.guider(step)


def _before_switch(switch_at, step, images) -> torch.Tensor:
    """bool [images]: which images have not come to their switch."""
    if len(switch_at) != images:
        raise BadValue(f"{len(switch_at)} numbers switch_at for {images} images: give one for each, in one batch")
    for share in switch_at:
        check_range("switch_at", share, 0, 1)
    return (step.index < (torch.tensor(switch_at) * step.steps).round()).to(step.captions.device)


def attention_maps(attention, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """softmax(Q K^T / sqrt(d)) [n, heads, pixels, tokens] of pixels x [n, pixels, dim] and tokens c [n, tokens, dim]
    (Vaswani et al. 2017, eq. 1), computed again, because fast implementations of attention never hold it."""
    query = attention.head_to_batch_dim(attention.to_q(x))                              # [n heads, pixels, d]
    key = attention.head_to_batch_dim(attention.to_k(c))                                # [n heads, tokens, d]
    return attention.get_attention_scores(query, key).unflatten(0, (len(x), -1))


def hook_cross_attention(unet, hook) -> list:
    """The handles of `hook`(layer, args, kwargs, output) on every layer in which pixels attend to tokens."""
    blocks = unet.modules() if isinstance(unet, torch.nn.Module) else ()
    layers = [block.attn2 for block in blocks if getattr(block, "attn2", None) is not None]
    if not layers:
        raise BadValue("this U-Net has no cross-attention to look into: build one with a CrossAttnDownBlock2D")
    return [layer.register_forward_hook(hook, with_kwargs=True) for layer in layers]


@dataclass(frozen=True, eq=False)
class PromptToPrompt:
    """Word swap of Prompt-to-Prompt (Hertz et al. 2022, arXiv:2208.01626, Algorithm 1): the first image of the batch is
    the source. The others are drawn with their own captions, but with the source's cross-attention maps M_t for a first
    share of the steps, token by token. They begin from the source's noise if they have its seed."""

    guider: Callable
    switch_at: Sequence[float]      # [n - 1], 0 to 1 for each edited image; rounded to whole steps

    def __call__(self, step):
        edited = 1 + _before_switch(self.switch_at, step, len(step.captions) - 1).nonzero()[:, 0]   # rows of the batch

        def edit(attention, args, kwargs, output):
            x, c = args[0], kwargs["encoder_hidden_states"]
            source = attention_maps(attention, x[:1], c[:1])                                # [1, heads, pixels, tokens]
            values = attention.head_to_batch_dim(attention.to_v(c[edited]), out_dim=4)      # [n, heads, tokens, d]
            return output.index_copy(0, edited, attention.to_out[0]((source @ values).transpose(1, 2).flatten(2)))

        step.hooks.append(lambda unet: hook_cross_attention(unet, edit))
        return self.guider(step)


@dataclass(eq=False)
class AttentionMaps:
    """Guides as `guider` does, and keeps what every pixel attends to: of each step the first pass with the caption.
    Many batches may be drawn with one recorder; `maps` has their images in turn."""

    guider: Callable
    batches: list[dict] = field(default_factory=list)       # of each batch: step to a list of [n, tokens, side, side]

    def __call__(self, step):
        if step.index == step.first:
            self.batches.append({})
        steps = self.batches[-1]

        def hook(unet):
            return hook_cross_attention(unet, keep) if unet is step.unet and step.index not in steps else []

        def keep(attention, args, kwargs, output):
            maps = attention_maps(attention, args[0], kwargs["encoder_hidden_states"]).mean(1)      # over heads
            side = math.isqrt(maps.shape[1])
            steps.setdefault(step.index, []).append(maps.mT.unflatten(2, (side, side)).detach())

        step.hooks.append(hook)
        return self.guider(step)

    def maps(self) -> torch.Tensor:
        """[steps, n, tokens, h, w], the mean over heads and layers on the finest layer's grid; sums to 1 over tokens.
        Raises BadValue if nothing was drawn with a caption."""
        def mean(layers):                                                                           # [n, tokens, h, w]
            finest = max(layer.shape[-1] for layer in layers)
            return torch.stack([F.interpolate(layer, finest, mode="bilinear") for layer in layers]).mean(0)

        if not any(self.batches):
            raise BadValue("no attention to a caption was recorded: draw with this guider first, at another w than 0")
        return torch.cat([torch.stack([*map(mean, steps.values())]) for steps in self.batches if steps], 1)
