"""What this machine has: hardware, versions, and where data and models come from; and a copy of those sources."""

import os
import platform
import re
import shutil
from pathlib import Path

import psutil
import torch

from .. import hub, presets
from ..data.images import HUB, OFFLINE
from ..errors import SourceUnavailable
from ..paths import CHECKPOINTS, mirror
from ..provenance import best_device, device_name, git_state, versions
from .latents import TAESD
from .text import ENCODERS, encoder_location, weights_version


def describe_machine() -> dict:
    """The state of this machine, as `t2i doctor --json` prints it."""
    online, device = hub.reachable(), best_device()
    data = {name: [*(["mirror"] if mirror("datasets", HUB[name]) else []), *(["hub"] if online else []),
                   OFFLINE[name][0]] for name in presets.DATASETS}
    encoders = {name: _encoder_source(name, online) for name in ENCODERS}
    full = torch.cuda.is_available() and encoders["clip"] and all({"mirror", "hub"} & {*each} for each in data.values())
    return {
        **git_state(),
        "device": device_name(device),
        "processor": _on_linux(lambda: re.search(r"model name\s*: (.+?)\s*\n", Path("/proc/cpuinfo").read_text())[1],
                               platform.processor() or platform.machine()),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "accelerator": None if device == "cpu" else device_name(device),
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "operating_system": _on_linux(lambda: platform.freedesktop_os_release()["PRETTY_NAME"],
                                      f"{platform.system()} {platform.release()}"),
        "versions": versions(),
        "hub": "reachable" if online else "not reachable",
        "mirror": "T2I_MIRROR is set" if os.environ.get("T2I_MIRROR") else "T2I_MIRROR is not set",
        "data": data,
        "text_encoders": encoders,
        "checkpoints": sorted(path.parent.name for path in CHECKPOINTS.glob("*/model_index.json")),
        "classifiers": sorted(path.name for path in CHECKPOINTS.glob("classifier-*")),
        "latex": shutil.which("latexmk") is not None,
        "sizes_that_run": ["smoke", "demo", *(["full"] if full else [])],
    }


def mirror_to(folder) -> list[Path]:
    """Copy every dataset and text encoder of the presets, and TAESD, into `folder`, to be ``T2I_MIRROR``. Files that
    exist are kept. Raises SourceUnavailable without a hub."""
    if not hub.reachable():
        raise SourceUnavailable("the Hugging Face hub cannot be reached: run this on a machine with internet")
    wanted = [("dataset", repository) for repository in HUB.values()]
    wanted += [("model", repository) for repository, _ in ENCODERS.values() if repository] + [("model", TAESD)]
    copies = []
    for kind, name in wanted:
        with hub.or_unavailable(f"copy {name} to {folder}", "run the same command again to continue"):
            copies.append(hub.snapshot(name, kind, local_dir=Path(folder) / f"{kind}s" / name,
                                       ignore_patterns=["*.bin", "*.h5", "*.msgpack", "*.onnx"]))
    return copies


def _on_linux(read, otherwise: str) -> str:
    try:
        return read()
    except (OSError, TypeError):
        return otherwise


def _encoder_source(name, online) -> str | None:
    repository = ENCODERS[name][0]
    if repository is None:
        return "packaged"
    if encoder_location(name) != repository:
        return "mirror"
    return "cache" if weights_version(name) else "hub" if online else None
