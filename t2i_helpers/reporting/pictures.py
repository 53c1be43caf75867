"""Pictures that several datasets have. `pipes` is {"thesis": pipeline, "improved": pipeline}, or one of them."""

import torch

from ..data import captions, from_uint8, to_unit
from .drawing import image_grid, new_figure

TALL = 9.0              # inches: `exhibit` removes the height that pictures leave empty


def names(preset) -> list[str]:
    """The classes in a word each, as labels."""
    return [caption.split()[-1] for caption in captions(preset)]


def first_images(dataset, count: int) -> torch.Tensor:
    """The first `count` images of each class, float32 [classes, count, c, h, w] in [0, 1]."""
    chosen = torch.stack([torch.nonzero(dataset.labels == label)[:count, 0] for label in dataset.labels.unique()])
    return from_uint8(dataset.images[chosen], (0, 1))


def real_images(dataset, preset, rows: int = 4):
    """Real images, one column a class."""
    figure, axes = new_figure(1, 1, TALL)
    image_grid(axes[0, 0], first_images(dataset, rows).transpose(0, 1), column_labels=names(preset))
    return figure, {"note": f"the first {rows} of each class of {len(dataset):,} images"}


def class_rows(pipes, steps: int, w: float, samples: int):
    """`samples` rows of images for each variant, one column a class."""
    figure, axes = new_figure(len(pipes), 1, TALL)
    for axis, (variant, pipe) in zip(axes[:, 0], pipes.items()):
        images = pipe(captions(pipe.preset) * samples, w=w, steps=steps).images               # [samples * 10, c, h, w]
        image_grid(axis, images.unflatten(0, (samples, -1)), column_labels=names(pipe.preset),
                   title=f"{variant}, w = {w:g}")
    return figure


def class_columns(pipes, steps: int, w: float, samples: int, dataset=None):
    """`samples` images of each class (rows) for each variant, and as many real ones of `dataset`."""
    panels = {}
    for variant, pipe in pipes.items():
        prompts = [prompt for prompt in captions(pipe.preset) for _ in range(samples)]
        images = pipe(prompts, w=w, steps=steps).images                                       # [10 * samples, c, h, w]
        panels[f"{variant}, w = {w:g}"] = images.unflatten(0, (-1, samples))
    if dataset:
        panels["real images"] = first_images(dataset, samples)
    figure, axes = new_figure(1, len(panels), TALL)
    for place, (axis, (title, images)) in enumerate(zip(axes[0], panels.items())):
        image_grid(axis, images, () if place else names(pipe.preset), title=title)
    return figure


def sweep(pipes, steps: int, scales, dataset=None):
    """Each class (rows) against guidance scales (columns); each row starts from one noise image. A column of real
    images of `dataset` comes last."""
    figure, axes = new_figure(1, len(pipes), TALL)
    for axis, (variant, pipe) in zip(axes[0], pipes.items()):
        columns = [pipe(captions(pipe.preset), w=w, steps=steps).images.cpu() for w in scales]
        labels = [f"{w:g}" for w in scales]
        if dataset:
            columns, labels = [*columns, first_images(dataset, 1)[:, 0]], [*labels, "real"]
        image_grid(axis, torch.stack(columns, 1), names(pipe.preset), labels, f"{variant}, w =")
    return figure


def denoising(strips: dict, steps: int, w: float, digit: int = 4, columns: int = 9):
    """x_t and the predicted x_0 along the steps, from one noise image. `strips` is {title: (pipeline, scheduler)}."""
    figure, axes = new_figure(len(strips), 1, TALL)
    for axis, (title, (pipe, scheduler)) in zip(axes[:, 0], strips.items()):
        trace, prompt = [], captions(pipe.preset)[digit]
        pipe([prompt], w=w, steps=steps, scheduler=scheduler, seeds=[pipe.preset.seed],
             callback=lambda step, x_t, x_0: trace.append(torch.stack([x_t[0], x_0[0]])))
        shown = torch.linspace(0, len(trace) - 1, columns).round().long().tolist()
        strip = torch.stack([trace[i] for i in shown], 1)                                     # [2, columns, c, h, w]
        image_grid(axis, to_unit(strip, pipe.preset.pixel_range), ["$x_t$", r"$\hat{x}_0$"],
                   [f"step {i + 1}" for i in shown], title)
    return figure, {"note": f"“{prompt}”, w = {w:g}, from one noise image"}
