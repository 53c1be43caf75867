"""The speed of this machine: ways to sample and to train, those of baselines.py and this package's.

`t2i bench sample|train` calls it.
"""

import concurrent.futures
import dataclasses
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import baselines
import diffusers
import numpy as np
import torch
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from t2i_helpers import presets
from t2i_helpers.data import CLASS_NAMES, load_images
from t2i_helpers.diffusion import make_scheduler
from t2i_helpers.errors import BadData, BadValue, or_raise
from t2i_helpers.evaluation.evaluate import classifier_judge
from t2i_helpers.models import build_unet, load_pipeline
from t2i_helpers.provenance import best_device, computes_bf16
from t2i_helpers.randomness import generator
from t2i_helpers.training import train

WAYS_TO = {                     # the first is the baseline of the ratios
    "sample": {"thesis": "thesis: DDPM, 50 steps", "diffusers": "diffusers: DPM-Solver++, 20 steps",
               "ours-equal": "ours, settings of the thesis", "ours-equal-bf16": "ours, the same in bfloat16",
               "ours": "ours: DPM-Solver++, 8 steps"},
    "train": {"thesis": "thesis: float32, text encoder on every batch", "diffusers": "diffusers: bfloat16, averaged",
              "ours-equal": "ours, thesis", "ours": "ours, improved"},
}
W = 3.0
DEVICE = torch.device(best_device())


def bench_speed(task: str, dataset: str = "mnist", rounds: int = 3, images: int = 64, steps: int = 50,
                size: str = "demo", checkpoint=None, ways: tuple[str, ...] | None = None) -> dict:
    """{"task", "dataset", .., "rows"} of ways to "sample" or "train", each in a process of its own, in turn, `rounds`
    times.

    A row is {"way", "images_per_second" and its "spread" (lowest, highest), "ratio" to the first way, "forward_passes"
    an image, "share_of_peak" of the FLOP/s of a large matrix product, "peak_memory_mb"}. Sampling draws `images` a
    round; "frechet" and "accuracy" judge those of all rounds, and where the settings are alike "largest_difference"
    compares pixels, 0 to 1, with the first way's. `steps` are those of training, or of the slow ways to sample; `size`
    is of the training's preset; `checkpoint` a folder to sample from in place of the shipped one. `ways` are by default
    all of WAYS_TO[task].
    """
    if rounds < 1 or steps < 5 or images * rounds < 20:
        raise BadValue(f"{rounds} rounds of {images} images and {steps} steps: choose 1, 20 and 5 or more")
    presets.get(dataset, size=size)                         # an unknown name is refused here, not in the processes
    if os.getloadavg()[0] > os.cpu_count():
        print("this machine is busy: stop other programs, which slow a benchmark down many times", file=sys.stderr)
    measured = {way: [] for way in ways or WAYS_TO[task]}
    for number in range(rounds):
        for way, results in measured.items():
            seeds = range(number * images, (number + 1) * images)
            arguments = [way, checkpoint or dataset, seeds] if task == "sample" else [way, dataset, size]
            with (or_raise(BadData, f"{task} {way} failed", "see the lines above"),
                  concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process):
                results.append(process.submit(measure, task, steps, *arguments).result())
    rows, first = [], next(iter(measured.values()))
    for way, results in measured.items():
        speeds = np.array([each["images_per_second"] for each in results])
        rows.append({
            "way": WAYS_TO[task][way], "images_per_second": float(np.median(speeds)),
            "spread": [float(speeds.min()), float(speeds.max())],
            "ratio": float(np.median(speeds / [each["images_per_second"] for each in first])),
            "forward_passes": results[0]["forward_passes"],
            "share_of_peak": float(np.median([each["share_of_peak"] for each in results])),
            "peak_memory_mb": max(each["peak_memory_mb"] for each in results),
        })
        if task == "sample":
            pixels, baseline = (np.concatenate([each["images"] for each in group]) for group in (results, first))
            rows[-1] |= _quality(dataset, torch.from_numpy(pixels))
            if way.startswith("ours-equal"):
                rows[-1]["largest_difference"] = int(np.abs(pixels.astype(int) - baseline).max()) / 255
    return {"task": task, "dataset": dataset, "size": size, "rounds": rounds, "images": images, "steps": steps,
            "rows": rows}


