"""Networks by preset: U-Nets, frozen text encoders and the pipeline that joins them."""

from .image_text import ImageText, load_image_text
from .pipeline import WEIGHTS, CaptionPipeline, load_pipeline
from .text import caption_table, encoder_dim, load_text_encoder
from .unet import build_unet

__all__ = [
    "WEIGHTS", "CaptionPipeline", "ImageText", "build_unet", "caption_table", "encoder_dim", "load_image_text",
    "load_pipeline", "load_text_encoder",
]
