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
        mean, std = self._moments(latents)
        return (latents - mean) / std

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1], float [n, 3, h, w], to latents float32 [n, 4, h / 8, w / 8] of mean 0 and variance 1."""
        return self.standardise(self.autoencoder.encode(images))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents of mean 0 and variance 1 [n, 4, h, w] to images in [0, 1], float32 [n, 3, 8 h, 8 w]."""
        mean, std = self._moments(latents)
        return self.autoencoder.decode(latents * std + mean)

    def _moments(self, latents):
        return (values.to(latents).view(-1, 1, 1) for values in (self.mean, self.std))      # [4, 1, 1] each

    def to(self, device) -> "LatentSpace":
        """The latent space, its autoencoder moved to `device`."""
        self.autoencoder.to(device)
        return self

    def metadata(self) -> dict:
        """What a checkpoint stores of it, for `load_latent_space`."""
        return {"autoencoder": self.autoencoder.name, "encoder_sha256_16": self.autoencoder.encoder_sha256_16,
                "mean": self.mean.tolist(), "std": self.std.tolist()}


def load_latent_space(metadata: dict) -> LatentSpace:
    """The space of `LatentSpace.metadata`; BadCheckpoint if its encoder has other weights now."""
    autoencoder = load_autoencoder(metadata["autoencoder"])
    if autoencoder.encoder_sha256_16 != metadata["encoder_sha256_16"]:
        raise BadCheckpoint(f"the U-Net was trained on latents of encoder {metadata['encoder_sha256_16']}, but "
                            f"{metadata['autoencoder']!r} is now {autoencoder.encoder_sha256_16}: restore that one, or "
                            "train again")
    return LatentSpace(autoencoder, torch.tensor(metadata["mean"]), torch.tensor(metadata["std"]))


def latents_of(dataset, name: str) -> tuple[torch.Tensor, LatentSpace]:
    """(latents float16 [n, 2, 4, h / 8, w / 8], their space) of `dataset`: the autoencoder `name` encodes each image
    and its mirror image, in bf16 on devices that compute in it. Computed once and kept under ``data/``."""
    device = best_device()
    autoencoder = load_autoencoder(name, device)

    @torch.autocast(device, torch.bfloat16, enabled=computes_bf16(device))
    def encode_all():
        pairs = []
        for part in tqdm(dataset.images.split(64), desc="encoding", unit="×64 images"):
            x = from_uint8(part, (0, 1))
            pairs.append(torch.stack([autoencoder.encode(x), autoencoder.encode(x.flip(-1))], 1).cpu())
        latents = torch.cat(pairs)                                                          # [n, 2, 4, h, w]
        return {"latents": latents.half(), "mean": latents.mean((0, 1, 3, 4)), "std": latents.std((0, 1, 3, 4))}

    stored = cached(f"latents-{dataset.fingerprint}", [autoencoder.encoder_sha256_16], encode_all)
    return stored["latents"], LatentSpace(autoencoder, stored["mean"], stored["std"])
