"""Autoencoders between pixels and latents, 3x128x128 <-> 4x16x16, and the space of a latent diffusion model (Rombach et
al. 2022, arXiv:2112.10752). ``python scripts/train_autoencoder.py`` trains the one in ``checkpoints/autoencoder``."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from tqdm.auto import tqdm

from .. import hub
from ..data import from_uint8
from ..errors import BadCheckpoint, BadValue, or_bad_checkpoint
from ..paths import CHECKPOINTS, cached, mirror
from ..provenance import best_device, computes_bf16, content_hash
from .weights import load_state

FOLDER = CHECKPOINTS / "autoencoder"
TAESD = "madebyollin/taesd"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
MOST = 4.0                          # standard deviations at which sampling clips its estimate of the clean latents


@dataclass(frozen=True)
class Autoencoder:
    """A frozen encoder and decoder, which compute on the device of their input; latents are not standardised."""

    name: str                       # "own", "taesd" or its folder
    network: AutoencoderTiny | AutoencoderKL
    encoder_sha256_16: str          # latents are valid for this encoder only; a decoder may be trained further

    @torch.inference_mode()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1], float [n, 3, h, w], to latents float32 [n, 4, h / 8, w / 8]; BadValue for other shapes."""
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % 8 or images.shape[3] % 8:
            raise BadValue(f"images {tuple(images.shape)}: resize them to [n, 3, h, w] with h and w multiples of 8")
        encoded = self.network.to(images.device).encode(images * 2 - 1)
        latents = encoded.latents if "latents" in encoded else encoded.latent_dist.mode()       # of KL: a Gaussian
        return latents.float().contiguous()

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents [n, 4, h, w] to images in [0, 1], float32 [n, 3, 8 h, 8 w]; differentiable in the latents."""
        images = self.network.to(latents.device).decode(latents).sample.float() / 2 + 0.5
        return images.clamp(0, 1).contiguous()


def load_autoencoder(name: str = "own") -> Autoencoder:
    """The autoencoder that ships ("own"), "taesd" from the mirror or the hub, or a folder in diffusers' layout. Raises
    SourceUnavailable if TAESD cannot be reached, BadCheckpoint for a folder that is missing or damaged."""
    folder = FOLDER if name == "own" else Path(name)
    if name == "taesd":
        folder = model_folder(TAESD, ["config.json", WEIGHTS_FILE], ", or use the autoencoder that ships (own)")
    with or_bad_checkpoint(f"the autoencoder in {folder}"):
        config = AutoencoderTiny.load_config(folder)
        config.pop("block_out_channels", None)          # diffusers writes this and warns when it reads it
        if config["latent_channels"] != 4:
            raise ValueError(f"{config['latent_channels']} latent channels, not 4")
        network = AutoencoderTiny.from_config(config)
        network.load_state_dict(load_state(folder / WEIGHTS_FILE))      # from_pretrained accepts missing weights
    digest = hashlib.sha256()
    for _, weights in sorted(network.encoder.state_dict().items()):
        digest.update(weights.half().numpy().tobytes())
    network.requires_grad_(False).eval().to(memory_format=torch.channels_last)       # twice as fast on a CPU
    return Autoencoder(name, network, digest.hexdigest()[:16])


def model_folder(repository: str, files: list[str], otherwise: str = "") -> Path:
    """The folder with `files` of a model on the hub, in the mirror or downloaded; SourceUnavailable without both."""
    remedy = f"connect to the hub, or set T2I_MIRROR to a folder with models/{repository}{otherwise}"
    with hub.or_unavailable(f"load {repository}", remedy):
        return mirror("models", repository) or hub.snapshot(repository, allow_patterns=files)


@dataclass(frozen=True)
class LatentSpace:
    """z = (encode(image) - mean) / std; mean and std are those of the training images' latents, by channel."""

    autoencoder: Autoencoder
    mean: torch.Tensor              # float32 [4]
    std: torch.Tensor               # float32 [4]

    moments = property(lambda self: torch.stack([self.mean, self.std]).view(2, 4, 1, 1))

    def standardise(self, latents: torch.Tensor) -> torch.Tensor:
        """The autoencoder's latents [n, 4, h, w], of any float type, to float32 of mean 0 and variance 1."""
        mean, std = self.moments.to(latents.device)
        return (latents.float() - mean) / std

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1], float [n, 3, h, w], to latents float32 [n, 4, h / 8, w / 8] of mean 0 and variance 1."""
        return self.standardise(self.autoencoder.encode(images))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents of mean 0 and variance 1 [n, 4, h, w] to images in [0, 1], float32 [n, 3, 8 h, 8 w]."""
        mean, std = self.moments.to(latents.device)
        return self.autoencoder.decode(latents * std + mean)

    def metadata(self) -> dict:
        """What a checkpoint stores of it, for `load_latent_space`."""
        return {"autoencoder": self.autoencoder.name, "encoder_sha256_16": self.autoencoder.encoder_sha256_16,
                "mean": self.mean.tolist(), "std": self.std.tolist()}


def load_latent_space(metadata: dict) -> LatentSpace:
    """The space of `LatentSpace.metadata`; BadCheckpoint if its encoder has other weights now."""
    autoencoder = load_autoencoder(metadata["autoencoder"])
    if autoencoder.encoder_sha256_16 != metadata["encoder_sha256_16"]:
        raise BadCheckpoint(f"the U-Net was trained on latents of encoder {metadata['encoder_sha256_16']}, but "
                            f"{metadata['autoencoder']!r} is now {autoencoder.encoder_sha256_16}: restore that one")
    return LatentSpace(autoencoder, torch.tensor(metadata["mean"]), torch.tensor(metadata["std"]))


def latents_of(dataset, name: str) -> tuple[torch.Tensor, LatentSpace]:
    """(latents float16 [n, 2, 4, h / 8, w / 8], their space) of `dataset`: the autoencoder `name` encodes each image
    and its mirror image, in bf16 on devices that compute in it. Computed once and kept under ``data/``."""
    autoencoder, device = load_autoencoder(name), best_device()

    @torch.autocast(device, torch.bfloat16, enabled=computes_bf16(device))
    def encode_all():
        pairs = []
        for part in tqdm(dataset.images.split(64), desc="encoding", unit="×64 images"):
            x = from_uint8(part.to(device), (0, 1))
            pairs.append(torch.stack([autoencoder.encode(x), autoencoder.encode(x.flip(-1))], 1).cpu())
        latents = torch.cat(pairs)                                                          # [n, 2, 4, h, w]
        return {"latents": latents.half(), "mean": latents.mean((0, 1, 3, 4)), "std": latents.std((0, 1, 3, 4))}

    stored = cached(f"latents-{dataset.fingerprint}-{content_hash([autoencoder.encoder_sha256_16])}", encode_all)
    return stored["latents"], LatentSpace(autoencoder, stored["mean"], stored["std"])
