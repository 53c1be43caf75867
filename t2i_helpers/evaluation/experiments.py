"""Experiments beside the study's cells: strengths of guiding losses, the best of many images, the noise that guidance
adds, and when an image becomes recognisable. Each returns JSON with the hashes of the networks that it depends on.
"""

import math

import torch
import torch.nn.functional as F

from .. import presets
from ..data import QUALITY, captions, from_uint8, from_unit, load_images, sentences, to_uint8, to_unit
from ..diffusion import LossGuidance, classifier_loss, colour_loss, similarity_loss
from ..diffusion.losses import UNITS
from ..errors import BadValue
from ..models import WEIGHTS, ImageText, load_image_text, load_pipeline
from ..models.image_text import FOLDER, WEIGHTS_FILE
from ..provenance import code_record, file_hash, record
from ..training import describe_checkpoint
from ..training.ablation import train_missing, training_dir
from .classifiers import classifier_hash, load_classifier, predict, weights_file
from .metrics import mean_estimate, proportion
from .samples import DRAWING, JUDGES, MEASURING, draw_samples

STRENGTHS = (0.0, 0.2, 0.65, 0.8, 1.0)
GREEN = (-0.8, 0.8, -0.8)               # in [-1, 1]
BEST, CANDIDATES = 3, 15
WORDS = ("good", "clear", "blurry")
UNGUIDED, GUIDED = 1.0, 5.0             # the thesis's Figures 4 and 2
IMAGE_TEXT = FOLDER / WEIGHTS_FILE
CODE = (*DRAWING, *MEASURING, *JUDGES.values(), "evaluation.experiments", "models.image_text")


def networks(experiment: str, size: str = "demo") -> dict:
    """{name: weights file} of the networks that an experiment uses."""
    if experiment == "noise":
        return {name: training_dir(name, size) / WEIGHTS for name in ("mnist-thesis", "mnist-improved")}
    datasets = ("mnist", "cifar10")
    return {**{dataset: training_dir(f"{dataset}-improved", size) / WEIGHTS for dataset in datasets},
            **{f"classifier-{dataset}": weights_file(dataset) for dataset in datasets}, "image-text": IMAGE_TEXT}


def dependency_hashes(experiment: str, size: str = "demo") -> dict:
    """The hashes of an experiment's networks, and its settings: a result holds only for these."""
    hashes = {name: file_hash(file) if file.exists() else None for name, file in networks(experiment, size).items()}
    if experiment == "noise":
        return hashes | {"w": [UNGUIDED, GUIDED], "measures": list(NOISE)}
    return hashes | {"strengths": list(STRENGTHS), "colour": list(GREEN), "units": UNITS, "best_of": [BEST, CANDIDATES]}


def _result(experiment, size, pipe, **content):
    return record(pipe.device, made_with=dependency_hashes(experiment, size), **code_record(*CODE), **content)


def guiding_losses(pipe, labels) -> dict:
    """{name: a loss} for images of `labels`: a colour, the shipped classifier's -log p, the caption's similarity."""
    preset = pipe.preset
    prompts = [captions(preset)[label] for label in labels]
    return {"colour": colour_loss(GREEN[:preset.channels]),
            "classifier": classifier_loss(load_classifier(preset.dataset, pipe.device), labels, preset.pixel_range),
            "similarity": similarity_loss(load_image_text(pipe.device), prompts, preset.pixel_range)}


@torch.no_grad()
def loss_strengths(size: str = "demo", n: int = 60, steps: int = 20) -> dict:
    """n objects at w = 1 by DDIM, guided by each loss at each of STRENGTHS: rows {"loss", "strength", "n", "accuracy",
    "loss_at_end"}, the accuracy by the shipped classifier (no fair judge of its own loss), and the mean of the loss
    over the finished images."""
    pipe = load_pipeline(train_missing("cifar10-improved", size))
    labels, classifier, rows = torch.arange(n) % 10, load_classifier("cifar10", pipe.device), []
    prompts = [captions(pipe.preset)[label] for label in labels]
    for name, loss in guiding_losses(pipe, labels.tolist()).items():
        for strength in STRENGTHS:
            images = pipe(prompts, w=1.0, steps=steps, scheduler="ddim", seeds=range(n),
                          loss=LossGuidance(loss, strength) if strength else None).images
            accuracy = proportion(predict(classifier, to_uint8(images)).labels == labels)
            at_end = mean_estimate(loss(from_unit(images, pipe.preset.pixel_range)).cpu())
            rows.append({"loss": name, "strength": strength, "n": n, "loss_at_end": at_end, "accuracy": accuracy})
            print(f"losses: {name} s = {strength:g}: accuracy {accuracy['value']:.3f}", flush=True)
    return _result("losses", size, pipe, w=1.0, steps=steps, scheduler="ddim", first_and_last_seed=[0, n - 1],
                   rows=rows)


