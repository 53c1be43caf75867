"""The one sampler: any U-Net, any diffusers scheduler, any guider, and a seed for each image."""

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler, UniPCMultistepScheduler

from ..errors import BadValue
from ..randomness import generator
from .editing import SUPPORTS_PARTIAL_START, SDEditInit
from .losses import LossGuidance
from .noise import NoisyBatch, alpha_bar
from .schedulers import ddim_step


@dataclass(frozen=True)
class Samples:
    """What `sample` returns."""

    images: torch.Tensor        # float32 [n, c, h, w]; from `sample` in the model's pixel range
    forward_passes: int         # U-Net evaluations an image


@torch.no_grad()
def sample(
    unet,
    scheduler,
    guider,
    cond: torch.Tensor,
    null: torch.Tensor,
    *,
    seeds: Sequence[int],
    steps: int = 50,
    clip: float | None = 1.0,
    loss: LossGuidance | None = None,
    start: SDEditInit | None = None,
    callback: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None,
) -> Samples:
    """Draw one image for each row of `cond`.

    cond      [n, length, dim], the captions' embeddings; null [1, length, dim], the empty caption's.
    seeds     n integers. Image i depends on seeds[i] alone, whatever the batch: its x_T and all noise that the
              scheduler adds come from a generator of its own.
    steps     1 to the scheduler's number of training timesteps.
    clip      bound of |x^_0| at every step (DDPM's ``clip_sample``, here for every scheduler), or None. Without it a
              large w drives pixel-space models out of the range they were trained on.
    loss      pushes x_t down its gradient before each step, whatever the guider (`losses.LossGuidance`).
    start     images to begin from in place of pure noise, some way into the steps (`editing.SDEditInit`).
    callback  called after every step with (step from 0, x_t, x^_0): the noisy images that entered the step, scaled to
              sqrt(abar) x_0 + sqrt(1 - abar) eps, and the clean images that the guided prediction implies.

    Raises BadValue for steps, seeds or a start that do not fit.
    """
    _check(scheduler, guider, cond, seeds, steps, loss)
    shape = (unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
    if start is not None:
        start.check(scheduler, (len(cond), *shape), clip)
    device = cond.device
    generators = [generator("sample", int(seed)) for seed in seeds]
    scheduler = _with_timesteps(scheduler, steps, device)
    if hasattr(guider, "check_steps"):
        guider.check_steps([NoisyBatch(cond, alpha_bar(scheduler, t), False).sigma for t in scheduler.timesteps])
    x = torch.stack([torch.randn(shape, generator=g) for g in generators]).to(cond)     # [n, c, h, w]
    first, x = start.enter(scheduler, x) if start is not None else (0, x * scheduler.init_noise_sigma)
    take_step = functools.partial(ddim_step, scheduler) if isinstance(scheduler, DDIMScheduler) else scheduler.step
    takes_noise = "generator" in inspect.signature(take_step).parameters
    noise = {"generator": generators} if takes_noise else {}
    conditions = {"encoder_hidden_states": (cond, null.expand_as(cond))}

    predicts_v = scheduler.config.prediction_type == "v_prediction"
    renoises = hasattr(guider, "renoise")
    passes = 0
    for step, t in enumerate(scheduler.timesteps[first:], first):
        x_t = scheduler.scale_model_input(x, t)
        noisy = NoisyBatch(x_t.detach().requires_grad_(loss is not None), alpha_bar(scheduler, t), predicts_v)
        guider.set_state(step=step, num_inference_steps=len(scheduler.timesteps), timestep=t)
        with torch.set_grad_enabled(loss is not None):
            predicted, evaluations = _guided(unet, guider, conditions, noisy, t)
        passes += evaluations
        if loss is not None:
            push = loss.push(noisy, predicted)
            noisy, predicted = noisy.moved(push), predicted.detach()
            x = x + (push if x_t is x else push / noisy.signal)         # some schedulers keep x_t / sqrt(abar)
        x_0, prediction = noisy.clipped(predicted, clip)
        if renoises:
            x, prediction = guider.renoise(x_0, clip)
        x = take_step(prediction, t, x, **noise).prev_sample
        if callback is not None:
            callback(step, noisy.x_t, x_0)
    return Samples(x.float(), passes)


def _guided(unet, guider, conditions, noisy, t):
    """(the guided prediction, the number of U-Net evaluations that it took)."""
    guider.noisy = noisy                            # for rules that need x^_0 or the noise level
    batches = guider.prepare_inputs(conditions)
    for batch in batches:
        try:
            guider.prepare_models(unet)
            batch.noise_pred = unet(noisy.x_t, t, batch.encoder_hidden_states).sample
        finally:
            guider.cleanup_models(unet)             # also of hooks, so that the U-Net is whole after an error
    return guider(batches).pred, len(batches)


def _with_timesteps(scheduler, steps, device):
    """The scheduler, set to `steps`; two faults of diffusers 0.42 are mended here."""
    if steps == scheduler.config.num_train_timesteps:       # "leading" divides by zero in some schedulers
        scheduler = copy.copy(scheduler)
        scheduler.register_to_config(timestep_spacing="trailing")
    scheduler.set_timesteps(steps, device=device)
    excess = int((scheduler.timesteps < 0).sum())           # "trailing" rounds one too many, t = -1; Heun has it twice
    if excess:
        scheduler.timesteps = scheduler.timesteps[:-excess]
        if hasattr(scheduler, "sigmas"):
            scheduler.sigmas = torch.cat([scheduler.sigmas[:-1 - excess], scheduler.sigmas[-1:]])
    return scheduler


def _check(scheduler, guider, cond, seeds, steps, loss):
    if loss is not None and isinstance(scheduler, UniPCMultistepScheduler):
        raise BadValue("UniPC corrects each step from where it began, which undoes a loss's push: choose another "
                       "scheduler, such as ddim")
    if hasattr(guider, "renoise") and type(scheduler).__name__ not in SUPPORTS_PARTIAL_START:
        raise BadValue(f"{type(scheduler).__name__} cannot renoise: with cfg++ choose ddim, ddpm or dpm++")
    if len(cond) != len(seeds) or not len(seeds):
        raise BadValue(f"{len(cond)} captions and {len(seeds)} seeds: give one seed for each caption, at least one")
    longest = scheduler.config.num_train_timesteps
    if not 1 <= steps <= longest:
        raise BadValue(f"steps = {steps}: choose 1 to {longest}, the timesteps of training")
