"""The one sampler: any U-Net, any diffusers scheduler, any guider, and a seed for each image."""

import contextlib
import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler, UniPCMultistepScheduler

from ..errors import BadValue
from ..randomness import generator
from .editing import SDEditInit
from .guidance import Step
from .losses import LossGuidance
from .noise import NoisyBatch, noise_level, predicted, sigma
from .reuse import reuse
from .schedulers import BEGIN_ANYWHERE, ddim_step


@dataclass(frozen=True)
class Samples:
    """What `sample` returns."""

    images: torch.Tensor        # float32 [n, c, h, w]; from `sample` in the model's pixel range
    forward_passes: int         # U-Net evaluations an image


@torch.no_grad()
def sample(unet, scheduler, guider: Callable[[Step], torch.Tensor], cond: torch.Tensor, null: torch.Tensor, *,
           seeds: Sequence[int], steps: int = 50, clip: float | None = 1.0, loss: LossGuidance | None = None,
           start: SDEditInit | None = None, compiled: Callable | None = None,
           callback: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None) -> Samples:
    """Draw one image for each row of `cond`.

    cond      [n, length, dim], the captions' embeddings; null [1, length, dim], the empty caption's. The U-Net computes
              in their type, such as bfloat16; all other arithmetic is in float32, or float64 if they are.
    seeds     n integers. Image i depends on seeds[i] alone: all of its noise comes from a generator of its own.
    steps     1 to the scheduler's number of training timesteps.
    clip      bound of |x^_0| at every step (DDPM's ``clip_sample``, here for every scheduler), or None. Without it a
              large w drives pixel-space models out of the range they were trained on.
    loss      moves x_t down its gradient before each step, whatever the guider (`losses.LossGuidance`).
    start     images to begin from in place of pure noise, some way into the steps (`editing.SDEditInit`).
    compiled  `unet` compiled, which is called in its place wherever nothing is hooked into it.
    callback  called after every step with (step from 0, x_t, x^_0): the noisy images that entered the step, scaled to
              signal x_0 + noise eps (`NoisyBatch`), and the clean images that the guided prediction implies.

    Raises BadValue for steps, seeds, a loss or a start that do not fit."""
    if loss is not None and isinstance(scheduler, UniPCMultistepScheduler):
        raise BadValue("UniPC corrects each step, which undoes a loss's update: choose another scheduler, such as ddim")
    if len(cond) != len(seeds) or not len(seeds):
        raise BadValue(f"{len(cond)} captions and {len(seeds)} seeds: give one seed for each caption, at least one")
    scheduler = with_timesteps(scheduler, steps, cond.device)
    take_step = functools.partial(ddim_step, scheduler) if isinstance(scheduler, DDIMScheduler) else scheduler.step
    generators = [generator("sample", int(seed)) for seed in seeds]
    noise = {"generator": generators} if "generator" in inspect.signature(take_step).parameters else {}
    shape = (unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
    x = torch.stack([torch.randn(shape, generator=g) for g in generators])                              # [n, c, h, w]
    x = x.to(cond.device, torch.promote_types(cond.dtype, torch.float32))
    first, x = start.begin(scheduler, x, clip) if start else (0, x * getattr(scheduler, "init_noise_sigma", 1))
    scale = getattr(scheduler, "scale_model_input", lambda x, t: x)         # a flow needs neither

    predicts = predicted(scheduler)
    levels = [noise_level(scheduler, t) for t in scheduler.timesteps]
    sigmas = [float(sigma(level, predicts)) for level in levels]
    null, state, passes = null.expand_as(cond), {}, 0
    with contextlib.nullcontext() if compiled else reuse(unet):
        for index, t in list(enumerate(scheduler.timesteps))[first:]:
            x_t = scale(x, t)
            noisy = NoisyBatch(x_t.detach().requires_grad_(loss is not None), levels[index], predicts)
            step = Step(unet, noisy, t, cond, null, index, first, sigmas, state, compiled=compiled)
            with torch.set_grad_enabled(loss is not None):
                prediction = guider(step)
            passes += step.passes
            if loss is not None:
                update = loss.guidance_update(noisy, prediction)
                noisy, prediction = NoisyBatch((x_t + update).detach(), noisy.level, predicts), prediction.detach()
                x = x + (update if x_t is x else update / noisy.signal)     # some schedulers keep x_t / sqrt(abar)
            x_0, prediction = noisy.clipped(prediction, clip)
            if step.noise_from is not None:                                 # x^_0 under the noise of another prediction
                if not isinstance(scheduler, BEGIN_ANYWHERE):
                    raise BadValue("this scheduler cannot renoise: with cfg++ choose ddim, ddpm or dpm++")
                _, noise_from = step.noisy.clipped(step.noise_from, clip)
                x = noisy.signal * x_0 + noisy.noise * step.noisy.eps(noise_from)
                prediction = NoisyBatch(x, noisy.level, predicts).prediction(x_0)
            x = take_step(prediction, t, x, **noise).prev_sample
            if callback is not None:
                callback(index, noisy.x_t, x_0)
    return Samples(x.float(), passes)


def with_timesteps(scheduler, steps, device):
    """A copy of `scheduler` with its timesteps set; works around three faults of diffusers 0.42."""
    longest = scheduler.config.num_train_timesteps
    if not 1 <= steps <= longest:
        raise BadValue(f"steps = {steps}: choose 1 to {longest}, the timesteps of training")
    scheduler = copy.deepcopy(scheduler)
    if steps == longest and predicted(scheduler) != "flow":     # fault 1: "leading" divides by zero in some schedulers
        scheduler.register_to_config(timestep_spacing="trailing")
    if predicted(scheduler) == "flow":                      # fault 2: a flow's last step would begin at s = 1 / T
        scheduler.sigma_min = 1 / steps
    scheduler.set_timesteps(steps, device=device)
    excess = int((scheduler.timesteps < 0).sum())           # fault 3: "trailing" may add t = -1, which Heun has twice
    if excess:
        scheduler.timesteps = scheduler.timesteps[:-excess]
        if hasattr(scheduler, "sigmas"):
            scheduler.sigmas = torch.cat([scheduler.sigmas[:-1 - excess], scheduler.sigmas[-1:]])
    return scheduler
