"""The experiments of one short run on a big GPU, sized by a time budget; `gpu.sh` prepares and starts it.

What is done is written at once, in the order below: a stage that fails or has no time left is named in results.json and
the next one starts. CLIP's weights are not at hand, so captions are encoded by the packaged MiniLM, in advance.
"""

import argparse
import dataclasses
import json
import sys
import tarfile
import tempfile
import time
import traceback
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent.parent))
from speed import bench_speed  # noqa: E402

from t2i_helpers import presets  # noqa: E402
from t2i_helpers.data import every_caption  # noqa: E402
from t2i_helpers.evaluation import evaluate  # noqa: E402
from t2i_helpers.models import build_unet, caption_table, load_pipeline  # noqa: E402
from t2i_helpers.paths import DATA  # noqa: E402
from t2i_helpers.provenance import best_device, computes_bf16, record, write_json  # noqa: E402
from t2i_helpers.training import train  # noqa: E402
from t2i_helpers.training.export import export_checkpoint  # noqa: E402

SCALES = (0.0, 1.0, 2.0, 5.0, 10.0)
TRIAL = 30                      # steps that measure a training's speed
LARGEST_FILE = 15_000_000
SHARES = {"machine": 0.04, "mnist-thesis": 0.12, "mnist-improved": 0.12, "cifar10-improved": 0.32, "bench": 0.16,
          "samples": 0.12, "cifar10-thesis": 0.12}           # of the budget; unused time goes to the later stages


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=540)
    parser.add_argument("--size", default="full", help="smoke rehearses everything on a CPU")
    parser.add_argument("--captions", action="store_true", help="only write the caption tables")
    arguments = parser.parse_args()
    if arguments.captions:
        for dataset in ("mnist", "cifar10"):
            for variant in presets.VARIANTS:
                preset = chosen(dataset, variant, arguments.size)
                caption_table(preset.text_encoder, every_caption(preset), preset.max_length)
        return
    GpuRun(arguments.out, arguments.seconds, arguments.size).go()


def chosen(dataset, variant, size):
    return dataclasses.replace(presets.get(dataset, variant, size), text_encoder="minilm")


