"""Procedural paintings, one painter for each of WikiArt's styles, for machines without the hub.

They let all code run and show nothing about the real paintings; whatever is made from them says so.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from ..randomness import seed_from
from . import paintings_1900 as around_1900
from . import paintings_modern as modern
from . import paintings_old as old
from .brushes import Canvas
from .captions import CLASS_NAMES

PAINTERS_VERSION = 1                                         # to be counted on when a painter changes
PAINTERS: dict[str, Callable] = {                            # in the order of CLASS_NAMES["wikiart"]
    "Abstract Expressionism": modern.abstract_expressionism,
    "Action painting": modern.action_painting,
    "Analytical Cubism": modern.analytical_cubism,
    "Art Nouveau": around_1900.art_nouveau,
    "Baroque": old.baroque,
    "Color Field Painting": modern.color_field,
    "Contemporary Realism": modern.contemporary_realism,
    "Cubism": modern.cubism,
    "Early Renaissance": old.early_renaissance,
    "Expressionism": around_1900.expressionism,
    "Fauvism": around_1900.fauvism,
    "High Renaissance": old.high_renaissance,
    "Impressionism": around_1900.impressionism,
    "Mannerism Late Renaissance": old.mannerism,
    "Minimalism": modern.minimalism,
    "Naive Art Primitivism": around_1900.naive_art,
    "New Realism": modern.new_realism,
    "Northern Renaissance": old.northern_renaissance,
    "Pointillism": around_1900.pointillism,
    "Pop Art": modern.pop_art,
    "Post Impressionism": around_1900.post_impressionism,
    "Realism": around_1900.realism,
    "Rococo": old.rococo,
    "Romanticism": old.romanticism,
    "Symbolism": around_1900.symbolism,
    "Synthetic Cubism": modern.synthetic_cubism,
    "Ukiyo e": old.ukiyo_e,
}


def paint(style: int, seed, size: int = 160) -> Image.Image:
    """Painting `seed` (any printable key) of style number `style`, RGB, `size` x `size`; the same every time."""
    rng = np.random.default_rng(seed_from("painting", style, seed))
    canvas = Canvas()
    PAINTERS[CLASS_NAMES["wikiart"][style]](canvas, rng)
    return canvas.finish(rng, size)
