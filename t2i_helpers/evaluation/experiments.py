"""The study's experiments that are no cells: how strongly a loss should guide, what choosing the best is worth, and
whether guidance makes digits noisier.

Each returns JSON with the hashes of the networks that it was made with.
"""

import torch

from .. import presets
from ..data import captions, from_uint8, from_unit, load_images, to_uint8
from ..diffusion import LossGuidance, classifier_loss, colour_loss, similarity_loss
from ..diffusion.losses import UNITS
from ..models import WEIGHTS, load_image_text, load_pipeline
from ..paths import CHECKPOINTS
from ..provenance import file_hash, record
from .classifiers import load_classifier, read, weights_file
from .critic import WORDS, best_of, caption_critic, critic, critic_scores
from .metrics import mean_estimate, proportion
from .noise_level import background_noise, noise_level
from .samples import draw_samples

STRENGTHS = (0.0, 0.2, 0.65, 0.8, 1.0)
GREEN = (-0.8, 0.8, -0.8)               # in [-1, 1]
BEST, CANDIDATES = 3, 15
UNGUIDED, GUIDED = 1.0, 5.0             # the thesis's Figures 4 and 2
NOISE = {"noise_level": noise_level, "background_noise": background_noise}
IMAGE_TEXT = CHECKPOINTS / "image-text" / "model.safetensors"


def networks(experiment: str) -> dict:
    """{name: weights file} of the networks that an experiment may use."""
    if experiment == "noise":
        return {name: CHECKPOINTS / name / WEIGHTS for name in ("mnist-thesis", "mnist-improved")}
    datasets = ("mnist", "cifar10")
    return {**{dataset: CHECKPOINTS / f"{dataset}-improved" / WEIGHTS for dataset in datasets},
            **{f"classifier-{dataset}": weights_file(dataset) for dataset in datasets}, "image-text": IMAGE_TEXT}


def made_with(experiment: str) -> dict:
    """The hashes of an experiment's networks, and its settings: with others it is made again."""
    hashes = {name: file_hash(file) for name, file in networks(experiment).items()}
    if experiment == "noise":
        return hashes | {"w": [UNGUIDED, GUIDED], "measures": list(NOISE)}
    return hashes | {"strengths": list(STRENGTHS), "colour": list(GREEN), "units": UNITS, "best_of": [BEST, CANDIDATES]}


def guiding_losses(pipe, labels) -> dict:
    """{name: a loss} for images of `labels`: a colour, the shipped classifier's -log p, the caption's similarity."""
    preset = pipe.preset
    prompts = [captions(preset)[label] for label in labels]
    return {"colour": colour_loss(GREEN[:preset.channels]),
            "classifier": classifier_loss(load_classifier(preset.dataset, pipe.device), labels, preset.pixel_range),
            "similarity": similarity_loss(load_image_text(pipe.device), prompts, preset.pixel_range)}


@torch.no_grad()
def loss_strengths(n: int = 60, steps: int = 20) -> dict:
    """n objects at w = 1 by DDIM, pushed by each loss at each of STRENGTHS.

    Rows {"loss", "strength", "n", "accuracy", "loss_at_end"}: what the shipped classifier sees (no fair judge of its
    own loss), and the mean of the loss over the finished images.
    """
    pipe = load_pipeline("cifar10")
    labels = [seed % 10 for seed in range(n)]
    prompts, rows = [captions(pipe.preset)[label] for label in labels], []
    classifier = load_classifier("cifar10", pipe.device)
    for name, loss in guiding_losses(pipe, labels).items():
        for strength in STRENGTHS:
            guidance = LossGuidance(loss, strength) if strength else None
            images = pipe(prompts, w=1.0, steps=steps, scheduler="ddim", seeds=range(n), loss=guidance).images
            seen = read(classifier, to_uint8(images)).probabilities.argmax(1)
            at_end = loss(from_unit(images, pipe.preset.pixel_range)).cpu()                  # [n]
            rows.append({"loss": name, "strength": strength, "n": n, "loss_at_end": mean_estimate(at_end).as_json(),
                         "accuracy": proportion((seen == torch.tensor(labels)).double()).as_json()})
            print(f"losses: {name} s = {strength:g}: accuracy {rows[-1]['accuracy']['value']:.3f}", flush=True)
    return record(pipe.device, made_with=made_with("losses"), w=1.0, steps=steps, scheduler="ddim",
                  first_and_last_seed=[0, n - 1], rows=rows)


