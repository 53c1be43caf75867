"""What a result was made from and with: the record that lies beside every figure, run and checkpoint."""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path

from .paths import ROOT, atomic_write
from .presets import Preset, preset_hash, to_dict

LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "datasets", "pyarrow", "torchvision", "torchmetrics",
             "pytorch-fid", "pillow", "matplotlib")
CODE = ("t2i_helpers", "pyproject.toml", "notebooks/*.py")


def git_state() -> dict:
    """The commit and whether the code differs from it; both None outside a git checkout."""

    def git(*arguments):
        result = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
        return result.stdout.strip() if result.returncode == 0 else None

    try:
        commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--", *CODE)
    except OSError:
        commit = changes = None
    return {"git_commit": commit, "git_dirty": None if changes is None else bool(changes)}


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that decide a number."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}


def device_name(device) -> str:
    """A device in words: the GPU's name, or the processor's."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {kind.upper()}, {torch.get_num_threads()} threads"


def best_device() -> str:
    """The accelerator that is here ("cuda", "mps"), else "cpu"."""
    import torch

    return torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"


def computes_bf16(device) -> bool:
    """Whether a device computes in bf16 and does not emulate it: some GPUs, and CPUs with AMX or AVX512-BF16."""
    import torch

    kind = torch.device(device).type
    if kind == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    return kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def record(device, **more) -> dict:
    """What every result carries, code, versions and device, and `more`: preset, seeds, data, checkpoint, counts."""
    return {**git_state(), "versions": versions(), "device": device_name(device), **more}


def of_preset(preset: Preset) -> dict:
    """The part of a record that tells the preset."""
    return {"preset": to_dict(preset), "preset_hash": preset_hash(preset)}


def file_hash(path) -> str:
    """The first 16 hexadecimal digits of a file's SHA-256."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def write_json(path, content: dict) -> Path:
    """Write `content` as readable JSON, all or nothing."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")
    return Path(path)
