"""Where a U-Net looks in the caption: the cross-attention of every pixel to every token, kept while drawing."""

import math

import torch
import torch.nn.functional as F

from ..errors import BadValue


class AroundGuider:
    """A guider that guides as `guider` does, but for what a subclass changes around it."""

    def __init__(self, guider):
        self.guider = guider
        self.step = math.inf                # in hand; the sampler sets it
        self.steps = 0                      # in all

    def __getattr__(self, name):
        return getattr(self.guider, name)

    def __call__(self, batches):
        return self.guider(batches)

    @property
    def noisy(self):
        return self.guider.noisy

    @noisy.setter
    def noisy(self, noisy):
        self.guider.noisy = noisy

    def set_state(self, step, num_inference_steps, timestep):
        self.step, self.steps = step, num_inference_steps
        self.guider.set_state(step=step, num_inference_steps=num_inference_steps, timestep=timestep)


class CrossAttentionGuider(AroundGuider):
    """One that hooks into the U-Net's cross-attention in the passes with a caption, never in those without.

    The sampler has every hook removed after its pass, also after an error.
    """

    def __init__(self, guider):
        super().__init__(guider)
        self._hooks = []

    def hook(self, attention):
        """Hook into `attention`, a cross-attention layer, for one pass; returns the hook's handle."""
        raise NotImplementedError

    def prepare_inputs(self, data):
        _, null = data["encoder_hidden_states"]
        batches = self.guider.prepare_inputs(data)
        self._captioned = [batch.encoder_hidden_states is not null for batch in batches]
        return batches

    def prepare_models(self, unet):
        self.guider.prepare_models(unet)
        if self._captioned.pop(0):
            self._hooks = [self.hook(attention) for attention in cross_attention(unet)]

    def cleanup_models(self, unet):
        while self._hooks:
            self._hooks.pop().remove()
        self.guider.cleanup_models(unet)


class AttentionMaps(CrossAttentionGuider):
    """Guides as `guider` does, and keeps what every pixel attends to: of each step the first pass with the caption.

    Many batches may be drawn with one recorder; `maps` has their images in turn.
    """

    def __init__(self, guider):
        super().__init__(guider)
        self._draws = []            # a dictionary a batch: step to {layer: [n, tokens, side, side]}

    def set_state(self, step, num_inference_steps, timestep):
        if step <= self.step:
            self._draws.append({})
        super().set_state(step, num_inference_steps, timestep)

    def hook(self, attention):
        layers = self._draws[-1].setdefault(self.step, {})

        def keep(attention, args, kwargs, output):
            maps = attention_maps(attention, args[0], kwargs["encoder_hidden_states"]).mean(1)      # over heads
            side = math.isqrt(maps.shape[1])
            layers.setdefault(attention, maps.transpose(1, 2).unflatten(2, (side, side)).detach())

        return attention.register_forward_hook(keep, with_kwargs=True)

    def maps(self) -> torch.Tensor:
        """[steps, n, tokens, h, w], the mean over heads and layers, on the finest layer's grid. Over tokens they sum
        to 1.

        Raises BadValue where nothing was drawn, or nothing with a caption.
        """
        if not any(layers for draw in self._draws for layers in draw.values()):
            raise BadValue("no attention to a caption was recorded: draw with this guider first, at another w than 0")
        return torch.cat([torch.stack([_mean(layers.values()) for layers in draw.values()]) for draw in self._draws], 1)


def cross_attention(unet) -> list[torch.nn.Module]:
    """The layers in which pixels attend to tokens; BadValue for a U-Net that has none."""
    blocks = unet.modules() if isinstance(unet, torch.nn.Module) else ()
    if not (found := [block.attn2 for block in blocks if getattr(block, "attn2", None) is not None]):
        raise BadValue("this U-Net has no cross-attention to look into: build one with a CrossAttnDownBlock2D")
    return found


def attention_maps(attention, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """softmax(Q K^T / sqrt(d)) [n, heads, pixels, tokens] of pixels x [n, pixels, dim] and tokens c [n, tokens, dim].

    Computed anew, for the fast implementations of attention never hold it (Vaswani et al. 2017, eq. 1).
    """
    query = attention.head_to_batch_dim(attention.to_q(x))                              # [n heads, pixels, d]
    key = attention.head_to_batch_dim(attention.to_k(c))                                # [n heads, tokens, d]
    return attention.get_attention_scores(query, key).unflatten(0, (len(x), -1))


def attend(attention, maps: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """What `attention` gives with `maps` [n, heads, pixels, tokens] in place of its own: [n, pixels, dim]."""
    values = attention.head_to_batch_dim(attention.to_v(c), out_dim=4)                  # [n, heads, tokens, d]
    project, dropout = attention.to_out
    return dropout(project((maps @ values).transpose(1, 2).flatten(2)))


def _mean(layers) -> torch.Tensor:
    """[n, tokens, h, w] of layers [n, tokens, side, side], the coarse ones interpolated to the finest."""
    layers = list(layers)
    finest = max(layers, key=lambda layer: layer.shape[-1]).shape[-2:]
    return torch.stack([F.interpolate(layer, finest, mode="bilinear") for layer in layers]).mean(0)
