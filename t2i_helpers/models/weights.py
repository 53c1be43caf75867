"""Weights on disk: float32, float16, or compact, a quarter of float32.

A compact file stores a tensor w of two or more dimensions as int8 q with one float32 scale s a row (an output channel),
w ~ s q and s = max |w| / 127, under the keys NAME and NAME.scale; every other floating tensor is float16.
"""

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..errors import BadCheckpoint, one_line
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
    save_tensors(path, tensors)


def load_state(path) -> dict[str, torch.Tensor]:
    """The float32 state dict in `path`, compact or not. BadCheckpoint for a missing or damaged file."""
    try:
        stored = load_file(path)
        for name in [name for name, value in stored.items() if value.dtype == torch.int8]:
            scale = stored.pop(f"{name}.scale")                                           # [channels]
            stored[name] = stored[name].float() * scale.view(-1, *[1] * (stored[name].ndim - 1))
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise BadCheckpoint(f"{path} cannot be read ({one_line(error)}): restore the file") from error
    return {name: value.float() if value.is_floating_point() else value for name, value in stored.items()}
