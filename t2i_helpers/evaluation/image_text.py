"""The image-text model at work: its zero-shot accuracy, and as a critic that chooses the best of many images.

``python -m t2i_helpers.evaluation.image_text`` writes evaluation.json beside the shipped model.
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import torch

from .. import presets
from ..data import degrade, from_uint8, load_images, to_uint8
from ..data.wordings import HELD_OUT_PROMPTS, QUALITY, TRAIN_PROMPTS, sentences
from ..errors import BadValue, T2IError
from ..models import ImageText, load_image_text
from ..models.image_text import FOLDER, WEIGHTS_FILE
from ..provenance import best_device, file_hash, record, write_json
from ..randomness import generator
from .classifiers import Classifier, predict
from .metrics import Estimate, proportion

WORDS = ("good", "clear", "blurry")
Scorer = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]       # images [n, c, h, w], labels [n] -> scores [n]


@torch.inference_mode()
def critic_scores(model: ImageText, dataset: str, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """float32 [n, 3]: how well "a good / clear / blurry ..." of its own class fits each of the `images` in [0, 1].

    It is the softmax over the three words of scale times cosine, so rows sum to 1; it compares words, not classes.
    """
    by_word = [sentences(dataset, QUALITY[dataset], word) for word in WORDS]            # [3][classes]
    scores = torch.empty(len(images), len(WORDS))
    for label in labels.unique():
        prompts = [by_class[label] for by_class in by_word]
        scores[labels == label] = model.probabilities(images[labels == label].to(model.dual.device), prompts).cpu()
    return scores


def critic(model: ImageText, dataset: str) -> Scorer:
    """The score 1 - p(blurry), which is p(good) + p(clear)."""
    return lambda images, labels: 1 - critic_scores(model, dataset, images, labels)[:, WORDS.index("blurry")]


def caption_critic(model: ImageText, prompts: list[str]) -> Scorer:
    """The score p(the image's own caption) among the `prompts`, one a class."""

    @torch.inference_mode()
    def score(images, labels):
        fits = model.probabilities(images.to(model.dual.device), prompts).cpu()         # [n, classes]
        return fits[torch.arange(len(labels)), labels]

    return score


class Selection(NamedTuple):
    """The best images of every class, and their accuracy by a judge that had no part in the choice."""

    rows: torch.Tensor          # int64 [classes x best] of the candidates, class by class, the best first
    accuracy: Estimate          # of the chosen images
    accuracy_of_all: Estimate   # of all candidates: the accuracy of a random choice


def best_of(images: torch.Tensor, labels: torch.Tensor, scorer: Scorer, judge: Classifier, best: int = 3) -> Selection:
    """The `best` of each class among candidates [n, c, h, w] in [0, 1], by their score.

    Raises BadValue where a class has fewer candidates, or a score is NaN.
    """
    scores = scorer(images, labels)                                                     # [n]
    if bad := int(scores.isnan().sum()):
        raise BadValue(f"{bad} of {len(scores)} scores are NaN: draw those images again")
    classes, candidates = labels.unique(return_counts=True)
    if not 1 <= best <= int(candidates.min()):
        raise BadValue(f"the best {best} of {int(candidates.min())}: choose 1 to as many as a class has candidates")
    ranked = scores.argsort(descending=True, stable=True)                               # [n]
    rows = torch.cat([ranked[labels[ranked] == label][:best] for label in classes])
    right = predict(judge, to_uint8(images)).labels == labels
    return Selection(rows, proportion(right[rows]), proportion(right))


@torch.inference_mode()
def _nearest(model, images, prompts):
    """int64 [n]: the prompt nearest to each of `images` in [0, 1], for each of the lists `prompts`."""
    vectors = torch.cat([model.embed_images(part.to(model.dual.device)) for part in images.split(500)])
    return [(vectors @ model.embed_texts(each).T).argmax(1).cpu() for each in prompts]


def zero_shot_accuracy(model: ImageText, dataset: str, images: torch.Tensor, labels: torch.Tensor) -> dict:
    """The share of uint8 `images` [n, c, h, w] whose own class is the nearest, for each wording of the prompts."""
    kinds = {"taught": TRAIN_PROMPTS[dataset], "held_out": HELD_OUT_PROMPTS[dataset]}
    wordings = [wording for kind in kinds.values() for wording in kind]
    nearest = _nearest(model, from_uint8(images, (0, 1)), [sentences(dataset, wording) for wording in wordings])
    accuracy = {wording: proportion(answers == labels).as_json() for wording, answers in zip(wordings, nearest)}
    return {kind: {wording: accuracy[wording] for wording in kinds[kind]} for kind in kinds}


def quality_accuracy(model: ImageText, dataset: str, images: torch.Tensor, labels: torch.Tensor) -> dict:
    """How often "blurry" is nearer than "good" to an image exactly if it is degraded; half of uint8 `images` are."""
    rng = generator("zero-shot", dataset)
    images, degraded = from_uint8(images, (0, 1)), torch.rand(len(images), generator=rng) < 0.5
    images[degraded] = degrade(images[degraded], rng)
    words = zip(*(sentences(dataset, QUALITY[dataset], quality) for quality in ("good", "blurry")))
    answers = torch.stack(_nearest(model, images, [list(pair) for pair in words]))              # [classes, n]
    return proportion(answers[labels, torch.arange(len(labels))] == degraded).as_json()


def main() -> None:
    """Measure the shipped model on the real test sets."""
    model, results = load_image_text(best_device()), {}
    for dataset in TRAIN_PROMPTS:
        test = load_images(presets.get(dataset, "improved", "full"), "test")
        results[dataset] = {"data_source": test.source, "data_fingerprint": test.fingerprint, "images": len(test),
                            **zero_shot_accuracy(model, dataset, test.images, test.labels),
                            "good_or_blurry": quality_accuracy(model, dataset, test.images, test.labels)}
    write_json(FOLDER / "evaluation.json",
               record(best_device(), weights_sha256_16=file_hash(FOLDER / WEIGHTS_FILE), zero_shot=results))


if __name__ == "__main__":
    try:
        main()
    except T2IError as error:
        sys.exit(f"image_text: {error}")
