"""Time one way to train or to sample in a process of its own; prints one JSON object. `t2i bench` calls it.

python benchmarks/measure.py TASK WAY DATASET [--size SIZE] [--images N] [--steps N] [--seed N] [--out FILE]
"""

import argparse
import dataclasses
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import diffusers
import torch
from safetensors.torch import save_file
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent.parent))
import baselines  # noqa: E402

from t2i_helpers import presets  # noqa: E402
from t2i_helpers.data import load_images  # noqa: E402
from t2i_helpers.diffusion import make_scheduler  # noqa: E402
from t2i_helpers.models import build_unet, load_pipeline  # noqa: E402
from t2i_helpers.provenance import best_device, computes_bf16  # noqa: E402
from t2i_helpers.randomness import generator  # noqa: E402
from t2i_helpers.training import train  # noqa: E402

W = 3.0
DEVICE = torch.device(best_device())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=("sample", "train"))
    parser.add_argument("way")
    parser.add_argument("dataset", choices=("mnist", "cifar10"))
    parser.add_argument("--size", default="demo")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    measured = (measure_sampling if arguments.task == "sample" else measure_training)(arguments)
    measured["flops_per_second"] = measured["images_per_second"] * measured.pop("flops_per_image")
    peak = (torch.cuda.max_memory_allocated() if DEVICE.type == "cuda"
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
    print(json.dumps(measured | {"peak_memory_bytes": peak, "peak_flops_per_second": peak_flops()}))


def measure_sampling(arguments) -> dict:
    """Images/s, with the text encoded and everything loaded before; the images go to --out as uint8."""
    pipe = load_pipeline(arguments.checkpoint or arguments.dataset, device=DEVICE)
    prompts = [pipe.captions[i % len(pipe.captions)] for i in range(arguments.images)]
    seeds = range(arguments.seed, arguments.seed + arguments.images)
    preset, steps, scale = pipe.preset, arguments.steps, arguments.steps / 50

    def baseline(scheduler, steps, mixed_precision=False):
        return baselines.sample(pipe.unet, preset, *pipe.embed(prompts), W, scheduler, steps,
                                [generator("sample", seed) for seed in seeds], mixed_precision), 2 * steps

    def thesis():
        return baseline(diffusers.DDPMScheduler.from_config(make_scheduler(preset, "ddpm").config, clip_sample=True),
                        steps)

    def example():              # what diffusers recommends for few steps
        return baseline(make_scheduler(preset, "dpm++"), round(20 * scale), computes_bf16(DEVICE))

    def ours(bf16, **settings):
        if bf16:
            pipe.unet.bfloat16()
        drawn = pipe(prompts, seeds=seeds, **settings)
        return drawn.images, drawn.forward_passes

    ways = {
        "thesis": thesis,
        "diffusers": example,
        "ours-equal": lambda: ours(False, w=W, scheduler="ddpm", steps=steps),
        "ours-equal-bf16": lambda: ours(True, w=W, scheduler="ddpm", steps=steps),
        "ours": lambda: ours(computes_bf16(DEVICE), w=W, scheduler="dpm++", steps=round(8 * scale)),
    }
    draw = ways[arguments.way]
    pipe(pipe.captions[:2], seeds=[0, 1], steps=2)          # warm up: choose kernels, fill caches
    began = time.perf_counter()
    images, passes = draw()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    if arguments.out:
        save_file({"images": (images.cpu() * 255).round().to(torch.uint8)}, arguments.out)
    return {"images_per_second": arguments.images / seconds, "forward_passes": passes,
            "flops_per_image": passes * flops(pipe.unet, preset)}


def measure_training(arguments) -> dict:
    """Images/s from the second to the last step."""
    variant = "thesis" if arguments.way in ("thesis", "ours-equal") else "improved"
    preset = dataclasses.replace(presets.get(arguments.dataset, variant, arguments.size), text_encoder="minilm")
    steps = arguments.steps
    if arguments.way.startswith("ours"):
        with tempfile.TemporaryDirectory() as folder:
            seconds = [row["seconds"] for row in train(preset, Path(folder) / "run", max_steps=steps).metrics()]
    else:
        unet = build_unet(preset, text_dim=512).to(DEVICE)
        seconds, began = [], time.perf_counter()
        for _ in baselines.train(unet, preset, load_images(preset), DEVICE, steps, arguments.way == "diffusers"):
            seconds.append(time.perf_counter() - began)
    # 3: a backward pass costs twice a forward pass
    return {"images_per_second": preset.batch_size * (steps - 1) / (seconds[-1] - seconds[0]), "forward_passes": 1,
            "flops_per_image": 3 * flops(build_unet(preset).to(DEVICE), preset)}


def flops(unet, preset) -> int:
    """Of one forward pass of one image."""
    width = unet.config.encoder_hid_dim or unet.config.cross_attention_dim
    x = torch.zeros(1, *preset.unet_shape, device=DEVICE, dtype=unet.dtype)
    c = torch.zeros(1, preset.max_length, width, device=DEVICE, dtype=unet.dtype)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        unet(x, 0, c)
    return counter.get_total_flops()


def peak_flops() -> float:
    """FLOP/s of a large matrix product in the fastest type that the device computes in."""
    n, dtype = (8192 if DEVICE.type == "cuda" else 2048), torch.bfloat16 if computes_bf16(DEVICE) else torch.float32
    a = torch.randn(n, n, device=DEVICE, dtype=dtype)
    timer = Timer("a @ a", globals={"a": a}, num_threads=torch.get_num_threads())
    return 2 * n**3 / timer.blocked_autorange(min_run_time=1).median


if __name__ == "__main__":
    main()
