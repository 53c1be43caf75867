"""A small classifier of real digits, which says whether a generated image shows what its prompt asked for.

``python -m t2i_helpers.evaluation.classifiers`` trains it again into ``checkpoints/classifier-mnist``.
"""

import time

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from .. import presets
from ..data import from_uint8, load_images
from ..errors import BadCheckpoint
from ..paths import CHECKPOINTS, atomic_write
from ..provenance import record, write_json
from ..randomness import generator, seed_from

FOLDER = CHECKPOINTS / "classifier-mnist"


class DigitClassifier(nn.Module):
    """Digits in [0, 1], float32 [n, 1, 28, 28], to logits [n, 10]; `features` gives the 128 numbers before them."""

    def __init__(self):
        super().__init__()

        def block(inputs, outputs):
            layers = []
            for channels in (inputs, outputs):
                convolution = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
                layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
            return [*layers, nn.MaxPool2d(2)]

        self.features = nn.Sequential(                                   # [n, 1, 28, 28]
            *block(1, 24), *block(24, 48),                               # [n, 48, 7, 7]
            nn.Conv2d(48, 128, 7), nn.Flatten(), nn.ReLU(),              # [n, 128]
        )
        self.head = nn.Linear(128, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(F.dropout(self.features(images), 0.3, self.training))


def load_classifier(device="cpu") -> DigitClassifier:
    """The shipped classifier; its test accuracy is in the provenance.json beside it. BadCheckpoint if it is damaged."""
    path = FOLDER / "model.safetensors"
    classifier = DigitClassifier()
    try:
        classifier.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BadCheckpoint(f"{path} cannot be read: restore it, or run python -m {__spec__.name}") from error
    return classifier.eval().to(device)


@torch.inference_mode()
def predict(classifier, images: torch.Tensor, batch_size: int = 500) -> torch.Tensor:
    """int64 [n]: the most likely class of each image (float32 [n, 1, 28, 28] in [0, 1])."""
    return torch.cat([classifier(part).argmax(1) for part in images.split(batch_size)])


def train_classifier(images, labels, *, epochs: int = 8, batch_size: int = 128, seed: int = 0) -> DigitClassifier:
    """AdamW with a one-cycle learning rate on digits shifted by up to two pixels. uint8 [n, 1, 28, 28], int64 [n]."""
    torch.manual_seed(seed_from(seed, "classifier"))
    classifier = DigitClassifier()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=3e-3, weight_decay=0.01)
    batches = len(labels) // batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * batches)
    for epoch in range(epochs):
        rng = generator(seed, "classifier", epoch)
        for chosen in torch.randperm(len(labels), generator=rng)[:batches * batch_size].split(batch_size):
            dy, dx = torch.randint(-2, 3, (2,), generator=rng).tolist()       # MNIST's margin is 4 pixels: none is lost
            shifted = from_uint8(images[chosen], (0, 1)).roll((dy, dx), (2, 3))
            loss = F.cross_entropy(classifier(shifted), labels[chosen], label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    return classifier.eval()


def main():
    """Train on all digits of the hub's MNIST (or its mirror), measure on its test set, write weights and sidecar."""
    preset = presets.get("mnist", "improved", "full")
    train, test = (load_images(preset, split) for split in ("train", "test"))
    began = time.monotonic()
    classifier = train_classifier(train.images, train.labels)
    seconds = time.monotonic() - began
    with atomic_write(FOLDER / "model.safetensors") as temporary:
        save_file(classifier.half().state_dict(), temporary)
    accuracy = float((predict(load_classifier(), from_uint8(test.images, (0, 1))) == test.labels).float().mean())
    sidecar = record("cpu", data_source=train.source, data_fingerprint=train.fingerprint,
                     training_images=len(train), training_seconds=round(seconds), test_images=len(test),
                     test_accuracy=accuracy, weights="float16")
    write_json(FOLDER / "provenance.json", sidecar)
    print(f"test accuracy {accuracy:.4f} after {seconds:.0f} s")


if __name__ == "__main__":
    main()
