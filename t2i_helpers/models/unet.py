"""The noise predictor: a diffusers U-Net whose cross-attention reads the caption's tokens."""

from ..errors import BadValue


def build_unet(preset, text_dim: int | None = None):
    """A fresh ``UNet2DConditionModel`` for `preset`, randomly initialised.

    It maps (x_t [n, channels, resolution, resolution], t [n], c [n, length, text_dim]) to the predicted noise, of
    x_t's shape. `text_dim` is the width of the text embeddings, by default that of ``preset.text_encoder``; where it
    is not the cross-attention's width, one trained linear layer (diffusers' ``text_proj``) lies between.
    """
    import diffusers

    from .text import encoder_dim

    if text_dim is None:
        text_dim = encoder_dim(preset.text_encoder)
    if text_dim < 1:
        raise BadValue(f"text embeddings {text_dim} wide: the width must be at least 1")
    projection = {}
    if text_dim != preset.cross_attention_dim:
        projection = {"encoder_hid_dim": text_dim, "encoder_hid_dim_type": "text_proj"}
    return diffusers.UNet2DConditionModel(
        sample_size=preset.resolution,
        in_channels=preset.channels,
        out_channels=preset.channels,
        block_out_channels=preset.block_channels,
        layers_per_block=preset.layers_per_block,
        down_block_types=preset.down_blocks,
        up_block_types=tuple(block.replace("Down", "Up") for block in reversed(preset.down_blocks)),
        cross_attention_dim=preset.cross_attention_dim,
        attention_head_dim=preset.attention_head_dim,
        **projection,
    )
