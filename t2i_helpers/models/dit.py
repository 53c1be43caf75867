"""A diffusion transformer, DiT (Peebles & Xie 2023, arXiv:2212.09748), in the place of the U-Net."""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import PatchEmbed, TimestepEmbedding, Timesteps
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import nn

FREQUENCIES = 256           # sines and cosines of t


class Block(nn.Module):
    """A block of a vision transformer: x + attention(norm(x)), then x + MLP(norm(x)). t and the caption reach it

    "in-context"        as tokens of x like those of the image;
    "cross-attention"   as tokens that the image's attend to between the two;
    "adaln-zero"        as a shift and a scale after each norm and a gate before each sum, all zero at first, so that
                        the block begins as the identity.
    """

    def __init__(self, dim: int, heads: int, conditioning: str):
        super().__init__()
        self.norm1, self.norm2 = _norm(dim), _norm(dim)
        self.attn1 = Attention(dim, heads=heads, dim_head=dim // heads, bias=True)
        self.mlp = FeedForward(dim, mult=4, activation_fn="gelu-approximate")
        self.attn2 = self.modulation = None
        if conditioning == "cross-attention":
            self.norm_cross = _norm(dim)
            self.attn2 = Attention(dim, cross_attention_dim=dim, heads=heads, dim_head=dim // heads, bias=True)
        if conditioning == "adaln-zero":
            self.modulation = _zero(nn.Linear(dim, 6 * dim))

    def forward(self, x, tokens, summary):
        """x [n, image tokens, dim]; tokens [n, 1 + length, dim] of t and the caption; summary [n, dim] of both."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            self.modulation(summary)[:, None].chunk(6, dim=2) if self.modulation else (0, 0, 1, 0, 0, 1))
        x = x + gate1 * self.attn1(self.norm1(x) * (1 + scale1) + shift1)
        if self.attn2:
            x = x + self.attn2(self.norm_cross(x), encoder_hidden_states=tokens)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class DiT(ModelMixin, ConfigMixin):
    """(x_t [n, channels, side, side], t [] or [n], c [n, length, text width]) to an object whose ``.sample`` is the
    prediction, of x_t's shape. `conditioning` is that of its blocks."""

    @register_to_config
    def __init__(self, sample_size: int, in_channels: int, patch_size: int, dim: int, depth: int, heads: int,
                 cross_attention_dim: int, conditioning: str):
        super().__init__()
        self.patches = PatchEmbed(sample_size, sample_size, patch_size, in_channels, dim)   # with 2-D sines as position
        self.frequencies = Timesteps(FREQUENCIES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time = TimestepEmbedding(FREQUENCIES, dim)
        self.text = nn.Linear(cross_attention_dim, dim)
        self.blocks = nn.ModuleList([Block(dim, heads, conditioning) for _ in range(depth)])
        self.norm_out = _norm(dim)
        if conditioning == "adaln-zero":
            self.modulation_out = _zero(nn.Linear(dim, 2 * dim))
        self.out = _zero(nn.Linear(dim, in_channels * patch_size**2))

    def forward(self, x_t, t, c) -> UNet2DConditionOutput:
        conditioning, patches = self.config.conditioning, self.config.sample_size // self.config.patch_size
        time = self.time(self.frequencies(torch.as_tensor(t, device=x_t.device).expand(len(x_t))).to(x_t.dtype))
        text = self.text(c)                                                             # [n, length, dim]
        tokens = torch.cat([time[:, None], text], 1)                                    # [n, 1 + length, dim]
        summary = nn.functional.silu(time + text.mean(1))                               # [n, dim]
        x = self.patches(x_t)                                                           # [n, patches², dim]
        if conditioning == "in-context":
            x = torch.cat([x, tokens], 1)
        for block in self.blocks:
            x = block(x, tokens, summary)
        x = self.norm_out(x[:, :patches**2])
        if conditioning == "adaln-zero":
            shift, scale = self.modulation_out(summary)[:, None].chunk(2, dim=2)
            x = x * (1 + scale) + shift
        return UNet2DConditionOutput(sample=_unpatchify(self.out(x), patches, self.config.patch_size))


def _unpatchify(x, patches: int, size: int):
    """[n, patches², size² channels] to [n, channels, patches size, patches size]."""
    x = x.unflatten(2, (size**2, -1)).permute(0, 3, 2, 1)                               # [n, channels, size², patches²]
    return nn.functional.pixel_shuffle(x.flatten(1, 2).unflatten(2, (patches, patches)), size)


def _norm(dim):
    return nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)


def _zero(linear):
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
