"""Captioned images as uint8 tensors. Nothing here depends on a model.

Names whose modules import decoders and Parquet readers are loaded when they are first used.
"""

import importlib

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
from .pixels import from_uint8, from_unit, to_uint8, to_unit
from .strokes import DRAWINGS, stroke_drawing
from .wordings import HELD_OUT_PROMPTS, QUALITY, TRAIN_PROMPTS, sentences, train_sentences

_LAZY = {
    "augmentation": ("augment", "degrade"),
    "images": ("LabelledImages", "find_paintings", "image_source_label", "load_images", "painting_store",
               "split_of_rows"),
    "pixel_store": ("PixelStore",),
    "wikiart": ("WikiArtStream",),
}

__all__ = [
    "CLASS_NAMES", "DRAWINGS", "GENRES", "HELD_OUT_PAIRS", "HELD_OUT_PROMPTS", "QUALITY", "TRAIN_PROMPTS",
    "UNKNOWN_GENRE", "caption_rows", "captions", "every_caption", "from_uint8", "from_unit", "genre_caption",
    "held_out", "of_caption_rows", "sentences", "stroke_drawing", "to_uint8", "to_unit", "train_sentences",
    *(name for names in _LAZY.values() for name in names),
]


def __getattr__(name):
    for module, names in _LAZY.items():
        if name in names:
            return getattr(importlib.import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
