"""The training loop. Every random number is a function of (seed, purpose, step), so a resumed run repeats what an
uninterrupted one does, on any number of processes; only a resumed stream yields the rest of its epoch in another order.
"""

import contextlib
import math
import signal
import threading
import time

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers.training_utils import EMAModel, compute_snr
from torchvision.utils import save_image
from tqdm.auto import tqdm

from ..data import UNKNOWN_GENRE, caption_rows, every_caption, from_uint8
from ..diffusion import make_scheduler
from ..diffusion.noise import predicted
from ..errors import BadCheckpoint, BadValue, Diverged, check_name, one_line, or_raise
from ..models import CaptionPipeline, build_unet, caption_table, load_pipeline
from ..models.text import revision_record
from ..models.unet import compile_unet
from ..paths import atomic_write, directory_lock
from ..provenance import best_device, computes_bf16, keep_freed_memory, preset_record, record
from ..randomness import generator, seed_from
from .loaders import LOADERS, check_loader
from .run import Run

LOG_EVERY = 10                          # steps after which losses are copied from the device, and seen to be finite
COMPILE_FROM = 5_000                    # steps: compiling takes minutes


def training_loss(unet, noise_scheduler, x_0, c, noise, timesteps, min_snr_gamma=None) -> torch.Tensor:
    """L = || y - U-Net(x_t, t, c) ||^2, the mean over pixels, with x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps.
    y is eps (Ho et al. 2020, eq. 14) or v = sqrt(abar_t) eps - sqrt(1 - abar_t) x_0 (Salimans & Ho 2022), as the
    scheduler's ``prediction_type`` says. x_0, noise [n, channels, h, w]; c [n, length, dim]; timesteps int64 [n] in
    0..T-1. Of a flow, y is u = eps - x_0, and the U-Net sees x_s = (1 - s) x_0 + s eps and s T, with s = (t + 1) / T
    (Lipman et al. 2022, arXiv:2210.02747, eq. 23). With `min_snr_gamma` each image's error counts as min(SNR_t, gamma)
    times that of x^_0, SNR_t = abar_t / (1 - abar_t), so that nearly clean images do not dominate the gradient (Hang et
    al. 2023, arXiv:2303.09556).
    """
    predicts = predicted(noise_scheduler)
    if predicts == "flow":
        timesteps = timesteps + 1
        s = (timesteps / noise_scheduler.config.num_train_timesteps).view(-1, 1, 1, 1)               # [n, 1, 1, 1]
        x_t, target = (1 - s) * x_0 + s * noise, noise - x_0
    else:
        x_t = noise_scheduler.add_noise(x_0, noise, timesteps)
        target = noise_scheduler.get_velocity(x_0, noise, timesteps) if predicts == "v_prediction" else noise
    prediction = unet(x_t, timesteps, c).sample.float()
    if min_snr_gamma is None:
        return F.mse_loss(prediction, target)
    snr = ((1 - s) / s).square().flatten() if predicts == "flow" else compute_snr(noise_scheduler, timesteps)   # [n]
    of_x_0 = {"epsilon": snr, "v_prediction": snr + 1, "flow": (snr.sqrt() + 1) ** 2}[predicts]
    error = F.mse_loss(prediction, target, reduction="none").mean((1, 2, 3))              # [n]
    return (error * snr.clamp(max=min_snr_gamma) / of_x_0).mean()


