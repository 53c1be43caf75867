"""Captioned images in, uint8 tensors out. Nothing here knows a model."""

from .augmentation import augment, degrade
from .captions import (
    CLASS_NAMES,
    GENRES,
    HELD_OUT_PAIRS,
    UNKNOWN_GENRE,
    caption_rows,
    captions,
    every_caption,
    genre_caption,
    held_out,
    of_caption_rows,
)
from .images import LabelledImages, find_paintings, image_source_label, load_images, painting_store, split_of_rows
from .pixel_store import PixelStore
from .pixels import from_uint8, from_unit, to_uint8, to_unit
from .strokes import DRAWINGS, stroke_drawing
from .wikiart import WikiArtStream
from .wordings import HELD_OUT_PROMPTS, QUALITY, TRAIN_PROMPTS, sentences, train_sentences

__all__ = [
    "CLASS_NAMES", "DRAWINGS", "GENRES", "HELD_OUT_PAIRS", "HELD_OUT_PROMPTS", "QUALITY", "TRAIN_PROMPTS",
    "UNKNOWN_GENRE", "LabelledImages", "PixelStore", "WikiArtStream", "augment", "caption_rows", "captions", "degrade",
    "every_caption", "find_paintings", "from_uint8", "from_unit", "genre_caption", "held_out", "image_source_label",
    "load_images", "of_caption_rows", "painting_store", "sentences", "split_of_rows", "stroke_drawing", "to_uint8",
    "to_unit", "train_sentences",
]
