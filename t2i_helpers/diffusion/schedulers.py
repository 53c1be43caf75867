"""The noise schedule of a preset as any of diffusers' schedulers, by a name with settings: "ddim eta=0.5"."""

import diffusers
from diffusers.schedulers.scheduling_utils import SchedulerOutput
from diffusers.utils.torch_utils import randn_tensor

from ..errors import BadValue, UnknownName
from .noise import NoisyBatch

EXAMPLES = {"scheduler": "ddim", "guider": "cfg"}
SPACINGS = ("leading", "linspace", "trailing")      # of the timesteps, in the words of Lin et al. 2024

# name: (class, what it needs beyond the preset's betas)
SCHEDULERS = {
    "ddpm": (diffusers.DDPMScheduler, {"clip_sample": False}),      # the sampler clips, for all of them alike
    "ddim": (diffusers.DDIMScheduler, {"set_alpha_to_one": True, "clip_sample": False}),
    "dpm++": (diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "unipc": (diffusers.UniPCMultistepScheduler, {}),
    # These three step in sigma, which falls from 20,000 in one step at t = T with the cosine schedule.
    "heun": (diffusers.HeunDiscreteScheduler, {"timestep_spacing": "leading"}),
    "lms": (diffusers.LMSDiscreteScheduler, {"timestep_spacing": "leading"}),
    "euler": (diffusers.EulerDiscreteScheduler, {"timestep_spacing": "leading"}),
}
FLOW_SCHEDULERS = {"euler": diffusers.FlowMatchEulerDiscreteScheduler, "heun": diffusers.FlowMatchHeunDiscreteScheduler}
BEGIN_ANYWHERE = (diffusers.DDPMScheduler, diffusers.DDIMScheduler, diffusers.DPMSolverMultistepScheduler,
                  diffusers.FlowMatchEulerDiscreteScheduler)


def make_scheduler(preset, name: str | None = None):
    """The diffusers scheduler `name` (one of SCHEDULERS, by default the preset's) over the preset's betas.

    Settings stand in the name: "ddim eta=0.5", from 0 (deterministic) to 1 (with DDPM's variance); for each scheduler
    "spacing=trailing", one of SPACINGS, in place of its own or the preset's. Raises UnknownName, or BadValue for a
    setting that does not exist or is out of its range.

    With "leading" timesteps, diffusers' default and so the thesis's, 50 steps of 1000 start at t = 980, where x_t
    still holds a little of the image's brightness: pure noise there is taken for a brighter image. "trailing" starts
    at t = 999 and ends above 0, "linspace" takes in both ends (Lin et al. 2024, arXiv:2305.08891).

    A preset that predicts a flow has no betas: its schedulers are "euler" and "heun", without settings.
    """
    name, settings = parse("scheduler", preset.scheduler if name is None else name, words=("spacing",))
    if preset.prediction == "flow":
        if name not in FLOW_SCHEDULERS:
            raise UnknownName("scheduler of a flow", name, FLOW_SCHEDULERS)
        if settings:
            raise BadValue(f"scheduler {name!r} of a flow has no setting {', '.join(settings)}: leave it out")
        return FLOW_SCHEDULERS[name](preset.train_timesteps)
    if name not in SCHEDULERS:
        raise UnknownName("scheduler", name, SCHEDULERS)
    kind, extra = SCHEDULERS[name]
    spacing = settings.pop("spacing", extra.get("timestep_spacing", preset.timestep_spacing))
    if spacing not in SPACINGS:
        raise UnknownName("timestep spacing", spacing, SPACINGS)
    scheduler = kind(**extra | dict(
        num_train_timesteps=preset.train_timesteps, beta_schedule=preset.beta_schedule, beta_start=preset.beta_start,
        beta_end=preset.beta_end, prediction_type=preset.prediction, timestep_spacing=spacing))
    if name == "ddim" and "eta" in settings:
        check_range("eta", settings["eta"], 0, 1)
        scheduler.register_to_config(eta=settings.pop("eta"))
    if settings:
        raise BadValue(f"scheduler {name!r} has no setting {', '.join(settings)}: eta is ddim's, spacing everyone's")
    return scheduler


def ddim_step(scheduler, prediction, t, x_t, generator=None):
    """A step of DDIM (Song et al. 2021, arXiv:2010.02502, eq. 12) with eta times the noise of eq. 16: DDPM's at 1. The
    own step of `scheduler`, a DDIMScheduler, takes t - T // steps for the next timestep, which is right for "leading"
    ones alone, and at eta = 1 it may take the root of a number that rounding made negative."""
    eta = scheduler.config.get("eta", 0.0)
    noisy = NoisyBatch(x_t, scheduler.alphas_cumprod[t], scheduler.config.prediction_type)
    later = scheduler.timesteps[scheduler.timesteps < t]
    after = scheduler.alphas_cumprod[later[0]] if len(later) else scheduler.final_alpha_cumprod
    variance = eta**2 * (1 - after) / (1 - noisy.level) * (1 - noisy.level / after)
    kept = (1 - after - variance).clamp(min=0)
    x = after.sqrt() * noisy.x_0(prediction) + kept.sqrt() * noisy.eps(prediction)
    if eta > 0:
        x = x + variance.sqrt() * randn_tensor(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return SchedulerOutput(prev_sample=x)


def parse(kind: str, text: str, words: tuple[str, ...] = ()) -> tuple[str, dict]:
    """("interval", {"sigma_max": 5.0}) of "interval sigma_max=5", for the `kind` "guider"; the settings in `words` stay
    text. Raises BadValue for what is no text, and for another setting that is not of the form name=number."""
    if not isinstance(text, str):
        raise BadValue(f"the {kind} is a {type(text).__name__}: give its name, such as {EXAMPLES[kind]!r}")
    name, *written = text.split() or [""]
    settings = {}
    for setting in written:
        field, _, value = setting.partition("=")
        try:
            settings[field] = value if field in words else float(value)
        except ValueError:
            raise BadValue(f"{kind} {text!r}: {setting!r} is not of the form name=number") from None
    return name, settings


def check_range(name, value, low, high):
    """Raise BadValue unless `value` is a number from `low` to `high`."""
    if not isinstance(value, (int, float)) or not low <= value <= high:
        raise BadValue(f"{name} = {value}: choose a number from {low} to {high}")
