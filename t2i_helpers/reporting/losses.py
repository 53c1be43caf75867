"""Guidance by losses, drawn and measured, and the accuracy of images that a critic chose."""

import torch

from ..data import captions
from ..diffusion import LossGuidance
from ..evaluation.classifiers import weights_file
from ..evaluation.experiments import BEST, CANDIDATES, IMAGE_TEXT, STRENGTHS, guiding_losses
from ..evaluation.image_text import WORDS
from ..presets import NAMES
from ..provenance import note_use
from . import pictures
from .drawing import image_grids, line, new_figure, plot_with_ci
from .exhibits import exhibit
from .study import experiment, grouped
from .tables import with_interval

IMAGE_TEXT_NOTE = "the image-text model of the project stands in for CLIP"
JUDGES = f"judged by our own classifier; {IMAGE_TEXT_NOTE}; intervals 95 %"


@exhibit("loss_guidance", "png")
def loss_strips(pipe, steps: int, classes=(7, 8)):
    """One image of each of `classes` (rows) guided by each loss at each of STRENGTHS (columns); drawn live at w = 1."""
    prompts = [captions(pipe.preset)[label] for label in classes]
    for file in (weights_file(pipe.preset.dataset), IMAGE_TEXT):
        note_use("file", file)
    losses = guiding_losses(pipe, classes)
    images = [pictures.vary(pipe, prompts, "loss", [LossGuidance(loss, s) if s else None for s in STRENGTHS],
                            w=1.0, steps=steps, scheduler="ddim") for loss in losses.values()]
    labels = [f"{name}, {pictures.names(pipe.preset)[label]}" for name in losses for label in classes]
    return image_grids({"": (torch.cat(images), labels, [f"s = {s:g}" for s in STRENGTHS])}, height=5.4), {
        "note": f"w = 1; the colour is green; {IMAGE_TEXT_NOTE}", "strengths": list(STRENGTHS)}


@exhibit("loss_strengths", "pdf")
def loss_curves(size: str = "demo"):
    """Each loss at the end, as a share of its value without guidance, and the accuracy that the classifier reports."""
    result = experiment("losses", size)
    figure, ((left, right),) = new_figure(1, 2, 2.4)
    for place, (name, rows) in enumerate(grouped(result["rows"], lambda row: row["loss"]).items()):
        strengths, unit = [row["strength"] for row in rows], rows[0]["loss_at_end"]["value"]
        shares = [{"value": loss["value"] / unit, "interval": [end / unit for end in loss["interval"]]}
                  for loss in (row["loss_at_end"] for row in rows)]
        plot_with_ci(left, strengths, shares, label=name, **line(place))
        plot_with_ci(right, strengths, [row["accuracy"] for row in rows], **line(place))
    left.set(title="loss, relative to s = 0 ↓", xlabel="strength s")
    right.set(title="accuracy ↑", xlabel="strength s", ylim=(0, 1.05))
    left.set_ylim(bottom=0)
    left.legend()
    note = (f"CIFAR-10, w = 1, {result['scheduler'].upper()}, {result['steps']} steps, n = {rows[0]['n']} a point; "
            f"{JUDGES}; the classifier is no fair judge of its own loss")
    return figure, {"note": note, "experiment": result}


@exhibit("best_of_fifteen", "tex")
def best_of_table(size: str = "demo"):
    """The critic's mean scores and the accuracy, of all candidates and of those that each critic chose."""
    result = experiment("best-of", size)
    rows = [[f"{NAMES[row['dataset']]}, w = {row['w']:g}", row["critic"], str(row["n"]),
             *(f"{row['scores'][word]:.3f}" for word in WORDS), with_interval(row["accuracy"], True)]
            for row in result["rows"]]
    note = (f"the best {BEST} of {CANDIDATES} of each class; {result['scheduler'].upper()}, {result['steps']} steps; "
            f"good, clear, blurry: the critic's probability of each word among the three; {JUDGES}")
    return ["", "chosen by", "n", *WORDS, "accuracy"], rows, {"note": note, "experiment": result}
