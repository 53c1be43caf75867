"""Weights on disk: float32, float16, or compact, a quarter of float32.

A compact file stores a tensor w of two or more dimensions as int8 q with one float32 scale s a row (an output channel),
w ~ s q and s = max |w| / 127, under the keys NAME and NAME.scale; every other floating tensor is float16.
"""

import hashlib

import torch
from safetensors import safe_open

from ..errors import BadCheckpoint, or_bad_checkpoint
from ..paths import save_tensors


def save_compact(module: torch.nn.Module, path) -> None:
    """Write the weights of `module` to the compact safetensors file `path`."""
    tensors = {}
    for name, value in module.state_dict().items():
        if value.is_floating_point() and value.ndim >= 2:
            rows = value.detach().float().flatten(1)                                      # [channels, ...]
            scale = (rows.abs().amax(1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
            value = (rows / scale[:, None]).round().to(torch.int8).view(value.shape)
            tensors[f"{name}.scale"] = scale
        tensors[name] = value.half() if value.is_floating_point() else value
    save_hashed(path, tensors)


def save_hashed(path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write `tensors` and `metadata` as a safetensors file with a hash of the tensors, which `read_hashed` checks.
    Without `metadata` the same tensors give the same bytes."""
    save_tensors(path, tensors, (metadata or {}) | {"blake2b": _tensors_hash(tensors)})


def read_hashed(path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file; BadCheckpoint if it is missing, damaged, or its tensors are
    not those of its hash, if it has one."""
    with or_bad_checkpoint(path), safe_open(path, "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    if metadata.get("blake2b") not in (None, _tensors_hash(tensors)):
        raise BadCheckpoint(f"{path} was changed since it was written: restore the file")
    return tensors, metadata


def _tensors_hash(tensors) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def load_state(path) -> dict[str, torch.Tensor]:
    """The float32 state dict in `path`, compact or not. BadCheckpoint for a missing or damaged file."""
    stored, _ = read_hashed(path)
    with or_bad_checkpoint(path):
        for name in [name for name, value in stored.items() if value.dtype == torch.int8]:
            scale = stored.pop(f"{name}.scale")                                           # [channels]
            stored[name] = stored[name].float() * scale.view(-1, *[1] * (stored[name].ndim - 1))
    return {name: value.float() if value.is_floating_point() else value for name, value in stored.items()}
