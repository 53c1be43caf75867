"""A trained model as a diffusers pipeline: a folder of safetensors and JSON that turns captions into images."""

import dataclasses
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, ModelMixin, SchedulerMixin
from diffusers.utils import logging

from .. import presets
from ..data import captions, every_caption, from_unit, to_unit
from ..diffusion import Guider, LossGuidance, Samples, SDEditInit, make_guider, make_scheduler, sample
from ..diffusion.schedulers import parse
from ..errors import BadCheckpoint, BadValue, or_bad_checkpoint, or_raise
from ..paths import CHECKPOINTS, INSTALLED, WEIGHTS, checkpoint_dir, read_json
from ..provenance import best_device, file_hash, keep_freed_memory, note_use
from .latents import MOST, load_latent_space
from .text import ENCODER_LABELS, caption_table, check_prompts, load_text_encoder
from .unet import COMPILE_FROM, NETWORKS, compile_unet
from .weights import load_state

# what two networks must have in common for one to guide the other
GUIDED_ALIKE = ("dataset", "resolution", "autoencoder", "pixel_range", "text_encoder", "max_length", "prediction",
                "beta_schedule", "beta_start", "beta_end", "train_timesteps")
OTHER_WEIGHTS = {                        # files that are there in place of WEIGHTS
    "*.bin*": "pickled weights (.bin), which may run any code when they are read: save them as safetensors",
    "*.index.json": "weights in several files (shards): load its unet with diffusers and save it again with "
                    "max_shard_size='100GB'",
    "*.*.safetensors": f"the weights of a variant such as fp16 alone: rename their file to {WEIGHTS.name}",
}


