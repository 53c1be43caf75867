"""What is here: machine, versions, where data and models would come from, and what would run."""

import os
import platform
import re
from pathlib import Path

import psutil
import torch
from huggingface_hub import try_to_load_from_cache

from . import hub, presets
from .data.images import HUB, OFFLINE
from .models.text import ENCODERS, encoder_location
from .paths import CHECKPOINTS, mirror
from .provenance import best_device, device_name, git_state, versions
from .typesetting.build import has_latex


def report() -> dict:
    """The state of this machine as JSON."""
    hub_there = hub.reachable()
    return {
        **git_state(),
        "device": device_name(best_device()),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "accelerator": None if best_device() == "cpu" else device_name(best_device()),
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "operating_system": _operating_system(),
        "versions": versions(),
        "hub": "reachable" if hub_there else "not reachable",
        "mirror": "T2I_MIRROR is set" if os.environ.get("T2I_MIRROR") else "T2I_MIRROR is not set",
        "data": {dataset: _dataset_sources(dataset, hub_there) for dataset in presets.DATASETS},
        "text_encoders": {name: _encoder_source(name, hub_there) for name in ENCODERS},
        "checkpoints": sorted(path.parent.name for path in CHECKPOINTS.glob("*/model_index.json")),
        "classifiers": sorted(path.name for path in CHECKPOINTS.glob("classifier-*")),
        "latex": has_latex(),
        "sizes_that_run": ["smoke", "demo", *(["full"] if _full_runs(hub_there) else [])],
    }


def _processor() -> str:
    """The processor's model, as far as the system tells it."""
    file = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.+)$", file.read_text(), re.MULTILINE) if file.exists() else []
    return models[0].strip() if models else platform.processor() or platform.machine()


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:                                         # no Linux
        return f"{platform.system()} {platform.release()}"


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
