"""Drawn shapes in place of photographs and paintings, for machines without the hub: all code runs on them, but results
say nothing about photographs or art and are labelled "drawn shapes". And drawings of a few thick strokes, from which
SDEdit starts (Meng et al. 2022, arXiv:2108.01073)."""

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
WHITE = (1.0,)                                  # colours are in [0, 1], one number a channel
SKY, SEA, GROUND = (0.55, 0.75, 0.95), (0.1, 0.3, 0.5), (0.35, 0.5, 0.2)
HULL, BODY = (0.6, 0.15, 0.1), (0.35, 0.2, 0.1)

# strokes (points, width, colour) from back to front: lines through points (x, y), from (0, 0) at the top left to (1, 1)
# at the bottom right; the width is a share of the image's side
DRAWINGS = {
    "seven": [([(0.28, 0.25), (0.72, 0.25), (0.45, 0.8)], 0.1, WHITE)],
    "three": [([(0.3, 0.22), (0.65, 0.22), (0.45, 0.47), (0.68, 0.65), (0.5, 0.8), (0.3, 0.75)], 0.1, WHITE)],
    "ship": [
        ([(0, 0.3), (1, 0.3)], 0.7, SKY),
        ([(0, 0.85), (1, 0.85)], 0.4, SEA),
        ([(0.2, 0.62), (0.8, 0.62)], 0.16, HULL),
        ([(0.5, 0.5), (0.5, 0.2)], 0.08, (0.95, 0.95, 0.95)),
    ],
    "horse": [
        ([(0, 0.3), (1, 0.3)], 0.7, SKY),
        ([(0, 0.85), (1, 0.85)], 0.4, GROUND),
        ([(0.3, 0.5), (0.62, 0.5)], 0.2, BODY),
        ([(0.62, 0.5), (0.74, 0.27), (0.84, 0.33)], 0.1, BODY),
        ([(0.28, 0.55), (0.28, 0.85)], 0.07, BODY),
        ([(0.62, 0.55), (0.62, 0.85)], 0.07, BODY),
    ],
}


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


def stroke_drawing(strokes, size: int) -> torch.Tensor:
    """float32 [channels, size, size] in [0, 1]: `strokes` on black, each over the earlier ones, with soft edges."""
    centres = (torch.arange(size) + 0.5) / size
    pixels = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)                       # [size, size, 2]
    image = torch.zeros(len(strokes[0][2]), size, size)
    for points, width, colour in strokes:
        corners = torch.tensor(points)                                                              # [points, 2]
        start, line = corners[:-1, None, None], corners.diff(dim=0)[:, None, None]                  # [lines, 1, 1, 2]
        along = ((pixels - start) * line).sum(-1, keepdim=True) / line.square().sum(-1, keepdim=True)
        distance = torch.linalg.vector_norm(pixels - start - along.clamp(0, 1) * line, dim=-1).amin(0)
        cover = ((width / 2 - distance) * size + 0.5).clamp(0, 1)                                   # [size, size]
        image = image + cover * (torch.tensor(colour).view(-1, 1, 1) - image)
    return image