class CaptionPipeline(DiffusionPipeline):
    """Captions to images with classifier-free guidance.

    The text encoder is not saved with it: captions of the dataset come from their table, other texts load the encoder.
    """

    decoded_at_once = 64                        # latents

    def __init__(self, unet: ModelMixin, scheduler: SchedulerMixin, preset: dict | None = None,
                 latents: dict | None = None, classes: list[int] | None = None):
        """`latents`: metadata of a latent model's LatentSpace; `classes`: the labels it was trained on, if not all."""
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

    @property
    def encoder_label(self) -> str:
        """The text encoder by its full name, for captions: a stand-in is called one."""
        return ENCODER_LABELS.get(self.preset.text_encoder, self.preset.text_encoder)

    @property
    def clip(self) -> float | None:
        """The bound of |x^_0| while sampling."""
        return MOST if self.latent_space else 1.0

    def decode(self, x: torch.Tensor) -> torch.Tensor:
        """What the U-Net draws, pixels in its range or latents, as images in [0, 1], float32 [n, c, h, w]."""
        if self.latent_space is None:
            return to_unit(x, self.preset.pixel_range)
        return torch.cat([self.latent_space.decode(part) for part in x.split(self.decoded_at_once)])

    def encode(self, unit_images: torch.Tensor) -> torch.Tensor:
        """Images in [0, 1] as the U-Net sees them, float32: the inverse of `decode`, up to an autoencoder's loss."""
        if self.latent_space is None:
            return from_unit(unit_images, self.preset.pixel_range)
        return self.latent_space.encode(unit_images)

    def embed(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """(cond [n, length, dim], null [1, length, dim]) on the U-Net's device and in its type."""
        check_prompts(prompts)
        preset, known = self.preset, [*every_caption(self.preset), ""]
        table = caption_table(preset.text_encoder, known[:-1], preset.max_length)
        cond = (table[[known.index(prompt) for prompt in prompts]] if set(prompts) <= set(known)
                else load_text_encoder(preset.text_encoder).encode(prompts, preset.max_length))
        return cond.to(self.unet.device, self.unet.dtype), table[-1:].to(self.unet.device, self.unet.dtype)

    @torch.no_grad()
    def __call__(
        self, prompts: list[str], *, w: float = 2.0, steps: int | None = None, scheduler: str | None = None,
        seeds: list[int] | None = None, guider="cfg", negative: str | None = None, loss: LossGuidance | None = None,
        start: SDEditInit | None = None, callback=None, batch_size: int | None = None,
    ) -> Samples:
        """One image a prompt: ``.images`` float32 [n, c, h, w] in [0, 1], ``.forward_passes`` an image.

        steps, scheduler, seeds   default to the preset's steps, the pipeline's scheduler, and the preset's seed and on.
        guider      a rule's name, applied with `w`; or in place of both what `make_guider` returns, or any function of
                    a `diffusion.Step`.
        negative    a text to guide away from in place of the empty caption: eps_neg + w (eps_cond - eps_neg).
        loss        its targets, if it has any, are one for each prompt. start: one image in [0, 1] for each prompt.
        callback    that of `diffusion.sample`; it sees all prompts in one batch.
        batch_size  is by default 256, and on a CPU 32, or 64 in bfloat16; it is halved until a batch
                    fits the memory.

        After ``pipe.unet.bfloat16()`` the U-Net computes in bfloat16. On a GPU, it is compiled if at least
        COMPILE_FROM images are drawn.
        Raises PromptTooLong, UnknownName or BadValue before anything is drawn.
        """
        cond, null = self.embed(prompts)
        if isinstance(seeds, int):
            raise BadValue(f"seeds = {seeds}: give a list with one seed for each prompt")
        preset, n = self.preset, len(prompts)
        seeds = list(range(preset.seed, preset.seed + n) if seeds is None else seeds)
        for what, given in (("seeds", seeds), ("targets of the loss", loss and loss.targets),
                            ("start images", start and start.images)):
            if given is not None and len(given) != n:
                raise BadValue(f"{n} prompts and {len(given)} {what}: give one for each prompt")
        steps = preset.sample_steps if steps is None else steps
        on_cpu, half = self.device.type == "cpu", self.unet.dtype.itemsize == 2
        batch_size = batch_size or (n if callback else 256 if not on_cpu else 64 if half else 32)
        if callback is not None and n > batch_size:
            raise BadValue(f"a callback sees one batch: give at most {batch_size} prompts or a larger batch_size")
        if named := isinstance(guider, str):
            guider = self.make_guider(guider, w)
        if negative is not None:
            if isinstance(guider, Guider) and guider.name == "auto":
                raise BadValue("autoguidance uses no empty caption, which a negative text would replace: leave out the "
                               "negative, or choose another guider")
            null, _ = self.embed([negative])
        if start is not None:
            if not start.images.is_floating_point() or not ((start.images >= 0) & (start.images <= 1)).all():
                raise BadValue("start images must be floats from 0 to 1, without NaN: divide pixels of 0 to 255 by 255")
            start = SDEditInit(self.encode(start.images), start.strength)
        guidance = getattr(guider, "name", type(guider).__name__)
        guidance = f"w = {w:g}" if named and guidance == "cfg" else guidance
        note_use("sampling", {"pipe": self, "guidance": guidance, "steps": steps,
                              "scheduler": scheduler or preset.scheduler, "seeds": seeds})
        if on_cpu:
            keep_freed_memory()
        solver = self.scheduler if scheduler is None else self.make_scheduler(scheduler)
        compiled = compile_unet(self.unet) if n >= COMPILE_FROM and not on_cpu else None

        def draw(size):
            return [sample(self.unet, solver, guider, cond[batch], null, seeds=seeds[batch], steps=steps,
                           loss=loss and loss.part(batch), callback=callback, clip=self.clip,
                           start=start and SDEditInit(start.images[batch], start.strength),
                           compiled=compiled if batch.stop <= n else None)         # compiled for the size of the others
                    for batch in (slice(i, i + size) for i in range(0, n, size))]

        batch_size, parts = min(n, batch_size), None
        while parts is None:
            try:
                parts = draw(batch_size)
            except torch.OutOfMemoryError:
                if callback or batch_size == 1:
                    raise
                batch_size //= 2
        return Samples(torch.cat([self.decode(part.images) for part in parts]), parts[0].forward_passes)

    def make_scheduler(self, name: str):
        """`diffusion.make_scheduler` of this pipeline's preset."""
        return make_scheduler(self.preset, name)

    def make_guider(self, name: str, w: float) -> Guider:
        """`diffusion.make_guider`, with a weaker network for "auto": that of the checkpoint in "auto weak=FOLDER", else
        the dataset's at this pipeline's size; its weights' hash is in the guider's metadata. BadValue for another kind
        of model."""
        rule, settings = parse("guider", name, words=("weak",))
        if rule != "auto":
            return make_guider(name, w)
        default = checkpoint_dir(self.preset.dataset, "weak", self.preset.size)
        weak = load_pipeline(settings.pop("weak", default), device=self.device)
        for field in GUIDED_ALIKE:
            if (theirs := getattr(weak.preset, field)) != (ours := getattr(self.preset, field)):
                raise BadValue(f"the weaker checkpoint {weak.folder} has {field} = {theirs}, and this one {ours}: name "
                               "one that was trained alike, only smaller or less")
        guider = make_guider(rule, w, weak=weak.unet, **settings)
        return dataclasses.replace(guider, metadata={"weak_weights_sha256_16": weak.weights_sha256_16})


def load_pipeline(name: str | Path, variant: str = "improved", device=None) -> CaptionPipeline:
    """A shipped checkpoint by dataset name and `variant`, or any checkpoint folder (then `variant` is not used).

    Weights are float32 in memory whatever the file holds. `device` defaults to a GPU where there is one.
    Raises BadCheckpoint for a folder that is missing, incomplete, cut short or of another kind, BadValue for a device
    that is not here.
    """
    logging.disable_progress_bar()
    folder = Path(name)
    if name in presets.SETTINGS and not (folder / "model_index.json").is_file():
        folder = CHECKPOINTS / f"{presets.get(name, variant).dataset}-{variant}"
    _check_kind(folder)
    with or_bad_checkpoint(folder, "train or restore it again"):
        weights = file_hash(folder / WEIGHTS)       # before they are read: a run in training may replace the file
        kind = NETWORKS[presets.from_dict(read_json(folder / "model_index.json")["preset"]).network]
        unet = kind.from_config(kind.load_config(folder / "unet"))
        unet.load_state_dict(load_state(folder / WEIGHTS))
        pipeline = CaptionPipeline.from_pretrained(folder, unet=unet)
        presets.get(pipeline.preset.dataset, pipeline.preset.variant, pipeline.preset.size)
    pipeline.unet.eval()
    pipeline.folder, pipeline.weights_sha256_16 = folder, weights
    with or_raise(BadValue, f"device {device!r} cannot be used", f"this machine has {best_device()!r}"):
        return pipeline.to(device or best_device())


def _check_kind(folder) -> None:
    """Raise BadCheckpoint if the names of the files in `folder`, or its class, say that it is of another kind."""
    if folder.is_file():
        raise BadCheckpoint(f"{folder} is no folder: name one that t2i train wrote; pickled files (.pt, .bin, .ckpt) "
                            "may run any code when they are read, and are never opened")
    if not (folder / "model_index.json").is_file():
        where = f"copy the repository's checkpoints to {CHECKPOINTS}, " if INSTALLED else ""
        raise BadCheckpoint(f"no checkpoint in {folder}: {where}train one with t2i train, or name a folder that holds "
                            "a model_index.json")
    with or_bad_checkpoint(folder, "train or restore it again"):
        kind = read_json(folder / "model_index.json")["_class_name"]
    if kind != CaptionPipeline.__name__:
        raise BadCheckpoint(f"{folder} is a {kind}, which has no captions of ours: name a folder that t2i train wrote")
    for pattern, reason in OTHER_WEIGHTS.items():
        if not (folder / WEIGHTS).is_file() and any((folder / "unet").glob(pattern)):
            raise BadCheckpoint(f"{folder} has {reason}")
