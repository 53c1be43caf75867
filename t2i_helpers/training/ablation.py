"""The trainings that the guidance study compares, one table; each is made if missing, and resumes if interrupted.

NAME-improved, NAME-thesis   at `full`, the checkpoints of `t2i train`; at `demo` they ship
NAME-weak                    smaller and trained for fewer steps, for autoguidance; at `demo` they ship
flow-NETWORK, v-dit          the small networks of notebook 7, which predict a flow or v; each also keeps AVERAGES
latent-NETWORK               a U-Net and a transformer of notebook 7 on latents of paintings
ablation-ENCODER             one small network on MNIST with each text encoder; each also keeps AVERAGES
change-CHANGE-SEED           a smaller network by the recipe `thesis`, with exactly one of CHANGES, from three seeds
"""

import dataclasses
from pathlib import Path

from .. import presets
from ..errors import check_name
from ..paths import CHECKPOINTS, RUNS, checkpoint_dir
from .loop import train
from .run import Run

DOWN, CROSS = presets.DOWN, presets.CROSS
SMALL_DIGITS = dict(block_channels=(32, 64, 64), down_blocks=(DOWN, DOWN, CROSS), layers_per_block=1,
                    cross_attention_dim=128, data_source="hub")                         # 1.5 M parameters
SMALLER_DIGITS = SMALL_DIGITS | dict(block_channels=(32, 32, 64), cross_attention_dim=32, batch_size=32)    # 1.1 M
SMALL_OBJECTS = dict(block_channels=(32, 32, 64, 64), down_blocks=(DOWN, DOWN, CROSS, DOWN), layers_per_block=1,
                     cross_attention_dim=128, attention_head_dim=8, data_source="hub")  # 1.6 M
CHANGES = {"none": {}, "dropout": {"caption_dropout": 0.1}, "range": {"pixel_range": (-1.0, 1.0)},
           "v": {"prediction": "v_prediction"}}
SEEDS = (422, 423, 424)
# name: (dataset, variant, changes of its preset, steps or None for the preset's)
TRAININGS = {
    **{f"{dataset}-{variant}": (dataset, variant, {}, None)
       for dataset in ("mnist", "cifar10") for variant in presets.VARIANTS},
    "mnist-weak": ("mnist", "improved", SMALL_DIGITS, 300),
    "cifar10-weak": ("cifar10", "improved", SMALL_OBJECTS, 600),
    **{f"ablation-{encoder}": ("mnist", "improved", SMALL_DIGITS | {"text_encoder": encoder}, 1000)
       for encoder in ("minilm", "one-hot", "random", "bert", "clip")},
    **{f"change-{change}-{seed}": ("mnist", "thesis", SMALLER_DIGITS | CHANGES[change] | {"seed": seed}, 1000)
       for change in CHANGES for seed in SEEDS},
    **{name: ("mnist", "improved", presets.NAMED[name], steps) for name, steps in {
        "flow-dit": 1600, "flow-dit-half": 800, "flow-dit-short": 420, "flow-unet": 420, "flow-dit-cross": 800,
        "flow-dit-context": 800, "v-dit": 1600}.items()},
    **{name: ("wikiart", "improved", presets.NAMED[name], None) for name in ("latent-unet", "latent-dit")},
}
# Moving averages of one training's weights. diffusers lets a decay rise from 0.1 as (1 + n) / (10 + n), and so does the
# run's own average; a constant decay is what textbooks write.
AVERAGES = {"raw": {"decay": 0.0}} | {f"ema-{str(decay)[2:]}": {"decay": decay, "min_decay": decay}
                                     for decay in (0.99, 0.999, 0.9999)}


def training_preset(name: str, size: str = "demo") -> presets.Preset:
    """The preset of the training `name`; UnknownName for a name that is not in TRAININGS."""
    check_name("training", name, TRAININGS)
    dataset, variant, changes, _ = TRAININGS[name]
    return dataclasses.replace(presets.get(dataset, variant, size), **changes)


def training_dir(name: str, size: str = "demo") -> Path:
    """The checkpoint folder of the training `name`."""
    kind, variant = name.split("-", 1)
    return checkpoint_dir(kind, variant, size) if kind in presets.DATASETS else RUNS / f"{name}-{size}"


def train_missing(name: str, size: str = "demo") -> Path:
    """`training_dir`, after the training has been made or completed; a checkpoint that ships is left alone."""
    preset, folder, steps = training_preset(name, size), training_dir(name, size), TRAININGS[name][3]
    if folder.parent == CHECKPOINTS:
        return folder
    last = Run(folder).metrics()[-1] if (folder / "metrics.jsonl").exists() else {"step": 0, "epoch": 0}
    if last["step"] < steps if steps else last["epoch"] < preset.epochs:
        train(preset, folder, max_steps=steps, averages=None if name.split("-")[0] in presets.DATASETS else AVERAGES)
    return folder
