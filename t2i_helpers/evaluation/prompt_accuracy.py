"""Does a generated image show what its prompt asked for? Measured by a classifier of real images."""

import torch

from ..data import captions, to_uint8
from ..errors import BadValue
from .classifiers import load_classifier, read
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
    classifier = load_classifier(pipe.preset.dataset, pipe.device)
    labels = torch.arange(samples) % len(captions(pipe.preset))
    prompts = [captions(pipe.preset)[label] for label in labels]
    rows = []
    for w in scales:
        drawn = pipe(prompts, w=w, steps=steps, scheduler=scheduler, seeds=range(samples))
        correct = int((read(classifier, to_uint8(drawn.images)).probabilities.argmax(1) == labels).sum())
        low, high = wilson_interval(correct, samples)
        rows.append({"w": w, "n": samples, "accuracy": correct / samples, "interval": [low, high],
                     "forward_passes": drawn.forward_passes})
    return rows
