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
OF_EVALUATION = ("git_commit", "checkpoint", "guider", "scheduler", "timestep_spacing", "steps", "first_and_last_seed",
                 "judges")
OF_ROWS = ("git_commit", "git_dirty", "device", "weights_sha256_16", "classifier_sha256_16", "training_steps", "n")


def note_argument(value) -> None:
    """Record an argument of a function that draws: pipelines, evaluations, images and presets, also in dictionaries."""
    if isinstance(value, CaptionPipeline):
        note_use("checkpoint", {"pipe": value})
    elif isinstance(value, LabelledImages):
        note_use("images", value)
    elif isinstance(value, Preset):
        note_use("preset", value)
    elif isinstance(value, dict) and {"checkpoint", "judges", "rows"} <= value.keys():
        note_use("evaluation", value)
    elif isinstance(value, dict):
        for each in value.values():
            note_argument(each)


def describe(uses: list) -> tuple[str, dict]:
    """(note, metadata) of what a recording holds."""
    def of_kind(*kinds):
        return [content for kind, content in uses if kind in kinds]

    pipes = {id(use["pipe"]): use["pipe"] for use in of_kind("checkpoint", "sampling") if use["pipe"].folder}
    checkpoints = _labelled([describe_checkpoint(pipe.folder) | {"weights_sha256_16": pipe.weights_sha256_16}
                             for pipe in pipes.values()], lambda checkpoint: checkpoint)
    sampling = [_sampling(pipe, [use for use in of_kind("sampling") if use["pipe"] is pipe])
                for pipe in pipes.values()]
    evaluations = _labelled(of_kind("evaluation"), lambda evaluation: evaluation["checkpoint"])
    rows, images = sum(of_kind("rows"), []), of_kind("images")
    files = {*of_kind("file"), *(pipe.folder / WEIGHTS for pipe in pipes.values()),
             *(file for evaluation in evaluations.values() for file in _files(evaluation))}
    parts = {
        "checkpoints": checkpoints,
        "sampling": {label: facts for label, facts in zip(checkpoints, sampling) if facts},
        "evaluations": {label: {name: found[name] for name in OF_EVALUATION} | {"n": found["rows"][0]["n"]}
                        for label, found in evaluations.items()},
        "study": rows and {name: sorted({row[name] for row in rows}) for name in OF_ROWS} | {
            "cells": [row["cell"] for row in rows], "seconds": round(sum(row["seconds"] for row in rows), 1)},
        "images": [{"data_source": each.source, "data_fingerprint": each.fingerprint} for each in images],
        "presets": [preset_record(preset) for preset in of_kind("preset")],
    }
    notes = [_checkpoint_note(checkpoints, sampling), _evaluation_note(evaluations), _rows_note(rows),
             *dict.fromkeys(each.source for each in images)]
    return "; ".join(filter(None, notes)), {name: part for name, part in parts.items() if part} | input_hashes(*files)


def describe_code(module: str, uses: list) -> dict:
    """The `code_record` of a figure or table that `module` draws."""
    kinds = {kind for kind, _ in uses}
    modules = {"reporting.drawing"}
    if module.startswith("t2i_helpers."):
        modules.add(module.removeprefix("t2i_helpers."))
    if "sampling" in kinds:
        modules |= {"diffusion", "models"}
    if kinds & {"evaluation", "rows", "file"}:
        modules.add("evaluation.metrics")
    return code_record(*modules)


def evaluation_note(evaluations: dict) -> str:
    """How the evaluated images, {variant: evaluation}, were made and judged, in one line."""
    return describe([("evaluation", each) for each in evaluations.values()])[0]


def evaluation_metadata(evaluations: dict) -> dict:
    """The metadata of a table of `evaluations`, {variant: evaluation}: {"evaluations": .., "input_hashes": ..}."""
    return describe([("evaluation", each) for each in evaluations.values()])[1]


def training_label(checkpoint: dict) -> str:
    """How long a described checkpoint was trained, on what."""
    preset, steps = checkpoint["preset"], checkpoint["training_steps"]
    return f"{steps:,} steps of {preset['batch_size']} {image_source_label(preset['data_source'])}"


def _labelled(found: list, checkpoint_of) -> dict:
    """{label: each}: the variant, after its dataset where there are several."""
    presets = [checkpoint_of(each)["preset"] for each in found]
    several = len({preset["dataset"] for preset in presets}) > 1
    return {f"{NAMES[preset['dataset']]} {preset['variant']}" if several else preset["variant"]: each
            for preset, each in zip(presets, found)}


def _sampling(pipe, uses) -> dict:
    seeds = [seed for use in uses for seed in use["seeds"]]
    return uses and {
        "guidance": list(dict.fromkeys(use["guidance"] for use in uses)),
        "schedulers": list(dict.fromkeys(use["scheduler"] for use in uses)),
        "steps": list(dict.fromkeys(use["steps"] for use in uses)),
        "first_and_last_seed": [min(seeds), max(seeds)], "images": len(seeds)}


def _files(evaluation) -> list:
    preset = evaluation["checkpoint"]["preset"]
    folder = checkpoint_dir(preset["dataset"], preset["variant"], preset["size"])
    return [file for file in (folder / "evaluation.json", folder / WEIGHTS) if file.exists()]


def _reduced(checkpoints) -> list[str]:
    """The sources of checkpoints that were trained on a part of WikiArt."""
    sources = {checkpoint["data_source"] or "" for checkpoint in checkpoints}
    return sorted(source for source in sources if f"{TRAINING_IMAGES['wikiart']:,}" in source)


def _checkpoint_note(checkpoints, sampling) -> str:
    if not checkpoints:
        return ""
    encoders = sorted({checkpoint["preset"]["text_encoder"] for checkpoint in checkpoints.values()})
    drawn = sorted({f"{' and '.join(name.upper() for name in facts['schedulers'])}, {facts['steps'][-1]} steps"
                    for facts in sampling if facts})
    training = ", ".join(f"{label}: {training_label(checkpoint)}" for label, checkpoint in checkpoints.items())
    return "; ".join([training, *_reduced(checkpoints.values()),
                      "text: " + ", ".join(ENCODER_LABELS.get(name, name) for name in encoders), *drawn])


def _evaluation_note(evaluations) -> str:
    if not evaluations:
        return ""
    judges = {judge for found in evaluations.values() for judge in found["judges"]}
    made = [f"{label}: {training_label(found['checkpoint'])}, {found['scheduler'].upper()}, {found['steps']} steps, "
            f"n = {found['rows'][0]['n']:,}" for label, found in evaluations.items()]
    return "; ".join([*made, *_reduced(found["checkpoint"] for found in evaluations.values()), "judged by "
                      + (OWN_FEATURES if "classifier" in judges else PAINTING_FEATURES), "intervals 95 %"])


def _rows_note(rows) -> str:
    if not rows:
        return ""
    counts, training = (" or ".join(f"{number:,}" for number in sorted({row[name] for row in rows}))
                        for name in ("n", "training_steps"))
    steps, schedulers = ({row["cell"][name] for row in rows} for name in ("steps", "scheduler"))
    drawn = f"{schedulers.pop().upper()}, {steps.pop()} steps, " if len(schedulers) == len(steps) == 1 else ""
    return (f"n = {counts} a point, {drawn}networks of {training} training steps; judged by {OWN_FEATURES}; text by "
            "the packaged MiniLM encoder where no other is named; intervals 95 %")
