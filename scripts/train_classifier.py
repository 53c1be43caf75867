"""Train a small classifier into checkpoints/classifier-DATASET: ``python scripts/train_classifier.py DATASET``.

AdamW, a one-cycle learning rate, label smoothing, shifted images (with flips: mirrored too), bf16 where it is fast.
"""

import math
import sys
import time

import torch
import torch.nn.functional as F

from t2i_helpers import presets
from t2i_helpers.data import from_uint8, load_images
from t2i_helpers.errors import T2IError
from t2i_helpers.evaluation.classifiers import RECIPES, classifier_folder, load_classifier, predict, weights_file
from t2i_helpers.evaluation.metrics import saturation
from t2i_helpers.paths import save_tensors
from t2i_helpers.provenance import best_device, computes_bf16, record, write_json
from t2i_helpers.randomness import generator, seed_from


def minimise(loss_of_step, parameters, steps: int, peak: float, *, weight_decay=0.05, clip=math.inf, factor=None):
    """`steps` steps of AdamW on `loss_of_step`, from a step to a scalar loss. The learning rate is `peak` times
    `factor`(step), by default of one cycle; `clip` bounds the gradient's norm."""
    parameters, device = list(parameters), best_device()
    optimizer = torch.optim.AdamW(parameters, peak, weight_decay=weight_decay)
    schedule = (torch.optim.lr_scheduler.LambdaLR(optimizer, factor) if factor
                else torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps))
    for step in range(steps):
        with torch.autocast(device, torch.bfloat16, enabled=computes_bf16(device)):
            loss = loss_of_step(step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} of {steps}: loss {loss.item():.3f}", flush=True)


def augment(images: torch.Tensor, flips: bool, rng, max_shift: int = 2) -> torch.Tensor:
    """uint8 [n, c, h, w] to float32 in [0, 1], each image shifted by up to `max_shift` pixels and mirrored or not."""
    n, _, height, width = images.shape
    padded = F.pad(from_uint8(images, (0, 1)), [max_shift] * 4, mode="reflect")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)                      # [n, c, 2 max_shift + 1, .., h, w]
    down, right = torch.randint(2 * max_shift + 1, (2, n), generator=rng)
    shifted = windows[torch.arange(n), :, down, right]                             # [n, c, h, w]
    mirrored = torch.rand(n, generator=rng) < (0.5 if flips else 0.0)
    return torch.where(mirrored[:, None, None, None], shifted.flip(-1), shifted)


def train_classifier(network, images, labels, *, epochs, flips, batch_size=250, seed=0) -> torch.nn.Module:
    """`network`() trained on `images` uint8 [n, c, h, w] and `labels` int64 [n]."""
    device, batches = best_device(), len(labels) // batch_size
    torch.manual_seed(seed_from(seed, "classifier"))
    classifier = network().to(device, memory_format=torch.channels_last)

    def every_batch():
        for epoch in range(epochs):
            rng = generator(seed, "classifier", epoch)
            for chosen in torch.randperm(len(labels), generator=rng)[:batches * batch_size].split(batch_size):
                yield augment(images[chosen], flips, rng), labels[chosen]

    def loss_of_step(step):
        x, y = next(stream)
        logits = classifier(x.to(device, memory_format=torch.channels_last))
        return F.cross_entropy(logits, y.to(device), label_smoothing=0.05)

    stream = every_batch()
    minimise(loss_of_step, classifier.parameters(), epochs * batches, 3e-3)
    return classifier.eval()


def main(dataset: str) -> None:
    """Train on the dataset's images, measure on its test set; write weights and a sidecar."""
    folder, preset = classifier_folder(dataset), presets.get(dataset, "improved", "full")
    train, test = (load_images(preset, split) for split in ("train", "test"))
    began = time.monotonic()
    classifier = train_classifier(images=train.images, labels=train.labels, **RECIPES[dataset])
    seconds = round(time.monotonic() - began)
    save_tensors(weights_file(dataset), {name: value.half() for name, value in classifier.state_dict().items()})
    value, (low, high) = saturation(test.images).values()
    right = predict(load_classifier(dataset, best_device()), test.images).labels == test.labels
    write_json(folder / "provenance.json", record(
        best_device(), data_source=train.source, data_fingerprint=train.fingerprint, training_images=len(train),
        epochs=RECIPES[dataset]["epochs"], training_seconds=seconds, test_images=len(test),
        test_accuracy=float(right.double().mean()), test_saturation=dict(value=value, low=low, high=high),
        weights="float16"))
    print(f"test accuracy {right.double().mean():.4f}")


if __name__ == "__main__":
    try:
        main(" ".join(sys.argv[1:]))
    except T2IError as error:
        sys.exit(f"train_classifier: {error}")
