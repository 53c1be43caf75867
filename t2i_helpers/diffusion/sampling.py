"""The one sampler: any U-Net, any diffusers scheduler, any guider, and a seed for each image."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..errors import BadValue
from ..randomness import generator


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
    callback: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None,
) -> Samples:
    """Draw one image for each row of `cond`.

    cond      [n, length, dim], the captions' embeddings; null [1, length, dim], the empty caption's.
    seeds     n integers. Image i depends on seeds[i] alone, whatever the batch: its x_T and all noise that the
              scheduler adds come from a generator of its own.
    steps     1 to the scheduler's number of training timesteps.
    clip      bound of |x^_0| at every step (DDPM's ``clip_sample``, here for every scheduler), or None. Without it a
              large w drives pixel-space models out of the range they were trained on.
    callback  called after every step with (step from 0, x_t, x^_0): the noisy images that entered the step, scaled to
              sqrt(abar) x_0 + sqrt(1 - abar) eps, and the clean images that the guided prediction implies.

    Raises BadValue for steps or seeds that do not fit.
    """
    _check(scheduler, cond, seeds, steps)
    device = cond.device
    generators = [generator("sample", int(seed)) for seed in seeds]
    scheduler = _with_timesteps(scheduler, steps, device)
    shape = (unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
    x = torch.stack([torch.randn(shape, generator=g) for g in generators]).to(device)     # [n, c, h, w]
    x = x * scheduler.init_noise_sigma
    takes_noise = "generator" in inspect.signature(scheduler.step).parameters
    noise = {"generator": generators} if takes_noise else {}
    conditions = {"encoder_hidden_states": (cond, null.expand_as(cond))}

    passes = 0
    for step, t in enumerate(scheduler.timesteps):
        x_t = scheduler.scale_model_input(x, t)
        guider.set_state(step=step, num_inference_steps=len(scheduler.timesteps), timestep=t)
        batches = guider.prepare_inputs(conditions)
        for batch in batches:
            guider.prepare_models(unet)
            batch.noise_pred = unet(x_t, t, batch.encoder_hidden_states).sample
            guider.cleanup_models(unet)
        passes += len(batches)
        prediction = guider(batches).pred
        x_0, prediction = _predict_x0(scheduler, x_t, prediction, t, clip)
        x = scheduler.step(prediction, t, x, **noise).prev_sample
        if callback is not None:
            callback(step, x_t, x_0)
    return Samples(x.float(), passes)


def _with_timesteps(scheduler, steps, device):
    """The scheduler, set to `steps`; two faults of diffusers 0.42 are mended here."""
    if steps == scheduler.config.num_train_timesteps:       # "leading" divides by zero in some schedulers
        scheduler = scheduler.from_config(scheduler.config, timestep_spacing="trailing")
    scheduler.set_timesteps(steps, device=device)
    if scheduler.timesteps[-1] < 0:                         # "trailing" rounds one timestep too many, t = -1
        scheduler.timesteps = scheduler.timesteps[:-1]
        if hasattr(scheduler, "sigmas"):
            scheduler.sigmas = torch.cat([scheduler.sigmas[:-2], scheduler.sigmas[-1:]])
    return scheduler


def alpha_bar(scheduler, t) -> torch.Tensor:
    """abar_t, the share of signal left at `t`; where `t` is not whole, interpolated in sigma as schedulers do."""
    table = scheduler.alphas_cumprod.to(torch.float64).cpu()
    t = float(t)
    low = int(t)
    if low == t:
        return table[low].float()
    sigma = ((1 - table) / table).sqrt()
    between = torch.lerp(sigma[low], sigma[low + 1], t - low)
    return (1 / (1 + between**2)).float()


def _predict_x0(scheduler, x_t, prediction, t, clip):
    """x^_0, clipped, and the prediction that the clipped x^_0 implies.

    eps: x^_0 = (x_t - sqrt(1 - abar) eps) / sqrt(abar).
    v (Salimans & Ho 2022): x^_0 = sqrt(abar) x_t - sqrt(1 - abar) v.
    """
    abar = alpha_bar(scheduler, t)
    signal, noise = abar.sqrt(), (1 - abar).sqrt()
    predicts_v = scheduler.config.prediction_type == "v_prediction"
    x_0 = signal * x_t - noise * prediction if predicts_v else (x_t - noise * prediction) / signal
    if clip is None:
        return x_0, prediction
    clipped = x_0.clamp(-clip, clip)
    implied = (signal * x_t - clipped) / noise if predicts_v else (x_t - signal * clipped) / noise
    return clipped, torch.where(clipped == x_0, prediction, implied)


def _check(scheduler, cond, seeds, steps):
    if len(cond) != len(seeds) or not len(seeds):
        raise BadValue(f"{len(cond)} captions and {len(seeds)} seeds: give one seed for each caption, at least one")
    longest = scheduler.config.num_train_timesteps
    if not 1 <= steps <= longest:
        raise BadValue(f"steps = {steps}: choose 1 to {longest}, the timesteps of training")
