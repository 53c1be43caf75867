"""Captioned images in, uint8 tensors out. Nothing here knows a model."""

from .captions import CLASS_NAMES, captions
from .images import LabelledImages, find_paintings, images_in_words, load_images, painting_store
from .pixel_store import PixelStore
from .pixels import from_uint8, from_unit, to_uint8, to_unit
from .strokes import DRAWINGS, stroke_drawing
from .wikiart import WikiArtStream

__all__ = ["CLASS_NAMES", "DRAWINGS", "LabelledImages", "PixelStore", "WikiArtStream", "captions", "find_paintings",
           "from_uint8", "from_unit", "images_in_words", "load_images", "painting_store", "stroke_drawing", "to_uint8",
           "to_unit"]
