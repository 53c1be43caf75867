"""Small classifiers of real images, which say whether a generated image shows what its prompt asked for.

``python -m t2i_helpers.evaluation.train_classifier DATASET`` makes one again, in ``checkpoints/classifier-DATASET``.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ..data import from_uint8
from ..errors import BadCheckpoint, UnknownName
from ..models.weights import load_state
from ..paths import CHECKPOINTS
from ..provenance import file_hash


class Classifier(nn.Module):
    """Images in [0, 1], float32 [n, c, h, w], to logits [n, classes]: a linear head on `features` [n, width]."""

    def __init__(self, features: nn.Module, width: int, classes: int = 10):
        super().__init__()
        self.features, self.head = features, nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(F.dropout(self.features(images), 0.3, self.training))


class DigitClassifier(Classifier):
    """MNIST: two stages of two convolutions, 340,000 parameters, 128 features."""

    def __init__(self):
        super().__init__(nn.Sequential(                                            # [n, 1, 28, 28]
            _convolution(1, 24), _convolution(24, 24), nn.MaxPool2d(2),
            _convolution(24, 48), _convolution(48, 48), nn.MaxPool2d(2),           # [n, 48, 7, 7]
            nn.Conv2d(48, 128, 7), nn.Flatten(), nn.ReLU(),                        # [n, 128]
        ), 128)


class ObjectClassifier(Classifier):
    """CIFAR-10: three residual stages after He et al. (2016), 2.0 M parameters, 256 features."""

    def __init__(self):
        super().__init__(nn.Sequential(                                            # [n, 3, 32, 32]
            _convolution(3, 32), ResidualStage(32, 64), ResidualStage(64, 256), ResidualStage(256, 256),
            nn.AdaptiveMaxPool2d(1), nn.Flatten(),                                 # [n, 256]
        ), 256)


class ResidualStage(nn.Module):
    """[n, inputs, h, w] to [n, outputs, h / 2, w / 2]: widen and halve, then add what one more convolution finds."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.widen = nn.Sequential(_convolution(inputs, outputs), nn.MaxPool2d(2))
        self.deepen = _convolution(outputs, outputs)

    def forward(self, x):
        x = self.widen(x)
        return x + self.deepen(x)


def _convolution(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


@dataclass(frozen=True)
class Recipe:
    """How one dataset's classifier is made."""

    network: type[Classifier]
    epochs: int
    flips: bool                       # a mirrored photograph shows the same thing; a mirrored digit may not
    size: str                         # of the preset whose images it learns


RECIPES = {
    "mnist": Recipe(DigitClassifier, 5, False, "full"),
    "cifar10": Recipe(ObjectClassifier, 16, True, "full"),     # 24, an hour of one core, reach 89.11 %: no more
}


def classifier_folder(dataset: str) -> Path:
    """Where the shipped classifier of `dataset` lies; UnknownName where there is none."""
    if dataset not in RECIPES:
        raise UnknownName("dataset for a classifier", dataset, RECIPES)
    return CHECKPOINTS / f"classifier-{dataset}"


def weights_file(dataset: str) -> Path:
    """The shipped classifier's weights."""
    return classifier_folder(dataset) / "model.safetensors"


def classifier_hash(dataset: str) -> str:
    """The hash of the shipped classifier's weights, which its features and judgements are told by."""
    return file_hash(weights_file(dataset))


def told(dataset: str) -> dict:
    """The sidecar of the shipped classifier: its training, its test accuracy, the test images' saturation."""
    path = classifier_folder(dataset) / "provenance.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{path} cannot be read ({error}): restore it, or {how_to_train(dataset)}") from error


def how_to_train(dataset: str) -> str:
    """The remedy for a damaged classifier."""
    return f"run python -m t2i_helpers.evaluation.train_classifier {dataset}"


def load_classifier(dataset: str, device="cpu") -> Classifier:
    """The shipped classifier; its test accuracy is in the provenance.json beside it. BadCheckpoint if it is damaged."""
    path = weights_file(dataset)
    classifier = RECIPES[dataset].network()
    try:
        classifier.load_state_dict(load_state(path))
    except (BadCheckpoint, RuntimeError) as error:
        raise BadCheckpoint(f"{path} cannot be read: restore it, or {how_to_train(dataset)}") from error
    return classifier.eval().to(device)


@dataclass(frozen=True)
class Reading:
    """What a classifier sees in images."""

    features: torch.Tensor            # float32 [n, d]
    probabilities: torch.Tensor       # float32 [n, k], rows sum to 1


@torch.inference_mode()
def read(classifier, images: torch.Tensor, batch_size: int = 500) -> Reading:
    """The features and class probabilities of uint8 `images` [n, c, h, w], on the CPU."""
    device = next(classifier.parameters()).device
    parts = [classifier.features(from_uint8(part.to(device), (0, 1))) for part in images.split(batch_size)]
    features = torch.cat(parts)                                                    # [n, d]
    return Reading(features.cpu(), classifier.head(features).softmax(1).cpu())
