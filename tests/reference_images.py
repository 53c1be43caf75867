"""Images that the shipped checkpoints draw in a few steps under every guidance rule and edit, and their stored copies.

tests/data/guidance.safetensors was drawn by the classes that came before the functions of `rules.py` (with the SVD of
tcfg in float64), and test_rules.py compares with it. `python tests/reference_images.py` stores what the present code
draws. All is in float64, so that it is the same on every machine.
"""

import functools
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from t2i_helpers.diffusion import (
    SCHEDULERS,
    AttentionMaps,
    LossGuidance,
    PromptSwitch,
    PromptToPrompt,
    SDEditInit,
    colour_loss,
    make_guider,
    make_scheduler,
    sample,
)
from t2i_helpers.models import load_pipeline
from t2i_helpers.paths import CHECKPOINTS

STORED = Path(__file__).parent / "data" / "guidance.safetensors"
RULES = [                           # guider, w, settings
    ("cfg", 0, {}), ("cfg", 1, {}), ("cfg", 3, {}), ("cfg-original", 2, {}), ("rescale", 5, {}),
    ("rescale", 5, {"share": 0.3}), ("interval", 5, {"sigma_min": 0.3, "sigma_max": 5}),
    ("interval", 5, {"start": 0.2, "stop": 0.7}), ("threshold", 5, {}), ("threshold", 5, {"percentile": 0.9}),
    ("cfg++", 0.6, {}), ("cfg++", 1, {}), ("cfg-zero", 4, {}), ("apg", 5, {}),
    ("apg", 5, {"eta": 0.5, "momentum": 0.5, "radius": 5}), ("auto", 2, {}), ("pag", 2, {}), ("pag", 1, {"scale": 1}),
    ("slg", 2, {}), ("slg", 0, {"scale": 1}), ("seg", 2, {}), ("seg", 2, {"blur": 1}), ("tcfg", 4, {}), ("mag", 5, {}),
    ("mag", 5, {"alpha": 2}), ("fdg", 5, {}), ("fdg", 5, {"low": 0.2}),
]


@functools.cache
def model(name):
    """(U-Net in float64, its preset) of a shipped checkpoint."""
    pipe = load_pipeline(CHECKPOINTS / name, device="cpu")
    return pipe.unet.double(), pipe.preset


@functools.cache
def embeddings(dataset):
    """float64 [1 + n, length, dim]: the empty caption and those of `dataset` to draw, as they were when stored."""
    if STORED.exists():
        return load_file(STORED)[f"{dataset} embeddings"].double()
    pipe = load_pipeline(dataset, device="cpu")
    cond, null = pipe.embed([pipe.captions[label] for label in ((3, 8) if dataset == "mnist" else (7,))])
    return torch.cat([null, cond]).double()


def draw(dataset, guider, scheduler="ddim", null=None, **options):
    """Two images of MNIST, or one of CIFAR-10."""
    unet, preset = model(f"{dataset}-improved")
    empty, *cond = embeddings(dataset).split(1)
    return sample(unet, make_scheduler(preset, scheduler), guider, torch.cat(cond), empty if null is None else null,
                  seeds=range(len(cond)), steps=4, **options).images


def by_rule(dataset, name, w, settings):
    if name == "auto":
        settings = settings | {"weak": model(f"{dataset}-weak")[0]}
    return draw(dataset, make_guider(name, w, **settings))


def negative():
    return draw("mnist", make_guider("cfg", 3), null=embeddings("mnist")[2:])


def switched():
    return draw("mnist", PromptSwitch(make_guider("cfg", 3), embeddings("mnist")[1:].flip(0), [0.5, 0.2]))


def attention_maps():
    recorder = AttentionMaps(make_guider("cfg", 3))
    draw("mnist", recorder)
    return recorder.maps()[:, :, :, ::2, ::2].mean(1)                                 # [steps, tokens, h/2, w/2]


def started(guider="cfg", scheduler="ddim"):
    images = torch.linspace(-1, 1, 2 * 28 * 28).view(2, 1, 28, 28)
    return draw("mnist", make_guider(guider, 3), scheduler, start=SDEditInit(images, 0.6))


CASES = {
    **{f"mnist {name} w={w}": functools.partial(by_rule, "mnist", name, w, settings)
       for name, w, settings in RULES if not settings},
    **{f"cifar10 {name} w={w} {settings}": functools.partial(by_rule, "cifar10", name, w, settings)
       for name, w, settings in RULES if settings or name in ("cfg", "auto")},
    **{f"mnist cfg by {name}": functools.partial(draw, "mnist", make_guider("cfg", 3), name)
       for name in [*SCHEDULERS, "ddim eta=0.7", "dpm++ spacing=leading"]},
    "mnist cfg++ by dpm++": lambda: draw("mnist", make_guider("cfg++", 0.6), "dpm++"),
    "mnist apg by heun": lambda: draw("mnist", make_guider("apg", 4), "heun"),
    "mnist away from another caption": negative,
    "mnist switched": switched,
    "mnist prompt-to-prompt": lambda: draw("mnist", PromptToPrompt(make_guider("cfg", 3), [0.6])),
    "mnist attention maps": attention_maps,
    "mnist started": started,
    "mnist started, apg": functools.partial(started, "apg"),
    "mnist started by dpm++": functools.partial(started, "cfg", "dpm++"),
    "mnist loss": lambda: draw("mnist", make_guider("cfg", 2), loss=LossGuidance(colour_loss([0.3]), 0.5)),
    "mnist loss, rescale by euler": lambda: draw("mnist", make_guider("rescale", 3), "euler",
                                                 loss=LossGuidance(colour_loss([0.3]), 0.5)),
    "mnist not clipped": lambda: draw("mnist", make_guider("rescale", 3), clip=None),
}


def drawn(case):
    """float32, every second pixel of a case's images."""
    result = CASES[case]().float()
    return result if "maps" in case else result[:, :, ::2, ::2].contiguous()


if __name__ == "__main__":
    save_file({case: drawn(case) for case in CASES}
              | {f"{dataset} embeddings": embeddings(dataset).float() for dataset in ("mnist", "cifar10")}, STORED)