class GpuRun:
    """The stages, each given the seconds that it may take."""

    def __init__(self, out, seconds, size):
        self.out, self.size, self.smoke, self.device = Path(out), size, size == "smoke", best_device()
        self.out.mkdir(parents=True, exist_ok=True)
        self.work = Path(tempfile.mkdtemp())
        self.began, self.seconds, self.results = time.monotonic(), seconds, {}

    def go(self):
        spent = 0.0
        for name, share in SHARES.items():
            spent += share
            left = spent * self.seconds - (time.monotonic() - self.began)
            began = time.monotonic()
            try:
                if left < 0.25 * share * self.seconds:
                    raise TimeoutError(f"{left:.0f} s are left")
                result = self.stage(name, left)
            except Exception as error:                   # of any library: the other stages still run
                result = {"error": f"{type(error).__name__}: {error}"[:500]}
                with (self.out / "log.txt").open("a") as log:
                    log.write(f"--- {name}\n{traceback.format_exc()}\n")
            self.results[name] = result | {"took_seconds": round(time.monotonic() - began, 1)}
            write_json(self.out / "results.json", record(self.device, budget_seconds=self.seconds, size=self.size,
                                                         stages=self.results))
            print(name, json.dumps(self.results[name])[:300], flush=True)

    def stage(self, name, seconds) -> dict:
        if name == "machine":
            return self.check_machine()
        if name == "bench":
            return self.bench()
        if name == "samples":
            return self.draw(seconds)
        return self.train_within(*name.split("-"), seconds)

    def check_machine(self) -> dict:
        """The same prediction as on the CPU, in float32 and bfloat16; the same weights from a training that resumes."""
        preset, device = chosen("mnist", "improved", self.size), torch.device(self.device)
        torch.manual_seed(0)
        unet = build_unet(preset).eval()
        x, c = torch.randn(4, *preset.unet_shape), torch.randn(4, preset.max_length, unet.config.encoder_hid_dim)
        with torch.no_grad():
            expected = unet(x, 500, c).sample
            there = unet.to(device)(x.to(device), 500, c.to(device)).sample.cpu()
            x, c = (a.to(device, torch.bfloat16) for a in (x, c))
            half = unet.bfloat16()(x, 500, c).sample.float().cpu()
        small = dataclasses.replace(preset, batch_size=8 if self.smoke else 64, warmup_steps=0, max_steps=None)
        train(small, self.work / "whole", max_steps=4)
        train(small, self.work / "parts", max_steps=2)
        train(small, self.work / "parts", max_steps=4)
        whole, parts = (load_file(self.work / name / "state.safetensors") for name in ("whole", "parts"))
        scale = expected.abs().max()
        return {"computes_bf16": computes_bf16(device),
                "difference_to_cpu": float((there - expected).abs().max() / scale),
                "difference_in_bf16": float((half - expected).abs().max() / scale),
                "resume_is_identical": all(torch.equal(whole[key], parts[key]) for key in whole)}

    def train_within(self, dataset, variant, seconds) -> dict:
        """Train for as many of the preset's epochs as `seconds` allow; MNIST's kept checkpoints come back."""
        preset, folder = chosen(dataset, variant, self.size), self.work / f"{dataset}-{variant}-{self.size}"
        began = time.monotonic()
        trial = train(preset, self.work / f"trial-{folder.name}", max_steps=TRIAL).metrics()
        measured = trial[len(trial) // 3:]
        step = (measured[-1]["seconds"] - measured[0]["seconds"]) / (len(measured) - 1)
        steps_an_epoch = -(-presets.TRAINING_IMAGES[dataset] // preset.batch_size)
        fitting = int((seconds - (time.monotonic() - began)) * 0.9 / (step * steps_an_epoch))
        epochs = max(1, min(preset.epochs, fitting))
        run = train(dataclasses.replace(preset, epochs=epochs), folder)
        name = f"{dataset}-{variant}"
        kept = [("", folder)] + [(f"-{path.name}", path) for path in sorted(folder.glob("epoch-*"))]
        with tarfile.open(self.out / f"{name}.tar", "w") as tar:
            tar.add(run.metrics_file, f"{name}/metrics.jsonl")
            for suffix, path in kept if dataset == "mnist" else []:      # 88 million weights are too many to bring back
                tar.add(export_checkpoint(path, self.work / f"{name}{suffix}").parent, name + suffix)
        rows = run.metrics()
        return {"epochs": epochs, "of": preset.epochs, "steps": rows[-1]["step"], "seconds_a_step": step,
                "images_per_second": preset.batch_size / step, "last_loss": rows[-1]["loss"]}

    def trained(self, dataset):
        return self.work / f"{dataset}-improved-{self.size}"

    def bench(self) -> dict:
        few = {"dataset": "cifar10", "ways": ("ours",) if self.smoke else ("thesis", "ours"), "rounds": 1}
        images, steps, training_steps = (20, 7, 5) if self.smoke else (512, 50, 60)
        return {"sample": bench_speed("sample", images=images, steps=steps, checkpoint=self.trained("cifar10"), **few),
                "train": bench_speed("train", steps=training_steps, size=self.size, **few)}

    def draw(self, seconds) -> dict:
        """Metrics of as many images a scale as `seconds` allow, at most 10,000; the first of them come back."""
        found, images = {}, {}
        for dataset in ("cifar10", "mnist"):
            pipe = load_pipeline(self.trained(dataset), device=self.device)
            if not self.smoke:
                pipe.unet.bfloat16()
            began, trial = time.monotonic(), pipe.captions * (1 if self.smoke else 26)
            pipe(trial, w=2.0)
            speed = len(trial) / (time.monotonic() - began)
            count = 20 if self.smoke else max(100, min(10_000, int(0.4 * seconds * speed / len(SCALES))))
            scales = (0.0, 2.0) if self.smoke else SCALES
            found[dataset] = evaluate(pipe, scales, count, steps=pipe.preset.sample_steps)
            for row in found[dataset]["rows"]:
                part = load_file(DATA / "samples" / row["store"] / "part-000000.safetensors")["images"]
                images[f"{dataset}.w{row['w']:g}"] = part
        room = LARGEST_FILE / sum(part[0].numel() * len(SCALES) for part in images.values()) * len(SCALES)
        save_file({name: part[:int(room)].contiguous() for name, part in images.items()},
                  self.out / "samples.safetensors")
        return found


if __name__ == "__main__":
    main()
