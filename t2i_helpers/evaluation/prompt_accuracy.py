"""Does a generated image show what its prompt asked for? Measured by a classifier of real images."""

import torch

from ..data import captions
from ..errors import BadValue
from .classifiers import load_classifier, predict
from .metrics import wilson_interval


def evaluate_prompts(
    pipe, scales, samples: int, *, steps: int | None = None, scheduler: str | None = None
) -> list[dict]:
    """One row a guidance scale: w, n, accuracy, its 95 % interval and the forward passes an image.

    `samples` images are drawn at each scale, the classes in turn, image i from seed i.
    """
    if not scales:
        raise BadValue("no guidance scale: give at least one number")
    if samples < 2:
        raise BadValue(f"samples = {samples}: draw at least 2 images")
    if pipe.preset.dataset != "mnist":
        raise BadValue(f"no classifier reads {pipe.preset.dataset} yet: evaluate mnist")
    classifier = load_classifier(pipe.device)
    labels = torch.arange(samples) % len(captions(pipe.preset))
    prompts = [captions(pipe.preset)[label] for label in labels]
    rows = []
    for w in scales:
        drawn = pipe(prompts, w=w, steps=steps, scheduler=scheduler, seeds=range(samples))
        correct = int((predict(classifier, drawn.images).cpu() == labels).sum())
        low, high = wilson_interval(correct, samples)
        rows.append({"w": w, "n": samples, "accuracy": correct / samples, "interval": [low, high],
                     "forward_passes": drawn.forward_passes})
    return rows
