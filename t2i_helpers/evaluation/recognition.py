"""When a drawing becomes recognisable: the classifier reads every x^_0 and x_t on the way from noise to image."""

import torch

from ..data import captions, to_uint8, to_unit
from ..errors import BadValue
from ..provenance import record
from ..training import describe_checkpoint
from .classifiers import classifier_hash, load_classifier, read
from .metrics import proportion

BATCH = 50                      # images drawn at once: a whole number of rounds through ten classes
KINDS = ("x_t", "x_0")


def recognition(pipe, w: float, n: int, *, steps: int | None = None, scheduler: str | None = None) -> dict:
    """How often the shipped classifier sees what was asked for, by the share of the steps that are done.

    n images, the classes in turn, image i from seed i. Returns {..provenance.., "w", "n", "steps", "progress" [steps +
    1] from 0 to 1, "accuracy": {"x_t", "x_0": [{"value", "interval"}, ..]}, "recognised_for_good": {"x_t", "x_0":
    {"quartiles" [3], "images"}}}. x_t at progress p is the image after that share of the steps, x_0 the clean image
    that the network then predicts; at 1 both are the finished image. An image is recognised for good from the first
    progress from which on it always is; the quartiles are those of the images whose end is recognised, as many as
    "images", and None where there is none. The classifier has learnt clean images only: an eye may find a digit in x_t
    before it does.

    Raises BadValue for no images, UnknownName for a dataset without a classifier.
    """
    if n < 1:
        raise BadValue(f"n = {n}: draw at least 1 image")
    classifier = load_classifier(pipe.preset.dataset, pipe.device)
    parts = [_right(pipe, classifier, part, w, steps, scheduler) for part in torch.arange(n).split(BATCH)]
    right = {kind: torch.cat([part[kind] for part in parts], 1) for kind in KINDS}               # [steps + 1, n]
    times = len(right["x_0"])
    return record(
        pipe.device, checkpoint=describe_checkpoint(pipe.folder) | {"weights_sha256_16": pipe.weights_sha256_16},
        classifier_sha256_16=classifier_hash(pipe.preset.dataset), w=w, n=n, steps=times - 1,
        scheduler=scheduler or pipe.preset.scheduler, first_and_last_seed=[0, n - 1],
        progress=[step / (times - 1) for step in range(times)],
        accuracy={kind: [proportion(at.double()).as_json() for at in right[kind]] for kind in KINDS},
        recognised_for_good={kind: _quartiles(for_good(right[kind])) for kind in KINDS},
    )


def for_good(right: torch.Tensor) -> torch.Tensor:
    """float64 [n]: the progress, 0 to 1, from which on an image is right; NaN where it is wrong at the end.

    right     bool [times, n], at `times` progresses evenly from 0 to 1.
    """
    last_wrong = torch.where(right, -1, torch.arange(len(right))[:, None]).amax(0)              # [n]
    first = (last_wrong + 1).double() / (len(right) - 1)
    return torch.where(right[-1], first, torch.nan)


def _right(pipe, classifier, seeds, w, steps, scheduler):
    """{"x_t", "x_0": bool [steps + 1, n]}: whether the images from `seeds` are taken for what was asked for."""
    prompts = captions(pipe.preset)
    labels = seeds % len(prompts)
    seen = {kind: [] for kind in KINDS}

    def keep(step, x_t, x_0):
        for kind, images in zip(KINDS, (x_t, x_0)):
            seen[kind].append(to_uint8(to_unit(images, pipe.preset.pixel_range)))

    drawn = pipe([prompts[label] for label in labels], w=w, seeds=seeds, steps=steps, scheduler=scheduler,
                 callback=keep)
    found = {}
    for kind in KINDS:
        images = torch.cat([*seen[kind], to_uint8(drawn.images)])                               # [times n, c, h, w]
        found[kind] = read(classifier, images).probabilities.argmax(1).view(-1, len(seeds)) == labels
    return found


def _quartiles(progress):
    recognised = progress[~progress.isnan()]
    quartiles = recognised.quantile(torch.tensor([0.25, 0.5, 0.75]).double()).tolist() if len(recognised) else None
    return {"quartiles": quartiles, "images": len(recognised)}
