"""The training loop. Every random number is a function of (seed, what it is for, step), so a resumed run draws the
same data order, timesteps, noise and dropped captions as one that was never stopped, on any number of processes. Only
a resumed stream gives the rest of its epoch in another order."""

import contextlib
import math
import signal
import threading
import time

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers.training_utils import EMAModel, compute_snr
from tqdm.auto import tqdm

from ..data import UNKNOWN_GENRE, caption_rows, every_caption, from_uint8
from ..diffusion import make_scheduler
from ..errors import BadValue, UnknownName
from ..models import CaptionPipeline, build_unet, caption_table
from ..provenance import computes_bf16, preset_record, record
from ..randomness import generator, seed_from
from .loaders import LOADERS, check_loader
from .run import Run


def training_loss(unet, noise_scheduler, x_0, c, noise, timesteps, min_snr_gamma=None) -> torch.Tensor:
    """L = || y - U-Net(x_t, t, c) ||^2, the mean over pixels, with x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps.

    y is eps (Ho et al. 2020, eq. 14) or v = sqrt(abar_t) eps - sqrt(1 - abar_t) x_0 (Salimans & Ho 2022), as the
    scheduler's ``prediction_type`` says. x_0, noise [n, channels, h, w]; c [n, length, dim]; timesteps int64 [n] in
    0..T-1. With `min_snr_gamma` each image's error is weighted as if it were min(SNR_t, gamma) times that of x^_0,
    SNR_t = abar_t / (1 - abar_t), so that nearly clean images no longer rule the gradient (Hang et al. 2023,
    arXiv:2303.09556).
    """
    x_t = noise_scheduler.add_noise(x_0, noise, timesteps)
    predicts_v = noise_scheduler.config.prediction_type == "v_prediction"
    target = noise_scheduler.get_velocity(x_0, noise, timesteps) if predicts_v else noise
    predicted = unet(x_t, timesteps, c).sample.float()
    if min_snr_gamma is None:
        return F.mse_loss(predicted, target)
    snr = compute_snr(noise_scheduler, timesteps)                                        # [n]
    error = F.mse_loss(predicted, target, reduction="none").mean((1, 2, 3))              # [n]
    return (error * snr.clamp(max=min_snr_gamma) / (snr + 1 if predicts_v else snr)).mean()


def train(preset, out, *, loader: str = "store", max_steps: int | None = None, state_every: int = 200,
          sample_every: int = 500, averages: dict[str, dict] | None = None) -> Run:
    """Train `preset` into the run folder `out`; the same call again resumes where the last one stopped.

    `loader` is "store", the decoded images in memory, or "stream", WikiArt's files in bounded memory; a resumed stream
    gives exactly the images that its epoch has not given yet, in another order.

    `averages` are further moving averages of the same weights, as settings of diffusers' EMAModel by name; each ends as
    a checkpoint in the subfolder of its name.

    Ends after ``preset.epochs`` epochs or `max_steps` steps in all. Ctrl-C (or SIGTERM) ends after the step in hand,
    leaves a checkpoint and raises KeyboardInterrupt. Raises BadCheckpoint where `out` holds a run of another preset,
    loader, data or seed, OutputError where it holds something else, BadValue where the stream cannot feed `preset`.
    """
    if max_steps is not None and max_steps < 1:
        raise BadValue(f"max_steps = {max_steps}: train for at least 1 step")
    # accelerate fixes one precision a process, but a notebook trains both variants: autocast is ours, see train_step
    trainer = _Trainer(preset, Run(out), loader, Accelerator(mixed_precision="no"), averages or {})
    steps_to_do = min(n for n in (trainer.last_step, preset.max_steps, max_steps) if n is not None)
    if trainer.step < steps_to_do:
        with _stop_requested() as stop:
            trainer.fit(steps_to_do, stop, state_every, sample_every)
        if trainer.step < steps_to_do:
            raise KeyboardInterrupt(f"stopped after {trainer.step} steps; the same command resumes {out}")
    return trainer.run


