"""The stages of a short run on a big GPU; `gpu.sh` prepares and starts them.

python benchmarks/gpu.py OUT STAGE... [--seconds S]: a stage writes OUT/STAGE.json, and what ships into `checkpoints/`.
CLIP's weights are not at hand, so captions are encoded by the packaged MiniLM, in advance.
"""

import argparse
import dataclasses
import functools
import json
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent.parent))
from memory import WAYS, step_memory, training_step  # noqa: E402
from speed import bench_speed  # noqa: E402

from t2i_helpers import presets, provenance  # noqa: E402
from t2i_helpers.data import every_caption  # noqa: E402
from t2i_helpers.evaluation import evaluate  # noqa: E402
from t2i_helpers.evaluation.study import run_study  # noqa: E402
from t2i_helpers.models import build_unet, caption_table, load_pipeline  # noqa: E402
from t2i_helpers.paths import CHECKPOINTS, DATA, RUNS, read_json  # noqa: E402
from t2i_helpers.provenance import best_device, computes_bf16, record, write_json  # noqa: E402
from t2i_helpers.reporting.checkpoints import measured  # noqa: E402
from t2i_helpers.training import Run, train  # noqa: E402
from t2i_helpers.training.export import export_checkpoint  # noqa: E402

SCALES = (0.0, 1.0, 2.0, 5.0, 10.0)
NEVER = 10**9
COMMIT = Path(__file__).parent.parent / ".gpu" / "commit.json"      # the code's state, written by `gpu.sh pack`


def chosen(dataset, variant, size):
    """`full` CIFAR-10 is the thesis's network; the others are what ships."""
    changes = presets.NAMED.get(f"{dataset}-longer", {}) if size == "demo" else {}
    changes |= {} if size == "smoke" else {"data_source": "hub"}
    return dataclasses.replace(presets.get(dataset, variant, size), text_encoder="minilm", **changes)


# float32 without TensorFloat-32, whose 10 bits would make images differ from a CPU's
exact = functools.partial(torch.backends.cudnn.flags, enabled=True, allow_tf32=False)


