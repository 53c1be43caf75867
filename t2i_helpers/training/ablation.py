"""The small trainings that the guidance study compares, on MNIST and CIFAR-10:

``python -m t2i_helpers.training.ablation NAME`` makes one in ``checkpoints/runs/ablation-NAME``; again, it resumes.

minilm, one-hot, random; clip, bert   the same digits network behind each text encoder; each also keeps AVERAGES
weak-mnist, weak-cifar10              smaller and trained less than the checkpoints that ship, for autoguidance
"""

import dataclasses
import sys

from .. import presets
from ..errors import T2IError, UnknownName
from ..paths import RUNS
from .loop import train
from .run import Run

DOWN, CROSS = presets.DOWN, presets.CROSS
ENCODERS = ("minilm", "one-hot", "random", "bert", "clip")
SMALL_DIGITS = dict(block_channels=(32, 64, 64), down_blocks=(DOWN, DOWN, CROSS), layers_per_block=1,
                    cross_attention_dim=128)                                # 1.5 M parameters
SMALL_OBJECTS = dict(block_channels=(32, 32, 64, 64))                       # 1.6 M
STEPS = 1000
WEAK = {"weak-mnist": ("mnist", SMALL_DIGITS, 300), "weak-cifar10": ("cifar10", SMALL_OBJECTS, 600)}

# Moving averages of one training's weights. diffusers lets a decay rise from 0.1 as (1 + n) / (10 + n), which the run's
# own average does; a constant decay is what textbooks write.
AVERAGES = {"raw": {"decay": 0.0}} | {f"ema-{str(decay)[2:]}": {"decay": decay, "min_decay": decay}
                                     for decay in (0.99, 0.999, 0.9999)}


def ablation_preset(name: str) -> tuple[presets.Preset, int]:
    """(what the small training `name` is, its number of steps of 64 images); UnknownName for another name."""
    if name in WEAK:
        dataset, smaller, steps = WEAK[name]
        return dataclasses.replace(presets.get(dataset), data_source="hub", **smaller), steps
    if name not in ENCODERS:
        raise UnknownName("small training", name, (*ENCODERS, *WEAK))
    return dataclasses.replace(presets.get("mnist"), data_source="hub", text_encoder=name, **SMALL_DIGITS), STEPS


def train_ablation(name: str) -> Run:
    """The run of the small training `name`, made or finished where it is not."""
    preset, steps = ablation_preset(name)
    run = Run(RUNS / f"ablation-{name}")
    if run.metrics_file.exists() and run.metrics()[-1]["step"] >= steps:
        return run
    return train(preset, RUNS / f"ablation-{name}", max_steps=steps, averages=AVERAGES if name in ENCODERS else None)


if __name__ == "__main__":
    try:
        print(train_ablation(" ".join(sys.argv[1:])).folder)
    except T2IError as error:
        print(f"ablation: {error}", file=sys.stderr)
        sys.exit(2)