class _Trainer:
    """What one training holds in memory: images or their stream, captions, network, optimizer, averages."""

    def __init__(self, preset, run, loader, accelerator, averages):
        if preset.learning_rate_decay not in ("none", "cosine"):
            raise UnknownName("learning-rate decay", preset.learning_rate_decay, ("none", "cosine"))
        self.preset, self.run, self.accelerator = preset, run, accelerator
        device = accelerator.device
        processes = accelerator.num_processes
        check_loader(loader, preset, processes)
        run.open(preset_record(preset) | {"loader": loader})        # another preset is refused before data is read
        images = self.images = LOADERS[loader](preset, device)
        if preset.batch_size % processes or len(images) % preset.batch_size % processes:
            raise BadValue(f"batches of {preset.batch_size} of {len(images)} images do not split over {processes} "
                           "processes evenly: choose another number of processes")
        self.steps_per_epoch = -(-len(images) // preset.batch_size)
        self.last_step = self.steps_per_epoch * preset.epochs
        self.latents, self.classes = images.latents, None if preset.dataset != "wikiart" else images.classes
        self.table = caption_table(preset.text_encoder, every_caption(preset), preset.max_length).to(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_from(preset.seed, "weights"))
            unet = build_unet(preset)
        optimizer = torch.optim.AdamW(unet.parameters(), lr=preset.learning_rate, weight_decay=preset.weight_decay,
                                      fused=device.type == "cuda" and preset.bf16)
        self.unet, self.optimizer = accelerator.prepare(unet, optimizer)
        self.bare_unet = accelerator.unwrap_model(self.unet)
        if preset.ema_decay:
            averages = {"ema": {"decay": preset.ema_decay}} | averages         # "ema" is the one that the run shows
        self.averages = {name: EMAModel(self.bare_unet.parameters(), **settings) for name, settings in averages.items()}
        self.noise_scheduler = make_scheduler(preset, "ddpm")
        self.bf16 = preset.bf16 and computes_bf16(device)
        self.description = record(device, **preset_record(preset), seed=preset.seed, loader=loader,
                                  data_source=images.source, data_fingerprint=images.fingerprint,
                                  training_images=len(images), text_encoder=preset.text_encoder,
                                  processes=processes, latents=self.latents,
                                  precision="bf16" if self.bf16 else "float32")
        self.step, self.seconds = 0, 0.0
        if run.open(self.description):
            self.step, self.seconds = run.load_state(self.bare_unet, self.optimizer, self.averages,
                                                     images.stream)
        accelerator.wait_for_everyone()         # all have looked into the folder before the first writes there

    def fit(self, steps_to_do, stop, state_every, sample_every):
        """Steps until `steps_to_do` are done or `stop` is set, with everything that is written on the way."""
        main, preset = self.accelerator.is_main_process, self.preset
        if main:
            self.run.start_segment(self.description, self.step)
            if self.step:
                print(f"resuming after step {self.step}")
        rows, began = [], time.monotonic() - self.seconds
        bar = tqdm(total=steps_to_do, initial=min(self.step, steps_to_do), unit="step", disable=not main)
        while self.step < steps_to_do and not self.any_process(stop):
            epoch, _ = divmod(self.step, self.steps_per_epoch)
            loss = self.train_step()
            self.step += 1
            self.seconds = time.monotonic() - began
            rows.append({"step": self.step, "epoch": epoch + 1, "loss": loss, "seconds": self.seconds})
            bar.update()
            if self.step % 10 == 0:
                rows = self.log(rows, bar)
            epoch_ends = self.step % self.steps_per_epoch == 0
            if epoch_ends and (epoch + 1) % preset.checkpoint_epochs == 0:
                rows = self.log(rows, bar)
                self.save_pipeline(kept_as=f"epoch-{epoch + 1:03d}")
            if self.step % sample_every == 0:
                self.draw_grid()
            if self.step % state_every == 0 and self.step < steps_to_do:
                rows = self.log(rows, bar)
                self.save_state()
        bar.close()
        self.log(rows, bar)
        self.save_state()
        self.save_pipeline()
        self.accelerator.wait_for_everyone()

    def any_process(self, stop) -> bool:
        """Whether `stop` is set in any process: all must leave the loop at the same step."""
        if stop.is_set():
            self.accelerator.set_trigger()
        return self.accelerator.check_trigger()

    def train_step(self) -> torch.Tensor:
        """One AdamW step; returns the loss, still on the device."""
        preset, device = self.preset, self.accelerator.device
        for group in self.optimizer.param_groups:
            group["lr"] = preset.learning_rate * self.learning_rate_factor()
        x_0, c, noise, timesteps = self.batch(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            loss = training_loss(self.unet, self.noise_scheduler, x_0, c, noise, timesteps, preset.min_snr_gamma)
        self.accelerator.backward(loss)
        if preset.gradient_clip:
            self.accelerator.clip_grad_norm_(self.unet.parameters(), preset.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        for average in self.averages.values():
            average.step(self.bare_unet.parameters())
        return self.accelerator.reduce(loss.detach(), "mean")

    def learning_rate_factor(self) -> float:
        """The step's share of the preset's learning rate: linear warm-up, then constant or falling as a cosine."""
        preset = self.preset
        warm_up = min(1.0, (self.step + 1) / max(1, preset.warmup_steps))
        if preset.learning_rate_decay == "none":
            return warm_up
        return warm_up * 0.5 * (1 + math.cos(math.pi * min(1.0, self.step / self.last_step)))

    def batch(self, device):
        """This process's share of step `self.step`: (x_0, c, noise, timesteps), which follow from (seed, step) alone;
        a stream's images also depend on where it was resumed."""
        preset, step = self.preset, self.step
        images, rows, genres = self.images.batch(step)
        n = len(images)
        rng = generator(preset.seed, "step", step, device=device)
        noise = torch.randn((n, *preset.unet_shape), generator=rng, device=device)
        timesteps = torch.randint(preset.train_timesteps, (n,), generator=rng, device=device)
        dropped = torch.rand(n, generator=rng, device=device) < preset.caption_dropout
        flipped = torch.zeros_like(dropped)
        if preset.horizontal_flips:
            flipped = torch.rand(n, generator=rng, device=device) < 0.5
        x_0 = self.clean(images, flipped)                                                # [n, c, h, w]
        if preset.genre_dropout is not None:
            silent = torch.rand(n, generator=rng, device=device) < preset.genre_dropout
            rows = caption_rows(preset, rows, genres.masked_fill(silent, UNKNOWN_GENRE))
        rows = torch.where(dropped, len(self.table) - 1, rows)                           # the last is the empty caption
        share = slice(self.accelerator.process_index, None, self.accelerator.num_processes)
        return x_0[share], self.table[rows[share]], noise[share], timesteps[share]       # [n / processes, ...]

    def clean(self, images, flipped) -> torch.Tensor:
        """A batch of `self.images`, those of `flipped` mirrored, as the U-Net sees it: float32 [n, c, h, w]."""
        if self.latents is None:
            x_0 = from_uint8(images, self.preset.pixel_range)
            return torch.where(flipped[:, None, None, None], x_0.flip(-1), x_0)
        mean, std = (torch.tensor(self.latents[name], device=flipped.device).view(-1, 1, 1) for name in ("mean", "std"))
        latents = torch.where(flipped[:, None, None, None], images[:, 1], images[:, 0])
        return (latents.float() - mean) / std

    def log(self, rows, bar):
        """Write finished rows; returns the empty list that collects the next ones. Losses leave the device here."""
        rows = [row | {"loss": round(float(row["loss"]), 6), "seconds": round(row["seconds"], 2)} for row in rows]
        if rows and self.accelerator.is_main_process:
            bar.set_postfix(loss=f"{rows[-1]['loss']:.4f}")
            self.run.log(rows)
        return []

    def save_state(self):
        if self.accelerator.is_main_process:
            self.run.save_state(self.step, self.seconds, self.bare_unet, self.optimizer, self.averages,
                                self.images.stream)

    @contextlib.contextmanager
    def averaged(self, name="ema"):
        """The U-Net with the weights of one average, where there is one of that name."""
        average = self.averages.get(name)
        if average is not None:
            average.store(self.bare_unet.parameters())
            average.copy_to(self.bare_unet.parameters())
        try:
            yield CaptionPipeline.for_preset(self.preset, self.bare_unet, self.latents, self.classes)
        finally:
            if average is not None:
                average.restore(self.bare_unet.parameters())

    def save_pipeline(self, kept_as=None):
        if self.accelerator.is_main_process:
            for name in self.averages.keys() - {"ema"}:
                with self.averaged(name) as pipeline:
                    self.run.save_pipeline(pipeline, name)
            with self.averaged() as pipeline:           # the last one is the folder's own
                self.run.save_pipeline(pipeline, kept_as)

    def draw_grid(self):
        """One image a caption (at most 16), at w = 2, into samples/."""
        if not self.accelerator.is_main_process:
            return
        from torchvision.utils import make_grid, save_image

        with self.averaged() as pipeline:
            prompts = pipeline.captions[:16]
            images = pipeline(prompts, w=2.0, seeds=range(len(prompts))).images
        folder = self.run.folder / "samples"
        folder.mkdir(exist_ok=True)
        save_image(make_grid(images.cpu(), nrow=8, padding=1), folder / f"step-{self.step:06d}.png")


@contextlib.contextmanager
def _stop_requested():
    """An event that Ctrl-C and SIGTERM set, so that a run ends between two steps; a second one interrupts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def request(number, frame):
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    earlier = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