def train(preset, out, *, loader: str = "store", max_steps: int | None = None, state_every: int = 200,
          sample_every: int = 500, averages: dict[str, dict] | None = None, accumulate: int = 1,
          gradient_checkpointing: bool = False, on_nan: str = "stop", start=None, track: str | None = None) -> Run:
    """Train `preset` in the run folder `out` for ``preset.epochs`` epochs, or `max_steps` steps in total; the same call
    again resumes.

    `loader` is "store", the decoded images in memory, or "stream", WikiArt's files in bounded memory. `averages` are
    further moving averages of the weights, settings of diffusers' EMAModel by name; each becomes a checkpoint in the
    subfolder of its name. `accumulate` parts of a batch are computed in turn, in less memory; `gradient_checkpointing`
    also needs less, but computes activations again in the backward pass, which takes a third more time. `start` is the
    folder of a checkpoint whose weights the training begins with, instead of random ones (fine-tuning). Ctrl-C (or
    SIGTERM, or SIGUSR1) stops after the current step, saves a checkpoint and raises KeyboardInterrupt. Raises
    BadCheckpoint if `out` holds a run of another preset, loader, data, seed or start, or if the start has another
    network; OutputError if it holds something else or another process trains in it, BadValue if the stream cannot be
    used for `preset` or a batch does not fit into the GPU's memory, and Diverged if the loss or the weights become NaN
    or infinite; the last good state is kept. With `on_nan` "skip", a step with such a loss or gradient changes no
    weight; that waits for the GPU at every step.
    `track` names one of accelerate's trackers, such as "tensorboard", that also gets the losses, into `out`.
    """
    if max_steps is not None and max_steps < 1:
        raise BadValue(f"max_steps = {max_steps}: train for at least 1 step")
    if not 1 <= accumulate <= preset.batch_size:
        raise BadValue(f"accumulate = {accumulate}: cut a batch into 1 to {preset.batch_size} parts")
    check_name("action on NaN", on_nan, ("stop", "skip"))
    check_name("learning-rate decay", preset.learning_rate_decay, ("none", "cosine"))
    # accelerate fixes one precision per process, but a notebook trains both variants: train_step calls autocast
    try:
        accelerator = Accelerator(mixed_precision="no", cpu=best_device() == "cpu", log_with=track, project_dir=out)
    except ValueError as error:
        raise BadValue(f"track = {track!r}: {one_line(error)}") from error
    if track and not accelerator.log_with:
        raise BadValue(f"track = {track!r}: it is not installed: pip install {track}")
    run = Run(out)
    check_loader(loader, preset, accelerator.num_processes)
    start = start and load_pipeline(start, device="cpu")
    with directory_lock(out, wait=False) if accelerator.is_main_process else contextlib.nullcontext():
        trainer = _Trainer(preset, run, loader, accelerator, averages or {}, accumulate, gradient_checkpointing, on_nan,
                           start)
        steps_to_do = min(trainer.last_step, max_steps or preset.max_steps or trainer.last_step)
        if trainer.step < steps_to_do:
            with _stop_requested() as stop:
                trainer.fit(steps_to_do, stop, state_every, sample_every)
            if trainer.step < steps_to_do:
                raise KeyboardInterrupt(f"stopped after {trainer.step} steps; the same command resumes {out}")
    return run


