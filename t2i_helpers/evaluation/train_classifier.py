"""Make a classifier that ships: ``python -m t2i_helpers.evaluation.train_classifier DATASET``."""

import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from .. import presets
from ..data import augment, load_images
from ..errors import T2IError
from ..paths import atomic_write
from ..provenance import best_device, computes_bf16, record, write_json
from ..randomness import generator, seed_from
from .classifiers import RECIPES, Classifier, classifier_folder, classifier_hash, load_classifier, read
from .features import FeatureFile, reference_file
from .metrics import saturation


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


def main(dataset: str) -> None:
    """Train on the dataset's images, measure on its test set; write weights, the test set's features and a sidecar."""
    folder = classifier_folder(dataset)
    preset = presets.get(dataset, "improved", RECIPES[dataset].size)
    train, test = (load_images(preset, split) for split in ("train", "test"))
    began = time.monotonic()
    classifier = train_classifier(dataset, train.images, train.labels)
    seconds = time.monotonic() - began
    with atomic_write(folder / "model.safetensors") as temporary:
        save_file({name: value.half().contiguous() for name, value in classifier.state_dict().items()}, temporary)
    accuracy = write_reference(dataset, test)
    sidecar = record(best_device(), data_source=train.source, data_fingerprint=train.fingerprint,
                     training_images=len(train), epochs=RECIPES[dataset].epochs, training_seconds=round(seconds),
                     test_images=len(test), test_accuracy=accuracy, test_saturation=vars(saturation(test.images)),
                     weights="float16")
    write_json(folder / "provenance.json", sidecar)
    print(f"test accuracy {accuracy:.4f} after {seconds:.0f} s")


def write_reference(dataset: str, test) -> float:
    """Write the features of the real `test` set that generated ones are compared with; returns the test accuracy."""
    reading = read(load_classifier(dataset, best_device()), test.images)
    facts = {"data_source": test.source, "data_fingerprint": test.fingerprint,
             "classifier_sha256_16": classifier_hash(dataset)}
    FeatureFile(reading.features, test.labels, facts).save(reference_file(dataset))
    return float((reading.probabilities.argmax(1) == test.labels).double().mean())


if __name__ == "__main__":
    try:
        main(" ".join(sys.argv[1:]))
    except T2IError as error:
        sys.exit(f"train_classifier: {error}")