def best_of_fifteen() -> dict:
    """The best 3 of 15 images of every class by two critics, judged by the shipped classifier, which had no part in it.

    Rows {"dataset", "w", "critic", "accuracy", "scores"}, the first of a dataset of all candidates; the scores are the
    mean for each of WORDS. The images are those of the study's cells.
    """
    rows = []
    for dataset, w, n in (("mnist", 1.0, 150), ("cifar10", 2.0, 260)):
        pipe = load_pipeline(dataset)
        images, labels, _ = draw_samples(pipe, w, n, steps=10, scheduler="dpm++").load()
        images, labels = images[:10 * CANDIDATES] / 255, labels[:10 * CANDIDATES]
        model, judge = load_image_text(pipe.device), load_classifier(dataset, pipe.device)
        scores = critic_scores(model, dataset, images, labels)                               # [n, 3]
        blur = best_of(images, labels, critic(model, dataset), judge, BEST)
        caption = best_of(images, labels, caption_critic(model, captions(pipe.preset)), judge, BEST)
        for name, chosen, accuracy in (("nobody: all of them", torch.arange(len(labels)), blur.accuracy_of_all),
                                       ("least blurry", blur.rows, blur.accuracy),
                                       ("nearest to the caption", caption.rows, caption.accuracy)):
            rows.append({"dataset": dataset, "w": w, "critic": name, "n": len(chosen), "accuracy": accuracy.as_json(),
                         "scores": dict(zip(WORDS, scores[chosen].mean(0).tolist()))})
            print(f"best-of: {dataset}: {name}: accuracy {accuracy.value:.3f}", flush=True)
    return record(pipe.device, made_with=made_with("best-of"), steps=10, scheduler="dpm++", rows=rows)


def guidance_noise(n: int = 100, steps: int = 20) -> dict:
    """How noisy n digits are with guidance and without it, from the same seeds, by the preset's own scheduler.

    Rows {"variant", "w", "n", and for each of NOISE its mean}; "differences", the means of guided minus unguided image
    by image, a variant each; "real", the same of n real digits. Images are those that files would hold, of 256 greys.
    """
    rows, differences = [], []
    for variant in presets.VARIANTS:
        pipe = load_pipeline("mnist", variant)
        prompts = [captions(pipe.preset)[seed % 10] for seed in range(n)]
        found = {w: _noise_of(pipe(prompts, w=w, steps=steps, seeds=range(n)).images) for w in (UNGUIDED, GUIDED)}
        rows += [{"variant": variant, "w": w, "n": n, **_means(noise)} for w, noise in found.items()]
        apart = {name: found[GUIDED][name] - found[UNGUIDED][name] for name in NOISE}
        differences.append({"variant": variant, "w": [GUIDED, UNGUIDED], "n": n, **_means(apart)})
        told = {name: f"{of_one['value']:+.4f}" for name, of_one in _means(apart).items()}
        print(f"noise: {variant}: guided minus unguided: {told}", flush=True)
    digits = load_images(presets.get("mnist"), "test")
    chosen = torch.cat([torch.nonzero(digits.labels == digit)[:n // 10, 0] for digit in range(10)])
    real = {"n": len(chosen), "data_source": digits.source, "data_fingerprint": digits.fingerprint,
            **_means(_noise_of(from_uint8(digits.images[chosen], (0, 1))))}
    return record(pipe.device, made_with=made_with("noise"), steps=steps, scheduler=pipe.preset.scheduler,
                  first_and_last_seed=[0, n - 1], rows=rows, differences=differences, real=real)


def _noise_of(images) -> dict[str, torch.Tensor]:
    images = from_uint8(to_uint8(images), (0, 1)).cpu()                                      # [n, 1, 28, 28]
    return {name: measure(images) for name, measure in NOISE.items()}


def _means(noise) -> dict:
    return {name: mean_estimate(values).as_json() for name, values in noise.items()}


EXPERIMENTS = {"losses": loss_strengths, "best-of": best_of_fifteen, "noise": guidance_noise}
