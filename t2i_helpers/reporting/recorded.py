"""The metadata and the note of a figure or table, composed from what it used (`provenance.recording`)."""

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
    by_kind = {}
    for kind, content in uses:
        by_kind.setdefault(kind, []).append(content)
    samplings, evaluations, images = (by_kind.get(kind, []) for kind in ("sampling", "evaluation", "images"))
    pipes = {use["pipe"].folder: use["pipe"] for use in by_kind.get("checkpoint", []) + samplings if use["pipe"].folder}
    checkpoints = _labelled([describe_checkpoint(folder) | {"weights_sha256_16": pipe.weights_sha256_16}
                             for folder, pipe in pipes.items()])
    drawn = {label: _sampling(own) for label, folder in zip(checkpoints, pipes)
             if (own := [use for use in samplings if use["pipe"].folder == folder])}
    rows, read = sum(by_kind.get("rows", []), []), by_kind.get("file", [])
    parts = {
        "checkpoints": checkpoints,
        "sampling": drawn,
        "images": [{"data_source": each.source, "data_fingerprint": each.fingerprint} for each in images],
        "presets": [preset_record(preset) for preset in by_kind.get("preset", [])],
        "study": rows and {name: sorted({row[name] for row in rows}) for name in OF_ROWS} | {
            "cells": [row["cell"] for row in rows], "seconds": round(sum(row["seconds"] for row in rows), 1)},
    }
    metadata = evaluation_metadata(evaluations, *read, *(folder / WEIGHTS for folder in pipes)) | {
        name: part for name, part in parts.items() if part}
    notes = [_checkpoint_note(checkpoints, drawn.values()), evaluation_note(evaluations), _rows_note(rows),
             *dict.fromkeys(each.source for each in images)]
    used = {name.removeprefix("t2i_helpers.") for name in modules if name.startswith("t2i_helpers.")}
    used |= {"diffusion", "models"} if samplings else set()
    used |= {"evaluation.metrics"} if evaluations or rows or read else set()
    return "; ".join(filter(None, notes)), metadata | code_record(*used)


def evaluation_metadata(evaluations, *files) -> dict:
    """{"evaluations": {variant: ..}, "input_hashes": ..} of a figure or table from `evaluations` and other `files`."""
    files = set(files)
    for evaluation in evaluations:
        preset = evaluation["checkpoint"]["preset"]
        folder = checkpoint_dir(preset["dataset"], preset["variant"], preset["size"])
        files |= {file for file in (folder / "evaluation.json", folder / WEIGHTS) if file.exists()}
    labelled = _labelled([evaluation["checkpoint"] for evaluation in evaluations])
    kept = {label: {name: value for name, value in evaluation.items() if name not in ("rows", "versions")}
            | {"n": evaluation["rows"][0]["n"]} for label, evaluation in zip(labelled, evaluations)}
    return ({"evaluations": kept} if kept else {}) | input_hashes(*files)


def evaluation_note(evaluations) -> str:
    """How the images of `evaluations` were made and judged, in one line."""
    if not evaluations:
        return ""
    labelled = _labelled([evaluation["checkpoint"] for evaluation in evaluations])
    made = [f"{label}: {training_label(each['checkpoint'])}, {each['scheduler'].upper()}, {each['steps']} steps, "
            f"n = {each['rows'][0]['n']:,}" for label, each in zip(labelled, evaluations)]
    judge = OWN_FEATURES if any("classifier" in each["judges"] for each in evaluations) else PAINTING_FEATURES
    return "; ".join([*made, *_reduced(labelled.values()), f"judged by {judge}", "intervals 95 %"])


def training_label(checkpoint: dict) -> str:
    """How long a described checkpoint was trained, on what."""
    preset, steps = checkpoint["preset"], checkpoint["training_steps"]
    return f"{steps:,} steps of {preset['batch_size']} {image_source_label(preset['data_source'])}"


def _labelled(checkpoints: list) -> dict:
    """{label: checkpoint}: the variant, or with its dataset, or the folder's name, whatever distinguishes them."""
    presets = [checkpoint["preset"] for checkpoint in checkpoints]
    labels = [preset["variant"] for preset in presets]
    if len({preset["dataset"] for preset in presets}) > 1:
        labels = [f"{NAMES[preset['dataset']]} {preset['variant']}" for preset in presets]
    if len(set(labels)) < len(labels):
        labels = [checkpoint["checkpoint"] for checkpoint in checkpoints]
    return dict(zip(labels, checkpoints))


def _reduced(checkpoints) -> list[str]:
    """The sources of checkpoints that were trained on a part of WikiArt."""
    sources = {checkpoint["data_source"] or "" for checkpoint in checkpoints}
    return sorted(source for source in sources if f"{TRAINING_IMAGES['wikiart']:,}" in source)


def _sampling(uses) -> dict:
    seeds = [int(seed) for use in uses for seed in use["seeds"]]
    return {name: list(dict.fromkeys(use[name] for use in uses)) for name in ("guidance", "scheduler", "steps")} | {
        "first_and_last_seed": [min(seeds), max(seeds)], "images": len(seeds)}


def _checkpoint_note(checkpoints, sampling) -> str:
    if not checkpoints:
        return ""
    encoders = sorted({checkpoint["preset"]["text_encoder"] for checkpoint in checkpoints.values()})
    drawn = sorted({f"{' and '.join(facts['scheduler']).upper()}, {facts['steps'][-1]} steps" for facts in sampling})
    training = ", ".join(f"{label}: {training_label(checkpoint)}" for label, checkpoint in checkpoints.items())
    return "; ".join([training, *_reduced(checkpoints.values()),
                      "text: " + ", ".join(ENCODER_LABELS.get(name, name) for name in encoders), *drawn])


def _rows_note(rows) -> str:
    if not rows:
        return ""
    counts, training = (" or ".join(f"{number:,}" for number in sorted({row[name] for row in rows}))
                        for name in ("n", "training_steps"))
    steps, schedulers = ({row["cell"][name] for row in rows} for name in ("steps", "scheduler"))
    drawn = f"{schedulers.pop().upper()}, {steps.pop()} steps, " if len(schedulers) == len(steps) == 1 else ""
    return (f"n = {counts} a point, {drawn}networks of {training} training steps; judged by {OWN_FEATURES}; text by "
            "the packaged MiniLM encoder where no other is named; intervals 95 %")
