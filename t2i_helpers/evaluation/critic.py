"""An image-text model as critic: which of many drawn images are good, clear, not blurry examples of their class."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..data import QUALITY, sentences, to_uint8
from ..errors import BadValue
from ..models import ImageText
from .classifiers import Classifier, read
from .metrics import Estimate, proportion

WORDS = ("good", "clear", "blurry")


@torch.inference_mode()
def critic_scores(model: ImageText, dataset: str, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """float32 [n, 3]: how well "a good / clear / blurry ..." of its own class fits each of the `images` in [0, 1]: the
    softmax over the three words of scale times cosine, so rows sum to 1. It compares words, not classes."""
    said = [sentences(dataset, QUALITY[dataset], word) for word in WORDS]               # [3][classes]
    scores = torch.empty(len(images), len(WORDS))
    for label in labels.unique():
        of_class = labels == label
        prompts = [of_word[label] for of_word in said]
        scores[of_class] = model.probabilities(images[of_class].to(model.dual.device), prompts).cpu()
    return scores


def critic(model: ImageText, dataset: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A scorer for `best_of`: 1 - p(blurry), which is p(good) + p(clear)."""
    return lambda images, labels: 1 - critic_scores(model, dataset, images, labels)[:, WORDS.index("blurry")]


def caption_critic(model: ImageText, prompts: list[str]) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A scorer for `best_of`: how much nearer an image is to its own class's caption than to the other `prompts`."""

    @torch.inference_mode()
    def score(images, labels):
        fits = model.probabilities(images.to(model.dual.device), prompts).cpu()             # [n, classes]
        return fits[torch.arange(len(labels)), labels]

    return score


@dataclass(frozen=True)
class Selection:
    """The best images of every class, and what a judge who had no part in the choice says of them."""

    rows: torch.Tensor          # int64 [classes x best] of the candidates, class by class, the best first
    accuracy: Estimate          # of the judge on the chosen images
    accuracy_of_all: Estimate   # on all candidates: what a choice at random is worth


def best_of(images: torch.Tensor, labels: torch.Tensor, scorer, judge: Classifier, best: int = 3) -> Selection:
    """The `best` of each class among candidates [n, c, h, w] in [0, 1], by scorer(images, labels) -> [n].

    For example 3 of 15. Raises BadValue where a class has fewer candidates than are to be chosen, or a score is NaN.
    """
    scores = scorer(images, labels)                                                     # [n]
    if bad := int(scores.isnan().sum()):
        raise BadValue(f"{bad} of {len(scores)} scores are NaN: draw those images again")
    classes, candidates = labels.unique(return_counts=True)
    if not 1 <= best <= int(candidates.min()):
        raise BadValue(f"the best {best} of {int(candidates.min())}: choose 1 to as many as a class has candidates")
    ranked = scores.argsort(descending=True, stable=True)                               # [n]
    rows = torch.cat([ranked[labels[ranked] == label][:best] for label in classes])
    right = (read(judge, to_uint8(images)).probabilities.argmax(1) == labels).double()
    return Selection(rows, proportion(right[rows]), proportion(right))
