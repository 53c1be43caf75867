"""The speed of this machine: ways to sample and to train, timed by measure.py. `t2i bench sample|train` calls it."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from t2i_helpers.data import CLASS_NAMES
from t2i_helpers.errors import BadData, BadValue
from t2i_helpers.evaluation.evaluate import classifier_judge

WAYS_TO = {                     # of benchmarks/measure.py; the first is the baseline of the ratios
    "sample": {"thesis": "thesis: DDPM, 50 steps", "diffusers": "diffusers: DPM-Solver++, 20 steps",
               "ours-equal": "ours, settings of the thesis", "ours-equal-bf16": "ours, the same in bfloat16",
               "ours": "ours: DPM-Solver++, 8 steps"},
    "train": {"thesis": "thesis: float32, text encoder on every batch", "diffusers": "diffusers: bfloat16, averaged",
              "ours-equal": "ours, thesis", "ours": "ours, improved"},
}


def bench_speed(task: str, dataset: str = "mnist", rounds: int = 3, images: int = 64, steps: int = 50,
                size: str = "demo", checkpoint=None, ways: tuple[str, ...] | None = None) -> dict:
    """{"task", "dataset", .., "rows"} of ways to "sample" or "train": the loops of benchmarks/baselines.py and this
    package's, each in a process of its own, in turn, `rounds` times.

    A row is {"way", "images_per_second" and its "spread" (lowest, highest), "ratio" to the first way, "forward_passes"
    an image, "share_of_peak" of the FLOP/s of a large matrix product, "peak_memory_mb"}. Sampling draws `images` a
    round; "frechet" and "accuracy" judge those of all rounds, and where the settings are alike "largest_difference"
    compares pixels, 0 to 1, with the first way's. `steps` are those of training, or of the slow ways to sample; `size`
    is of the training's preset; `checkpoint` a folder to sample from in place of the shipped one. `ways` are by default
    all of WAYS_TO[task].
    """
    if rounds < 1 or steps < 5 or images * rounds < 20:
        raise BadValue(f"{rounds} rounds of {images} images and {steps} steps: choose 1, 20 and 5 or more")
    program = Path(__file__).with_name("measure.py")
    if os.getloadavg()[0] > os.cpu_count():
        print("this machine is busy: stop other programs, which slow a benchmark down many times", file=sys.stderr)
    options = ["--size", size, "--steps", steps, "--images", images]
    options += ["--checkpoint", checkpoint] if checkpoint else []
    measured = {way: [] for way in ways or WAYS_TO[task]}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for way in measured:
                out = Path(folder) / f"{way}.{number}.safetensors"
                more = ["--seed", number * images, "--out", out]
                measured[way].append(_run([program, task, way, dataset, *options, *more]))
        drawn = {way: torch.cat([load_file(file)["images"] for file in sorted(Path(folder).glob(f"{way}.*"))])
                 for way in measured} if task == "sample" else {}
    first = np.array([row["images_per_second"] for row in next(iter(measured.values()))])
    rows = []
    for way, results in measured.items():
        speeds = np.array([row["images_per_second"] for row in results])
        rows.append({
            "way": WAYS_TO[task][way], "images_per_second": float(np.median(speeds)),
            "spread": [float(speeds.min()), float(speeds.max())], "ratio": float(np.median(speeds / first)),
            "forward_passes": results[0]["forward_passes"],
            "share_of_peak": float(np.median([row["flops_per_second"] / row["peak_flops_per_second"]
                                              for row in results])),
            "peak_memory_mb": max(row["peak_memory_bytes"] for row in results) / 1e6,
        })
    for row, (way, pixels) in zip(rows, drawn.items()):
        row |= _quality(dataset, pixels)
        if way.startswith("ours-equal"):
            row["largest_difference"] = int((pixels.int() - drawn["thesis"].int()).abs().max()) / 255
    return {"task": task, "dataset": dataset, "size": size, "rounds": rounds, "images": images, "steps": steps,
            "rows": rows}


def _run(command) -> dict:
    """The JSON object that a Python program prints; BadData with its last line if it fails."""
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, errors="replace")
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise BadData(f"{' '.join(map(str, command[1:4]))} failed ({lines[-1][:160]}): run {command[0]} to see more")
    return json.loads(done.stdout.splitlines()[-1])


def _quality(dataset, images) -> dict:
    """The classifier's accuracy on uint8 images, and the Frechet distance to real test images, if they can be had."""
    labels = torch.arange(len(images)) % len(CLASS_NAMES[dataset])
    row = classifier_judge(dataset, len(images), "cpu")[1](images, labels)
    return {"accuracy": row["accuracy"], "frechet": row.get("classifier", {}).get("frechet")}
