"""Images that the shipped checkpoints draw in a few steps under every guidance rule and edit, and their stored copies.

tests/data/guidance.safetensors was drawn by the classes that came before the functions of `rules.py` (with the SVD of
tcfg in float64), and test_rules.py compares with it. `python tests/reference_images.py` stores what the present code
draws. All is in float64, so that it is the same on every machine.
"""

import functools
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from t2i_helpers.diffusion import SCHEDULERS, make_guider, make_scheduler, sample
from t2i_helpers.diffusion.editing import AttentionMaps, PromptSwitch, PromptToPrompt, SDEditInit
from t2i_helpers.diffusion.losses import LossGuidance, colour_loss
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
CFG = make_guider("cfg", 3)
LOSS = LossGuidance(colour_loss([0.3]), 0.5)
START = SDEditInit(torch.linspace(-1, 1, 2 * 28 * 28).view(2, 1, 28, 28), 0.6)


@functools.cache
def model(name):
    """(U-Net in float64, its preset) of a shipped checkpoint."""
    pipe = load_pipeline(CHECKPOINTS / name, device="cpu")
    return pipe.unet.double(), pipe.preset


@functools.cache
def embeddings(dataset):
    """float64 [1 + n, length, dim]: the empty caption, and those of a 3 and an 8, or of a horse."""
    return load_file(STORED)[f"{dataset} embeddings"].double()


def draw(guider=CFG, scheduler="ddim", dataset="mnist", null=None, **options):
    """Two images of MNIST, or one of CIFAR-10."""
    unet, preset = model(f"{dataset}-improved")
    empty, cond = embeddings(dataset)[:1], embeddings(dataset)[1:]
    return sample(unet, make_scheduler(preset, scheduler), guider, cond, empty if null is None else null,
                  seeds=range(len(cond)), steps=4, **options).images


def by_rule(dataset, name, w, settings):
    weak = {"weak": model(f"{dataset}-weak")[0]} if name == "auto" else {}
    return draw(make_guider(name, w, **settings, **weak), dataset=dataset)


def attention_maps():
    recorder = AttentionMaps(CFG)
    draw(recorder)
    return recorder.maps()[:, :, :, ::2, ::2].mean(1)                                 # [steps, tokens, h/2, w/2]


CASES = {
    **{f"mnist {name} w={w}": functools.partial(by_rule, "mnist", name, w, settings)
       for name, w, settings in RULES if not settings},
    **{f"cifar10 {name} w={w} {settings}": functools.partial(by_rule, "cifar10", name, w, settings)
       for name, w, settings in RULES if settings or name in ("cfg", "auto")},
    **{f"mnist cfg by {name}": functools.partial(draw, CFG, name)
       for name in [*SCHEDULERS, "ddim eta=0.7", "dpm++ spacing=leading"]},
    "mnist cfg++ by dpm++": lambda: draw(make_guider("cfg++", 0.6), "dpm++"),
    "mnist apg by heun": lambda: draw(make_guider("apg", 4), "heun"),
    "mnist away from another caption": lambda: draw(null=embeddings("mnist")[2:]),
    "mnist switched": lambda: draw(PromptSwitch(CFG, embeddings("mnist")[1:].flip(0), [0.5, 0.2])),
    "mnist prompt-to-prompt": lambda: draw(PromptToPrompt(CFG, [0.6])),
    "mnist attention maps": attention_maps,
    "mnist started": lambda: draw(start=START),
    "mnist started, apg": lambda: draw(make_guider("apg", 3), start=START),
    "mnist started by dpm++": lambda: draw(scheduler="dpm++", start=START),
    "mnist loss": lambda: draw(make_guider("cfg", 2), loss=LOSS),
    "mnist loss, rescale by euler": lambda: draw(make_guider("rescale", 3), "euler", loss=LOSS),
    "mnist not clipped": lambda: draw(make_guider("rescale", 3), clip=None),
}


def drawn(case):
    """float32, every second pixel of a case's images."""
    result = CASES[case]().float()
    return result if "maps" in case else result[:, :, ::2, ::2].contiguous()


if __name__ == "__main__":
    save_file({case: drawn(case) for case in CASES}
              | {f"{dataset} embeddings": embeddings(dataset).float() for dataset in ("mnist", "cifar10")}, STORED)
