"""How samplers go from noise to an image: what they see on the way, at which noise levels, and what it costs."""

import torch

from ..data import captions, to_unit
from ..diffusion import make_scheduler
from ..diffusion.noise import alpha_bar, sigma
from ..diffusion.schedulers import SPACINGS
from ..provenance import preset_record
from .drawing import GREY, fit_height, footnote, image_grid, line, new_figure, plot_with_ci
from .export import exhibit
from .pictures import facts_of_pipes, training_note
from .study import ACCURACY, FRECHET, facts_of_rows, note_of_rows, rows_of
from .tables import Table, with_interval

TICKS = (10, 20, 40, 100, 200)
STRIP = ("ddpm", "ddim", "dpm++")
SIGMAS = ("ddpm", "dpm++", "lms")           # one each of those that step in t, in log sigma, and in sigma


@exhibit("denoising_strip", "png")
def denoising_strip(pipe, steps: int, digit: int = 4, w: float = 2.0, schedulers=STRIP, columns: int = 9):
    """x_t and the clean image it implies, from the same noise by several samplers."""
    prompt = captions(pipe.preset)[digit]
    figure, axes = new_figure(len(schedulers), 1, 0.3 + 1.85 * len(schedulers))
    for axis, name in zip(axes[:, 0], schedulers):
        trace = []
        pipe([prompt], w=w, steps=steps, scheduler=name, seeds=[pipe.preset.seed],
             callback=lambda step, x_t, x_0: trace.append(torch.stack([x_t[0], x_0[0]])))
        shown = torch.linspace(0, len(trace) - 1, columns).round().long().tolist()
        strip = torch.stack([trace[i] for i in shown], 1)                         # [2, columns, c, h, w]
        labels = [f"step {i + 1}" for i in shown]
        image_grid(axis, to_unit(strip, pipe.preset.pixel_range), ["$x_t$", r"$\hat{x}_0$"], labels, name)
    pipes = {pipe.preset.variant: pipe}
    footnote(figure, f"“{prompt}”, w = {w:g}, {steps} steps, one noise image for all; {training_note(pipes)}")
    fit_height(figure)
    return figure, {**facts_of_pipes(pipes), "schedulers": list(schedulers), "steps": steps, "w": [w],
                    "seeds": [pipe.preset.seed]}


@exhibit("sigma_schedules", "pdf")
def sigma_schedules(preset, steps: int, schedulers=SIGMAS):
    """The noise level sigma = sqrt((1 - abar) / abar) that each step works at, by scheduler and timestep spacing."""
    figure, axes = new_figure(1, len(schedulers), 2.6, sharey=True)
    found = {}
    for axis, name in zip(axes[0], schedulers):
        usual = make_scheduler(preset, name).config.timestep_spacing
        for place, spacing in enumerate(SPACINGS):
            sigmas = noise_levels(make_scheduler(preset, f"{name} spacing={spacing}"), steps)
            found[f"{name} spacing={spacing}"] = sigmas
            axis.plot(range(1, steps + 1), sigmas, label=spacing + " (used)" * (spacing == usual),
                      **line(place, markersize=2.5, linewidth=1))
        axis.set(yscale="log", title=name, xlabel="step", xticks=range(1, steps + 1, max(1, steps // 5)))
        axis.legend(fontsize=7)
    axes[0, 0].set_ylabel(r"$\sigma$ that the step starts from")
    schedule = {"squaredcos_cap_v2": "cosine"}.get(preset.beta_schedule, preset.beta_schedule)
    footnote(figure, f"{steps} of {preset.train_timesteps:,} timesteps of the {schedule} schedule; (used): the spacing "
                     "that this report draws with where it names none")
    return figure, preset_record(preset) | {"steps": steps, "sigmas": found}


def noise_levels(scheduler, steps: int) -> list[float]:
    """sigma at each of the `steps` timesteps of `scheduler`, from the largest down."""
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps.unique().flip(0)                              # Heun's stand twice
    return [float(sigma(alpha_bar(scheduler, t))) for t in timesteps if t >= 0]


@exhibit("quality_against_passes", "pdf")
def quality_against_passes():
    """Accuracy and Frechet distance against U-Net evaluations an image, a line a sampler with its usual timesteps."""
    rows = [row for row in rows_of("samplers") if not _is_spaced(row)]
    panels = (("accuracy ↑", ACCURACY), ("Fréchet distance ↓", FRECHET))
    figure, axes = new_figure(1, 2, 3.1)
    by_sampler = {}
    for row in sorted(rows, key=lambda row: row["forward_passes"]):
        by_sampler.setdefault(row["cell"]["scheduler"], []).append(row)
    for axis, (title, metric) in zip(axes[0], panels):
        for place, (name, measured) in enumerate(by_sampler.items()):
            plot_with_ci(axis, [row["forward_passes"] for row in measured], [metric(row) for row in measured],
                         label=name, **line(place))
        real = metric(rows[0])["real"]
        axis.axhline(real["value"], color=GREY, linestyle="--", label="real images")
        axis.axhspan(*real["interval"], color=GREY, alpha=0.2, linewidth=0)
        axis.set(title=title, xlabel="U-Net evaluations an image", xscale="log")
        axis.set_xticks(TICKS, TICKS)
        axis.minorticks_off()
    axes[0, 0].set_ylim(0, 1.05)
    axes[0, 1].set_yscale("log")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=7.5)
    footnote(figure, f"w = {rows[0]['w']:g}; {note_of_rows(rows)}")
    return figure, facts_of_rows(rows, "samplers")


def spacing_table() -> Table:
    """What the spacing of few timesteps does, by scheduler, spacing and steps; and DDPM with all T steps."""
    rows = [row for row in rows_of("samplers") if _is_spaced(row)]
    lines = [[row["cell"]["scheduler"].replace("spacing=", ""), str(row["cell"]["steps"]),
              str(row["n"]), with_interval(ACCURACY(row), True),
              "–" if row["classifier"]["fewer_samples_than_features"] else with_interval(FRECHET(row))] for row in rows]
    header = ["scheduler and spacing", "steps", "n", "accuracy", "Fréchet"]
    return Table("study_spacing", header, lines, note_of_rows(rows), facts_of_rows(rows, "samplers"))


def _is_spaced(row) -> bool:
    """Whether a row is of the comparison of spacings, or of all T steps, which has a smaller n than the others."""
    return "spacing" in row["cell"]["scheduler"] or row["cell"]["steps"] == 1000


def all_figures(pipe, steps: int):
    """The strip, the noise levels and the measured price of quality, one after the other."""
    yield denoising_strip(pipe, steps)
    yield sigma_schedules(pipe.preset, steps // 2)
    yield quality_against_passes()
