"""Pictures that several datasets have. `pipes` is {"thesis": pipeline, "improved": pipeline}, or one of them."""

import dataclasses

import torch
from torchvision.io import read_image

from ..data import captions, class_names, from_uint8, load_images, to_unit
from ..diffusion import make_scheduler
from ..errors import SourceUnavailable
from ..provenance import note_use
from .drawing import image_grids


def first_images(dataset, count: int, classes=None) -> torch.Tensor:
    """The first `count` images of each class, or of `classes`, float32 [classes, count, c, h, w] in [0, 1]."""
    chosen = torch.stack([torch.nonzero(dataset.labels == label)[:count, 0]
                          for label in classes or dataset.labels.unique()])
    return from_uint8(dataset.images[chosen], (0, 1))


def images_or_shapes(preset):
    """(training images, the same), or, where they are not available, (drawn shapes, None); the reason is printed."""
    try:
        images = load_images(preset)
        return images, images
    except SourceUnavailable as unavailable:
        print(unavailable)
        return load_images(dataclasses.replace(preset, data_source="procedural")), None


def stored_images(file, rows: int, columns: int) -> torch.Tensor:
    """The images of a file without space between them, float32 [rows, columns, 3, h, w] in [0, 1]."""
    note_use("file", file)
    picture = read_image(str(file)).float().div(255)                                      # [3, rows * h, columns * w]
    return torch.stack([torch.stack(row.chunk(columns, 2)) for row in picture.chunk(rows, 1)])


def noised(dataset, preset, timesteps) -> torch.Tensor:
    """The first image with one noise at each of the timesteps, [timesteps, c, h, w] in [0, 1]."""
    x_0 = from_uint8(dataset.images[:1], preset.pixel_range).expand(len(timesteps), -1, -1, -1)
    noise = torch.randn(x_0[:1].shape, generator=torch.Generator().manual_seed(preset.seed)).expand_as(x_0)
    return to_unit(make_scheduler(preset, "ddpm").add_noise(x_0, noise, torch.tensor(timesteps)), preset.pixel_range)


def vary(pipe, prompts, option: str, values, **fixed) -> torch.Tensor:
    """Images of `prompts` (rows) with each of the values of an option of `pipe` (columns), a row from one noise image:
    [prompts, values, c, h, w]."""
    return torch.stack([pipe(prompts, **{option: value}, **fixed).images for value in values], 1)


def traced(draw, *arguments, **options) -> tuple[list, torch.Tensor]:
    """([(x_t, x^_0) of each step], images) of a sampling by `draw`, a pipeline or `sample`."""
    trace = []
    drawn = draw(*arguments, **options, callback=lambda step, x_t, x_0: trace.append((x_t, x_0)))
    return trace, drawn.images


def real_images(dataset, preset, rows: int = 4):
    """Real images, one column a class."""
    return image_grids({"": (first_images(dataset, rows).transpose(0, 1), (), class_names(preset))}), {
        "note": f"the first {rows} of each class of {len(dataset):,} images"}


def class_rows(pipes, steps: int, w: float, samples: int):
    """`samples` rows of images for each variant, one column a class."""
    return image_grids({f"{variant}, w = {w:g}": (
        pipe(captions(pipe.preset) * samples, w=w, steps=steps).images.unflatten(0, (samples, -1)),
        (), class_names(pipe.preset)) for variant, pipe in pipes.items()})


def class_columns(pipes, steps: int, w: float, samples: int, dataset=None):
    """`samples` images of each class (rows) for each variant, and as many real ones of `dataset`."""
    panels = {}
    for variant, pipe in pipes.items():
        prompts = [prompt for prompt in captions(pipe.preset) for _ in range(samples)]
        images = pipe(prompts, w=w, steps=steps).images                                       # [10 * samples, c, h, w]
        panels[f"{variant}, w = {w:g}"] = images.unflatten(0, (-1, samples)), () if panels else class_names(pipe.preset)
    if dataset:
        panels["real images"] = (first_images(dataset, samples),)
    return image_grids(panels, beside=True)


def sweep(pipes, steps: int, scales, classes=range(10), dataset=None, beside=True):
    """Some classes (rows) against guidance scales (columns), each row from one noise image, and real images."""
    panels = {}
    for variant, pipe in pipes.items():
        images = vary(pipe, [captions(pipe.preset)[which] for which in classes], "w", scales, steps=steps).cpu()
        if dataset:
            images = torch.cat([images, first_images(dataset, 1)], 1)
        panels[f"{variant}, w ="] = images, [class_names(pipe.preset)[which] for which in classes], [
            *scales, *["real"] * bool(dataset)]
    return image_grids(panels, beside=beside)


def denoising(pipes, steps: int, w: float, schedulers=(None,), digit: int = 4, columns: int = 9):
    """x_t and the predicted x_0 along the steps, from one noise image, by each of `schedulers`."""
    panels = {}
    for title, pipe, scheduler in ((name or variant, pipe, name) for variant, pipe in pipes.items()
                                   for name in schedulers):
        prompt = captions(pipe.preset)[digit]
        trace, _ = traced(pipe, [prompt], w=w, steps=steps, scheduler=scheduler, seeds=[pipe.preset.seed])
        shown = torch.linspace(0, len(trace) - 1, columns).round().long().tolist()
        strip = torch.stack([torch.cat(trace[i]) for i in shown], 1)                          # [2, columns, c, h, w]
        strip = to_unit(strip, pipe.preset.pixel_range)
        panels[title] = strip, ["$x_t$", r"$\hat{x}_0$"], [f"step {i + 1}" for i in shown]
    return image_grids(panels), {"note": f"“{prompt}”, w = {w:g}, from one noise image"}
