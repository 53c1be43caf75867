"""Train the small autoencoder from scratch on paintings: ``python scripts/train_autoencoder.py [OUT]``."""

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from train_classifier import minimise

from t2i_helpers import presets
from t2i_helpers.data import from_uint8, load_images
from t2i_helpers.errors import SourceUnavailable, T2IError
from t2i_helpers.models.efficientnet import load_efficientnet
from t2i_helpers.models.latents import FOLDER, WEIGHTS_FILE, load_autoencoder
from t2i_helpers.paths import read_json
from t2i_helpers.provenance import best_device, file_hash, git_state, record, write_json
from t2i_helpers.randomness import generator, seed_from


@dataclass(frozen=True)
class Stage:
    """A part of the training with a learning-rate schedule of its own."""

    steps: int
    learning_rate: float            # at the end of the warm-up, then falling as a cosine
    perceptual: float               # loss weights beside the mean absolute error: of feature maps,
    colour: float                   # and of the colour term


# the first stage learns shapes but not colours, which are a small part of the error; the second learns both and texture
STAGES = (Stage(4000, 1.5e-3, 0.02, 0.0), Stage(2500, 1e-3, 0.05, 1.0))
# the usual tiny autoencoder without residual blocks at the full resolution, where they cost most
CONFIG = dict(encoder_block_out_channels=(64,) * 4, decoder_block_out_channels=(64,) * 4,
              num_encoder_blocks=(0, 1, 3, 4), num_decoder_blocks=(4, 3, 1, 0), latent_magnitude=3)
BATCH, CROP, WARMUP = 24, 64, 200
NOISE = 0.03                        # added to the latents (-3 to 3): nearby latents then decode to similar images
HALVED_EVERY = 4                    # every 4 steps, latents at half size must decode to the image at half size


def autoencoder_loss(network, maps_of, images, noise, halved: bool, perceptual: float, colour: float) -> torch.Tensor:
    """|x^ - x| + perceptual sum_s |f_s(x^) - f_s(x)|^2 + colour C(x^ - x) with x^ = decode(encode(x) + NOISE noise).

    x are `images` in [0, 1], float [n, 3, h, w]; `noise` [n, 4, h / 8, w / 8]; f_s are the feature maps of `maps_of`,
    normalised over their channels (Zhang et al. 2018, arXiv:1801.03924). With `halved`, latents and images are shrunk
    to half their side first, so that the latents scale like the image (Kouzelis et al. 2025, arXiv:2502.09509). C is
    the mean absolute error of 8x8 averages, in which differences between the channels count three times.
    """
    latents = network.encoder(images * 2 - 1) + NOISE * noise
    if halved:
        latents, images = F.avg_pool2d(latents, 2), F.avg_pool2d(images, 2)
    decoded = network.decoder(latents).float() / 2 + 0.5                           # [n, 3, h, w]
    with torch.no_grad():
        wanted = maps_of(images)
    distance = sum((F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(1).mean()
                   for a, b in zip(maps_of(decoded), wanted))
    loss = F.l1_loss(decoded, images) + perceptual * distance
    if colour:
        averages = F.avg_pool2d(decoded - images, 8)                               # [n, 3, h / 8, w / 8]
        chroma = averages - averages.mean(1, keepdim=True)
        loss = loss + colour * (averages.abs().mean() + 2 * chroma.abs().mean())
    return loss


def perceptual_maps(device):
    """A function of images in [0, 1], [n, 3, h, w]: EfficientNet-Lite1's last maps of strides 4, 8 and 16."""
    network = load_efficientnet("lite1", device).network

    def maps_of(images):
        x, maps = network._swish(network._bn0(network._conv_stem(images * 2 - 1))), {}
        for block in network._blocks:
            x = block(x)
            stride = images.shape[-1] // x.shape[-1]
            if stride > 16:
                break
            maps[stride] = x
        return [maps[stride] for stride in (4, 8, 16)]

    return maps_of


def train_stage(network: AutoencoderTiny, images: torch.Tensor, stage: Stage, first_step: int = 0) -> AutoencoderTiny:
    """AdamW on random 64x64 crops of uint8 `images` [n, 3, h, w]; trains `network` in place and returns it.
    `first_step` counts the steps of earlier stages, so that each stage uses other crops."""
    device = best_device()
    network.float().to(device, memory_format=torch.channels_last).train().requires_grad_(True)
    maps_of = perceptual_maps(device)

    def loss_of_step(step):
        rng = generator(0, "autoencoder", first_step + step)
        chosen = torch.randint(len(images), (BATCH,), generator=rng)
        x = from_uint8(random_crops(images[chosen], rng), (0, 1)).to(device, memory_format=torch.channels_last)
        noise = torch.randn(BATCH, 4, CROP // 8, CROP // 8, generator=rng).to(device)
        halved = step % HALVED_EVERY == HALVED_EVERY - 1
        return autoencoder_loss(network, maps_of, x, noise, halved, stage.perceptual, stage.colour)

    def factor(step):
        return min(1, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / stage.steps))

    minimise(loss_of_step, network.parameters(), stage.steps, stage.learning_rate, weight_decay=0.01, clip=1.0,
             factor=factor)
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
    """The mean peak signal-to-noise ratio in dB, -10 log10 of the mean squared error in [0, 1], of uint8 `images` that
    are decoded from their latents."""
    parts = (from_uint8(part, (0, 1)) for part in images.split(50))
    errors = [(autoencoder.decode(autoencoder.encode(x)).cpu() - x).square().mean((1, 2, 3)) for x in parts]
    return float((-10 * torch.cat(errors).log10()).mean())


def main(out: Path = FOLDER) -> None:
    """Train one stage after the other; after each, write the weights as float16 and a sidecar with the held-out PSNR.
    The same command again continues with the first stage that is not done."""
    preset = presets.get("wikiart", "improved", "demo")
    train, test = (load_images(preset, split) for split in ("train", "test"))
    sidecar = out / "provenance.json"
    done = read_json(sidecar)["stages"] if sidecar.exists() else []
    for stage in STAGES[len(done):]:
        torch.manual_seed(seed_from(0, "autoencoder"))
        network = load_autoencoder(out).network if done else AutoencoderTiny(**CONFIG)
        began = time.monotonic()
        steps = sum(each["steps"] for each in done)
        train_stage(network, train.images, stage, steps).half().save_pretrained(out)
        quality = psnr(load_autoencoder(out), test.images)
        done.append({**vars(stage), "seconds": round(time.monotonic() - began), "heldout_psnr_db": quality,
                     **git_state()})
        write_json(sidecar, record(
            best_device(), data_source=train.source, data_fingerprint=train.fingerprint, training_images=len(train),
            stages=done, crops_seen=BATCH * (steps + stage.steps), crop=CROP, test_images=len(test),
            weights="float16", weights_sha256_16=file_hash(out / WEIGHTS_FILE), heldout_psnr_db=quality,
            **taesd_psnr(test.images)))
        print(f"stage {len(done)} of {len(STAGES)}: {quality:.2f} dB on held-out paintings")


def taesd_psnr(images) -> dict:
    """TAESD's held-out PSNR for comparison; empty if TAESD is not available."""
    try:
        return {"taesd_heldout_psnr_db": psnr(load_autoencoder("taesd"), images)}
    except SourceUnavailable as error:
        print(f"note: {error}")
        return {}


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:]))
    except T2IError as error:
        sys.exit(f"train_autoencoder: {error}")
