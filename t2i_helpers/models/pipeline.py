"""A trained model as a diffusers pipeline: a folder of safetensors and JSON that turns captions into images."""

from pathlib import Path

import torch
from diffusers import DiffusionPipeline, SchedulerMixin, UNet2DConditionModel
from diffusers.utils import logging

from .. import presets
from ..data import captions, every_caption, from_unit, to_unit
from ..diffusion import Auto, LossGuidance, Samples, SDEditInit, make_guider, make_scheduler, sample
from ..errors import BadCheckpoint, BadValue, T2IError, one_line
from ..paths import CHECKPOINTS, WEIGHTS
from ..provenance import best_device, file_hash, note_use
from .latents import MOST, load_latent_space
from .text import ENCODER_LABELS, caption_table, load_text_encoder
from .weights import load_state

# what two networks must have in common for one to guide the other
GUIDED_ALIKE = ("dataset", "resolution", "autoencoder", "pixel_range", "text_encoder", "max_length", "prediction",
                "beta_schedule", "beta_start", "beta_end", "train_timesteps")

DECODED_AT_ONCE = 64                # images that leave latent space together


class CaptionPipeline(DiffusionPipeline):
    """Captions to images with classifier-free guidance.

    The frozen text encoder is known by name and not saved: captions of the dataset come from their table, other
    texts load the encoder when they are first asked for.
    """

    def __init__(self, unet: UNet2DConditionModel, scheduler: SchedulerMixin, preset: dict | None = None,
                 latents: dict | None = None, classes: list[int] | None = None):
        """`latents` is the LatentSpace's metadata of a latent model; `classes` are the labels that it was trained on,
        where the data lacked some."""
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)
        self.register_to_config(preset=preset, latents=latents, classes=classes)
        self.preset = presets.from_dict(preset)
        self.classes = classes or list(range(len(captions(self.preset))))
        self.latent_space = load_latent_space(latents) if latents else None
        self.folder: Path | None = None         # where it was loaded from
        self.weights_sha256_16: str | None = None

    @classmethod
    def for_preset(cls, preset: presets.Preset, unet, latents=None, classes=None) -> "CaptionPipeline":
        """A pipeline around `unet` that carries `preset`, `latents` and `classes` with it when it is saved."""
        return cls(unet, make_scheduler(preset), presets.to_dict(preset), latents, classes)

    @property
    def captions(self) -> list[str]:
        """The captions of the classes that the network was trained on, in label order."""
        known = captions(self.preset)
        return [known[label] for label in self.classes]

    def decode(self, x: torch.Tensor) -> torch.Tensor:
        """What the U-Net draws, pixels in its range or latents, as images in [0, 1], float32 [n, c, h, w]."""
        if self.latent_space is None:
            return to_unit(x, self.preset.pixel_range)
        return torch.cat([self.latent_space.to(x.device).decode(part) for part in x.split(DECODED_AT_ONCE)])

    def encode(self, unit_images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1] as the U-Net sees them, float32: the inverse of `decode`, up to an autoencoder's loss."""
        if self.latent_space is None:
            return from_unit(unit_images, self.preset.pixel_range)
        return self.latent_space.to(unit_images.device).encode(unit_images)

    @torch.no_grad()
    def __call__(
        self,
        prompts: list[str],
        *,
        w: float = 2.0,
        steps: int | None = None,
        scheduler: str | None = None,
        seeds: list[int] | None = None,
        guider=None,
        negative: str | None = None,
        loss: LossGuidance | None = None,
        start: SDEditInit | None = None,
        callback=None,
        batch_size: int | None = None,
    ) -> Samples:
        """One image a prompt: ``.images`` float32 [n, c, h, w] in [0, 1], ``.forward_passes`` an image.

        `steps` defaults to the preset's, `scheduler` to the pipeline's own, `seeds` to the preset's seed and on.
        `guider` is used in place of plain guidance with `w`; guidance is away from the text `negative` where there is
        one, in place of the empty caption: eps_negative + w (eps_cond - eps_negative). `loss` pushes every image down
        its gradient; its targets, where it has any, are one for each prompt. `start` holds one image in [0, 1] a prompt
        to begin from. `callback` is that of `diffusion.sample` and sees all prompts in one batch; else `batch_size` is
        256, and 16 on a CPU, which is up to three times as fast.
        Raises PromptTooLong, UnknownName or BadValue before anything is drawn.
        """
        preset = self.preset
        seeds = [preset.seed + i for i in range(len(prompts))] if seeds is None else list(seeds)
        if len(seeds) != len(prompts):
            raise BadValue(f"{len(prompts)} prompts and {len(seeds)} seeds: give one seed for each prompt")
        if batch_size is None:
            batch_size = len(prompts) if callback else 16 if self.device.type == "cpu" else 256
        elif callback is not None and len(prompts) > batch_size:
            raise BadValue(f"a callback sees one batch: give at most {batch_size} prompts or a larger batch_size")
        cond, null = self.embed(prompts)
        if negative is not None:
            if isinstance(guider, Auto):
                raise BadValue("autoguidance draws without the empty caption, which a negative text would replace: "
                               "leave out the negative, or choose another guider")
            null, _ = self.embed([negative])
        note_use("sampling", {"pipe": self, "guidance": f"w = {w:g}" if guider is None else getattr(
                                  guider, "name", type(guider).__name__),
                              "steps": steps or preset.sample_steps, "scheduler": scheduler or preset.scheduler,
                              "seeds": seeds})
        guider = make_guider("cfg", w) if guider is None else guider
        start = start and self._in_model_range(start, len(prompts))
        solver = self.scheduler if scheduler is None else make_scheduler(preset, scheduler)
        starts = range(0, len(prompts), batch_size)
        losses = [None] * len(starts) if loss is None else loss.split(len(prompts), batch_size)
        parts = [
            sample(self.unet, solver, guider, cond[i:i + batch_size], null, seeds=seeds[i:i + batch_size],
                   steps=preset.sample_steps if steps is None else steps, loss=part_loss, callback=callback,
                   clip=1.0 if self.latent_space is None else MOST,
                   start=start and SDEditInit(start.images[i:i + batch_size], start.strength))
            for i, part_loss in zip(starts, losses)
        ]
        return Samples(torch.cat([self.decode(part.images) for part in parts]), parts[0].forward_passes)

    def make_guider(self, name: str, w: float):
        """`diffusion.make_guider`, where "auto" has a weaker network: that of the checkpoint in "auto weak=FOLDER",
        else the one that ships for the dataset. BadValue for a folder of another kind of model."""
        rule, *settings = name.split() or [""]
        if rule != "auto":
            return make_guider(name, w)
        folders = [setting.removeprefix("weak=") for setting in settings if setting.startswith("weak=")]
        weak = load_pipeline(*folders or [CHECKPOINTS / f"{self.preset.dataset}-weak"], device=self.device)
        for field in GUIDED_ALIKE:
            ours, theirs = getattr(self.preset, field), getattr(weak.preset, field)
            if ours != theirs:
                raise BadValue(f"the weaker checkpoint {weak.folder} has {field} = {theirs}, and this one {ours}: name "
                               "one that was trained alike, only smaller or less")
        rest = [setting for setting in settings if not setting.startswith("weak=")]
        guider = make_guider(" ".join([rule, *rest]), w, weak=weak.unet)
        guider.facts = {"weak_weights_sha256_16": weak.weights_sha256_16}
        return guider

    @property
    def encoder_label(self) -> str:
        """The text encoder by its full name, for captions: a stand-in is called one."""
        return ENCODER_LABELS.get(self.preset.text_encoder, self.preset.text_encoder)

    def _in_model_range(self, start, prompts):
        images = start.images
        if len(images) != prompts:
            raise BadValue(f"{prompts} prompts and {len(images)} start images: give one for each prompt")
        if not images.is_floating_point() or not ((images >= 0) & (images <= 1)).all():
            raise BadValue("start images must be floats from 0 to 1, without NaN: divide pixels of 0 to 255 by 255")
        return SDEditInit(self.encode(images), start.strength)

    def embed(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """(cond [n, length, dim], null [1, length, dim]) on the U-Net's device."""
        preset = self.preset
        if isinstance(prompts, str) or not prompts:
            raise BadValue("no prompts: give a list with at least one text")
        known = [*every_caption(preset), ""]
        table = caption_table(preset.text_encoder, known[:-1], preset.max_length)
        if all(prompt in known for prompt in prompts):
            cond = table[[known.index(prompt) for prompt in prompts]]
        else:
            cond = load_text_encoder(preset.text_encoder).encode(prompts, preset.max_length)
        return cond.to(self.unet.device), table[-1:].to(self.unet.device)


def load_pipeline(name: str | Path, variant: str = "improved", device=None) -> CaptionPipeline:
    """A shipped checkpoint by dataset name and `variant`, or any checkpoint folder (then `variant` is not used).

    Weights are float32 in memory whatever the file holds. `device` defaults to a GPU where there is one.
    Raises BadCheckpoint for a folder that is missing, incomplete or cut short.
    """
    logging.disable_progress_bar()
    folder = Path(name)
    if name in presets.DATASETS and not (folder / "model_index.json").is_file():
        folder = CHECKPOINTS / f"{presets.get(name, variant).dataset}-{variant}"
    if not (folder / "model_index.json").is_file():
        raise BadCheckpoint(f"no checkpoint in {folder}: train one with t2i train, or name a folder that holds a "
                            "model_index.json")
    try:
        weights = file_hash(folder / WEIGHTS)       # before they are read: a run in training may replace the file
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))
        state = load_state(folder / WEIGHTS)
        if missing := unet.state_dict().keys() - state.keys():
            raise ValueError(f"{len(missing)} weights are missing, such as {min(missing)}")
        unet.load_state_dict(state)
        pipeline = CaptionPipeline.from_pretrained(folder, unet=unet)
        presets.get(pipeline.preset.dataset, pipeline.preset.variant, pipeline.preset.size)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, T2IError) as error:
        raise BadCheckpoint(f"{folder} cannot be read ({one_line(error)}): train again, or restore the folder"
                            ) from error
    pipeline.unet.eval()
    pipeline.folder, pipeline.weights_sha256_16 = folder, weights
    return pipeline.to(device or best_device())
