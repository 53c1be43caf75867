"""Samplers: x_t and the predicted x_0 at their steps, their noise levels, and their quality at a cost."""

from ..diffusion import make_scheduler
from ..diffusion.noise import alpha_bar, sigma
from ..diffusion.schedulers import SPACINGS
from . import pictures
from .drawing import line, new_figure, plot_real, plot_with_ci
from .exhibits import exhibit
from .study import ACCURACY, FRECHET, grouped, rows_of
from .tables import with_interval

TICKS = (10, 20, 40, 100, 200)
SIGMAS = ("ddpm", "dpm++", "lms")           # one each that steps in t, in log sigma, and in sigma
denoising_strip = exhibit("denoising_strip", "png", w=2.0, schedulers=("ddpm", "ddim", "dpm++"))(pictures.denoising)


@exhibit("sigma_schedules", "pdf")
def sigma_schedules(preset, steps: int, schedulers=SIGMAS):
    """The noise level sigma = sqrt((1 - abar) / abar) at each step, by scheduler and timestep spacing."""
    figure, (axes,) = new_figure(1, len(schedulers), 2.4, sharey=True)
    levels = {}
    for axis, name in zip(axes, schedulers):
        usual = make_scheduler(preset, name).config.timestep_spacing
        for place, spacing in enumerate(SPACINGS):
            sigmas = noise_levels(make_scheduler(preset, f"{name} spacing={spacing}"), steps)
            levels[f"{name} spacing={spacing}"] = sigmas
            axis.plot(range(1, steps + 1), sigmas, label=spacing + " (used)" * (spacing == usual),
                      **line(place, markersize=2.5, linewidth=1))
        axis.set(yscale="log", title=name, xlabel="step", xticks=range(1, steps + 1, max(1, steps // 5)))
        axis.legend()
    axes[0].set_ylabel(r"$\sigma$ that the step starts from")
    schedule = {"squaredcos_cap_v2": "cosine"}.get(preset.beta_schedule, preset.beta_schedule)
    note = (f"{steps} of {preset.train_timesteps:,} timesteps of the {schedule} schedule; (used): the spacing of this "
            "report where it names none")
    return figure, {"note": note, "steps": steps, "sigmas": levels}


def noise_levels(scheduler, steps: int) -> list[float]:
    """sigma at each of the `steps` timesteps of `scheduler`, from the largest down."""
    scheduler.set_timesteps(steps)
    timesteps = scheduler.timesteps.unique().flip(0)                              # Heun repeats its timesteps
    return [float(sigma(alpha_bar(scheduler, t))) for t in timesteps if t >= 0]


@exhibit("quality_against_passes", "pdf")
def quality_against_passes(size: str = "demo"):
    """Accuracy and Frechet distance against U-Net evaluations an image, a line a sampler with its usual timesteps."""
    rows = sorted(rows_of("samplers", size, lambda row: not _is_spaced(row)), key=lambda row: row["forward_passes"])
    figure, ((left, right),) = new_figure(1, 2, 2.8)
    for axis, title, metric in ((left, "accuracy ↑", ACCURACY), (right, "Fréchet distance ↓", FRECHET)):
        for place, (name, chosen) in enumerate(grouped(rows, lambda row: row["cell"]["scheduler"]).items()):
            plot_with_ci(axis, [row["forward_passes"] for row in chosen], [*map(metric, chosen)], label=name,
                         **line(place))
        plot_real(axis, metric(rows[0]))
        axis.set(title=title, xlabel="U-Net evaluations an image", xscale="log", xticks=TICKS, xticklabels=TICKS)
        axis.minorticks_off()
    left.set_ylim(0, 1.05)
    right.set_yscale("log")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return figure, {"note": f"w = {rows[0]['w']:g}"}


@exhibit("study_spacing", "tex")
def spacing_table(size: str = "demo"):
    """The effect of the timestep spacing, by scheduler, spacing and steps; and DDPM with all T steps."""
    rows = [[row["cell"]["scheduler"].replace("spacing=", ""), str(row["cell"]["steps"]), str(row["n"]),
             with_interval(ACCURACY(row), True),
             "–" if row["classifier"]["fewer_samples_than_features"] else with_interval(FRECHET(row))]
            for row in rows_of("samplers", size, _is_spaced)]
    return ["scheduler and spacing", "steps", "n", "accuracy", "Fréchet"], rows, {}


def _is_spaced(row) -> bool:
    """Whether a row belongs to the comparison of spacings, or has all T steps and a smaller n than the others."""
    return "spacing" in row["cell"]["scheduler"] or row["cell"]["steps"] == 1000
