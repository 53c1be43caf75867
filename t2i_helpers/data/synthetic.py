"""Procedural stand-ins: drawn shapes and paintings in the schema of the real dataset, for machines without the hub.

They let all code run and show nothing about photographs or art; whatever is made from them says so.
"""

import io
import math
import os
from pathlib import Path

import torch
from tqdm.auto import tqdm

from ..paths import one_at_a_time
from ..randomness import generator
from .captions import CLASS_NAMES
from .paintings import paint
from .pixels import to_uint8
from .processes import in_processes
from .wikiart_files import STYLES, write_art_file

SIZES = {"train": 2000, "test": 500}
ART_FILES = 18


def procedural_cifar10(split: str):
    """A ``datasets.Dataset`` with uoft-cs/cifar10's columns: img (32x32 RGB), label (its ClassLabel)."""
    import datasets

    images, labels = draw_shapes(SIZES[split], classes=10, size=32, seed=split)
    names = list(CLASS_NAMES["cifar10"])
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    pixels = list(images.permute(0, 2, 3, 1).numpy())
    encoded = {"img": [features["img"].encode_example(image) for image in pixels], "label": labels.tolist()}
    return datasets.Dataset.from_dict(encoded, features=features)


def procedural_wikiart(folder: Path, split: str, paintings: int) -> Path:
    """Parquet files like huggan/wikiart's in `folder`, with `paintings` of each of the 27 styles drawn by code.

    A file holds one style or two, as the real ones nearly do. Files that are there are kept.
    """
    every = [(style, f"{split}/{style * paintings + i}") for style in range(len(STYLES)) for i in range(paintings)]
    rows = -(-len(every) // ART_FILES)
    with one_at_a_time(folder):
        missing = []
        for number in range(ART_FILES):
            path = folder / f"{split}-{number:05d}-of-{ART_FILES:05d}.parquet"
            if not path.exists():
                missing.append((path, every[number * rows:(number + 1) * rows]))
        painted = in_processes(_paint_file, missing, min(8, os.cpu_count() or 1))
        for _ in tqdm(painted, total=len(missing), desc=f"painting {split}", unit="file", disable=not missing):
            pass
    return folder


def _paint_file(job) -> None:
    path, paintings = job                                            # [(style, seed), ...]
    write_art_file(path, [_jpeg(paint(style, seed)) for style, seed in paintings], [style for style, _ in paintings])


def _jpeg(image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    return file.getvalue()


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
