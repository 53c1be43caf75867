"""Animations: denoising step by step, the sweep in w, and guided sampling in a plane. Each frame is a figure."""

import dataclasses

import torch

from ..data import to_unit
from ..diffusion import make_scheduler
from .drawing import image_grids, line, new_figure
from .exhibits import exhibit
from .explorers import Mixture, draw_plane
from .pictures import traced


@exhibit("denoising_animation", "gif")
def denoising(pipe, steps: int, w: float = 2.0):
    """One image a class, as noise x_t and as the estimate x^_0, at every step."""
    trace, end = traced(pipe, pipe.captions, w=w, steps=steps)
    pairs = [to_unit(torch.stack(pair), pipe.preset.pixel_range) for pair in trace] + [end.expand(2, *end.shape)]
    frames = [image_grids({f"{step} of {steps} steps": (pair, ["$x_t$", r"$\hat x_0$"])}, height=1.4, width=5)
              for step, pair in enumerate(pairs)]
    return frames


@exhibit("sweep_animation", "gif")
def sweep(pipes, steps: int, scales=(0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0)):
    """The same noise under each guidance scale, one image a class, for each of `pipes`, {variant: pipeline}."""
    def rows(pipe, w):
        return pipe(pipe.captions, w=w, steps=steps, scheduler="dpm++").images[None]

    frames = [image_grids({f"{variant}, w = {w:g}": (rows(pipe, w),) for variant, pipe in pipes.items()}, height=1.9,
                          width=5) for w in scales]
    return frames, {"w": list(scales)}


@exhibit("plane_animation", "gif")
def points_in_a_plane(preset, scales=(0.0, 1.0, 3.0), points: int = 200, steps: int = 20):
    """Points that DDIM moves from noise to one of three classes with the exact score, without and with guidance."""
    mixture = Mixture(make_scheduler(dataclasses.replace(preset, prediction="epsilon"), "ddim"))
    paths, frames = [mixture.sample(points, steps, label=0, w=w)[0] for w in scales], []
    for step in range(steps + 1):
        figure, (axes,) = new_figure(1, len(scales), 2.0, width=5)
        for axis, w, path in zip(axes, scales, paths):
            draw_plane(axis, mixture)
            axis.plot(*path[step].T, ".", color=line(0)["color"], markersize=2)
            axis.set(title=f"w = {w:g}", xticks=(), yticks=())
        figure.suptitle(f"{step} of {steps} steps")
        frames.append(figure)
    return frames, {"w": list(scales), "note": f"{points} points, an exact score, DDIM"}
