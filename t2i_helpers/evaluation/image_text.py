"""The image-text model as a critic that chooses the best of many images."""

import torch

from ..data import QUALITY, sentences
from ..errors import BadValue
from ..models import ImageText

WORDS = ("good", "clear", "blurry")


@torch.inference_mode()
def critic_scores(model: ImageText, dataset: str, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """float32 [n, 3]: how well "a good / clear / blurry ..." of its own class fits each of the `images` in [0, 1].

    It is the softmax over the three words of scale times cosine, so rows sum to 1; it compares words, not classes.
    """
    by_word = [sentences(dataset, QUALITY[dataset], word) for word in WORDS]            # [3][classes]
    scores = torch.empty(len(images), len(WORDS))
    for label in labels.unique():
        prompts = [by_class[label] for by_class in by_word]
        scores[labels == label] = model.probabilities(images[labels == label].to(model.device), prompts).cpu()
    return scores


@torch.inference_mode()
def caption_scores(model: ImageText, prompts: list[str], images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """float32 [n]: p(the image's own caption) among the `prompts`, one a class, for `images` in [0, 1]."""
    return model.probabilities(images.to(model.device), prompts).cpu()[torch.arange(len(labels)), labels]


def best_of(scores: torch.Tensor, labels: torch.Tensor, best: int = 3) -> torch.Tensor:
    """int64 [classes x best]: the candidates with the highest `scores` [n] of each class, class by class, best first.

    Raises BadValue where a class has fewer candidates, or a score is NaN.
    """
    if bad := int(scores.isnan().sum()):
        raise BadValue(f"{bad} of {len(scores)} scores are NaN: draw those images again")
    classes, candidates = labels.unique(return_counts=True)
    if not 1 <= best <= int(candidates.min()):
        raise BadValue(f"the best {best} of {int(candidates.min())}: choose 1 to as many as a class has candidates")
    ranked = scores.argsort(descending=True, stable=True)                               # [n]
    return torch.cat([ranked[labels[ranked] == label][:best] for label in classes])