class Stages:
    """Each method is a stage, "name" or "name-argument-argument", and returns what it measured."""

    def __init__(self, out, size, seconds):
        self.out, self.smoke, self.seconds = Path(out), size == "smoke", seconds
        self.small, self.large = ("smoke", "smoke") if self.smoke else ("demo", "full")
        self.checkpoints, self.runs = (self.out / "checkpoints", self.out) if self.smoke else (CHECKPOINTS, RUNS)
        self.device = best_device()

    def run(self, name) -> dict:
        kind, *arguments = name.split("-")
        began = time.monotonic()
        try:
            result = getattr(self, kind)(*arguments)
        except Exception as error:                       # of any library: the other stages still run
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"[:500]}
        result |= {"took_seconds": round(time.monotonic() - began, 1)}
        write_json(self.out / f"{name}.json", record(self.device, **result))
        return result

    def captions(self) -> dict:
        """The caption tables of all trainings, for a machine without the text encoder."""
        for dataset, size in (("mnist", self.small), ("cifar10", self.small), ("cifar10", self.large)):
            for variant in presets.VARIANTS:
                preset = chosen(dataset, variant, size)
                caption_table(preset.text_encoder, every_caption(preset), preset.max_length)
        return {}

    def machine(self) -> dict:
        """The same prediction as on the CPU, in float32 and bfloat16; the same weights from a training that resumes."""
        preset, device = chosen("mnist", "improved", self.small), torch.device(self.device)
        torch.manual_seed(0)
        unet = build_unet(preset).eval()
        x, c = torch.randn(4, *preset.unet_shape), torch.randn(4, preset.max_length, unet.config.encoder_hid_dim)
        with torch.no_grad(), exact():
            expected = unet(x, 500, c).sample
            there = unet.to(device)(x.to(device), 500, c.to(device)).sample.cpu()
            x, c = (a.to(device, torch.bfloat16) for a in (x, c))
            half = unet.bfloat16()(x, 500, c).sample.float().cpu()
        preset = dataclasses.replace(preset, warmup_steps=0, max_steps=None)
        with tempfile.TemporaryDirectory() as folder:
            for name, steps in (("whole", 4), ("parts", 2), ("parts", 4)):
                train(preset, Path(folder) / name, max_steps=steps)
            whole, parts = (load_file(Path(folder) / name / "state.safetensors") for name in ("whole", "parts"))
        scale = expected.abs().max()
        return {"computes_bf16": computes_bf16(device),
                "difference_to_cpu": float((there - expected).abs().max() / scale),
                "difference_in_bf16": float((half - expected).abs().max() / scale),
                "resume_is_identical": all(torch.equal(whole[key], parts[key]) for key in whole)}

    def train(self, dataset, variant, size=None) -> dict:
        """Train for the preset's epochs, or as long as `seconds` allow; a small network becomes a checkpoint."""
        small = size != "full"
        preset = chosen(dataset, variant, self.small if small else self.large)
        name = f"{dataset}-{variant}"
        folder = self.runs / f"{name}-{size or 'gpu'}"
        timer = threading.Timer(self.seconds or NEVER / 1000, os.kill, (os.getpid(), signal.SIGTERM))
        timer.daemon, stopped = True, False
        timer.start()
        try:
            train(preset, folder, state_every=NEVER, sample_every=NEVER)
        except KeyboardInterrupt:                        # the run saved its state and is a checkpoint
            stopped = True
        timer.cancel()
        rows = Run(folder).metrics()
        if small:
            export_checkpoint(folder, self.checkpoints / name)
            for epoch in sorted(folder.glob("epoch-*")):
                export_checkpoint(epoch, self.out / f"{name}-{epoch.name}")
        half = rows[len(rows) // 2:]
        step = (half[-1]["seconds"] - half[0]["seconds"]) / max(1, len(half) - 1)
        return {"preset": presets.to_dict(preset), "epochs": preset.epochs, "stopped": stopped,
                "steps": rows[-1]["step"], "seconds": rows[-1]["seconds"], "seconds_a_step": step,
                "images_per_second": preset.batch_size / step,
                "losses": [row["loss"] for row in rows[::max(1, len(rows) // 200)]]}

    def measured(self, dataset, variant, what) -> dict:
        """The "evaluation" or "recognition" of a checkpoint."""
        with exact():
            measured(load_pipeline(self.checkpoints / f"{dataset}-{variant}"), what)
        return {}

    def study(self, *part) -> dict:
        with exact():
            run_study(["-".join(part)])
        return {}

    def samples(self, dataset, variant, count=1000) -> dict:
        """Metrics of the large network's images, drawn in bfloat16; the first images of each scale come back."""
        pipe = load_pipeline(self.runs / f"{dataset}-{variant}-full", device=self.device)
        if not self.smoke:
            pipe.unet.bfloat16()
        found = evaluate(pipe, SCALES[:2] if self.smoke else SCALES, 20 if self.smoke else count)
        images = {f"w{row['w']:g}": load_file(DATA / "samples" / row["store"] / "part-000000.safetensors")["images"]
                  for row in found["rows"]}
        save_file(images, self.out / f"{dataset}-{variant}-samples.safetensors")
        return {"evaluation": found}

    def memory(self) -> dict:
        """Peak memory of one step of the thesis's network for paintings at batch 16, without and with checkpointing."""
        preset = chosen("wikiart", "thesis", self.large)

        def peak_gb(checkpointing):
            if self.device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            unet, loss = training_step(preset, 16, True, checkpointing, self.device)
            loss.backward()
            torch.optim.AdamW(unet.parameters()).step()
            return torch.cuda.max_memory_allocated() / 1e9                          # 0 without a GPU

        return {"peak_gb": {f"checkpointing_{each}": peak_gb(each) for each in (False, True)},
                "without_workspace_gb": [step_memory(preset, 16, *way) for way in WAYS.values()]}

    def bench(self, task) -> dict:
        few = {"dataset": "cifar10", "ways": ("ours",) if self.smoke else ("thesis", "ours"), "rounds": 1}
        if task == "train":
            return bench_speed("train", steps=5 if self.smoke else 60, size=self.large, **few)
        return bench_speed("sample", images=20 if self.smoke else 512, steps=7 if self.smoke else 50,
                           checkpoint=self.runs / "cifar10-improved-full", **few)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("stages", nargs="+")
    parser.add_argument("--seconds", type=float, help="of a training")
    parser.add_argument("--size", default="full", help="smoke rehearses everything on a CPU")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if COMMIT.exists():                                  # the code travels without its repository
        provenance.git_state = functools.partial(read_json, COMMIT)
    stages = Stages(arguments.out, arguments.size, arguments.seconds)
    for name in arguments.stages:
        print(name, json.dumps(stages.run(name))[:400], flush=True)


if __name__ == "__main__":
    main()
