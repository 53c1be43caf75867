"""What is here: device, versions, where data and models would come from, and what would run."""

import os
import shutil

import torch
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

from . import presets
from .data.images import HUB, OFFLINE
from .models.text import ENCODERS, encoder_location
from .paths import CHECKPOINTS, mirror
from .provenance import best_device, device_name, git_state, versions


def report() -> dict:
    """The state of this machine as JSON."""
    hub = _hub_reachable()
    return {
        **git_state(),
        "device": device_name(best_device()),
        "versions": versions(),
        "hub": "reachable" if hub else "not reachable",
        "mirror": "T2I_MIRROR is set" if os.environ.get("T2I_MIRROR") else "T2I_MIRROR is not set",
        "data": {dataset: _dataset_sources(dataset, hub) for dataset in presets.DATASETS},
        "text_encoders": {name: _encoder_source(name, hub) for name in ENCODERS},
        "checkpoints": sorted(path.parent.name for path in CHECKPOINTS.glob("*/model_index.json")),
        "latex": bool(shutil.which("latexmk")),
        "sizes_that_run": ["smoke", "demo", *(["full"] if _full_runs(hub) else [])],
    }


def _hub_reachable() -> bool:
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_hf_file_metadata(hf_hub_url("openai/clip-vit-base-patch32", "config.json"), timeout=3)
    except Exception:        # offline shows as any of a dozen types, and all of them mean no
        return False
    return True


def _dataset_sources(dataset, hub) -> list[str]:
    if dataset not in HUB:
        return []
    name = HUB[dataset].name
    return [*(["mirror"] if mirror("datasets", name) else []), *(["hub"] if hub else []), OFFLINE[dataset].kind]


def _encoder_source(name, hub) -> str | None:
    repository = ENCODERS[name][0]
    if repository is None:
        return "packaged"
    if encoder_location(name) != repository:
        return "mirror"
    if try_to_load_from_cache(repository, "model.safetensors"):
        return "cache"
    return "hub" if hub else None


def _full_runs(hub) -> bool:
    images = all({"mirror", "hub"} & set(_dataset_sources(dataset, hub)) for dataset in HUB)
    return torch.cuda.is_available() and bool(_encoder_source("clip", hub)) and images
