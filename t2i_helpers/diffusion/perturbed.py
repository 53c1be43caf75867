"""Guidance away from the same network with its middle attention impaired: what it draws without a view of the whole."""

import math

import torch
from diffusers.guiders import ClassifierFreeGuidance
from torchvision.transforms.functional import gaussian_blur

from ..errors import BadValue
from .specs import check_range


class Perturbed(ClassifierFreeGuidance):
    """CFG + scale (c - p), with p the prediction with the caption by the impaired network. 1 pass more than CFG, and
    2 at w = 0.

    diffusers' guiders of this kind skip the first step, and at w = 1 they impair nothing and take n for p. How to
    impair, a subclass says.
    """

    def __init__(self, w, scale=2.0):
        check_range("scale", scale, 0, 1000)
        super().__init__(w)
        self.scale = scale
        self._hooks = []

    def impair(self, block):
        """Hook into `block`, a transformer block of the U-Net; returns the hook's handle."""
        raise NotImplementedError

    @property
    def _passes(self) -> list[str]:
        return ["pred_cond"] + ["pred_uncond"] * self._is_cfg_enabled() + ["pred_impaired"] * (self.scale != 0)

    @property
    def num_conditions(self) -> int:
        return len(self._passes)

    def prepare_inputs(self, data):
        return [self._prepare_batch(data, int(name == "pred_uncond"), name) for name in self._passes]

    def prepare_models(self, denoiser):
        super().prepare_models(denoiser)
        if self._passes[self._count_prepared - 1] == "pred_impaired":
            self._hooks = [self.impair(block) for block in _middle_blocks(denoiser)]

    def cleanup_models(self, denoiser):
        while self._hooks:
            self._hooks.pop().remove()

    def forward(self, pred_cond, pred_uncond=None, pred_impaired=None):
        out = super().forward(pred_cond, pred_uncond)
        if pred_impaired is not None:
            out.pred = out.pred + self.scale * (pred_cond - pred_impaired)
        return out


class PAG(Perturbed):
    """Perturbed-attention guidance (Ahn et al. 2024, arXiv:2403.17377): n + w (c - n) + scale (c - p), where in p every
    pixel of the middle block attends to itself alone. 3 passes; 2 at w = 1."""

    def impair(self, block):
        def values_only(attention, args, output):
            project, dropout = attention.to_out
            return dropout(project(attention.to_v(args[0])))

        return block.attn1.register_forward_hook(values_only)


class SLG(Perturbed):
    """Skip-layer guidance (Hyung et al. 2024, arXiv:2411.18664, for transformers): n + w (c - n) + scale (c - p), where
    p skips the attention of the middle block. 3 passes; 2 at w = 1."""

    def impair(self, block):
        return block.register_forward_hook(lambda block, args, output: args[0])


class SEG(Perturbed):
    """Smoothed-energy guidance (Hong 2024, arXiv:2408.00760): n + w (c - n) + scale (c - p), where in p the queries of
    the middle block's attention are blurred by a Gaussian of standard deviation `blur` in its pixels; at infinity all
    are their mean. 3 passes; 2 at w = 1.

    diffusers' guider never impairs anything, and its blur takes the mean where it should not.
    """

    def __init__(self, w, scale=2.0, blur=math.inf):
        check_range("blur", blur, 0.1, math.inf)
        super().__init__(w, scale)
        self.blur = blur

    def impair(self, block):
        return block.attn1.to_q.register_forward_hook(lambda to_q, args, queries: self._blurred(queries))

    def _blurred(self, queries):
        if self.blur == math.inf:
            return queries.mean(dim=1, keepdim=True).expand_as(queries)
        side = math.isqrt(queries.shape[1])
        images = queries.transpose(1, 2).unflatten(2, (side, side))                     # [n, dim, side, side]
        kernel = min(2 * math.ceil(3 * self.blur) + 1, 2 * side - 1)                    # reflection pads no further
        return gaussian_blur(images, [kernel, kernel], [self.blur, self.blur]).flatten(2).transpose(1, 2)


def _middle_blocks(denoiser) -> torch.nn.ModuleList:
    attentions = getattr(denoiser.mid_block, "attentions", None)
    if not attentions or not hasattr(attentions[0], "transformer_blocks"):
        raise BadValue("this U-Net has no attention in its middle to impair: choose another guider, such as cfg")
    return attentions[0].transformer_blocks
