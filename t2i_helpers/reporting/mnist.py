"""Figures 1-7 of the thesis (section 3.2), drawn from checkpoints of both variants with the same seeds.

`pipes` is {"thesis": pipeline, "improved": pipeline}; every picture puts one above or beside the other.
"""

import torch

from ..data import captions, from_uint8, to_unit
from ..diffusion import make_scheduler
from ..errors import BadData
from ..evaluation.experiments import networks
from ..evaluation.study import read_experiment
from ..paths import study_dir
from ..provenance import input_hashes
from ..training import Run
from .drawing import COLOURS, footnote, image_grid, line, new_figure, variant_line
from .export import exhibit
from .latex import WithInterval
from .pictures import facts_of_pipes, of_data, real_images, sweep, training_note, with_footnote
from .tables import Table

SWEEP = (0, 1, 2, 3, 5, 10, 20)         # the columns of Figure 7


@exhibit("hero", "png")
def hero(pipes, steps: int, samples: int = 3, w: float = 2.0):
    """The README's picture: what `improved` draws for each digit."""
    return _digits({"improved": pipes["improved"]}, steps, w, samples)


@exhibit("fig01_denoising", "png")
def denoising(pipes, steps: int, digit: int = 4, w: float = 1.0, columns: int = 9):
    """Figure 1: x_t and the clean image it implies, from pure noise to a digit."""
    figure, axes = new_figure(len(pipes), 1, 0.3 + 1.85 * len(pipes))
    for axis, (variant, pipe) in zip(axes[:, 0], pipes.items()):
        trace = []
        prompt = captions(pipe.preset)[digit]
        pipe([prompt], w=w, steps=steps, seeds=[pipe.preset.seed],
             callback=lambda step, x_t, x_0: trace.append(torch.stack([x_t[0], x_0[0]])))
        shown = torch.linspace(0, len(trace) - 1, columns).long().tolist()
        strip = torch.stack([trace[i] for i in shown], 1)                         # [2, columns, c, h, w]
        labels = [f"step {i + 1}" for i in shown]
        image_grid(axis, to_unit(strip, pipe.preset.pixel_range), ["$x_t$", r"$\hat{x}_0$"], labels,
                   f"{variant}: “{prompt}”, w = {w:g}")
    return with_footnote(figure, pipes, steps, drawn=1, w=[w])


@exhibit("fig02_digits_w5", "png")
def guided_digits(pipes, steps: int, samples: int = 2):
    """Figure 2: the ten digits with guidance, w = 5."""
    return _digits(pipes, steps, w=5.0, samples=samples)


@exhibit("fig03_dataset", "png")
def dataset_samples(dataset, preset, rows: int = 4):
    """Figure 3: real digits, one column a class."""
    return real_images(dataset, preset, rows, height=2.7)


@exhibit("fig04_digits_no_cfg", "png")
def unguided_digits(pipes, steps: int, samples: int = 2):
    """Figure 4: the ten digits without guidance (w = 1), from the same noise as Figure 2."""
    return _digits(pipes, steps, w=1.0, samples=samples)


@exhibit("fig05_empty_prompts", "png")
def empty_prompts(pipes, steps: int, samples: int = 20):
    """Figure 5: the empty caption at w = 5, where guidance has nothing to amplify: eps_cond is eps_null."""
    figure, axes = new_figure(len(pipes), 1, 0.3 + 1.6 * len(pipes))
    for axis, (variant, pipe) in zip(axes[:, 0], pipes.items()):
        images = pipe([""] * samples, w=0.0, steps=steps).images                 # the same for any w, at half the price
        image_grid(axis, images.unflatten(0, (2, -1)), title=f"{variant}: “”, w = 5")
    return with_footnote(figure, pipes, steps, drawn=samples, w=[5], computed_at_w=[0])


