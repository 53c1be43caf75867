"""Captioned images in, uint8 tensors out. Nothing here knows a model."""

from .captions import CLASS_NAMES, captions
from .images import LabelledImages, find_paintings, images_in_words, load_images, painting_store
from .pixel_store import PixelStore
from .pixels import from_uint8, to_uint8, to_unit
from .wikiart import WikiArtStream

__all__ = ["CLASS_NAMES", "LabelledImages", "PixelStore", "WikiArtStream", "captions", "find_paintings", "from_uint8",
           "images_in_words", "load_images", "painting_store", "to_uint8", "to_unit"]
