"""The noise schedule of a preset, as any of diffusers' schedulers by name."""

import diffusers

from ..errors import UnknownName

# name: (class, what it needs beyond the preset's betas)
SCHEDULERS = {
    "ddpm": ("DDPMScheduler", {"clip_sample": False}),      # the sampler clips, for all of them alike
    # diffusers' DDIM finds the next timestep as t - T // steps, which only "leading" steps are
    "ddim": ("DDIMScheduler", {"set_alpha_to_one": True, "clip_sample": False, "timestep_spacing": "leading"}),
    "dpm++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "unipc": ("UniPCMultistepScheduler", {}),
    # These three step in sigma, and with the cosine schedule sigma falls from 20,000 in one step at t = T.
    "heun": ("HeunDiscreteScheduler", {"timestep_spacing": "leading"}),
    "lms": ("LMSDiscreteScheduler", {"timestep_spacing": "leading"}),
    "euler": ("EulerDiscreteScheduler", {"timestep_spacing": "leading"}),
}


def make_scheduler(preset, name: str | None = None):
    """The diffusers scheduler `name` (one of SCHEDULERS, by default the preset's) over the preset's betas.

    With "leading" timesteps, diffusers' default and so the thesis's, 50 steps of 1000 start at t = 980, where x_t
    still holds a little of the image's brightness: pure noise there is taken for a brighter image. "trailing" starts
    at t = 999 (Lin et al. 2024, arXiv:2305.08891).
    """
    name = preset.scheduler if name is None else name
    if name not in SCHEDULERS:
        raise UnknownName("scheduler", name, SCHEDULERS)
    class_name, extra = SCHEDULERS[name]
    settings = {
        "num_train_timesteps": preset.train_timesteps,
        "beta_schedule": preset.beta_schedule,
        "beta_start": preset.beta_start,
        "beta_end": preset.beta_end,
        "prediction_type": preset.prediction,
        "timestep_spacing": preset.timestep_spacing,
    }
    return getattr(diffusers, class_name)(**settings | extra)
