"""Captioned images in, uint8 tensors out. Nothing here knows a model."""

from .augmentation import augment, degrade
from .captions import CLASS_NAMES, captions
from .images import LabelledImages, find_paintings, images_in_words, load_images, painting_store
from .pixel_store import PixelStore
from .pixels import from_uint8, from_unit, to_uint8, to_unit
from .strokes import DRAWINGS, stroke_drawing
from .wikiart import WikiArtStream
from .wordings import HELD_OUT, QUALITY, TAUGHT, sentences, taught

__all__ = ["CLASS_NAMES", "DRAWINGS", "HELD_OUT", "QUALITY", "TAUGHT", "LabelledImages", "PixelStore", "WikiArtStream",
           "augment", "captions", "degrade", "find_paintings", "from_uint8", "from_unit", "images_in_words",
           "load_images", "painting_store", "sentences", "stroke_drawing", "taught", "to_uint8", "to_unit"]
