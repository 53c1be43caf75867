"""What `t2i evaluate study` measured, as figures and tables read it.

A row is a line of ``checkpoints/study/PART.jsonl``: a cell, its metrics, and what it was made with.
"""

from pathlib import Path

import torch
from torchvision.io import read_image

from ..errors import BadData, one_line
from ..evaluation.study import PARTS, read_part
from ..models import WEIGHTS
from ..paths import CHECKPOINTS, study_dir
from ..presets import DATASETS
from ..provenance import input_hashes

FRECHET, ACCURACY = (lambda row: row["classifier"]["frechet"]), (lambda row: row["accuracy"])
DIVERSITY, SATURATION = (lambda row: row["classifier"]["diversity"]), (lambda row: row["saturation"])


def rows_of(part: str) -> list[dict]:
    """The stored rows of a part of the study, in the order of its list; BadData where some are missing."""
    found = read_part(part)
    if missing := sum(cell not in found for cell in PARTS[part]):
        raise BadData(f"{missing} of {len(PARTS[part])} cells of {part} are not measured with the networks that are "
                      "here: run t2i evaluate study")
    return [found[cell] for cell in PARTS[part]]


def note_of_rows(rows) -> str:
    """What was drawn and judged, in one line."""
    counts, training = (" or ".join(f"{number:,}" for number in sorted({row[name] for row in rows}))
                        for name in ("n", "training_steps"))
    steps, schedulers = ({row["cell"][name] for row in rows} for name in ("steps", "scheduler"))
    drawn = f"{schedulers.pop().upper()}, {steps.pop()} steps, " if len(schedulers) == len(steps) == 1 else ""
    return (f"n = {counts} a point, seeds 0 to n - 1, {drawn}networks of {training} training steps; judged by our own "
            "classifiers, whose features stand in for Inception's; text by the packaged MiniLM encoder where no other "
            "is named; intervals 95 %")


def facts_of_rows(rows, *parts: str, pictured=()) -> dict:
    """What a sidecar tells of the rows of `parts` that a figure or table was made from, and of their files; `pictured`
    are the rows whose pictures it shows."""
    datasets = {row["cell"]["checkpoint"] for row in rows} & set(DATASETS)          # the other networks do not ship
    files = [*(study_dir("demo") / f"{part}.jsonl" for part in parts), *map(picture_file, pictured),
             *(CHECKPOINTS / f"{dataset}-improved" / WEIGHTS for dataset in datasets)]
    told = ("git_commit", "git_dirty", "device", "weights_sha256_16", "classifier_sha256_16", "training_steps", "n")
    return {"study": {name: sorted({row[name] for row in rows}) for name in told} | {
        "cells": [row["cell"] for row in rows], "seconds": round(sum(row["seconds"] for row in rows), 1)},
        **input_hashes(*(file for file in files if file.exists()))}            # encoders of the hub may not be there


def bars(rows, find) -> list[list[float]]:
    """What matplotlib's error bars need of the metric that `find` takes from a row: [2, rows], down and up."""
    low = [max(0.0, find(row)["value"] - find(row)["interval"][0]) for row in rows]
    return [low, [max(0.0, find(row)["interval"][1] - find(row)["value"]) for row in rows]]


def picture_file(row) -> Path:
    """The file of the ten images that a row keeps."""
    return study_dir("demo") / "pictures" / row["picture"]


def picture(row) -> torch.Tensor:
    """The ten images that a row keeps, float32 [10, 3, h, w] in [0, 1]; BadData where its file cannot be read."""
    path = picture_file(row)
    try:
        strip = read_image(str(path))                                                  # [3, h, 10 w]
    except RuntimeError as error:
        raise BadData(f"{path} cannot be read ({one_line(error)}): restore it") from error
    return torch.stack(strip.float().div(255).chunk(10, dim=2))