def measure(task: str, *arguments) -> dict:
    """One way of `task` in this process: what `measure_sampling` or `measure_training` returns, and the speed as a
    share of the device's peak, and the peak memory."""
    measured = (measure_sampling if task == "sample" else measure_training)(*arguments)
    measured["share_of_peak"] = measured["images_per_second"] * measured.pop("flops_per_image") / peak_flops()
    memory = (torch.cuda.max_memory_allocated() if DEVICE.type == "cuda"
              else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
    return measured | {"peak_memory_mb": memory / 1e6}


def measure_sampling(steps: int, way: str, checkpoint, seeds) -> dict:
    """{"images_per_second", "forward_passes", "flops_per_image", "images" uint8 [n, c, h, w]}, with the text encoded
    and everything loaded before."""
    pipe = load_pipeline(checkpoint, device=DEVICE)
    preset, prompts = pipe.preset, [pipe.captions[i % len(pipe.captions)] for i in range(len(seeds))]

    def baseline(scheduler, steps, mixed_precision=False):
        generators = [generator("sample", seed) for seed in seeds]
        return baselines.sample(pipe.unet, preset, *pipe.embed(prompts), W, scheduler, steps, generators,
                                mixed_precision), 2 * steps

    def ours(scheduler, steps, bf16):
        if bf16:
            pipe.unet.bfloat16()
        drawn = pipe(prompts, seeds=seeds, w=W, scheduler=scheduler, steps=steps)
        return drawn.images, drawn.forward_passes

    ddpm = diffusers.DDPMScheduler.from_config(make_scheduler(preset, "ddpm").config, clip_sample=True)
    draw = {
        "thesis": lambda: baseline(ddpm, steps),
        # what diffusers recommends for few steps
        "diffusers": lambda: baseline(make_scheduler(preset, "dpm++"), round(20 * steps / 50), computes_bf16(DEVICE)),
        "ours-equal": lambda: ours("ddpm", steps, False),
        "ours-equal-bf16": lambda: ours("ddpm", steps, True),
        "ours": lambda: ours("dpm++", round(8 * steps / 50), computes_bf16(DEVICE)),
    }[way]
    # warm up with the baseline, because our pipeline also lets malloc keep memory for whatever follows
    baselines.sample(pipe.unet, preset, *pipe.embed(pipe.captions[:2]), W, ddpm, 2, [generator(0), generator(1)])
    began = time.perf_counter()
    images, passes = draw()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return {"images_per_second": len(seeds) / (time.perf_counter() - began), "forward_passes": passes,
            "flops_per_image": passes * flops(pipe.unet, preset),
            "images": (images.cpu() * 255).round().to(torch.uint8).numpy()}


def measure_training(steps: int, way: str, dataset: str, size: str) -> dict:
    """{"images_per_second" from the second to the last step, "forward_passes", "flops_per_image"}."""
    variant = "thesis" if way in ("thesis", "ours-equal") else "improved"
    preset = dataclasses.replace(presets.get(dataset, variant, size), text_encoder="minilm")
    if way.startswith("ours"):
        with tempfile.TemporaryDirectory() as folder:
            seconds = [row["seconds"] for row in train(preset, Path(folder) / "run", max_steps=steps).metrics()]
    else:
        unet = build_unet(preset, text_dim=512).to(DEVICE)
        seconds, began = [], time.perf_counter()
        for _ in baselines.train(unet, preset, load_images(preset), DEVICE, steps, way == "diffusers"):
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


def _quality(dataset, images) -> dict:
    """The classifier's accuracy on uint8 images, and the Frechet distance to real test images, if they can be had."""
    labels = torch.arange(len(images)) % len(CLASS_NAMES[dataset])
    row = classifier_judge(dataset, len(images), "cpu")[1](images, labels)
    return {"accuracy": row["accuracy"], "frechet": row.get("classifier", {}).get("frechet")}
