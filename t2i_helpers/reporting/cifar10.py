"""Figures 8-11 of the thesis (section 3.3), and the distance of real images to real images.

`evaluations` is {variant: the evaluation that `checkpoints.measured` returns}.
"""

import torch

from ..data import class_names
from ..evaluation.classifiers import weights_file
from ..evaluation.features import real_features
from ..evaluation.metrics import frechet_distance, frechet_infinity
from ..presets import from_dict
from ..provenance import note_use
from ..randomness import generator
from . import pictures
from .derived import PRINTED, flat
from .drawing import GREY, line, metric_curves, new_figure
from .exhibits import exhibit
from .study import QUALITY, finish_tradeoff, points

dataset_samples = exhibit("cifar10_dataset", "png")(pictures.real_images)
class_grid = exhibit("fig08_cifar10_w10", "png", w=10.0, samples=4)(pictures.class_columns)
guidance_sweep = exhibit("cifar10_sweep", "png", scales=(0, 1, 2, 5, 10))(pictures.sweep)
DISTANCES = (5, 10, 20, 50, 100)                # ticks


@exhibit("fig09_cifar10_metrics", "pdf")
def metrics_against_w(evaluations):
    """The thesis's Figure 9: quality (left) and adherence (right) against w, with 95 % intervals, and real images."""
    lines = {variant: [*map(flat, each["rows"])] for variant, each in evaluations.items()}
    figure, (left, right) = metric_curves(lines, "w", QUALITY, 2.6, xlabel="guidance scale w")
    left.set(yscale="log", yticks=DISTANCES, yticklabels=DISTANCES)
    right.set_ylim(0, 1.05)
    right.plot(*zip(*((row["w"], row["accuracy"]) for row in PRINTED["cifar10"]["table1"])), "x", color=GREY,
               label="printed in the thesis")
    left.legend(*right.get_legend_handles_labels(), loc="center", bbox_to_anchor=(0.5, 0.36), fontsize=7.5)
    return figure


@exhibit("fig10_cifar10_tradeoff", "pdf")
def tradeoff(evaluations):
    """The thesis's Figure 10: adherence against quality, one point a guidance scale; better is up and to the right."""
    figure, ((axis,),) = new_figure(1, 1, 3.1, width=4.6)
    for place, (variant, evaluation) in enumerate(evaluations.items()):
        rows = [*map(flat, evaluation["rows"])]
        axis.plot(*points(rows), **line(place, label=variant))
        offset = (4, 4 if variant == "improved" else -9)                       # above the upper curve, below the other
        for row, *point in zip(rows, *points(rows)):
            axis.annotate(f"w = {row['w']:g}", point, offset, textcoords="offset points", fontsize=7)
    finish_tradeoff(axis, rows[0], xscale="log", ylim=(0, 1.08), xticks=DISTANCES, xticklabels=DISTANCES)
    axis.minorticks_off()
    axis.legend(fontsize=8.5)
    return figure


@exhibit("fig11_cifar10_confusion", "pdf")
def confusion_matrices(evaluations, scales=(0, 2, 5, 10)):
    """The thesis's Figure 11: the caption's class (rows) against the classifier's answer (columns); rows sum to 1."""
    figure, axes = new_figure(len(evaluations), len(scales), 0.4 + 1.75 * len(evaluations), sharex=True, sharey=True)
    for row, (variant, evaluation) in zip(axes, evaluations.items()):
        labels = class_names(from_dict(evaluation["checkpoint"]["preset"]))
        confusion = {row["w"]: row["confusion"] for row in evaluation["rows"]}
        for axis, w in zip(row, scales):
            counts = torch.tensor(confusion[w]).float()                                    # [10, 10]
            shown = axis.imshow(counts / counts.sum(1, keepdim=True), vmin=0, vmax=1, cmap="Blues")
            axis.grid(False)
            axis.set_title(f"{variant}, w = {w:g}", fontsize=8)
            axis.set_xticks(range(len(labels)), labels, rotation=90, fontsize=6)
            axis.set_yticks(range(len(labels)), labels, fontsize=6)
            axis.tick_params(length=0)
        row[0].set_ylabel("caption")
    for axis in axes[-1]:
        axis.set_xlabel("classifier")
    figure.colorbar(shown, ax=axes, shrink=0.6, label="share of the row")
    return figure, {"w": list(scales)}


@exhibit("cifar10_floor", "pdf")
def real_against_real(dataset: str = "cifar10", counts=(50, 100, 200, 300, 500, 1000, 2000, 3500, 5000), size="demo"):
    """The Fréchet distance of real images to other real images: it should be 0, and falls to it about as 1 / n."""
    counts = counts[:3] if size == "smoke" else counts
    real = real_features(dataset, 2 * max(counts), size)
    note_use("file", weights_file(dataset))
    width = real.features.shape[1]
    a, b = real.features[torch.randperm(len(real.features), generator=generator("floor"))].chunk(2)
    plain, extrapolated = ([distance(a[:n], b[:n]) for n in counts]
                           for distance in (frechet_distance, frechet_infinity))
    figure, ((axis,),) = new_figure(1, 1, 2.6, width=4.6)
    axis.plot(counts, plain, label="at n", **line(0))
    axis.plot(counts, extrapolated, label="extrapolated to n → ∞", **line(1))
    axis.axvline(width, color=GREY, linestyle=":", label=f"n = {width} features")
    axis.axhline(0, color=GREY, linewidth=0.8)
    axis.set(xscale="log", xlabel="images n on each side", ylabel="Fréchet distance, real to real", xticks=counts[::2],
             xticklabels=counts[::2])
    axis.minorticks_off()
    axis.legend(fontsize=8.5)
    return figure, {"note": f"features of our own classifier; {real.metadata['data_source']}, test set",
                    "counts": list(counts), "frechet": plain, "frechet_infinity": extrapolated, **real.metadata}
