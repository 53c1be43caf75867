"""Speed, measured where it is asked for. Numbers are for this machine; ratios carry over better than seconds."""

import time

import torch

from .. import presets
from ..models import build_unet, encoder_dim
from ..provenance import best_device


def bench_sample(batch_sizes=(1, 16, 64, 256), seconds: float = 3.0) -> list[dict]:
    """U-Net forward passes of MNIST's preset: images/s at each batch size, and the ratio to batch size 1."""
    device = best_device()
    preset = presets.get("mnist", "thesis", "demo")
    unet = build_unet(preset).to(device).eval()
    rows = []
    for batch_size in batch_sizes:
        x = torch.randn(batch_size, preset.channels, preset.resolution, preset.resolution, device=device)
        c = torch.randn(batch_size, preset.max_length, encoder_dim(preset.text_encoder), device=device)
        speed = _images_per_second(lambda: unet(x, 500, c), batch_size, seconds, device)
        rows.append({"batch_size": batch_size, "images_per_second": round(speed, 1),
                     "ratio_to_batch_1": round(speed / rows[0]["images_per_second"], 2) if rows else 1.0})
    return rows


@torch.inference_mode()
def _images_per_second(forward, batch_size, seconds, device):
    forward()                                         # the first call allocates and tunes
    calls, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds or not calls:
        forward()
        if device != "cpu":
            torch.accelerator.synchronize()
        calls += 1
    return calls * batch_size / elapsed

