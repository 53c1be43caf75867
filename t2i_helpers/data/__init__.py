"""Captioned images in, uint8 tensors out. Nothing here knows a model."""

from .augmentation import augment, degrade
from .captions import CLASS_NAMES, captions
from .images import LabelledImages, find_paintings, images_in_words, load_images, painting_store
from .pixel_store import PixelStore
from .pixels import from_uint8, to_uint8, to_unit
from .wikiart import WikiArtStream
from .wordings import HELD_OUT, QUALITY, TAUGHT, sentences, taught

__all__ = ["CLASS_NAMES", "HELD_OUT", "QUALITY", "TAUGHT", "LabelledImages", "PixelStore", "WikiArtStream", "augment",
           "captions", "degrade", "find_paintings", "from_uint8", "images_in_words", "load_images",
           "painting_store", "sentences", "taught", "to_uint8", "to_unit"]
