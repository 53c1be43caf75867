"""What is here: device, versions, where data and models would come from, and what would run."""

import os
import shutil

import torch
from huggingface_hub import try_to_load_from_cache

from . import hub, presets
from .data.images import HUB, OFFLINE
from .models.text import ENCODERS, encoder_location
from .paths import CHECKPOINTS, mirror
from .provenance import best_device, device_name, git_state, versions


def report() -> dict:
    """The state of this machine as JSON."""
    hub_there = hub.reachable()
    return {
        **git_state(),
        "device": device_name(best_device()),
        "versions": versions(),
        "hub": "reachable" if hub_there else "not reachable",
        "mirror": "T2I_MIRROR is set" if os.environ.get("T2I_MIRROR") else "T2I_MIRROR is not set",
        "data": {dataset: _dataset_sources(dataset, hub_there) for dataset in presets.DATASETS},
        "text_encoders": {name: _encoder_source(name, hub_there) for name in ENCODERS},
        "checkpoints": sorted(path.parent.name for path in CHECKPOINTS.glob("*/model_index.json")),
        "classifiers": sorted(path.name for path in CHECKPOINTS.glob("classifier-*")),
        "latex": bool(shutil.which("latexmk")),
        "sizes_that_run": ["smoke", "demo", *(["full"] if _full_runs(hub_there) else [])],
    }


def _dataset_sources(dataset, hub_there) -> list[str]:
    if dataset not in HUB:
        return []
    name = HUB[dataset].name
    return [*(["mirror"] if mirror("datasets", name) else []), *(["hub"] if hub_there else []), OFFLINE[dataset].kind]


def _encoder_source(name, hub_there) -> str | None:
    repository = ENCODERS[name][0]
    if repository is None:
        return "packaged"
    if encoder_location(name) != repository:
        return "mirror"
    if try_to_load_from_cache(repository, "model.safetensors"):
        return "cache"
    return "hub" if hub_there else None


def _full_runs(hub_there) -> bool:
    images = all({"mirror", "hub"} & set(_dataset_sources(dataset, hub_there)) for dataset in HUB)
    return torch.cuda.is_available() and bool(_encoder_source("clip", hub_there)) and images
