"""The space that a latent diffusion model works in: an autoencoder's latents, standardised by channel."""

import contextlib
from dataclasses import dataclass

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tqdm.auto import tqdm

from ..data import from_uint8
from ..errors import BadCheckpoint
from ..paths import DATA, atomic_write
from ..provenance import best_device, computes_bf16
from .autoencoder import Autoencoder, load_autoencoder

MOST = 4.0                          # standard deviations at which sampling bounds its guess of the clean latents


@dataclass(frozen=True)
class LatentSpace:
    """z = (encode(image) - mean) / std; mean and std are those of the training images' latents, by channel."""

    autoencoder: Autoencoder
    mean: torch.Tensor              # float32 [4]
    std: torch.Tensor               # float32 [4]

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1], float [n, 3, h, w], to latents float32 [n, 4, h / 8, w / 8] of mean 0 and variance 1."""
        latents = self.autoencoder.encode(images)
        return (latents - _by_channel(self.mean, latents)) / _by_channel(self.std, latents)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents of mean 0 and variance 1 [n, 4, h, w] to images in [0, 1], float32 [n, 3, 8 h, 8 w]."""
        return self.autoencoder.decode(latents * _by_channel(self.std, latents) + _by_channel(self.mean, latents))

    def to(self, device) -> "LatentSpace":
        """The latent space, its autoencoder moved to `device`."""
        self.autoencoder.to(device)
        return self

    def metadata(self) -> dict:
        """What a checkpoint keeps of it, for `load_latent_space`."""
        return {"autoencoder": self.autoencoder.name, "encoder_sha256_16": self.autoencoder.encoder_sha256_16,
                "mean": self.mean.tolist(), "std": self.std.tolist()}


def load_latent_space(metadata: dict, device="cpu") -> LatentSpace:
    """The space that `LatentSpace.metadata` describes; BadCheckpoint where its encoder has other weights now."""
    autoencoder = load_autoencoder(metadata["autoencoder"], device)
    if autoencoder.encoder_sha256_16 != metadata["encoder_sha256_16"]:
        raise BadCheckpoint(f"the U-Net was trained on latents of encoder {metadata['encoder_sha256_16']}, and that of "
                            f"{metadata['autoencoder']!r} is now {autoencoder.encoder_sha256_16}: restore that one, or "
                            "train again")
    return LatentSpace(autoencoder, torch.tensor(metadata["mean"]), torch.tensor(metadata["std"]))


def latents_of(dataset, name: str) -> tuple[torch.Tensor, LatentSpace]:
    """(latents float16 [n, 2, 4, h / 8, w / 8], their space) of `dataset`, as the autoencoder `name` encodes each image
    and its mirror image, in bf16 where the device computes in it; computed once and kept under ``data/`` by the
    fingerprints of images and encoder."""
    autoencoder = load_autoencoder(name, best_device())
    path = DATA / f"latents-{dataset.fingerprint}-{autoencoder.encoder_sha256_16}.safetensors"
    with contextlib.suppress(OSError, SafetensorError, KeyError), safe_open(path, "pt") as file:
        return file.get_tensor("latents"), LatentSpace(autoencoder, file.get_tensor("mean"), file.get_tensor("std"))
    parts, device = [], best_device()
    for images in tqdm(dataset.images.split(64), desc="encoding", unit="×64 images"):
        x = from_uint8(images, (0, 1))
        with torch.autocast(device, torch.bfloat16, enabled=computes_bf16(device)):
            both = torch.stack([autoencoder.encode(x), autoencoder.encode(x.flip(-1))], 1)             # [b, 2, 4, h, w]
        parts.append(both.cpu())
    latents = torch.cat(parts)
    mean, std = latents.mean((0, 1, 3, 4)), latents.std((0, 1, 3, 4))                                  # [4] each
    with atomic_write(path) as temporary:
        save_file({"latents": latents.half(), "mean": mean, "std": std}, temporary)
    return latents.half(), LatentSpace(autoencoder, mean, std)


def _by_channel(values, latents):
    """[4] as [4, 1, 1] beside `latents`."""
    return values.to(latents).view(-1, 1, 1)
