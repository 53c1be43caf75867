"""The recipe of the small networks that judge images: AdamW, a one-cycle learning rate, bf16 where it is fast."""

import torch
import torch.nn.functional as F

from ..data import augment
from ..provenance import best_device, computes_bf16
from ..randomness import generator, seed_from


def one_cycle(parameters, steps: int, peak: float, loss_of_step) -> None:
    """`steps` steps of AdamW with a one-cycle learning rate up to `peak`; `loss_of_step`: step to a scalar loss."""
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps)
    device = best_device()
    for step in range(steps):
        with torch.autocast(device, torch.bfloat16, enabled=computes_bf16(device)):
            loss = loss_of_step(step)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} of {steps}: loss {loss.item():.3f}", flush=True)


def train_classifier(
    network: type, images, labels, *, epochs: int, flips: bool, batch_size: int = 250, seed: int = 0
) -> torch.nn.Module:
    """`network`() trained on shifted images, mirrored too with `flips`; uint8 [n, c, h, w], int64 [n]."""
    device, batches = best_device(), len(labels) // batch_size
    torch.manual_seed(seed_from(seed, "classifier"))
    classifier = network().to(device, memory_format=torch.channels_last)

    def epoch_batches(epoch):
        rng = generator(seed, "classifier", epoch)
        for chosen in torch.randperm(len(labels), generator=rng)[:batches * batch_size].split(batch_size):
            yield augment(images[chosen], flips, rng), labels[chosen]

    stream = (batch for epoch in range(epochs) for batch in epoch_batches(epoch))

    def loss_of_step(step):
        x, y = next(stream)
        logits = classifier(x.to(device, memory_format=torch.channels_last))
        return F.cross_entropy(logits, y.to(device), label_smoothing=0.05)

    one_cycle(classifier.parameters(), epochs * batches, 3e-3, loss_of_step)
    return classifier.eval()