@torch.inference_mode()
def critic_scores(model: ImageText, dataset: str, images: torch.Tensor, labels: torch.Tensor) -> dict:
    """{word: float32 [n]}: how well "a good / clear / blurry ..." of its own class fits each of the `images` in [0, 1],
    the softmax over the three words of scale times cosine, so that they sum to 1. It compares words, not classes."""
    prompts = [sentence for word in WORDS for sentence in sentences(dataset, QUALITY[dataset], word)]
    logits = model.logit_scale.exp() * model.similarity(images.to(model.device), prompts)
    of_class = logits.cpu().unflatten(1, (len(WORDS), -1))[torch.arange(len(labels)), :, labels]           # [n, 3]
    return dict(zip(WORDS, of_class.softmax(1).T))


@torch.inference_mode()
def caption_scores(model: ImageText, prompts: list[str], images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """float32 [n]: p(the image's own caption) among the `prompts`, one a class, for `images` in [0, 1]."""
    return model.probabilities(images.to(model.device), prompts).cpu()[torch.arange(len(labels)), labels]


def best_of(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """int64 [classes x BEST]: the images with the highest `scores` [n] of each class, class by class, best first."""
    ranked = scores.argsort(descending=True, stable=True)                               # [n]
    return torch.cat([ranked[labels[ranked] == label][:BEST] for label in labels.unique()])


def critic_rows(everyone: str, critics: dict, labels: torch.Tensor, right: torch.Tensor, scores: dict) -> list[dict]:
    """Rows {"critic", "n", "accuracy", "scores"} of `everyone`, all images, and of the best by each of {critic: score
    [n]}: the share of them that is `right`, bool [n], and their mean of each of {word: score [n]}."""
    chosen = {everyone: torch.arange(len(labels))} | {name: best_of(score, labels) for name, score in critics.items()}
    return [{"critic": name, "n": len(best), "accuracy": proportion(right[best]),
             "scores": {word: float(score[best].mean()) for word, score in scores.items()}}
            for name, best in chosen.items()]


def best_of_fifteen(size: str = "demo") -> dict:
    """The best 3 of 15 images of every class by two critics: rows {"dataset", "w", "critic", "accuracy", "scores"}, the
    first of a dataset of all candidates; the accuracy by the shipped classifier, as the judge, and the mean score for
    each of WORDS. The images are those of the study's cells."""
    rows = []
    for dataset, w, n in (("mnist", 1.0, 150), ("cifar10", 2.0, 260)):
        pipe = load_pipeline(train_missing(f"{dataset}-improved", size))
        images, labels, _ = draw_samples(pipe, w, n, steps=10, scheduler="dpm++").load()
        images, labels = images[:10 * CANDIDATES], labels[:10 * CANDIDATES]
        right = predict(load_classifier(dataset, pipe.device), images).labels == labels
        model, images = load_image_text(pipe.device), images / 255
        scores = critic_scores(model, dataset, images, labels)                               # [n] each
        captioned = caption_scores(model, captions(pipe.preset), images, labels)             # [n]
        critics = {"least blurry": 1 - scores["blurry"], "nearest to the caption": captioned}
        rows += [{"dataset": dataset, "w": w} | row
                 for row in critic_rows("nobody: all of them", critics, labels, right, scores)]
        print(f"best-of: {dataset} measured", flush=True)
    return _result("best-of", size, pipe, steps=10, scheduler="dpm++", rows=rows)


def noise_level(images: torch.Tensor) -> torch.Tensor:
    """The estimated standard deviation of the noise in each of `images` [n, 1, h, w], [n] (Immerkaer 1996, "Fast noise
    variance estimation"): sqrt(pi / 2) times the mean of |images * N| / 6, where N is a difference of two Laplacians.
    N is blind to slopes, but not to the edges of strokes: read it beside `background_noise` and real images."""
    kernel = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]], device=images.device)[None, None]
    return math.sqrt(math.pi / 2) * F.conv2d(images, kernel).abs().mean((1, 2, 3)) / 6


def background_noise(images: torch.Tensor) -> torch.Tensor:
    """The median of the standard deviations of all 3 x 3 windows in each of `images` [n, 1, h, w], [n]. Where most of
    an image is one even background, it is the noise there, whatever the strokes: 0 for nearly all real digits, and 0.96
    sigma for Gaussian noise."""
    return F.unfold(images, 3).std(1).median(1).values                          # of [n, 9, windows]


NOISE = {"noise_level": noise_level, "background_noise": background_noise}


