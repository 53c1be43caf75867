"""Figures 1-7 of the thesis (section 3.2), drawn from checkpoints of both variants with the same seeds."""

from ..diffusion import make_scheduler
from ..provenance import note_use
from ..training import Run
from . import pictures
from .drawing import COLOURS, image_grid, image_grids, line, new_figure, plot_smoothed
from .exhibits import exhibit
from .study import experiment
from .tables import scaled

hero = exhibit("hero", "png", w=2.0, samples=3)(pictures.class_rows)
denoising = exhibit("fig01_denoising", "png", w=1.0)(pictures.denoising)
guided_digits = exhibit("fig02_digits_w5", "png", w=5.0, samples=2)(pictures.class_rows)
dataset_samples = exhibit("fig03_dataset", "png")(pictures.real_images)
unguided_digits = exhibit("fig04_digits_no_cfg", "png", w=1.0, samples=2)(pictures.class_rows)
guidance_sweep = exhibit("fig07_guidance_sweep", "png", scales=(0, 1, 2, 3, 5, 10, 20))(pictures.sweep)


@exhibit("fig05_empty_prompts", "png")
def empty_prompts(pipes, steps: int, samples: int = 20):
    """The thesis's Figure 5: the empty caption at w = 5, where guidance has no effect because eps_cond is eps_null."""
    # the images are the same for any w; w = 0 costs half as much
    return image_grids({f"{variant}: “”, w = 5": (
        pipe([""] * samples, w=0.0, steps=steps).images.unflatten(0, (2, -1)),) for variant, pipe in pipes.items()}), {
        "w": [5], "computed_at_w": [0]}


@exhibit("fig06_loss", "pdf")
def loss_curves(pipes):
    """The thesis's Figure 6: the training loss of each variant, from its run's metrics.jsonl.

    The heights are not comparable: the variants predict eps and v, of pixels in different ranges.
    """
    figure, ((axis,),) = new_figure(1, 1, 2.4)
    for place, (variant, pipe) in enumerate(pipes.items()):
        run = Run(pipe.folder)
        note_use("file", run.metrics_file)
        losses = [row["loss"] for row in run.metrics()]
        predicted = "v" if pipe.preset.prediction == "v_prediction" else "ε"
        axis.plot(range(1, len(losses) + 1), losses, color=COLOURS[variant], alpha=0.2, linewidth=0.6)
        plot_smoothed(axis, losses, place, f"{variant}, loss of {predicted} (mean of {{}} steps)")
    axis.set(yscale="log", xlabel="training step", ylabel="mean squared error")
    axis.legend()
    return figure


@exhibit("forward_noising", "png")
def forward_noising(dataset, preset, timesteps=(0, 50, 100, 200, 300, 400, 500, 600, 700, 800, 999)):
    """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps for one digit and one noise, and the two weights under it."""
    x_t, abar = pictures.noised(dataset, preset, timesteps), make_scheduler(preset, "ddpm").alphas_cumprod
    figure, ((top,), (axis,)) = new_figure(2, 1, 2.4, height_ratios=(1, 2))
    image_grid(top, x_t[None], column_labels=[f"t = {t}" for t in timesteps])
    axis.plot(abar.sqrt(), label=r"$\sqrt{\bar\alpha_t}$, weight of the image", **line(1, marker=""))
    axis.plot((1 - abar).sqrt(), label=r"$\sqrt{1-\bar\alpha_t}$, weight of the noise", **line(0, marker=""))
    axis.set(xlabel="timestep t", ylabel="weight")
    axis.legend(loc="lower center", fontsize=8.5)
    return figure, {"note": f"one digit, one noise; {preset.train_timesteps:,} timesteps", "timesteps": list(timesteps)}


@exhibit("noise", "tex")
def noise_table(size: str = "demo"):
    """Whether guidance makes digits noisier, as the thesis finds by eye: the stored measurement of both recipes."""
    result = experiment("noise", size)
    rows = {f"{row['variant']}, w = {row['w']:g}": row for row in result["rows"]} | {
        f"{row['variant']}, w = 5 minus w = 1": row for row in result["differences"]} | {"real images": result["real"]}
    cells = [[title, *(scaled(row[metric], 1000) for metric in ("noise_level", "background_noise"))]
             for title, row in rows.items()]
    note = (f"in thousandths of the range from black to white; n = {result['real']['n']} digits a row, the same seeds, "
            f"{result['scheduler'].upper()}, {result['steps']} steps; estimate: by Immerkaer's method, which also "
            "counts the edges of strokes; background: the median standard deviation of windows of 3×3 pixels; "
            f"differences: of pairs from one seed; real images: {result['real']['data_source']}; intervals 95 %")
    return ["digits", "estimate", "background"], cells, {"note": note, "experiment": result}
