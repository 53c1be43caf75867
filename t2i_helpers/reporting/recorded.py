"""The metadata and the note of a figure or table, composed from what it used (`provenance.recording`)."""

from collections import defaultdict

from ..data import LabelledImages, image_source_label
from ..models.pipeline import CaptionPipeline
from ..models.text import ENCODER_LABELS
from ..paths import WEIGHTS, checkpoint_dir
from ..presets import NAMES, TRAINING_IMAGES, Preset
from ..provenance import code_record, input_hashes, note_use, preset_record
from ..training import describe_checkpoint

OWN_FEATURES = "our own classifiers, whose features stand in for Inception's"
PAINTING_FEATURES = "linear probes and distances on EfficientNet-Lite0 (ImageNet), which no training here has seen"
OF_ROWS = ("git_commit", "git_dirty", "device", "weights_sha256_16", "classifier_sha256_16", "training_steps", "n")


def note_argument(value) -> None:
    """Record an argument of a function that draws: pipelines, evaluations, images and presets, also in dictionaries."""
    for kind, type_ in (("images", LabelledImages), ("preset", Preset)):
        if isinstance(value, type_):
            note_use(kind, value)
    if isinstance(value, CaptionPipeline):
        note_use("checkpoint", {"pipe": value})
    elif isinstance(value, dict) and {"checkpoint", "judges", "rows"} <= value.keys():
        note_use("evaluation", value)
    elif isinstance(value, dict):
        for each in value.values():
            note_argument(each)


def describe(uses: list, *modules: str) -> tuple[str, dict]:
    """(note, metadata) of a figure or table that `modules` draw, from its recording."""
    of = defaultdict(list)
    for kind, content in uses:
        of[kind].append(content)
    pipes = {use["pipe"].folder: use["pipe"] for use in of["checkpoint"] + of["sampling"] if use["pipe"].folder}
    checkpoints = _labelled([describe_checkpoint(folder) | {"weights_sha256_16": pipe.weights_sha256_16}
                             for folder, pipe in pipes.items()])
    samplings = {label: _sampling(own) for label, folder in zip(checkpoints, pipes)
                 if (own := [use for use in of["sampling"] if use["pipe"].folder == folder])}
    evaluated = _labelled([evaluation["checkpoint"] for evaluation in of["evaluation"]])
    evaluations, rows = dict(zip(evaluated, of["evaluation"])), sum(of["rows"], [])
    files = {*of["file"], *(folder / WEIGHTS for folder in pipes)}
    for preset in (checkpoint["preset"] for checkpoint in evaluated.values()):
        folder = checkpoint_dir(preset["dataset"], preset["variant"], preset["size"])
        files |= {file for file in (folder / "evaluation.json", folder / WEIGHTS) if file.exists()}
    parts = {
        "checkpoints": checkpoints,
        "sampling": samplings,
        "evaluations": {label: {name: value for name, value in each.items() if name not in ("rows", "versions")}
                        | {"n": each["rows"][0]["n"]} for label, each in evaluations.items()},
        "images": [{"data_source": each.source, "data_fingerprint": each.fingerprint} for each in of["images"]],
        "presets": [preset_record(preset) for preset in of["preset"]],
        "study": rows and {name: sorted({row[name] for row in rows if name in row}) for name in OF_ROWS} | {
            "cells": [row["cell"] for row in rows], "seconds": round(sum(row["seconds"] for row in rows), 1),
            "measured_by": [{"code": code} for code in {str(row["code"]): row["code"] for row in rows
                                                         if "code" in row}.values()]},
    }
    used = {name.removeprefix("t2i_helpers.") for name in modules if name.startswith("t2i_helpers.")}
    used |= {"diffusion", "models"} if samplings else set()
    used |= {"evaluation.metrics"} if evaluations or rows or of["file"] else set()
    notes = [*_notes(checkpoints, samplings, evaluations, rows), *dict.fromkeys(each.source for each in of["images"])]
    return "; ".join(notes), {name: part for name, part in parts.items() if part} | input_hashes(
        *files) | code_record(*used)


def _labelled(checkpoints: list) -> dict:
    """{label: checkpoint}: the variant, or with its dataset, or the folder's name, whatever distinguishes them."""
    presets = [checkpoint["preset"] for checkpoint in checkpoints]
    labels = [preset["variant"] for preset in presets]
    if len({preset["dataset"] for preset in presets}) > 1:
        labels = [f"{NAMES[preset['dataset']]} {preset['variant']}" for preset in presets]
    if len(set(labels)) < len(labels):
        labels = [checkpoint["checkpoint"] for checkpoint in checkpoints]
    return dict(zip(labels, checkpoints))


def _sampling(uses) -> dict:
    seeds = [int(seed) for use in uses for seed in use["seeds"]]
    return {name: list(dict.fromkeys(use[name] for use in uses)) for name in ("guidance", "scheduler", "steps")} | {
        "first_and_last_seed": [min(seeds), max(seeds)], "images": len(seeds)}


def describe_training(label, checkpoint) -> str:
    """How long a checkpoint was trained, on what."""
    preset, steps = checkpoint["preset"], checkpoint["training_steps"]
    return f"{label}: {steps:,} steps of {preset['batch_size']} {image_source_label(preset['data_source'])}"


def _reduced(checkpoints) -> list[str]:
    """The sources of checkpoints that were trained on a part of WikiArt."""
    sources = {checkpoint["data_source"] or "" for checkpoint in checkpoints}
    return sorted(source for source in sources if f"{TRAINING_IMAGES['wikiart']:,}" in source)


def _notes(checkpoints, samplings, evaluations, rows):
    """What a reader needs to know of each kind of input."""
    if checkpoints:
        yield ", ".join(describe_training(*item) for item in checkpoints.items())
        yield from _reduced(checkpoints.values())
        encoders = sorted({checkpoint["preset"]["text_encoder"] for checkpoint in checkpoints.values()})
        yield "text: " + ", ".join(ENCODER_LABELS.get(name, name) for name in encoders)
        yield from sorted({f"{' and '.join(each['scheduler']).upper()}, {each['steps'][-1]} steps"
                           for each in samplings.values()})
    if evaluations:
        for label, each in evaluations.items():
            yield (f"{describe_training(label, each['checkpoint'])}, {each['scheduler'].upper()}, "
                   f"{each['steps']} steps, n = {each['rows'][0]['n']:,}")
        yield from _reduced(each["checkpoint"] for each in evaluations.values())
        own = any("classifier" in each["judges"] for each in evaluations.values())
        yield f"judged by {OWN_FEATURES if own else PAINTING_FEATURES}"
    if rows:
        counts, training = (" or ".join(f"{number:,}" for number in sorted({row[name] for row in rows}))
                            for name in ("n", "training_steps"))
        steps, schedulers = ({row["cell"][name] for row in rows} for name in ("steps", "scheduler"))
        drawn = f"{schedulers.pop().upper()}, {steps.pop()} steps, " if len(schedulers) == len(steps) == 1 else ""
        yield f"n = {counts} a point, {drawn}networks of {training} training steps"
        yield f"judged by {PAINTING_FEATURES if 'efficientnet' in rows[0] else OWN_FEATURES}"
        yield "text by the packaged MiniLM encoder where no other is named"
    if evaluations or rows:
        yield "intervals 95 %"
