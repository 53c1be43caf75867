"""Drawings of a few thick strokes: sketches from which SDEdit starts (Meng et al. 2022, arXiv:2108.01073)."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Stroke:
    """A line through points (x, y), from (0, 0) at the top left to (1, 1) at the bottom right."""

    points: tuple[tuple[float, float], ...]
    width: float                                # as a share of the image's side
    colour: tuple[float, ...] = (1.0,)          # in [0, 1], one number a channel


SKY, SEA, GROUND = (0.55, 0.75, 0.95), (0.1, 0.3, 0.5), (0.35, 0.5, 0.2)
HULL, BODY = (0.6, 0.15, 0.1), (0.35, 0.2, 0.1)

# strokes from back to front: grey for 1 channel, coloured for 3
DRAWINGS = {
    "seven": (Stroke(((0.28, 0.25), (0.72, 0.25), (0.45, 0.8)), 0.1),),
    "three": (Stroke(((0.3, 0.22), (0.65, 0.22), (0.45, 0.47), (0.68, 0.65), (0.5, 0.8), (0.3, 0.75)), 0.1),),
    "ship": (
        Stroke(((0, 0.3), (1, 0.3)), 0.7, SKY),
        Stroke(((0, 0.85), (1, 0.85)), 0.4, SEA),
        Stroke(((0.2, 0.62), (0.8, 0.62)), 0.16, HULL),
        Stroke(((0.5, 0.5), (0.5, 0.2)), 0.08, (0.95, 0.95, 0.95)),
    ),
    "horse": (
        Stroke(((0, 0.3), (1, 0.3)), 0.7, SKY),
        Stroke(((0, 0.85), (1, 0.85)), 0.4, GROUND),
        Stroke(((0.3, 0.5), (0.62, 0.5)), 0.2, BODY),
        Stroke(((0.62, 0.5), (0.74, 0.27), (0.84, 0.33)), 0.1, BODY),
        Stroke(((0.28, 0.55), (0.28, 0.85)), 0.07, BODY),
        Stroke(((0.62, 0.55), (0.62, 0.85)), 0.07, BODY),
    ),
}


def stroke_drawing(strokes, size: int) -> torch.Tensor:
    """float32 [channels, size, size] in [0, 1]: `strokes` on black, each over the earlier ones, with soft edges."""
    centres = (torch.arange(size) + 0.5) / size
    pixels = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)                       # [size, size, 2]
    image = torch.zeros(len(strokes[0].colour), size, size)
    for stroke in strokes:
        corners = torch.tensor(stroke.points)                                                       # [points, 2]
        start, line = corners[:-1, None, None], corners.diff(dim=0)[:, None, None]                  # [lines, 1, 1, 2]
        along = ((pixels - start) * line).sum(-1, keepdim=True) / line.square().sum(-1, keepdim=True)
        distance = torch.linalg.vector_norm(pixels - start - along.clamp(0, 1) * line, dim=-1).amin(0)
        cover = ((stroke.width / 2 - distance) * size + 0.5).clamp(0, 1)                            # [size, size]
        image = image + cover * (torch.tensor(stroke.colour).view(-1, 1, 1) - image)
    return image
