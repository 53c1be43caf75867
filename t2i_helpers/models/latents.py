"""The space of a latent diffusion model: an autoencoder's latents, standardised by channel."""

from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from ..data import from_uint8
from ..data.cache import cached
from ..errors import BadCheckpoint
from ..provenance import best_device, computes_bf16
from .autoencoder import Autoencoder, load_autoencoder

MOST = 4.0                          # standard deviations at which sampling clips its estimate of the clean latents


@dataclass(frozen=True)
class LatentSpace:
    """z = (encode(image) - mean) / std; mean and std are those of the training images' latents, by channel."""

    autoencoder: Autoencoder
    mean: torch.Tensor              # float32 [4]
    std: torch.Tensor               # float32 [4]

    def standardise(self, latents: torch.Tensor) -> torch.Tensor:
        """The autoencoder's latents [n, 4, h, w], of any float type, to float32 of mean 0 and variance 1."""
        latents = latents.float()
        return (latents - _by_channel(self.mean, latents)) / _by_channel(self.std, latents)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1], float [n, 3, h, w], to latents float32 [n, 4, h / 8, w / 8] of mean 0 and variance 1."""
        return self.standardise(self.autoencoder.encode(images))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents of mean 0 and variance 1 [n, 4, h, w] to images in [0, 1], float32 [n, 3, 8 h, 8 w]."""
        return self.autoencoder.decode(latents * _by_channel(self.std, latents) + _by_channel(self.mean, latents))

    def to(self, device) -> "LatentSpace":
        """The latent space, its autoencoder moved to `device`."""
        self.autoencoder.to(device)
        return self

    def metadata(self) -> dict:
        """What a checkpoint stores of it, for `load_latent_space`."""
        return {"autoencoder": self.autoencoder.name, "encoder_sha256_16": self.autoencoder.encoder_sha256_16,
                "mean": self.mean.tolist(), "std": self.std.tolist()}


def load_latent_space(metadata: dict, device="cpu") -> LatentSpace:
    """The space of `LatentSpace.metadata`; BadCheckpoint if its encoder has other weights now."""
    autoencoder = load_autoencoder(metadata["autoencoder"], device)
    if autoencoder.encoder_sha256_16 != metadata["encoder_sha256_16"]:
        raise BadCheckpoint(f"the U-Net was trained on latents of encoder {metadata['encoder_sha256_16']}, but "
                            f"{metadata['autoencoder']!r} is now {autoencoder.encoder_sha256_16}: restore that one, or "
                            "train again")
    return LatentSpace(autoencoder, torch.tensor(metadata["mean"]), torch.tensor(metadata["std"]))


def latents_of(dataset, name: str) -> tuple[torch.Tensor, LatentSpace]:
    """(latents float16 [n, 2, 4, h / 8, w / 8], their space) of `dataset`: the autoencoder `name` encodes each image
    and its mirror image, in bf16 on devices that compute in it. Computed once and kept under ``data/``."""
    autoencoder = load_autoencoder(name, best_device())
    stored = cached(f"latents-{dataset.fingerprint}", [autoencoder.encoder_sha256_16],
                    lambda: _encode_all(dataset.images, autoencoder))
    return stored["latents"], LatentSpace(autoencoder, stored["mean"], stored["std"])


def _encode_all(images, autoencoder):
    parts, device = [], best_device()
    for part in tqdm(images.split(64), desc="encoding", unit="×64 images", total=-(-len(images) // 64)):
        x = from_uint8(part, (0, 1))
        with torch.autocast(device, torch.bfloat16, enabled=computes_bf16(device)):
            both = torch.stack([autoencoder.encode(x), autoencoder.encode(x.flip(-1))], 1)             # [b, 2, 4, h, w]
        parts.append(both.cpu())
    latents = torch.cat(parts)
    return {"latents": latents.half(), "mean": latents.mean((0, 1, 3, 4)), "std": latents.std((0, 1, 3, 4))}


def _by_channel(values, latents):
    """[4] as [4, 1, 1] on the device of `latents`."""
    return values.to(latents).view(-1, 1, 1)
