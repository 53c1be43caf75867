"""Captioned images as uint8 tensors. Nothing here depends on a model.

Each name is loaded with its module when it is first used, so that captions need no decoder and no Parquet reader.
"""

import importlib

from .captions import captions

_NAMES = {
    "captions": ("CLASS_NAMES", "GENRES", "HELD_OUT_PAIRS", "QUALITY", "UNKNOWN_GENRE", "caption_rows", "class_names",
                 "every_caption", "genre_caption", "held_out", "of_caption_rows", "sentences"),
    "images": ("LabelledImages", "find_paintings", "image_source_label", "load_images", "painting_store",
               "split_of_rows"),
    "own": ("own_preset",),
    "pixel_store": ("PixelStore",),
    "pixels": ("from_uint8", "from_unit", "to_uint8", "to_unit"),
    "synthetic": ("DRAWINGS", "stroke_drawing"),
    "wikiart": ("WikiArtStream",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
