"""Autoencoders between pixels and latents: 3x128x128 <-> 4x16x16 (Rombach et al. 2022, arXiv:2112.10752).

``python scripts/train_autoencoder.py`` trains the small one in ``checkpoints/autoencoder``.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from huggingface_hub import snapshot_download

from .. import hub
from ..errors import BadCheckpoint, BadValue, SourceUnavailable, one_line
from ..paths import CHECKPOINTS, mirror
from .weights import load_state

FOLDER = CHECKPOINTS / "autoencoder"
TAESD = "madebyollin/taesd"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class Autoencoder:
    """A frozen encoder and decoder; latents are the network's own, not standardised."""

    name: str                       # "own", "taesd" or its folder
    network: AutoencoderTiny
    encoder_sha256_16: str          # latents are valid for this encoder only; a decoder may be trained further

    @torch.inference_mode()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1], float [n, 3, h, w], to latents float32 [n, 4, h / 8, w / 8]; BadValue for other shapes."""
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % 8 or images.shape[3] % 8:
            raise BadValue(f"images {tuple(images.shape)}: an autoencoder takes [n, 3, h, w] with h and w multiples of "
                           "8, so resize or pad them")
        return self.network.encode(images.to(self.network.device) * 2 - 1).latents.float().contiguous()

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents [n, 4, h, w] to images in [0, 1], float32 [n, 3, 8 h, 8 w]."""
        return (self.network.decode(latents.to(self.network.device)).sample.float() / 2 + 0.5).clamp(0, 1).contiguous()

    def to(self, device) -> "Autoencoder":
        self.network.to(device)
        return self


def load_autoencoder(name: str = "own", device="cpu") -> Autoencoder:
    """The autoencoder that ships ("own"), "taesd" from the mirror or the hub, or a folder in diffusers' layout.

    Raises SourceUnavailable if TAESD cannot be reached, BadCheckpoint for a folder that is missing or damaged.
    """
    folder = _taesd_folder() if name == "taesd" else FOLDER if name == "own" else Path(name)
    try:
        config = AutoencoderTiny.load_config(folder)
        config.pop("block_out_channels", None)          # diffusers writes this and warns when it reads it
        if config["latent_channels"] != 4:
            raise ValueError(f"{config['latent_channels']} latent channels, not 4")
        network = AutoencoderTiny.from_config(config)
        network.load_state_dict(load_state(folder / WEIGHTS_FILE))      # from_pretrained accepts missing weights
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, BadCheckpoint) as error:
        raise BadCheckpoint(f"the autoencoder in {folder} cannot be read ({one_line(error)}): restore it, or run "
                            "python scripts/train_autoencoder.py") from error
    digest = hashlib.sha256()
    for _, weights in sorted(network.encoder.state_dict().items()):
        digest.update(weights.half().numpy().tobytes())
    network.requires_grad_(False).eval().to(device, memory_format=torch.channels_last)       # twice as fast on a CPU
    return Autoencoder(name, network, digest.hexdigest()[:16])


def _taesd_folder() -> Path:
    if folder := mirror("models", TAESD):
        return folder
    try:
        hub.fail_fast_offline()
        return Path(snapshot_download(TAESD, allow_patterns=["config.json", WEIGHTS_FILE]))
    except Exception as error:        # the hub raises a dozen unrelated types when it cannot be reached
        raise SourceUnavailable(f"cannot load {TAESD} ({one_line(error)}): connect to the hub, set T2I_MIRROR to a "
                                f"folder that holds models/{TAESD}, or use the autoencoder that ships (own)") from error
