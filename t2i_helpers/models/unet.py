"""The networks that predict noise: U-Nets of diffusers that read a caption's tokens or know classes, and DiT."""

import contextlib
import functools
import os
import sys

import diffusers
import torch
from diffusers import ModelMixin  # diffusers looks here for it when it loads a class of this module

from ..data import class_names
from ..errors import UnknownName, one_line
from .dit import DiT
from .text import encoder_dim

COMPILE_FROM = 10_000       # images: compiling takes minutes


class PlainUNet(diffusers.UNet2DModel):
    """A U-Net without any condition."""

    def forward(self, x_t, t, c=None, **options):
        """c is ignored."""
        return super().forward(x_t, t, **options)


class ClassUNet(diffusers.UNet2DModel):
    """A U-Net without text: the embedding of its class is added to that of the timestep, and reaches every residual
    block with it. The last class is the empty one: the network without a condition."""

    def forward(self, x_t, t, c, **options):
        """c [n, length, 1]: the labels, from the text encoder "label"."""
        return super().forward(x_t, t, class_labels=c[:, 0, 0].long(), **options)


class ClassUNetWithoutSkips(ClassUNet):
    """The same with zeros in place of what the skip connections carry; the number of parameters stays."""

    @functools.wraps(diffusers.UNet2DModel.__init__)
    def __init__(self, **settings):
        super().__init__(**settings)
        for block in self.up_blocks:
            block.register_forward_pre_hook(_drop_skips)


def _drop_skips(block, inputs):
    hidden, skips, *others = inputs
    return hidden, tuple(map(torch.zeros_like, skips)), *others


DITS = {"dit": "adaln-zero", "dit-cross": "cross-attention", "dit-context": "in-context"}       # conditioning by name
NETWORKS = {"unet": diffusers.UNet2DConditionModel, "plain-unet": PlainUNet, "class-unet": ClassUNet,
            "class-unet-without-skips": ClassUNetWithoutSkips, **dict.fromkeys(DITS, DiT)}


def build_unet(preset, text_dim: int | None = None) -> ModelMixin:
    """A fresh network of the kind ``preset.network``: (x_t [n, channels, resolution, resolution], t [n],
    c [n, length, text_dim]) to an object whose ``.sample`` is the prediction, of x_t's shape. `text_dim` is by default
    the width of ``preset.text_encoder``. If it differs from the width of a U-Net's cross-attention, one trained linear
    layer (diffusers' ``text_proj``) projects the embeddings."""
    if preset.network not in NETWORKS:
        raise UnknownName("network", preset.network, NETWORKS)
    kind, channels = NETWORKS[preset.network], preset.unet_shape[0]
    text_dim = text_dim or encoder_dim(preset.text_encoder)
    shape = dict(sample_size=preset.unet_shape[-1], in_channels=channels)
    if kind is DiT:
        return DiT(**shape, patch_size=preset.patch_size, dim=preset.block_channels[0], depth=preset.layers_per_block,
                   heads=preset.attention_head_dim, cross_attention_dim=text_dim,
                   conditioning=DITS[preset.network])
    shape |= dict(
        out_channels=channels,
        block_out_channels=preset.block_channels,
        layers_per_block=preset.layers_per_block,
        down_block_types=preset.down_blocks,
        up_block_types=tuple(block.replace("Down", "Up") for block in reversed(preset.down_blocks)),
        attention_head_dim=preset.attention_head_dim,
    )
    if kind is diffusers.UNet2DConditionModel:
        projected = text_dim != preset.cross_attention_dim
        return kind(**shape, cross_attention_dim=preset.cross_attention_dim,
                    encoder_hid_dim=text_dim if projected else None,
                    encoder_hid_dim_type="text_proj" if projected else None)
    classes = None if kind is PlainUNet else len(class_names(preset)) + 1
    return kind(**shape, norm_num_groups=min(32, preset.block_channels[0] // 2), num_class_embeds=classes)


@functools.cache
def compile_unet(unet, **options):
    """`unet` as a compiled function (x_t, t, c), with CUDA graphs: its output is overwritten by the next call. `unet`
    itself with T2I_COMPILE=0 and, after one line on stderr, where it cannot be compiled. `options`: torch.compile's."""
    if os.environ.get("T2I_COMPILE") == "0":
        return unet
    network = torch.compile(unet, dynamic=False, **options or {"mode": "reduce-overhead"})

    def run(x_t, t, c):
        nonlocal network
        try:
            torch.compiler.cudagraph_mark_step_begin()
            return network(x_t, t, c)
        except Exception as error:              # of any part of the compiler
            if network is unet or isinstance(error, torch.OutOfMemoryError):
                raise
            reason = one_line(getattr(error, "inner_exception", error))
            print(f"the U-Net is not compiled ({reason}): it runs as it is", file=sys.stderr)
            network = unet
            return unet(x_t, t, c)

    return run


def trace_shapes(unet) -> list[tuple[str, tuple[int, ...]]]:
    """(block, shape of its output) for one image, in the order of the U-Net's forward pass."""
    rows, config = [], unet.config
    blocks = {"conv_in": unet.conv_in, **{f"down {i}": block for i, block in enumerate(unet.down_blocks)},
              "middle": unet.mid_block, **{f"up {i}": block for i, block in enumerate(unet.up_blocks)},
              "conv_out": unet.conv_out}
    x = torch.zeros(1, config.in_channels, config.sample_size, config.sample_size, device=unet.device)
    c = torch.zeros(1, 1, config.encoder_hid_dim or config.cross_attention_dim, device=unet.device)
    with contextlib.ExitStack() as hooks, torch.inference_mode():
        for name, block in blocks.items():
            hooks.enter_context(block.register_forward_hook(lambda block, inputs, output, name=name: rows.append(
                (f"{name} {type(block).__name__}", tuple((output[0] if isinstance(output, tuple) else output).shape)))))
        unet(x, 0, c)
    return rows