def guidance_noise(size: str = "demo", n: int = 100, steps: int = 20) -> dict:
    """How noisy n digits are with and without guidance, from the same seeds, by the preset's own scheduler.

    Rows {"variant", "w", "n", and for each of NOISE its mean}; "differences", the means of guided minus unguided image
    by image, one row a variant; "real", the same of n real digits. Images are rounded to 256 grey levels, as in files.
    """
    def noise_of(uint8_images):
        images = from_uint8(uint8_images, (0, 1)).cpu()                                      # [n, 1, 28, 28]
        return {name: measure(images) for name, measure in NOISE.items()}

    def means(noise):
        return {name: mean_estimate(values) for name, values in noise.items()}

    rows, differences = [], []
    for variant in presets.VARIANTS:
        pipe = load_pipeline(train_missing(f"mnist-{variant}", size))
        prompts = [captions(pipe.preset)[seed % 10] for seed in range(n)]
        plain, guided = noises = [noise_of(to_uint8(pipe(prompts, w=w, steps=steps, seeds=range(n)).images))
                                  for w in (UNGUIDED, GUIDED)]
        rows += [{"variant": variant, "w": w, "n": n, **means(noise)} for w, noise in zip((UNGUIDED, GUIDED), noises)]
        added = means({name: guided[name] - plain[name] for name in NOISE})
        differences.append({"variant": variant, "w": [GUIDED, UNGUIDED], "n": n, **added})
    digits = load_images(presets.get("mnist", size=size), "test")
    chosen = torch.cat([torch.nonzero(digits.labels == digit)[:n // 10, 0] for digit in range(10)])
    real = {"n": len(chosen), "data_source": digits.source, "data_fingerprint": digits.fingerprint,
            **means(noise_of(digits.images[chosen]))}
    return _result("noise", size, pipe, steps=steps, scheduler=pipe.preset.scheduler, first_and_last_seed=[0, n - 1],
                   rows=rows, differences=differences, real=real)


EXPERIMENTS = {"losses": loss_strengths, "best-of": best_of_fifteen, "noise": guidance_noise}


def recognition(pipe, w: float, n: int, *, steps: int | None = None, scheduler: str | None = None) -> dict:
    """The accuracy of the shipped classifier on every x_t and predicted x_0 of a sampling of n images, image i of class
    i mod 10 and from seed i, by the share of steps done.

    Returns {..provenance.., "w", "n", "steps", "progress" [steps + 1] from 0 to 1, "accuracy": {"x_t", "x_0":
    [{"value", "interval"}, ..]}, "recognised_for_good": {"x_t", "x_0": {"quartiles" [3], "images"}}}, quartiles of
    `first_stable_step` over the images that are recognised at the end. The classifier was trained on clean images only.
    BadValue for no images, UnknownName for a dataset without a classifier.
    """
    if n < 1:
        raise BadValue(f"n = {n}: draw at least 1 image")
    classifier, prompts = load_classifier(pipe.preset.dataset, pipe.device), captions(pipe.preset)
    labels, trace = torch.arange(n) % len(prompts), {"x_t": [], "x_0": []}

    def keep(step, x_t, x_0):
        for images, x in zip(trace.values(), (x_t, x_0)):
            images.append(to_uint8(to_unit(x, pipe.preset.pixel_range)))

    finished = to_uint8(pipe([prompts[label] for label in labels], w=w, seeds=range(n), steps=steps,
                             scheduler=scheduler, callback=keep).images)
    right = {kind: predict(classifier, torch.cat([*images, finished])).labels.view(-1, n) == labels
             for kind, images in trace.items()}                                                  # [steps + 1, n] each
    last = len(right["x_0"]) - 1
    stable = {kind: first_stable_step(each)[each[-1]] for kind, each in right.items()}
    quartiles = torch.tensor([0.25, 0.5, 0.75]).double()
    return record(
        pipe.device, checkpoint=describe_checkpoint(pipe.folder) | {"weights_sha256_16": pipe.weights_sha256_16},
        classifier_sha256_16=classifier_hash(pipe.preset.dataset), **code_record(*CODE), w=w, n=n, steps=last,
        scheduler=scheduler or pipe.preset.scheduler, first_and_last_seed=[0, n - 1],
        progress=[step / last for step in range(last + 1)],
        accuracy={kind: [proportion(at) for at in each] for kind, each in right.items()},
        recognised_for_good={kind: {"quartiles": first.quantile(quartiles).tolist() if len(first) else None,
                                    "images": len(first)} for kind, first in stable.items()})


def first_stable_step(right: torch.Tensor) -> torch.Tensor:
    """float64 [n]: the progress, 0 to 1, from which on an image is always `right`, bool [times, n] at evenly spaced
    progresses; NaN where it is wrong at the end."""
    last_wrong = torch.where(right, -1, torch.arange(len(right))[:, None]).amax(0)              # [n]
    first = (last_wrong + 1).double() / (len(right) - 1)
    return torch.where(right[-1], first, torch.nan)
