"""Latent diffusion as Stable Diffusion does it, on our paintings, or on its own images where its weights are."""

import dataclasses
import textwrap
from collections.abc import Callable

import torch
import torch.nn.functional as F

from ..diffusion import make_scheduler
from ..evaluation.latent import OBJECTS, SAMPLES
from .checkpoints import load_or_evaluate, load_or_measure_latent
from .drawing import GREY, image_grids, line, new_figure, plot_with_ci
from .exhibits import exhibit
from .recorded import PAINTING_FEATURES
from .tables import with_interval

STABLE = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)       # Stable Diffusion's noise
SIDE = 128                                                                             # of the images in a figure
JUDGED = f"judged by {PAINTING_FEATURES}; intervals 95 %"
METRICS = {"object_accuracy": ("object", True), "similarity": ("similarity", False), "accuracy": ("style", True),
           "genre_accuracy": ("genre", True), "kernel": ("kernel distance", False), "diversity": ("diversity", False)}


@exhibit("latent_{}", "png")
def columns(name: str, prompts: list[str], drawings: dict[str, Callable[[], torch.Tensor]], note: str = ""):
    """Images of `prompts` (rows) for each of {label: a function to images [prompts, c, h, w]} (columns)."""
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
def sigmas(preset, steps=(10, 50), lengths=(50, 400, 700, 1000, 1200, 1500)):
    """Left: the noise levels of LMS for Stable Diffusion's schedule. Right: the largest one, if the schedule is taken
    to have another number of timesteps than in training."""
    stable, largest = dataclasses.replace(preset, **STABLE), {}
    figure, (axes,) = new_figure(1, 2, 2.3)
    for place, count in enumerate(steps):
        scheduler = make_scheduler(stable, "lms")
        scheduler.set_timesteps(count)
        axes[0].plot(torch.linspace(0, 1, count + 1), scheduler.sigmas, label=f"{count} steps",
                     **line(place, markersize=2.5, linewidth=1))
    for place, (name, each) in enumerate({"Stable Diffusion": stable, "ours (cosine)": preset}.items()):
        counted = {count: make_scheduler(dataclasses.replace(each, train_timesteps=count), "ddpm").alphas_cumprod[-1]
                   for count in lengths}
        largest[name] = {f"T{count}": float(((1 - abar) / abar) ** 0.5) for count, abar in counted.items()}
        axes[1].plot(lengths, largest[name].values(), label=name, **line(place))
    axes[0].set(xlabel="share of the steps done", ylabel=r"$\sigma$")
    axes[1].set(xlabel="timesteps T of the schedule", ylabel=r"largest $\sigma$", yscale="log")
    axes[1].axvline(preset.train_timesteps, color=GREY, linestyle=":", label="training")
    for axis in axes:
        axis.legend()
    return figure, {"note": "left: leading timesteps of 1,000", "largest": largest}


@exhibit("latent_curves", "pdf")
def curves(pipe):
    """What steps, guidance scale, length of the schedule and strength of a text's guidance change (columns): an
    accuracy and the kernel distance (rows), beside real paintings."""
    measured, evaluation = load_or_measure_latent(pipe), load_or_evaluate(pipe)
    stored = [{"w": row["w"], "accuracy": row["accuracy"], "kernel": row["efficientnet"]["kernel"]}
              for row in evaluation["rows"]]
    default = next(row for row in measured["schedule"] if row["train_timesteps"] == pipe.preset.train_timesteps)
    lists = {"steps": [*measured["steps"], default | {"steps": measured["steps_by_default"]}],
             "w": stored + measured["guidance"], "train_timesteps": measured["schedule"],
             "strength": measured["strengths"]}
    titles = {"steps": "steps", "w": "scale w", "train_timesteps": "timesteps T", "strength": "text strength s"}
    figure, axes = new_figure(2, len(lists), 3.6)
    for (setting, rows), upper, lower in zip(lists.items(), *axes):
        rows = sorted(rows, key=lambda row: row[setting])
        accuracy = "object_accuracy" if setting == "strength" else "accuracy"
        for axis, metric in ((upper, accuracy), (lower, "kernel")):
            plot_with_ci(axis, [row[setting] for row in rows], [row[metric] for row in rows], **line(1))
            axis.axhline(rows[0][metric]["real"]["value"], color=GREY, linestyle="--")
            axis.set(xscale="log" if setting == "steps" else "linear")
        upper.set(ylim=(0, None), title="objects" if setting == "strength" else "style")
        lower.set(xlabel=titles[setting])
    axes[0][0].set_ylabel("accuracy")
    axes[1][0].set_ylabel("kernel distance")
    return figure, {"note": f"n = {SAMPLES} a point ({evaluation['rows'][0]['n']} at w = 1 and 4); w = "
                            f"{measured['w']:g} where it is not varied, 1 under the strength; dashed: real images; "
                            f"{JUDGED}; objects: our classifier of photographs"}


@exhibit("latent_{}_table", "tex")
def rows_table(name: str, pipe, setting: str):
    """The rows `name` of `evaluation.measure_latent`, with n, intervals and real images last."""
    rows = load_or_measure_latent(pipe)[name]
    shown = [metric for metric in METRICS if metric in rows[0]]
    real = {metric: rows[0][metric].get("real") for metric in shown}
    body = [[label, *(with_interval(row[metric], METRICS[metric][1]) if row[metric] else "–" for metric in shown)]
            for label, row in [*((f"{row[setting]:g}", row) for row in rows), ("real", real)]]
    note = f"n = {rows[0]['n']}; {JUDGED}"
    if "object_accuracy" in shown:
        note += f"; objects: our classifier of photographs, chance {1 / len(OBJECTS):.0%}"
    return [setting, *(METRICS[metric][0] for metric in shown)], body, {"note": note}
