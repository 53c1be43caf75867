"""Small classifiers of real images, which say whether a generated image shows what its prompt asked for.

``python -m t2i_helpers.evaluation.classifiers DATASET`` trains one again into ``checkpoints/classifier-DATASET``.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from .. import presets
from ..data import from_uint8, load_images
from ..errors import BadCheckpoint, UnknownName
from ..paths import CHECKPOINTS, atomic_write
from ..provenance import best_device, computes_bf16, record, write_json
from ..randomness import generator, seed_from


class Classifier(nn.Module):
    """Images in [0, 1], float32 [n, c, h, w], to logits [n, 10]: a linear head on `features` [n, width]."""

    def __init__(self, features: nn.Module, width: int):
        super().__init__()
        self.features, self.head = features, nn.Linear(width, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(F.dropout(self.features(images), 0.3, self.training))


class DigitClassifier(Classifier):
    """MNIST: two stages of two convolutions, 240,000 parameters, 128 features."""

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


RECIPES = {"mnist": Recipe(DigitClassifier, 5, False), "cifar10": Recipe(ObjectClassifier, 16, True)}


def classifier_folder(dataset: str) -> Path:
    """Where the shipped classifier of `dataset` lies; UnknownName where there is none."""
    if dataset not in RECIPES:
        raise UnknownName("dataset for a classifier", dataset, RECIPES)
    return CHECKPOINTS / f"classifier-{dataset}"


def load_classifier(dataset: str, device="cpu") -> Classifier:
    """The shipped classifier; its test accuracy is in the provenance.json beside it. BadCheckpoint if it is damaged."""
    path = classifier_folder(dataset) / "model.safetensors"
    classifier = RECIPES[dataset].network()
    try:
        classifier.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BadCheckpoint(f"{path} cannot be read: restore it, or run python -m {__spec__.name} {dataset}"
                            ) from error
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


def train_classifier(
    dataset: str, images, labels, *, epochs: int | None = None, batch_size: int = 250, seed: int = 0
) -> Classifier:
    """AdamW with a one-cycle learning rate on shifted (and mirrored) images. uint8 [n, c, h, w], int64 [n]."""
    recipe, device = RECIPES[dataset], best_device()
    epochs = recipe.epochs if epochs is None else epochs
    torch.manual_seed(seed_from(seed, "classifier"))
    classifier = recipe.network().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=0.05)
    batches = len(labels) // batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * batches)
    for epoch in range(epochs):
        rng = generator(seed, "classifier", epoch)
        for chosen in torch.randperm(len(labels), generator=rng)[:batches * batch_size].split(batch_size):
            x = augment(images[chosen], recipe.flips, rng).to(device, memory_format=torch.channels_last)
            with torch.autocast(device, torch.bfloat16, enabled=computes_bf16(device)):
                loss = F.cross_entropy(classifier(x), labels[chosen].to(device), label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        print(f"epoch {epoch + 1} of {epochs}: loss {loss.item():.3f}", flush=True)
    return classifier.eval()


def augment(images: torch.Tensor, flips: bool, rng, most: int = 2) -> torch.Tensor:
    """uint8 [n, c, h, w] to float32 in [0, 1], each image shifted by up to `most` pixels and mirrored or not."""
    n, _, height, width = images.shape
    padded = F.pad(from_uint8(images, (0, 1)), [most] * 4, mode="reflect")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)                      # [n, c, 2 most + 1, .., h, w]
    down, right = torch.randint(2 * most + 1, (2, n), generator=rng)
    shifted = windows[torch.arange(n), :, down, right]                             # [n, c, h, w]
    mirrored = torch.rand(n, generator=rng) < (0.5 if flips else 0.0)
    return torch.where(mirrored[:, None, None, None], shifted.flip(-1), shifted)


def main(dataset: str) -> None:
    """Train on all images of the hub's dataset (or its mirror), measure on its test set, write weights and sidecar."""
    folder = classifier_folder(dataset)
    preset = presets.get(dataset, "improved", "full")
    train, test = (load_images(preset, split) for split in ("train", "test"))
    began = time.monotonic()
    classifier = train_classifier(dataset, train.images, train.labels)
    seconds = time.monotonic() - began
    with atomic_write(folder / "model.safetensors") as temporary:
        save_file({name: value.half().contiguous() for name, value in classifier.state_dict().items()}, temporary)
    predicted = read(load_classifier(dataset), test.images).probabilities.argmax(1)
    accuracy = float((predicted == test.labels).float().mean())
    sidecar = record(best_device(), data_source=train.source, data_fingerprint=train.fingerprint,
                     training_images=len(train), epochs=RECIPES[dataset].epochs, training_seconds=round(seconds),
                     test_images=len(test), test_accuracy=accuracy, weights="float16")
    write_json(folder / "provenance.json", sidecar)
    print(f"test accuracy {accuracy:.4f} after {seconds:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
