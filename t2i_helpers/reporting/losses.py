"""Guidance by losses, drawn and measured, and what a critic's choice is worth."""

import torch

from ..data import captions
from ..diffusion import LossGuidance
from ..errors import BadData
from ..evaluation.classifiers import weights_file
from ..evaluation.experiments import BEST, CANDIDATES, IMAGE_TEXT, STRENGTHS, guiding_losses, networks
from ..evaluation.image_text import WORDS
from ..evaluation.study import read_experiment
from ..paths import study_dir
from ..presets import NAMES
from ..provenance import input_hashes
from .drawing import fit_height, footnote, image_grid, line, new_figure, plot_with_ci
from .export import exhibit
from .pictures import facts_of_pipes, training_note
from .tables import Table, with_interval

JUDGES = "judged by our own classifier; the image-text model of the project stands in for CLIP; intervals 95 %"


def experiment(name: str) -> dict:
    """What is stored of an experiment; BadData where nothing is that still holds."""
    found = read_experiment(name)
    if not found:
        raise BadData(f"{name} was not measured with the networks and settings that are here: run t2i evaluate study")
    return found


@exhibit("loss_guidance", "png")
def loss_strips(pipe, steps: int, classes=(7, 8)):
    """One image of each of `classes` (rows) pushed by each loss at each of STRENGTHS (columns); drawn live at w = 1."""
    prompts = [captions(pipe.preset)[label] for label in classes]
    losses = guiding_losses(pipe, classes)
    plain = pipe(prompts, w=1.0, steps=steps, scheduler="ddim").images
    rows, labels = [], []
    for name, loss in losses.items():
        pushed = [pipe(prompts, w=1.0, steps=steps, scheduler="ddim", loss=LossGuidance(loss, s)).images
                  for s in STRENGTHS[1:]]
        rows += torch.stack([plain, *pushed], 1)                                  # [classes][columns, c, h, w]
        labels += [f"{name}, {prompt.split()[-1]}" for prompt in prompts]
    figure, axes = new_figure(1, 1, 0.85 * len(rows) + 0.5)
    image_grid(axes[0, 0], torch.stack(rows), labels, [f"s = {s:g}" for s in STRENGTHS])
    shown = {pipe.preset.variant: pipe}
    footnote(figure, f"{training_note(shown)}; w = 1, DDIM, {steps} steps; the colour is green; the image-text model "
                     "of the project stands in for CLIP")
    fit_height(figure)
    seeds = [pipe.preset.seed, pipe.preset.seed + len(classes) - 1]
    files = weights_file(pipe.preset.dataset), IMAGE_TEXT
    return figure, {**facts_of_pipes(shown, *files), "strengths": list(STRENGTHS), "first_and_last_seed": seeds,
                    "scheduler": "ddim", "steps": steps, "w": [1.0]}


@exhibit("loss_strengths", "pdf")
def loss_curves():
    """What each loss is at the end, as a share of what it is without a push, and what the classifier then sees."""
    found = experiment("losses")
    rows = found["rows"]
    names = list(dict.fromkeys(row["loss"] for row in rows))
    figure, axes = new_figure(1, 2, 2.7)
    for axis, metric, title in zip(axes[0], ("loss_at_end", "accuracy"), ("loss, of that at s = 0 ↓", "accuracy ↑")):
        for place, name in enumerate(names):
            chosen = [row for row in rows if row["loss"] == name]
            unit = chosen[0][metric]["value"] if metric == "loss_at_end" else 1
            shares = [{"value": at["value"] / unit, "interval": [end / unit for end in at["interval"]]}
                      for at in (row[metric] for row in chosen)]
            plot_with_ci(axis, [row["strength"] for row in chosen], shares, label=name, **line(place))
        axis.set(title=title, xlabel="strength s")
    axes[0, 1].set_ylim(0, 1.05)
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 0].legend(fontsize=7)
    footnote(figure, f"CIFAR-10, w = 1, {found['scheduler'].upper()}, {found['steps']} steps, n = {rows[0]['n']} a "
                     f"point; {JUDGES}; the classifier is no fair judge of its own loss")
    return figure, {"experiment": found} | input_hashes(study_dir("demo") / "losses.json", *networks("losses").values())


def best_of_table() -> Table:
    """The critic's mean scores and the accuracy, of all candidates and of those that each critic chose."""
    found = experiment("best-of")
    rows = [[f"{NAMES[row['dataset']]}, w = {row['w']:g}", row["critic"], str(row["n"]),
             *(f"{row['scores'][word]:.3f}" for word in WORDS), with_interval(row["accuracy"], True)]
            for row in found["rows"]]
    header = ["", "chosen by", "n", *WORDS, "accuracy"]
    note = (f"the best {BEST} of {CANDIDATES} of each class; {found['scheduler'].upper()}, {found['steps']} steps; "
            f"good, clear, blurry: how well each word fits, of the three; {JUDGES}")
    files = [study_dir("demo") / "best-of.json", *networks("best-of").values()]
    return Table("best_of_fifteen", header, rows, note, {"experiment": found} | input_hashes(*files))


def all_figures(pipe, steps: int):
    """The strips and the curves."""
    yield loss_strips(pipe, steps)
    yield loss_curves()
