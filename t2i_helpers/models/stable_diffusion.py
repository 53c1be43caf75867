"""Stable Diffusion (Rombach et al. 2022, arXiv:2112.10752) as a pipeline of ours, with our sampler, guiders and losses,
from a folder in the hub's layout: tokenizer, text_encoder, unet, scheduler and vae."""

import dataclasses
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from .. import presets
from ..diffusion import make_scheduler
from ..errors import or_bad_checkpoint
from ..paths import WEIGHTS
from ..provenance import best_device, file_hash
from .latents import WEIGHTS_FILE, Autoencoder, LatentSpace, model_folder
from .pipeline import CaptionPipeline
from .text import TextEncoder, check_prompts

STABLE_DIFFUSION = "CompVis/stable-diffusion-v1-4"
FILES = ["model_index.json", "tokenizer/*", "*/*config.json", "text_encoder/model.safetensors", WEIGHTS.as_posix(),
         f"vae/{WEIGHTS_FILE}"]


class StableDiffusion(CaptionPipeline):
    """Any prompts to images; x^_0 is not clipped, and schedulers have the offset of the checkpoint's own."""

    clip, decoded_at_once = None, 1                             # the decoder needs gigabytes for each image
    encoder: TextEncoder
    own_scheduler: DDIMScheduler

    def embed(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """(cond [n, 77, dim], null [1, 77, dim]) on the U-Net's device and in its type."""
        check_prompts(prompts)
        table = self.encoder.encode([*prompts, ""], self.preset.max_length)
        return table[:-1].to(self.unet.device, self.unet.dtype), table[-1:].to(self.unet.device, self.unet.dtype)

    def make_scheduler(self, name: str):
        """`diffusion.make_scheduler`, with the checkpoint's offset of the timesteps and its last abar."""
        ours, own = make_scheduler(self.preset, name), self.own_scheduler.config
        last = {"set_alpha_to_one": own.set_alpha_to_one} if isinstance(ours, DDIMScheduler) else {}
        offset = {"steps_offset": own.steps_offset} if "steps_offset" in ours.config else {}
        return type(ours).from_config(ours.config, **last, **offset)


def load_stable_diffusion(name: str | Path = STABLE_DIFFUSION, device=None) -> StableDiffusion:
    """A folder in the hub's layout, or a repository from the mirror or the hub. Its weights are safetensors; its safety
    checker is not read. Raises SourceUnavailable without the hub, BadCheckpoint for a folder that cannot be read."""
    folder = Path(name) if (Path(name) / "model_index.json").is_file() else model_folder(str(name), FILES)
    with or_bad_checkpoint(folder, "name a folder with Stable Diffusion's tokenizer, text_encoder, unet, scheduler and "
                                   "vae as safetensors"):
        unet, vae, model = (_network(kind, folder, part) for kind, part in (
            (UNet2DConditionModel, "unet"), (AutoencoderKL, "vae"), (CLIPTextModel, "text_encoder")))
        tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
        own = DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
    noise = {field: own.config[field] for field in ("beta_schedule", "beta_start", "beta_end", "timestep_spacing")}
    pipe = StableDiffusion.for_preset(dataclasses.replace(
        presets.get("own", "improved", "full"), **noise, caption="{}", class_names=("",), prediction=own.config.
        prediction_type, train_timesteps=own.config.num_train_timesteps, resolution=8 * unet.config.sample_size,
        autoencoder=str(name), text_encoder=str(name), max_length=model.config.max_position_embeddings,
        scheduler="lms", sample_steps=50), unet)
    std = torch.full((vae.config.latent_channels,), 1 / vae.config.scaling_factor)
    autoencoder = Autoencoder(str(name), vae, file_hash(folder / "vae" / WEIGHTS_FILE))
    pipe.latent_space = LatentSpace(autoencoder, 0 * std, std)
    pipe.encoder = TextEncoder(str(name), model.config.hidden_size, tokenizer, model)
    pipe.own_scheduler, pipe.weights_sha256_16 = own, file_hash(folder / WEIGHTS)
    pipe.scheduler = pipe.make_scheduler(pipe.preset.scheduler)
    return pipe.to(device or best_device())


def _network(kind, folder, part):
    network, loading = kind.from_pretrained(folder, subfolder=part, use_safetensors=True, output_loading_info=True)
    if missing := loading["missing_keys"]:                      # the libraries initialise them at random
        raise ValueError(f"{len(missing)} weights of the {part} are missing, such as {min(missing)}")
    return network.requires_grad_(False).eval()
