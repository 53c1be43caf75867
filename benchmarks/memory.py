"""How much memory a training step needs, by preset and batch size. It follows from shapes: nothing is computed.

python benchmarks/memory.py [FILE.json]
"""

import itertools
import sys
from pathlib import Path

import torch
from torch._subclasses import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

sys.path.insert(0, str(Path(__file__).parent.parent))

from t2i_helpers import presets  # noqa: E402
from t2i_helpers.diffusion import make_scheduler  # noqa: E402
from t2i_helpers.models import build_unet  # noqa: E402
from t2i_helpers.provenance import record, write_json  # noqa: E402
from t2i_helpers.training import training_loss  # noqa: E402

CLIP_WIDTH = 512
STATE = 5 * 4       # bytes a parameter: weights, gradients, Adam's two averages and the averaged weights, in float32
WAYS = {"float32": (False, False), "bfloat16": (True, False), "bfloat16, checkpointing": (True, True)}


def training_step(preset, batch_size: int, bf16: bool, checkpointing: bool, device="cpu"):
    """(a fresh network, its loss), before the backward pass; `bf16`: autocast."""
    with torch.device(device), torch.autocast(device, torch.bfloat16, enabled=bf16):
        unet = build_unet(preset, text_dim=CLIP_WIDTH).train()
        if checkpointing:
            unet.enable_gradient_checkpointing()
        x_0, c = torch.zeros(batch_size, *preset.unet_shape), torch.zeros(batch_size, preset.max_length, CLIP_WIDTH)
        t = torch.zeros(batch_size, dtype=torch.long)
        return unet, training_loss(unet, make_scheduler(preset, "ddpm"), x_0, c, torch.zeros_like(x_0), t)


def step_memory(preset, batch_size: int, bf16: bool = True, checkpointing: bool = False) -> dict:
    """{"parameters", "state_gb", "activations_gb"} of one training step: what is always there, and what the forward
    pass keeps for the backward pass. Not in it are what kernels use, gradients of activations, and, with
    `checkpointing`, the block that the backward pass computes again."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage()._cdata] = tensor          # views share what they view
        return tensor

    with FakeTensorMode(), saved_tensors_hooks(keep, lambda x: x):
        unet, _ = training_step(preset, batch_size, bf16, checkpointing)
        for parameter in unet.parameters():
            kept.pop(parameter.untyped_storage()._cdata, None)
        activations = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
        parameters = sum(parameter.numel() for parameter in unet.parameters())
    return {"parameters": parameters, "state_gb": STATE * parameters / 1e9, "activations_gb": activations / 1e9}


def main():
    rows = []
    for names in itertools.product(presets.DATASETS, presets.VARIANTS, ("demo", "full")):
        preset = presets.get(*names)
        for batch_size in sorted({16, preset.batch_size}):
            memory = {way: step_memory(preset, batch_size, *switches) for way, switches in WAYS.items()}
            gigabytes = {way: each["state_gb"] + each["activations_gb"] for way, each in memory.items()}
            rows.append(dict(zip(("dataset", "variant", "size"), names)) | {
                "batch_size": batch_size, "parameters": memory["float32"]["parameters"], "gb": gigabytes})
            print(*names, batch_size, *(f"{gb:.2f} GB {way};" for way, gb in gigabytes.items()))
    if len(sys.argv) > 1:
        write_json(sys.argv[1], record("cpu", rows=rows))


if __name__ == "__main__":
    main()
