"""What the passes of one sampling have in common, computed once."""

import collections
import contextlib
from unittest import mock

from diffusers import UNet2DConditionModel

CAPTION_TENSORS = 4         # kept a layer: the captions, the empty one, and those of an edit


@contextlib.contextmanager
def reuse(unet):
    """Within the block, `unet` does not compute again what follows from a tensor that it has just seen: from x_t, the
    layers before the first cross-attention, which all branches of a step share; from the captions, their projection and
    the keys and values of cross-attention, which all steps share. The predictions are the same. Tensors are the same
    if they are alike views of the same memory. Networks that are no UNet2DConditionModel stay as they are."""
    with contextlib.ExitStack() as patches:
        if isinstance(unet, UNet2DConditionModel):
            sizes = dict.fromkeys(_before_text(unet), 1) | {
                module: CAPTION_TENSORS for name, module in unet.named_modules()
                if name == "encoder_hid_proj" or name.endswith(("attn2.to_k", "attn2.to_v"))}
            for module, size in sizes.items():
                patches.enter_context(mock.patch.object(module, "forward", _remembering(module.forward, size)))
        yield


def _before_text(unet):
    """The modules that see x_t and t alone."""
    yield unet.conv_in
    for block in unet.down_blocks:
        if getattr(block, "has_cross_attention", False):
            attention = block.attentions[0]
            transformer = attention.transformer_blocks[0]
            yield from (block.resnets[0], attention.norm, attention.proj_in, transformer.norm1, transformer.attn1)
            return
        yield block


def _remembering(forward, size):
    """`forward`, which returns the stored output for one of its last `size` first arguments."""
    seen = collections.deque(maxlen=size)

    def remembered(*args, **kwargs):
        first = args[0] if args else kwargs["hidden_states"]
        for given, output in seen:
            if given.is_set_to(first):
                return output
        seen.append((first, forward(*args, **kwargs)))
        return seen[-1][1]

    return remembered
