"""Small classifiers of real images, which judge whether a generated image matches its prompt.

``python scripts/train_classifier.py DATASET`` trains one, into ``checkpoints/classifier-DATASET``.
"""

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from ..data import from_uint8
from ..errors import UnknownName, or_bad_checkpoint
from ..models.weights import load_state
from ..paths import CHECKPOINTS, read_json
from ..provenance import file_hash


class Classifier(nn.Module):
    """Images in [0, 1], float32 [n, c, h, w], to logits [n, 10]: a linear head on `features` [n, width]."""

    def __init__(self, features: nn.Module, width: int):
        super().__init__()
        self.features, self.head = features, nn.Linear(width, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(F.dropout(self.features(images), 0.3, self.training))


def digit_classifier() -> Classifier:
    """MNIST and Fashion-MNIST: two stages of two convolutions, 340,000 parameters, 128 features."""
    return Classifier(nn.Sequential(                                               # [n, 1, 28, 28]
        _convolution(1, 24), _convolution(24, 24), nn.MaxPool2d(2),
        _convolution(24, 48), _convolution(48, 48), nn.MaxPool2d(2),               # [n, 48, 7, 7]
        nn.Conv2d(48, 128, 7), nn.Flatten(), nn.ReLU(),                            # [n, 128]
    ), 128)


def object_classifier() -> Classifier:
    """CIFAR-10: three residual stages after He et al. (2016), 2.0 M parameters, 256 features."""
    return Classifier(nn.Sequential(                                               # [n, 3, 32, 32]
        _convolution(3, 32), ResidualStage(32, 64), ResidualStage(64, 256), ResidualStage(256, 256),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(),                                     # [n, 256]
    ), 256)


class ResidualStage(nn.Module):
    """[n, inputs, h, w] to [n, outputs, h / 2, w / 2]: widen and pool, then a convolution with a skip connection."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.widen = nn.Sequential(_convolution(inputs, outputs), nn.MaxPool2d(2))
        self.deepen = _convolution(outputs, outputs)

    def forward(self, x):
        x = self.widen(x)
        return x + self.deepen(x)


def _convolution(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


# a garment, unlike a digit, keeps its class in the mirror
# 24 epochs of CIFAR-10 reach no more than 16; a mirrored digit may be another digit
RECIPES = {
    "mnist": dict(network=digit_classifier, epochs=5, flips=False),
    "fashion": dict(network=digit_classifier, epochs=2, flips=True),
    "cifar10": dict(network=object_classifier, epochs=16, flips=True),
}
REMEDY = "restore it, or run python scripts/train_classifier.py "


def classifier_folder(dataset: str) -> Path:
    """The folder of the shipped classifier of `dataset`; UnknownName for a dataset without one."""
    if dataset not in RECIPES:
        raise UnknownName("dataset for a classifier", dataset, RECIPES)
    return CHECKPOINTS / f"classifier-{dataset}"


def weights_file(dataset: str) -> Path:
    """The shipped classifier's weights."""
    return classifier_folder(dataset) / "model.safetensors"


def classifier_hash(dataset: str) -> str:
    """The hash of the shipped classifier's weights; results and caches that depend on it carry it."""
    return file_hash(weights_file(dataset))


def classifier_metadata(dataset: str) -> dict:
    """The sidecar of the shipped classifier: its training, its test accuracy, the test images' saturation."""
    path = classifier_folder(dataset) / "provenance.json"
    with or_bad_checkpoint(path, REMEDY + dataset):
        return read_json(path)


def load_classifier(dataset: str, device="cpu") -> Classifier:
    """The shipped classifier of `dataset`; BadCheckpoint if it is damaged."""
    path = weights_file(dataset)
    with or_bad_checkpoint(path, REMEDY + dataset):
        classifier = RECIPES[dataset]["network"]()
        classifier.load_state_dict(load_state(path))
    return classifier.eval().to(device)


class Predictions(NamedTuple):
    """A classifier's output for n images."""

    features: torch.Tensor            # float32 [n, d]
    probabilities: torch.Tensor       # float32 [n, k], rows sum to 1

    @property
    def labels(self) -> torch.Tensor:
        """int64 [n]: the most probable class."""
        return self.probabilities.argmax(1)


@torch.inference_mode()
def predict(classifier, images: torch.Tensor, batch_size: int = 500) -> Predictions:
    """The features and class probabilities of uint8 `images` [n, c, h, w], on the CPU."""
    device = next(classifier.parameters()).device
    features = torch.cat([classifier.features(from_uint8(part.to(device), (0, 1)))
                          for part in images.split(batch_size)])                   # [n, d]
    return Predictions(features.cpu(), classifier.head(features).softmax(1).cpu())
