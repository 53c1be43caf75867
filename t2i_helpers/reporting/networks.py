"""Decisions before any guidance: the average of the weights, the text encoder, and how many images are compared."""

import textwrap

import torch

from ..evaluation.classifiers import weights_file
from ..evaluation.features import real_features
from ..evaluation.metrics import frechet_distance
from ..evaluation.study import WORDINGS, read_part
from ..presets import NAMES
from ..provenance import note_use
from ..randomness import generator
from .drawing import GREY, PALETTE, bars, image_grid, line, new_figure, plot_real, plot_with_ci
from .exhibits import exhibit
from .study import ACCURACY, DIVERSITY, FRECHET, noted, picture, rows_of

DECAYS = {"/raw": "none", "/ema-99": "0.99", "/ema-999": "0.999", "/ema-9999": "0.9999", "": "rising"}


@exhibit("study_averages", "png")
def averages_figure(size: str = "demo"):
    """One training's weights, averaged in five ways: Frechet distance and diversity by w, and the digits at w = 2."""
    rows = rows_of("averages", size)
    by = {(row["cell"]["checkpoint"].removeprefix("ablation-minilm"), row["w"]): row for row in rows}
    figure, top, bottom = _two_parts(5.2)
    for axis, (title, metric) in zip(top.subplots(1, 2), (("Fréchet distance ↓", FRECHET), ("diversity", DIVERSITY))):
        for place, (w, shift) in enumerate(zip((1, 2, 5), (-0.12, 0, 0.12))):
            metrics = [metric(by[decay, w]) for decay in DECAYS]
            axis.errorbar([column + shift for column in range(len(DECAYS))], [each["value"] for each in metrics],
                          yerr=bars(metrics), capsize=2, label=f"w = {w}", **line(place, linestyle=""))
        plot_real(axis, metric(rows[0]))
        axis.set_xticks(range(len(DECAYS)), DECAYS.values())
        axis.set(title=title, xlabel="decay of the average", yscale="log" if metric is FRECHET else "linear")
        axis.legend()
    strips = torch.stack([picture(by[decay, 2], size) for decay in DECAYS])
    image_grid(bottom.subplots(), strips, list(DECAYS.values()), range(10), "decay (rows), w = 2")
    return figure


@exhibit("study_frechet_n", "pdf")
def frechet_against_n(counts=(6, 12, 25, 50, 100, 250, 500, 1000, 2500), draws: int = 5, size: str = "demo"):
    """The Frechet distance of n real images to thousands of other real ones, which should be 0: mean, least and largest
    of some draws. One published comparison has n = 6."""
    counts = counts[:3] if size == "smoke" else counts
    figure, ((axis,),) = new_figure(1, 1, 2.6, width=4.6)
    results = {}
    for place, dataset in enumerate(("mnist", "cifar10")):
        real = real_features(dataset, 2 * max(counts), size)
        note_use("file", weights_file(dataset))
        distances = torch.empty(draws, len(counts))
        for draw in range(draws):
            shuffled = real.features[torch.randperm(len(real.features), generator=generator("frechet n", draw))]
            reference = shuffled[max(counts):]
            distances[draw] = torch.tensor([frechet_distance(shuffled[:n], reference) for n in counts])
        plot_with_ci(axis, counts, [{"value": each.mean(), "interval": each.aminmax()} for each in distances.T],
                     label=f"n real {NAMES[dataset]} images", **line(place))
        results[dataset] = {"frechet": distances.tolist(), "reference_images": len(reference), **real.metadata}
    axis.set(xscale="log", yscale="log", xlabel="images n", ylabel="Fréchet distance, real to real", xticks=counts,
             xticklabels=counts)
    axis.yaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.legend()
    note = (f"to {len(reference):,} real test images; features of our own classifiers, 128 (MNIST) and 256 (CIFAR-10) "
            f"wide; mean and range of {draws} draws")
    return figure, {"note": note, "counts": list(counts), **results}


@exhibit("study_encoders", "png")
def encoders_figure(size: str = "demo"):
    """Accuracy by wording of the prompt for each text encoder, and images for the caption and for "seven"."""
    hub = "encoders-of-the-hub"
    rows = [*rows_of("encoders", size), *noted(list(read_part(hub, size).values()), hub, size)]
    by = {(row["cell"]["checkpoint"].removeprefix("ablation-"), row["cell"]["wording"]): row for row in rows}
    encoders = list(dict.fromkeys(encoder for encoder, _ in by))
    figure, top, bottom = _two_parts(4.9)
    axis, width = top.subplots(), 0.81 / len(encoders)
    for place, (encoder, colour) in enumerate(zip(encoders, PALETTE)):
        places = {wording: x + width * (place - (len(encoders) - 1) / 2) for x, wording in enumerate(WORDINGS)}
        chosen = {wording: ACCURACY(by[encoder, wording]) for wording in WORDINGS if (encoder, wording) in by}
        axis.bar([places[wording] for wording in chosen], [metric["value"] for metric in chosen.values()],
                 0.93 * width, yerr=bars(chosen.values()), color=colour, edgecolor="white", label=encoder,
                 hatch=("", "///", "...", "xx")[place % 4], error_kw={"elinewidth": 0.8})
        for wording in WORDINGS.keys() - chosen.keys():
            axis.text(places[wording], 0.02, "not possible", rotation=90, ha="center", fontsize=6, color=GREY)
    axis.axhline(0.1, color=GREY, linestyle=":", label="chance")
    axis.set_xticks(range(len(WORDINGS)), ["the caption" if wording == "caption" else textwrap.fill(f"“{wording}”", 15)
                                           for wording in WORDINGS], fontsize=6.5)
    axis.grid(axis="x", visible=False)
    axis.set(ylabel="accuracy", ylim=(0, 1.05))
    axis.legend(ncols=4, loc="upper right", bbox_to_anchor=(1, 1.2))
    shown = {f"{encoder}, {'caption' if wording == 'caption' else 'the word'}": picture(row, size)
             for (encoder, wording), row in by.items() if wording in ("caption", "seven")}
    image_grid(bottom.subplots(), torch.stack([*shown.values()]), list(shown), range(10))
    return figure, {"note": "one-hot vectors exist only for the captions"}


def _two_parts(height):
    """A figure with one part for curves above one for pictures."""
    figure, _ = new_figure(1, 1, height)
    figure.clear()
    return figure, *figure.subfigures(2, 1, height_ratios=(1, 1.15))
