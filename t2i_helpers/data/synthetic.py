"""Drawn shapes in place of photographs and paintings, for machines without the hub.

All code runs on them, but the results say nothing about photographs or art and are labelled "drawn shapes".
"""

import math
from pathlib import Path

import torch
from torchvision.io import encode_jpeg

from ..paths import cache_folder, directory_lock
from ..randomness import generator
from .captions import GENRES
from .pixels import to_uint8
from .wikiart_files import STYLES, write_art_file

ART_FILES, ART_SIDE = 18, 128


def procedural_wikiart(folder: Path, split: str, paintings: int) -> Path:
    """Parquet files like huggan/wikiart's in `folder`, with `paintings` drawn shapes for each of the 27 styles, one or
    two styles a file, and genres in turn. Existing files are kept."""
    names = [f"{split}-{number:05d}-of-{ART_FILES:05d}.parquet" for number in range(ART_FILES)]
    if all((folder / name).exists() for name in names):
        return folder
    folder = cache_folder(folder)
    images, labels = draw_shapes(paintings * len(STYLES), len(STYLES), ART_SIDE, seed=f"wikiart/{split}")
    order = labels.argsort(stable=True)
    with directory_lock(folder):
        for name, rows in zip(names, order.tensor_split(ART_FILES)):
            if not (path := folder / name).exists():
                pictures = [encode_jpeg(image, 92).numpy().tobytes() for image in images[rows]]
                write_art_file(path, pictures, labels[rows].tolist(), (rows % (len(GENRES) + 1)).tolist())
    return folder


def draw_shapes(n: int, classes: int, size: int, seed) -> tuple[torch.Tensor, torch.Tensor]:
    """(uint8 [n, 3, size, size], int64 [n]): class k is a soft star of k % 5 + 2 points, its hue that of k."""
    rng = generator("procedural", seed)
    labels = torch.arange(n) % classes
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    offset_x, offset_y, turn, background = torch.rand(4, n, 1, 1, generator=rng) * 2 - 1     # each [n, 1, 1]
    x, y = x - 0.3 * offset_x, y - 0.3 * offset_y                                            # [n, size, size]
    points = (labels % 5 + 2).view(n, 1, 1)
    edge = 0.5 + 0.25 * torch.cos(points * (torch.atan2(y, x) + math.pi * turn))
    inside = torch.sigmoid(20 * (edge - torch.hypot(x, y)))
    hue = 2 * math.pi * (labels.view(n, 1, 1, 1) / classes + torch.arange(3).view(1, 3, 1, 1) / 3)
    colour = 0.5 + 0.45 * torch.cos(hue)                                                     # [n, 3, 1, 1]
    ground = 0.5 + 0.3 * background[:, None]                                                 # [n, 1, 1, 1]
    return to_uint8(ground + inside[:, None] * (colour - ground)), labels
