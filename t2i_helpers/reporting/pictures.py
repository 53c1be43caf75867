"""Pictures that every dataset has, and the notes and facts under them."""

import torch

from ..data import captions, from_uint8, image_source_label
from ..models import WEIGHTS
from ..presets import TRAINING_IMAGES
from ..provenance import input_hashes, preset_record
from ..training import describe_checkpoint
from .drawing import fit_height, footnote, image_grid, new_figure


def names(preset) -> list[str]:
    """The classes in a word each, as labels."""
    return [caption.split()[-1] for caption in captions(preset)]


def real_images(dataset, preset, rows: int, height: float):
    """Real images, one column a class."""
    found = [torch.nonzero(dataset.labels == label)[:rows, 0] for label in range(len(dataset.captions))]
    images = from_uint8(dataset.images[torch.stack(found, 1)], (0, 1))            # [rows, classes, c, h, w]
    figure, axes = new_figure(1, 1, height)
    image_grid(axes[0, 0], images, column_labels=names(preset))
    footnote(figure, f"the first {rows} of each class of {len(dataset):,} images; {dataset.source}")
    fit_height(figure)
    return figure, of_data(dataset, preset) | {"images": rows * len(dataset.captions)}


def sweep(pipes, steps: int, scales, height: float):
    """Every class (rows) against guidance scales (columns), every row from one noise image."""
    figure, axes = new_figure(1, len(pipes), height)
    for axis, (variant, pipe) in zip(axes[0], pipes.items()):
        prompts = captions(pipe.preset)
        columns = [pipe(prompts, w=w, steps=steps).images for w in scales]
        image_grid(axis, torch.stack(columns, 1), names(pipe.preset), [f"{w:g}" for w in scales], f"{variant}, w =")
    return with_footnote(figure, pipes, steps, drawn=10, w=list(scales))


def training_label(checkpoint: dict) -> str:
    """How long a described checkpoint was trained, on what."""
    preset = checkpoint["preset"]
    return (f"{checkpoint['training_steps']:,} steps of {preset['batch_size']} "
            f"{image_source_label(preset['data_source'])}")


def training_note(pipes) -> str:
    """What trained each checkpoint, in one line; a stand-in encoder is named here."""
    told = [f"{variant}: {training_label(facts)}" for variant, facts in checkpoints(pipes).items()]
    encoders = sorted({pipe.encoder_label for pipe in pipes.values()})
    parts = sorted({facts["data_source"] for facts in checkpoints(pipes).values() if is_part(facts)})
    return "; ".join([", ".join(told), *parts, f"text: {', '.join(encoders)}"])


def is_part(checkpoint: dict) -> bool:
    """Whether a described checkpoint was trained on a part of its dataset, which its source then says."""
    return f"{TRAINING_IMAGES['wikiart']:,}" in (checkpoint["data_source"] or "")


def with_footnote(figure, pipes, steps, *, drawn, **more):
    """The figure with its footnote, and the facts of `drawn` images a variant and scale, counted on from its seed."""
    names_of_schedulers = {pipe.preset.scheduler.upper() for pipe in pipes.values()}
    footnote(figure, f"{training_note(pipes)}; {' and '.join(sorted(names_of_schedulers))}, {steps} steps")
    fit_height(figure)
    seeds = {variant: [pipe.preset.seed, pipe.preset.seed + drawn - 1] for variant, pipe in pipes.items()}
    schedulers = {variant: type(pipe.scheduler).__name__ for variant, pipe in pipes.items()}
    return figure, {**facts_of_pipes(pipes), "images_a_variant_and_scale": drawn, **more,
                    "first_and_last_seed": seeds, "schedulers": schedulers, "steps": steps}


def of_data(dataset, preset) -> dict:
    return preset_record(preset) | {"data_source": dataset.source, "data_fingerprint": dataset.fingerprint}


def facts_of_pipes(pipes, *files) -> dict:
    """What a sidecar tells of the checkpoints that a figure was drawn with, and of `files` that it was drawn from too.
    """
    weights = [pipe.folder / WEIGHTS for pipe in pipes.values()]
    return {"checkpoints": checkpoints(pipes)} | input_hashes(*weights, *files)


def checkpoints(pipes) -> dict:
    """What each pipeline's folder tells, by variant."""
    return {variant: describe_checkpoint(pipe.folder) for variant, pipe in pipes.items()}
