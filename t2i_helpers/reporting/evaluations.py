"""What `t2i evaluate` stored beside a checkpoint, as figures and tables read it."""

import json
from pathlib import Path

from ..evaluation import evaluate
from ..evaluation.classifiers import classifier_hash
from ..evaluation.paintings import composition
from ..models import WEIGHTS
from ..paths import CHECKPOINTS, RUNS
from ..provenance import content_hash, input_hashes, record, write_json
from .pictures import is_part, training_label

SCALES = {"mnist": (0.0, 1.0, 2.0, 5.0, 10.0, 20.0), "cifar10": (0.0, 1.0, 2.0, 5.0, 10.0),
          "wikiart": (1.0, 4.0)}
SAMPLES = {"mnist": 1000, "cifar10": 1000, "wikiart": 400}      # 1,000 is the thesis's count
PAIR_SAMPLES = 30               # images of each (genre, style) pair


def load_or_evaluate(pipe) -> dict:
    """The evaluation.json beside `pipe`'s weights; where there is none of these weights at SCALES, by the classifier
    that ships, it is made now.

    Measuring takes minutes on a GPU and long on a CPU; the checkpoints that ship have theirs.
    """
    dataset, file = pipe.preset.dataset, pipe.folder / "evaluation.json"
    try:
        stored = json.loads(file.read_text())
        judge = stored["judges"].get("classifier")
        fits = (stored["checkpoint"]["weights_sha256_16"] == pipe.weights_sha256_16
                and (judge is None or judge["classifier_sha256_16"] == classifier_hash(dataset))
                and [row["w"] for row in stored["rows"]] == list(SCALES[dataset]))
    except (OSError, ValueError, KeyError, TypeError):
        fits = False
    if not fits:
        stored = evaluate(pipe, SCALES[dataset], SAMPLES[dataset])
        write_json(file, stored)
    return stored


def load_or_measure_composition(pipe) -> dict:
    """The composition.json beside `pipe`'s weights; where there is none of these weights, it is measured now."""
    file = pipe.folder / "composition.json"
    try:
        stored = json.loads(file.read_text())
        fits = stored["weights_sha256_16"] == pipe.weights_sha256_16
    except (OSError, ValueError, KeyError, TypeError):
        fits = False
    if not fits:
        stored = record(pipe.device, **composition(pipe, w=4.0, images_a_pair=PAIR_SAMPLES))
        write_json(file, stored)
    return stored


def by_w(evaluation: dict) -> dict[float, dict]:
    """The rows of an evaluation by guidance scale."""
    return {row["w"]: row for row in evaluation["rows"]}


def facts_of(evaluations: dict) -> dict:
    """What a sidecar tells of the evaluations that a figure or table was made from, and of their files."""
    return told_of(evaluations) | input_hashes(*files_of(evaluations))


def files_of(evaluations: dict) -> list[Path]:
    """The files that hold the evaluations in CHECKPOINTS or RUNS, and the weights beside them; of an evaluation made
    elsewhere there are none."""
    folders = [(found, folder / found["checkpoint"]["checkpoint"])
               for found in evaluations.values() for folder in (CHECKPOINTS, RUNS)]
    return [folder / name for found, folder in folders for name in ("evaluation.json", WEIGHTS)
            if (file := folder / "evaluation.json").exists()
            and content_hash(json.loads(file.read_text())) == content_hash(found)]


def told_of(evaluations: dict) -> dict:
    """What matters of the evaluations, by variant."""
    told = ("git_commit", "checkpoint", "guider", "scheduler", "timestep_spacing", "steps", "first_and_last_seed",
            "judges")
    return {"evaluations": {variant: {name: found[name] for name in told} | {"n": found["rows"][0]["n"]}
                            for variant, found in evaluations.items()}}


def note_of(evaluations: dict, distances: bool = True) -> str:
    """How the evaluated images were made, in one line; with `distances`, the features that stand in for Inception's."""
    told = [f"{variant}: {training_label(found['checkpoint'])}, drawn with "
            f"{found['scheduler'].upper()}, {found['steps']} steps, n = {found['rows'][0]['n']:,}"
            for variant, found in evaluations.items()]
    if not distances:
        return "; ".join(told) + "; judged by our own classifier"
    judged = {judge for found in evaluations.values() for judge in found["judges"]}
    features = ("our own classifier, which stand in for Inception's, unless marked otherwise"
                if "classifier" in judged else
                "EfficientNet-Lite0 (ImageNet), which no training here has seen; accuracy by linear probes on them")
    parts = sorted({found["checkpoint"]["data_source"] for found in evaluations.values()
                    if is_part(found["checkpoint"])})
    return "; ".join(told + parts) + f"; distances, precision and recall on the features of {features}; intervals 95 %"
