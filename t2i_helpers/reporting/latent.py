"""Latent diffusion as Stable Diffusion does it, on our paintings, or on its own images where its weights are."""

import dataclasses
import textwrap
from collections.abc import Callable

import torch
import torch.nn.functional as F

from ..diffusion import make_scheduler
from ..diffusion.noise import sigma
from . import checkpoints
from .derived import flat
from .drawing import GREY, image_grids, line, new_figure, plot_with_ci
from .exhibits import exhibit
from .recorded import PAINTING_FEATURES

STABLE = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)       # Stable Diffusion's noise
LENGTHS = (50, 400, 700, 1000, 1200, 1500)
SIDE = 128                                                                             # of the images in a figure


@exhibit("latent_{}", "png")
def columns(name: str, prompts: list[str], drawings: dict[str, Callable[[], torch.Tensor]], note: str = ""):
    """Images of some prompts (rows) by several settings (columns).

    `drawings`: {label: a function to images [prompts, c, h, w]}.
    """
    parts = [F.interpolate(draw().cpu(), (SIDE, SIDE), mode="area") for draw in drawings.values()]
    labels = [textwrap.fill(prompt, 16) for prompt in prompts]
    figure = image_grids({"": (torch.stack(parts, 1), labels, list(drawings))}, height=0.3 + 1.1 * len(prompts))
    return figure, {"note": note}


def as_grey(z: torch.Tensor) -> list[torch.Tensor]:
    """Latents [n, channels, h, w] as images [n, 3, 8 h, 8 w] for each channel, from its lowest value to its highest."""
    low, high = z.amin((0, 2, 3), keepdim=True), z.amax((0, 2, 3), keepdim=True)
    grey = F.interpolate((z - low) / (high - low), scale_factor=8)
    return [channel[:, None].expand(-1, 3, -1, -1) for channel in grey.unbind(1)]


@exhibit("latent_sigmas", "pdf")
def sigmas(preset):
    """Left: the noise levels of LMS for Stable Diffusion's schedule. Right: the largest one, if the schedule is taken
    to have another number of timesteps than in training."""
    stable, largest = dataclasses.replace(preset, **STABLE), {}
    figure, ((levels, ends),) = new_figure(1, 2, 2.3)
    for place, count in enumerate((10, 50)):
        scheduler = make_scheduler(stable, "lms")
        scheduler.set_timesteps(count)
        levels.plot(scheduler.timesteps, scheduler.sigmas[:-1], label=f"{count} steps", **line(place, markersize=2.5))
    for place, (name, each) in enumerate({"Stable Diffusion": stable, "ours (cosine)": preset}.items()):
        schedulers = (make_scheduler(dataclasses.replace(each, train_timesteps=count), "ddpm") for count in LENGTHS)
        largest[name] = {f"T{count}": float(sigma(scheduler.alphas_cumprod[-1]))
                         for count, scheduler in zip(LENGTHS, schedulers)}
        ends.plot(LENGTHS, largest[name].values(), label=name, **line(place))
    levels.set(xlabel="timestep t", ylabel=r"$\sigma$")
    levels.invert_xaxis()
    ends.set(xlabel="timesteps T of the schedule", ylabel=r"largest $\sigma$", yscale="log")
    for axis in (levels, ends):
        axis.legend()
    return figure, {"note": "left: leading timesteps of 1,000", "largest": largest}


@exhibit("latent_curves", "pdf")
def curves(pipe):
    """An accuracy and the kernel distance (rows) by steps, guidance scale, length of the schedule and strength of a
    text's guidance (columns), beside real paintings."""
    measured, evaluation = (checkpoints.measured(pipe, name) for name in ("latent", "evaluation"))
    (default,) = [row for row in measured["schedule"] if row["train_timesteps"] == pipe.preset.train_timesteps]
    stored = [*map(flat, evaluation["rows"])]
    lists = [("steps", "steps", [*measured["steps"], default | {"steps": measured["steps_by_default"]}]),
             ("w", "scale w", stored + measured["guidance"]), ("train_timesteps", "timesteps T", measured["schedule"]),
             ("strength", "text strength s", measured["strengths"])]
    figure, axes = new_figure(2, len(lists), 3.6)
    for (setting, label, rows), (upper, lower) in zip(lists, axes.T):
        rows = sorted(rows, key=lambda row: row[setting])
        title, accuracy = ("objects", "object_accuracy") if setting == "strength" else ("style", "accuracy")
        for axis, metric in ((upper, accuracy), (lower, "kernel")):
            plot_with_ci(axis, [row[setting] for row in rows], [row[metric] for row in rows], **line(1))
            axis.axhline(rows[0][metric]["real"]["value"], color=GREY, linestyle="--")
        upper.set(ylim=(0, None), title=title)
        lower.set(xlabel=label)
    axes[0][0].set_ylabel("accuracy")
    axes[1][0].set_ylabel("kernel distance")
    return figure, {"note": f"n = {default['n']} a point, {stored[0]['n']} at w = 1 and 4; w = {measured['w']:g} where "
                            f"it is not varied, 1 beside the strength; dashed: real paintings; {PAINTING_FEATURES}; "
                            "objects: our classifier of photographs; bands: 95 %"}