@exhibit("fig06_loss", "pdf")
def loss_curves(pipes):
    """Figure 6: the training loss of each variant, from its run's metrics.jsonl.

    Their heights are not comparable: the variants predict eps and v, behind pixels of different ranges.
    """
    figure, axes = new_figure(1, 1, 2.6)
    axis = axes[0, 0]
    for variant, pipe in pipes.items():
        rows = Run(pipe.folder).metrics()
        steps, losses = torch.tensor([row["step"] for row in rows]), torch.tensor([row["loss"] for row in rows])
        window = max(1, min(50, len(losses) // 4))
        smooth = losses.unfold(0, window, 1).mean(1)                              # [n - window + 1]
        axis.plot(steps, losses, color=COLOURS[variant], alpha=0.2, linewidth=0.6)
        smoothed = variant_line(variant, marker="", label=f"{variant} (mean of {window} steps)")
        axis.plot(steps[window - 1:], smooth, **smoothed)
    axis.set(yscale="log", xlabel="training step", ylabel=r"loss (thesis: $\epsilon$, improved: $v$)")
    axis.legend()
    footnote(figure, training_note(pipes))
    return figure, facts_of_pipes(pipes, *(Run(pipe.folder).metrics_file for pipe in pipes.values()))


@exhibit("fig07_guidance_sweep", "png")
def guidance_sweep(pipes, steps: int, scales=SWEEP):
    """Figure 7: digits (rows) against guidance scales (columns), every row from one noise image."""
    return sweep(pipes, steps, scales, height=5.2)


@exhibit("forward_noising", "png")
def forward_noising(dataset, preset, timesteps=(0, 50, 100, 200, 300, 400, 500, 600, 700, 800, 999)):
    """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps for one digit and one noise, and the two weights under it."""
    scheduler = make_scheduler(preset, "ddpm")
    x_0 = from_uint8(dataset.images[:1], preset.pixel_range).expand(len(timesteps), -1, -1, -1)
    noise = torch.randn(x_0[:1].shape, generator=torch.Generator().manual_seed(preset.seed)).expand_as(x_0)
    x_t = scheduler.add_noise(x_0, noise, torch.tensor(timesteps))                # [len(timesteps), 1, 28, 28]
    figure, axes = new_figure(2, 1, 2.6, height_ratios=(1, 2))
    image_grid(axes[0, 0], to_unit(x_t, preset.pixel_range)[None], column_labels=[f"t = {t}" for t in timesteps])
    abar = scheduler.alphas_cumprod
    axes[1, 0].plot(abar.sqrt(), label=r"$\sqrt{\bar\alpha_t}$, weight of the image", **line(1, marker=""))
    axes[1, 0].plot((1 - abar).sqrt(), label=r"$\sqrt{1-\bar\alpha_t}$, weight of the noise", **line(0, marker=""))
    axes[1, 0].set(xlabel="timestep t")
    axes[1, 0].legend(loc="lower center")
    footnote(figure, f"one digit of {dataset.source}, one noise; {scheduler.config.num_train_timesteps:,} timesteps")
    return figure, of_data(dataset, preset) | {"timesteps": list(timesteps)}


def _digits(pipes, steps, w, samples):
    figure, axes = new_figure(len(pipes), 1, 1.1 + 0.62 * samples * len(pipes))
    for axis, (variant, pipe) in zip(axes[:, 0], pipes.items()):
        prompts = captions(pipe.preset) * samples
        images = pipe(prompts, w=w, steps=steps).images                           # [samples * 10, 1, 28, 28]
        image_grid(axis, images.unflatten(0, (samples, -1)), column_labels=range(10), title=f"{variant}, w = {w:g}")
    return with_footnote(figure, pipes, steps, drawn=10 * samples, w=[w])


def all_figures(pipes, dataset, preset):
    """The README's picture, notebook 01's forward noising and Figures 1-7, one after the other."""
    steps = preset.sample_steps
    yield hero(pipes, steps)
    yield forward_noising(dataset, preset)
    yield denoising(pipes, steps)
    yield guided_digits(pipes, steps)
    yield dataset_samples(dataset, preset)
    yield unguided_digits(pipes, steps)
    yield empty_prompts(pipes, steps)
    yield loss_curves(pipes)
    yield guidance_sweep(pipes, steps)


def noise_table() -> Table:
    """Whether guidance makes digits noisier, as the thesis finds by eye: the stored measurement of both recipes."""
    found = read_experiment("noise")
    if not found:
        raise BadData("the noise of these checkpoints is not measured: run t2i evaluate study")

    def cells(row):
        return [WithInterval(*(1000 * each for each in (metric["value"], *metric["interval"])))
                for metric in (row["noise_level"], row["background_noise"])]

    rows = [[f"{row['variant']}, w = {row['w']:g}", *cells(row)] for row in found["rows"]]
    rows += [[f"{row['variant']}, w = 5 minus w = 1", *cells(row)] for row in found["differences"]]
    note = (f"in thousandths of the range from black to white; n = {found['real']['n']} digits a row, the same seeds, "
            f"{found['scheduler'].upper()}, {found['steps']} steps; estimate: Immerkaer's, which counts the edges of "
            "strokes, too; background: the median standard deviation of windows of 3×3 pixels; differences: of pairs "
            f"from one seed; real images: {found['real']['data_source']}; intervals 95 %")
    return Table("noise", ["digits", "estimate", "background"], [*rows, ["real images", *cells(found["real"])]], note,
                 {"experiment": found} | input_hashes(study_dir("demo") / "noise.json", *networks("noise").values()))
