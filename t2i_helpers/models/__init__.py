"""Networks by preset: U-Nets, frozen text encoders, autoencoders and the pipeline that joins them."""

from .efficientnet import load_efficientnet
from .image_text import ImageText, load_image_text
from .latents import Autoencoder, LatentSpace, latents_of, load_autoencoder, load_latent_space
from .pipeline import WEIGHTS, CaptionPipeline, load_pipeline
from .text import caption_table, encoder_dim, load_text_encoder
from .unet import build_unet