class _Trainer:
    """The state of one training: images or their stream, captions, network, optimizer, averages."""

    def __init__(self, preset, run, loader, accelerator, averages, accumulate, gradient_checkpointing, on_nan, start):
        self.accumulate, self.on_nan = accumulate, on_nan
        self.preset, self.run, self.accelerator = preset, run, accelerator
        device, processes = accelerator.device, accelerator.num_processes
        origin = {"loader": loader}
        if start:
            origin["start"] = {"checkpoint": start.folder.name, "weights_sha256_16": start.weights_sha256_16}
        run.open(preset_record(preset) | origin)                # refuse another preset before reading data
        images = self.images = LOADERS[loader](preset, device)
        if preset.batch_size % processes or len(images) % preset.batch_size % processes:
            raise BadValue(f"batches of {preset.batch_size} of {len(images)} images do not split over {processes} "
                           "processes evenly: choose another number of processes")
        self.steps_per_epoch = -(-len(images) // preset.batch_size)
        self.last_step = self.steps_per_epoch * preset.epochs
        self.latents = images.space and images.space.metadata()
        self.classes = images.classes if preset.dataset in ("wikiart", "own") else None
        self.table = caption_table(preset.text_encoder, every_caption(preset), preset.max_length).to(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_from(preset.seed, "weights"))
            unet = build_unet(preset)
        if start:
            with or_raise(BadCheckpoint, f"{start.folder} has another network than this training",
                          "start from a checkpoint of the same preset"):
                unet.load_state_dict(start.unet.state_dict())
        optimizer = torch.optim.AdamW(unet.parameters(), lr=preset.learning_rate, weight_decay=preset.weight_decay,
                                      fused=device.type == "cuda")
        if device.type == "cuda":
            unet.to(memory_format=torch.channels_last)
        else:
            keep_freed_memory()
        if gradient_checkpointing:
            unet.enable_gradient_checkpointing()
        self.unet, self.optimizer = accelerator.prepare(unet, optimizer)
        self.bare_unet = accelerator.unwrap_model(self.unet)
        self.network = self.unet
        self.compiled_for = -(-preset.batch_size // processes // accumulate)    # an epoch's last batch is smaller
        if preset.ema_decay:
            averages = {"ema": {"decay": preset.ema_decay}} | averages         # "ema" becomes the run's checkpoint
        self.averages = {name: EMAModel(self.bare_unet.parameters(), foreach=True, **settings)
                         for name, settings in averages.items()}
        self.noise_scheduler = make_scheduler(preset, "euler" if preset.prediction == "flow" else "ddpm")
        self.bf16 = preset.bf16 and computes_bf16(device)
        self.description = record(device, **preset_record(preset), seed=preset.seed, **origin,
                                  data_source=images.source, data_fingerprint=images.fingerprint,
                                  training_images=len(images), text_encoder=preset.text_encoder,
                                  **revision_record(preset.text_encoder),
                                  processes=processes, latents=self.latents,
                                  precision="bf16" if self.bf16 else "float32")
        self.step, self.seconds = 0, 0.0
        if run.open(self.description):
            run.load_state(self)
        accelerator.wait_for_everyone()         # all have read the folder before the first process writes to it

    def fit(self, steps_to_do, stop, state_every, sample_every):
        """Train until `steps_to_do` steps are done or `stop` is set; write metrics, states, grids and checkpoints."""
        main, rows, began = self.accelerator.is_main_process, [], time.monotonic() - self.seconds
        if main:
            self.run.start_segment(self.description, self.step)
            self.accelerator.init_trackers("t2i", {"preset": self.description["preset_hash"]})
            if self.step:
                print(f"resuming after step {self.step}")
            else:
                self.run.save_state(self)           # a killed run can be told from a checkpoint without its state
        if self.accelerator.device.type == "cuda" and steps_to_do - self.step >= COMPILE_FROM:
            self.network = compile_unet(self.unet)
        bar = tqdm(total=steps_to_do, initial=self.step, unit="step", disable=not main)
        while self.step < steps_to_do and not self.should_stop(stop):
            epoch = self.step // self.steps_per_epoch + 1
            loss = self.train_step_in_memory()
            self.step += 1
            self.seconds = time.monotonic() - began
            if not main:
                continue
            rows.append({"step": self.step, "epoch": epoch, "loss": loss, "seconds": self.seconds, "images": self.rows})
            bar.update()
            keep = self.step % (self.steps_per_epoch * self.preset.checkpoint_epochs) == 0
            save = self.step % state_every == 0 and self.step < steps_to_do
            if self.step % LOG_EVERY == 0 or keep or save:
                self.log(rows, bar, check_weights=keep or save)
            if keep:
                self.save_pipelines(f"epoch-{epoch:03d}")
            if self.step % sample_every == 0:
                self.draw_grid()
            if save:
                self.run.save_state(self)
        bar.close()
        if main:
            self.log(rows, bar, check_weights=True)
            self.save_pipelines()
            self.run.save_state(self)               # last: a run that is killed before goes on from an earlier one
        self.accelerator.wait_for_everyone()

    def should_stop(self, stop) -> bool:
        """Whether `stop` is set. Several processes must leave the loop at the same step, so they ask each other, but
        only every 10 steps: it waits for the GPU."""
        if self.accelerator.num_processes == 1:
            return stop.is_set()
        if self.step % LOG_EVERY:
            return False
        if stop.is_set():
            self.accelerator.set_trigger()
        return self.accelerator.check_trigger()

    def train_step(self) -> torch.Tensor:
        """One AdamW step; returns the loss, still on the device."""
        preset, device = self.preset, self.accelerator.device
        for group in self.optimizer.param_groups:
            group["lr"] = preset.learning_rate * self.learning_rate_factor()
        loss = self.accelerator.reduce(self.backward(self.batch(device), self.accumulate), "mean")
        if preset.gradient_clip:
            self.accelerator.clip_grad_norm_(self.unet.parameters(), preset.gradient_clip)
        if self.on_nan == "skip" and not self.is_finite(loss):
            loss = loss * math.nan
        else:
            self.optimizer.step()
        self.optimizer.zero_grad()
        for average in self.averages.values():
            average.step(self.bare_unet.parameters())
        return loss

    def backward(self, batch, accumulate: int, share_gradients=True) -> torch.Tensor:
        """The mean loss of this process's `batch` and its gradients, from `accumulate` parts in turn."""
        total = 0.0
        parts = [*zip(*(values.chunk(accumulate) for values in batch))]
        for number, part in enumerate(parts, 1):
            last = share_gradients and number == len(parts)         # when processes add up their gradients
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.unet):
                network = self.network if len(part[0]) == self.compiled_for else self.unet
                with torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.bf16):
                    loss = training_loss(network, self.noise_scheduler, *part, self.preset.min_snr_gamma)
                loss = loss * (len(part[0]) / len(batch[0]))
                self.accelerator.backward(loss)
            total = total + loss.detach()
        return total

    def is_finite(self, loss) -> bool:
        """Whether the loss and all gradients are finite; waits for the device."""
        gradients = [p.grad for p in self.bare_unet.parameters() if p.grad is not None]
        return bool((loss + torch.nn.utils.get_total_norm(gradients)).isfinite())

    def train_step_in_memory(self) -> torch.Tensor:
        """`train_step`; BadValue that says what fits where the GPU's memory does not suffice."""
        with contextlib.suppress(torch.OutOfMemoryError):           # whose traceback would keep the memory
            return self.train_step()
        size, accumulate = self.preset.batch_size, self.accumulate
        batch = self.batch(self.accelerator.device)
        while accumulate < len(batch[0]):
            accumulate = min(2 * accumulate, len(batch[0]))
            self.optimizer.zero_grad()
            torch.cuda.empty_cache()
            with contextlib.suppress(torch.OutOfMemoryError):
                self.backward(batch, accumulate, share_gradients=False)
                raise BadValue(f"a batch of {size} does not fit into the memory of {self.accelerator.device}, but one "
                               f"of {-(-size // accumulate)} does: add --accumulate {accumulate}, which trains on the "
                               "same batches part by part")
        raise BadValue(f"not one image fits into the memory of {self.accelerator.device}: choose a smaller --size")

    def learning_rate_factor(self) -> float:
        """The step's share of the preset's learning rate: linear warm-up, then constant or falling as a cosine."""
        warm_up = min(1.0, (self.step + 1) / max(1, self.preset.warmup_steps))
        if self.preset.learning_rate_decay == "none":
            return warm_up
        return warm_up * 0.5 * (1 + math.cos(math.pi * min(1.0, self.step / self.last_step)))

    def batch(self, device):
        """This process's share of step `self.step`: (x_0, c, noise, timesteps), a function of (seed, step); a stream's
        images also depend on where it was resumed."""
        preset, space = self.preset, self.images.space
        images, labels, genres, self.rows = self.images.batch(self.step)
        n = len(images)
        rng = generator(preset.seed, "step", self.step, device=device)
        noise = torch.randn((n, *preset.unet_shape), generator=rng, device=device)
        timesteps = torch.randint(preset.train_timesteps, (n,), generator=rng, device=device)

        def chosen(share):
            return torch.rand(n, generator=rng, device=device) < share

        dropped = chosen(preset.caption_dropout)
        flipped = chosen(0.5)[:, None, None, None] if preset.horizontal_flips else torch.tensor(False, device=device)
        if space is None:
            images = from_uint8(images, preset.pixel_range)
            x_0 = torch.where(flipped, images.flip(-1), images)                          # [n, c, h, w]
        else:
            x_0 = space.standardise(torch.where(flipped, images[:, 1], images[:, 0]))
        texts = labels                                                                   # rows of `every_caption`
        if preset.genre_dropout is not None:
            texts = caption_rows(preset, labels, genres.masked_fill(chosen(preset.genre_dropout), UNKNOWN_GENRE))
        texts = torch.where(dropped, len(self.table) - 1, texts)                         # the last is the empty caption
        share = slice(self.accelerator.process_index, None, self.accelerator.num_processes)
        return x_0[share], self.table[texts[share]], noise[share], timesteps[share]       # [n / processes, ...]

    def log(self, rows, bar, check_weights=False):
        """Move finished `rows` to the metrics, without those of skipped steps. Losses are copied from the device here;
        Diverged if one is not finite, or with `check_weights` a weight, which rounding errors of the loss may hide."""
        images = [row.pop("images").tolist() for row in rows]
        for row in rows:
            row |= {"loss": round(float(row["loss"]), 6), "seconds": round(row["seconds"], 2)}
        finite = [row for row in rows if math.isfinite(row["loss"])]
        if finite:
            bar.set_postfix(loss=f"{finite[-1]['loss']:.4f}")
        self.run.log(finite)
        for row in finite:
            self.accelerator.log({"loss": row["loss"]}, step=row["step"])
        bad = [f"the loss is {row['loss']} at step {row['step']}, of the images {numbers}"
               for row, numbers in zip(rows, images) if row not in finite]
        if check_weights and not all(p.isfinite().all() for p in self.bare_unet.parameters()):
            bad.append(f"weights are NaN or infinite after step {self.step}")
        elif bad and self.on_nan == "skip":
            print("\n".join(f"skipped: {reason}" for reason in bad))
            bad = []
        if bad:
            raise Diverged(f"{bad[0]}: {self.run.folder} keeps the state of step {self.run.saved_step()}; look at the "
                           "images, or leave out such steps with --on-nan skip")
        rows.clear()

    @contextlib.contextmanager
    def averaged(self, name="ema"):
        """A pipeline whose U-Net has the weights of the average `name`, or its own without such an average."""
        average, parameters = self.averages.get(name), list(self.bare_unet.parameters())
        if average:
            average.store(parameters)
            average.copy_to(parameters)
        try:
            yield CaptionPipeline.for_preset(self.preset, self.bare_unet, self.latents, self.classes)
        finally:
            if average:
                average.restore(parameters)

    def save_pipelines(self, kept_as=None):
        """Write the run folder's checkpoint, those of further averages, and with `kept_as` one in that subfolder."""
        for name in self.averages.keys() - {"ema"}:
            with self.averaged(name) as pipeline:
                self.run.save_pipeline(pipeline, name)
        with self.averaged() as pipeline:
            for subfolder in ("", *([kept_as] if kept_as else [])):
                self.run.save_pipeline(pipeline, subfolder)

    def draw_grid(self):
        """One image a caption (at most 16), at w = 2, into samples/."""
        with self.averaged() as pipeline:
            prompts = pipeline.captions[:16]
            images = pipeline(prompts, w=2.0, seeds=range(len(prompts))).images
        with atomic_write(self.run.folder / "samples" / f"step-{self.step:06d}.png") as temporary:
            save_image(images.cpu(), temporary, nrow=8, padding=1)


@contextlib.contextmanager
def _stop_requested():
    """An event that Ctrl-C, SIGTERM and SIGUSR1 (SLURM's warning) set, so that a run stops between steps; a second
    one interrupts at once."""
    stop = threading.Event()

    def request(number, frame):
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    with contextlib.ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for name in {"SIGINT", "SIGTERM", "SIGUSR1"} & {*dir(signal)}:         # Windows lacks the last
                number = getattr(signal, name)
                stack.callback(signal.signal, number, signal.signal(number, request))
        yield stop
