"""The figures and tables of notebook 5, from checkpoints and from the experiments that are stored beside them."""

import dataclasses

from ..diffusion import make_scheduler
from ..evaluation.fashion import SHORT
from ..evaluation.styles import DRAWN_IN, EACH, SCALES, STYLES
from ..evaluation.transfer import SHOWN
from ..presets import PRINTED_ELSEWHERE
from ..provenance import note_use
from ..training import Run
from . import guidance, pictures
from .checkpoints import measured
from .drawing import GREY, image_grids, line, new_figure, plot_smoothed
from .exhibits import exhibit
from .recorded import describe_training
from .tables import metric_table

QUALITY = {"n": "n", "accuracy (%)": "accuracy", "Fréchet": "frechet"}
TABLES = {                                            # {column: field of a row}; "transfer-trials": another list
    "variations": {"network": "variant", "steps": "training_steps", "validation loss": "validation_loss",
                   "at usual β": "loss_at_usual_betas", **QUALITY},
    "scales": {"w": "w", **QUALITY},
    "samplers": {"solver": "scheduler", "steps": "steps", "seconds for ten": "time_s", **QUALITY},
    "critic": {"chosen by": "critic", "n": "n", "accuracy (%)": "accuracy"},
    "fine_tuning": {"weights": "variant", "w": "w", "weights moved": "weights_moved", "pixels moved": "pixels_moved",
                    **QUALITY},
    "transfer": {"begun from": "start", "epochs": "epochs", "n": "n", "validation loss": "validation_loss",
                 "kernel distance": "kernel"},
    "styles": {"style": "style", "w": "w", "as asked (%)": "as_asked", "by chance (%)": "by_chance",
               "right digit (%)": "accuracy", "stroke width": "stroke_width", "of real digits": "real_stroke_width",
               "slant": "slant", "of real ones": "real_slant"},
    "styles-networks": {"words for style": "words", "steps": "training_steps", "n": "n",
                        "validation loss": "validation_loss"},
    "transfer-trials": {"half an epoch with": "variant", "steps": "n", "seconds a step": "seconds_a_step",
                        "validation loss": "validation_loss"},
}
NOTES = {
    "samplers": ["seconds: the faster of two times ten images at once, on a machine with other work"],
    "critic": ["accuracy by the classifier, which is not the critic"],
    "fine_tuning": ["moved: relative to the length of the weights at the start, and in grey levels from 0 to 1"],
    "styles": [f"n = {10 * EACH} a row, DPM++, {DRAWN_IN} steps", "width in pixels, slant in pixels a row",
               "digits judged by our own classifier"],
    "transfer": ["distances in EfficientNet-Lite0's features"],
}
dataset_samples = exhibit("fashion_dataset", "png")(pictures.real_images)
garments = exhibit("fashion_garments", "png", w=1.0, samples=3)(pictures.class_rows)
sweep = exhibit("fashion_sweep", "png", scales=(0, 1, 2, 5, 10), beside=False)(pictures.sweep)
recognition = exhibit("fashion_recognition", "pdf")(guidance.recognition_curves.__wrapped__)


@exhibit("fashion_{}", "tex")
def table(name: str, pipe):
    """The rows of an experiment, real images last where they are measured."""
    experiment, _, part = name.partition("-")
    result = measured(pipe, experiment)
    rows = result[part or "rows"]
    notes = [*NOTES.get(name, []), *["judged by our own classifier"] * ("frechet" in rows[0]), "intervals 95 %"]
    return *metric_table(rows, TABLES[name]), _note(experiment, result, *notes)


def _note(experiment: str, result, *notes) -> dict:
    """The notes, with those on the networks of "transfer" and "styles", which are others than that of the garments."""
    if experiment == "transfer":
        notes += (describe_training("photographs", result["checkpoint"]),
                  f"{result['training_images']:,} butterflies, {result['steps_an_epoch']} steps an epoch")
    elif experiment == "styles":
        steps, images = (result["networks"][-1][name] for name in ("training_steps", "training_images"))
        notes += (f"{steps:,} steps of 64 of {images:,} digits",)
    return {"whole_note" if experiment in ("transfer", "styles") else "note": "; ".join(notes)}


