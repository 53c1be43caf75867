"""Networks by preset: U-Nets, frozen text encoders and the pipeline that joins them."""

from .pipeline import CaptionPipeline, describe_checkpoint, load_pipeline
from .text import caption_table, encoder_dim, load_text_encoder
from .unet import build_unet

__all__ = [
    "CaptionPipeline", "build_unet", "caption_table", "describe_checkpoint", "encoder_dim", "load_pipeline",
    "load_text_encoder",
]
