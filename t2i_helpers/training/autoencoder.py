"""Train the autoencoder that ships, from scratch on paintings: ``python -m t2i_helpers.training.autoencoder [OUT]``."""

import math
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from tqdm.auto import tqdm

from .. import presets
from ..data import from_uint8, load_images
from ..errors import SourceUnavailable, T2IError
from ..models.autoencoder import CONFIG, FOLDER, WEIGHTS_FILE, load_autoencoder
from ..models.efficientnet import load_efficientnet
from ..provenance import best_device, computes_bf16, file_hash, record, write_json
from ..randomness import generator, seed_from

STEPS, BATCH, CROP = 4000, 24, 64
LEARNING_RATE, WARMUP = 1.5e-3, 200
PERCEPTUAL = 0.02                   # weight of the perceptual term beside the mean absolute error
NOISE = 0.03                        # added to the latents, which reach from -3 to 3: near latents mean like images
HALVED_EVERY = 4                    # so many steps apart, halved latents must mean the halved image


def autoencoder_loss(network, perceptual, images, noise, halved: bool) -> torch.Tensor:
    """|x^ - x| + PERCEPTUAL sum_s |f_s(x^) - f_s(x)|^2 with x^ = decode(encode(x) + NOISE noise).

    x are `images` in [0, 1], float [n, 3, h, w]; `noise` [n, 4, h / 8, w / 8]; f_s are the frozen maps of `perceptual`,
    normalised over their channels (Zhang et al. 2018, arXiv:1801.03924). With `halved`, latents and images are shrunk
    to half their side first, so that the latents behave like a picture (Kouzelis et al. 2025, arXiv:2502.09509).
    """
    latents = network.encoder(images * 2 - 1) + NOISE * noise
    if halved:
        latents, images = F.avg_pool2d(latents, 2), F.avg_pool2d(images, 2)
    decoded = network.decoder(latents).float() / 2 + 0.5                           # [n, 3, h, w]
    with torch.no_grad():
        wanted = perceptual.stages(images)
    distance = sum((F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(1).mean()
                   for a, b in zip(perceptual.stages(decoded), wanted))
    return F.l1_loss(decoded, images) + PERCEPTUAL * distance


def train_autoencoder(images: torch.Tensor, steps: int = STEPS, seed: int = 0) -> AutoencoderTiny:
    """AdamW on random 64x64 crops of uint8 `images` [n, 3, h, w], warm-up and cosine decay of the learning rate."""
    device = best_device()
    torch.manual_seed(seed_from(seed, "autoencoder"))
    network = AutoencoderTiny(**CONFIG).to(device, memory_format=torch.channels_last)
    perceptual = load_efficientnet("lite1", device)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / steps)))
    bar = tqdm(range(steps), unit="step")
    for step in bar:
        rng = generator(seed, "autoencoder", step)
        chosen = torch.randint(len(images), (BATCH,), generator=rng)
        x = from_uint8(random_crops(images[chosen], rng), (0, 1)).to(device, memory_format=torch.channels_last)
        noise = torch.randn(BATCH, 4, CROP // 8, CROP // 8, generator=rng).to(device)
        with torch.autocast(device, torch.bfloat16, enabled=computes_bf16(device)):
            loss = autoencoder_loss(network, perceptual, x, noise, halved=step % HALVED_EVERY == HALVED_EVERY - 1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss.item():.4f}")
    return network.eval()


def random_crops(images: torch.Tensor, rng) -> torch.Tensor:
    """A random 64x64 square of each image, mirrored with probability 1/2; uint8 [n, c, h, w] to [n, c, 64, 64]."""
    n, _, height, width = images.shape
    rows = torch.randint(height - CROP + 1, (n,), generator=rng)
    columns = torch.randint(width - CROP + 1, (n,), generator=rng)
    crops = torch.stack([image[:, y:y + CROP, x:x + CROP] for image, y, x in zip(images, rows, columns)])
    mirrored = torch.rand(n, generator=rng) < 0.5
    return torch.where(mirrored[:, None, None, None], crops.flip(-1), crops)


def psnr(autoencoder, images: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB, -10 log10 of the mean squared error in [0, 1], of uint8 `images` decoded from
    their latents: the mean over images."""
    errors = []
    for part in images.split(50):
        x = from_uint8(part, (0, 1))
        errors.append((autoencoder.decode(autoencoder.encode(x)).cpu() - x).square().mean((1, 2, 3)))
    return float((-10 * torch.cat(errors).log10()).mean())


def main(out: Path = FOLDER) -> None:
    """Train on the training paintings; write the weights as float16 and a sidecar with the held-out PSNR."""
    preset = presets.get("wikiart", "improved", "demo")
    train, test = (load_images(preset, split) for split in ("train", "test"))
    began = time.monotonic()
    network = train_autoencoder(train.images)
    seconds = round(time.monotonic() - began)
    network.to(torch.float16).save_pretrained(out)
    measured = {"heldout_psnr_db": psnr(load_autoencoder(out), test.images)}
    try:
        measured["taesd_heldout_psnr_db"] = psnr(load_autoencoder("taesd"), test.images)
    except SourceUnavailable as error:
        print(f"note: {error}")
    write_json(out / "provenance.json", record(
        best_device(), data_source=train.source, data_fingerprint=train.fingerprint, training_images=len(train),
        steps=STEPS, crops_seen=STEPS * BATCH, crop=CROP, training_seconds=seconds, test_images=len(test),
        weights="float16", weights_sha256_16=file_hash(out / WEIGHTS_FILE), **measured))
    print(f"{measured} after {seconds} s")


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:]))
    except T2IError as error:
        sys.exit(f"autoencoder: {error}")