@exhibit("fashion_forward", "png")
def forward_strip(dataset, preset, shares=(0, 0.2, 0.4, 0.6, 0.8, 1)):
    """One garment with the noise of each share of the steps, by the preset's betas and by those of 1,000 steps."""
    panels, timesteps = {}, [round(share * (preset.train_timesteps - 1)) for share in shares]
    for title, each in (("β up to 0.2", preset), ("β up to 0.02", dataclasses.replace(preset, **SHORT))):
        left = make_scheduler(each, "ddpm").alphas_cumprod[-1].sqrt()
        panels[f"{title}: {left:.1%} of the image left at the end"] = (
            pictures.noised(dataset, each, timesteps)[None], (), [f"{share:.0%}" for share in shares])
    return image_grids(panels), {"note": f"one garment, one noise; {preset.train_timesteps} timesteps"}


@exhibit("fashion_loss", "pdf")
def loss_curve(pipe):
    """The training loss, the validation loss at the end, and the homework's loss."""
    figure, ((axis,),) = new_figure(1, 1, 2.3)
    run, rows = Run(pipe.folder), measured(pipe, "variations")["rows"]
    note_use("file", run.metrics_file)
    plot_smoothed(axis, [row["loss"] for row in run.metrics()], 0, "training, mean of {} steps", 20)
    for place, row in enumerate(rows, 1):
        axis.plot(row["training_steps"], row["validation_loss"]["value"], **line(
            place, linestyle="", label=f"validation: {row['variant']}"))
    printed = PRINTED_ELSEWHERE["homework"]
    axis.axhspan(printed["loss_low"], printed["loss_high"], color=GREY, alpha=0.4, linewidth=0,
                 label="the homework's loss")
    axis.set(yscale="log", xlabel="training step", ylabel="mean squared error of ε")
    axis.legend(ncols=2)
    return figure


@exhibit("fashion_six_images", "pdf")
def six_images(pipe):
    """The range of the Frechet distance of six images from six."""
    result, (figure, ((axis,),)) = measured(pipe, "six_images"), new_figure(1, 1, 1.7)
    for place, (low, middle, high) in enumerate(result["quantiles"].values()):
        axis.plot([low, high], [-place] * 2, **line(place, marker="", linewidth=3))
        axis.plot(middle, -place, **line(place, linestyle=""))
    axis.set(xlabel="Fréchet distance of six images from six real ones", xlim=(0, None), ylim=(-2.6, 0.6),
             yticks=[0, -1, -2], yticklabels=result["quantiles"])
    return figure, {"note": f"median and central 95 % of {result['draws']} draws of six; our own classifier's features"}


@exhibit("transfer_butterflies", "png")
def butterflies(pipe):
    """Butterflies by training, a row each, and what the network of photographs draws."""
    result = measured(pipe, "transfer")
    labels = [f"{row['start']},\nepochs: {row['epochs']}" for row in result["rows"]]
    images = pictures.stored_images(pipe.folder / "transfer.png", len(labels), SHOWN)
    return image_grids({"": (images, labels)}), _note("transfer", result)


@exhibit("style_digits", "png")
def style_digits(pipe):
    """One digit of each class and style, drawn from its caption."""
    images = pictures.stored_images(pipe.folder / "styles.png", len(STYLES), 10)
    return image_grids({"": (images, [style or "none" for style in STYLES])}), _note(
        "styles", measured(pipe, "styles"), f"w = {max(SCALES):g}, DPM++, {DRAWN_IN} steps")


@exhibit("transfer_loss", "pdf")
def transfer_loss(pipe):
    """The training losses from both beginnings."""
    result, (figure, ((axis,),)) = measured(pipe, "transfer"), new_figure(1, 1, 2.1)
    for place, (name, losses) in enumerate(result["curves"].items()):
        plot_smoothed(axis, losses, place, f"from {name}, mean of {{}} steps", 20)
    axis.set(yscale="log", xlabel=f"step ({result['steps_an_epoch']} an epoch)", ylabel="mean squared error of v")
    axis.legend()
    return figure, _note("transfer", result)
