"""What `t2i evaluate` stored beside a checkpoint, as figures and tables read it."""

import json

from ..errors import BadCheckpoint
from ..models import WEIGHTS
from ..provenance import file_hash


def stored_evaluation(pipe) -> dict:
    """The evaluation.json beside `pipe`'s weights, of these weights; BadCheckpoint with the command otherwise."""
    file = pipe.folder / "evaluation.json"
    try:
        stored = json.loads(file.read_text())
    except (OSError, ValueError):
        stored = {}
    if stored.get("checkpoint", {}).get("weights_sha256_16") != file_hash(pipe.folder / WEIGHTS):
        raise BadCheckpoint(f"{pipe.folder.name} has no evaluation of these weights: t2i evaluate "
                            f"{pipe.preset.dataset} --checkpoint {pipe.folder} --json {file}")
    return stored


def by_w(evaluation: dict) -> dict[float, dict]:
    """The rows of an evaluation by guidance scale."""
    return {row["w"]: row for row in evaluation["rows"]}


def facts_of(evaluations: dict) -> dict:
    """What a sidecar tells of the evaluations that a figure or table was made from, by variant."""
    told = ("git_commit", "checkpoint", "guider", "scheduler", "timestep_spacing", "steps", "first_and_last_seed",
            "judges")
    return {"evaluations": {variant: {name: found[name] for name in told} | {"n": found["rows"][0]["n"]}
                            for variant, found in evaluations.items()}}


def note_of(evaluations: dict) -> str:
    """How the evaluated images were made, in one line; the features that stand in for Inception's are named."""
    told = [f"{variant}: {found['checkpoint']['training_steps']:,} steps of "
            f"{found['checkpoint']['preset']['batch_size']} images, drawn with {found['scheduler'].upper()}, "
            f"{found['steps']} steps, n = {found['rows'][0]['n']:,}" for variant, found in evaluations.items()]
    return ("; ".join(told) + "; Fréchet and kernel distances on the features of our own classifier, which stand in "
            "for Inception's; intervals 95 %")
