"""Drawings of a few thick strokes: sketches from which SDEdit starts (Meng et al. 2022, arXiv:2108.01073)."""

import torch

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
