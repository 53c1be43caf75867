"""What training decides before any guidance: how weights are averaged, and what turns captions into vectors."""

import textwrap

import torch

from ..evaluation.classifiers import weights_file
from ..evaluation.features import real_features
from ..evaluation.metrics import frechet_distance
from ..evaluation.study import WORDINGS, read_part
from ..presets import NAMES
from ..provenance import input_hashes
from ..randomness import generator
from .drawing import GREY, PALETTE, footnote, image_grid, line, new_figure
from .export import exhibit
from .study import ACCURACY, DIVERSITY, FRECHET, bars, facts_of_rows, note_of_rows, picture, rows_of

AVERAGES_IN_WORDS = {"/raw": "none", "/ema-99": "0.99", "/ema-999": "0.999", "/ema-9999": "0.9999", "": "rising"}


@exhibit("study_averages", "png")
def averages_figure():
    """One training's weights, averaged in five ways: Frechet distance and diversity by w, and the digits at w = 2."""
    rows = rows_of("averages")
    figure, axes = new_figure(1, 2, 5.6)
    figure.clear()
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.15))
    panels = (("Fréchet distance (better ↓)", FRECHET), ("diversity", DIVERSITY))
    for axis, (title, find) in zip(top.subplots(1, 2), panels):
        for place, (w, shift) in enumerate(zip((1, 2, 5), (-0.12, 0, 0.12))):
            chosen = [next(row for row in rows if row["w"] == w and row["cell"]["checkpoint"].endswith("minilm" + name))
                      for name in AVERAGES_IN_WORDS]
            x = [column + shift for column in range(len(chosen))]
            axis.errorbar(x, [find(row)["value"] for row in chosen], yerr=bars(chosen, find), capsize=2,
                          label=f"w = {w}", **line(place, linestyle=""))
        real = find(rows[0])["real"]
        axis.axhline(real["value"], color=GREY, linestyle="--", label="real images")
        axis.set_xticks(range(len(AVERAGES_IN_WORDS)), AVERAGES_IN_WORDS.values())
        axis.set(title=title, xlabel="decay of the average")
        axis.set_yscale("log" if find is FRECHET else "linear")
        axis.legend(fontsize=7)
    pictured = [row for name in AVERAGES_IN_WORDS for row in rows
                if row["w"] == 2 and row["cell"]["checkpoint"].endswith("minilm" + name)]
    strips = torch.stack([picture(row) for row in pictured])
    image_grid(bottom.subplots(), strips, list(AVERAGES_IN_WORDS.values()), range(10), "w = 2")
    footnote(figure, note_of_rows(rows))
    return figure, facts_of_rows(rows, "averages", pictured=pictured)


@exhibit("study_frechet_n", "pdf")
def frechet_against_n(counts=(6, 12, 25, 50, 100, 250, 500, 1000, 2500), draws: int = 5, size: str = "demo"):
    """The Frechet distance of n real images to thousands of other real ones, which should be 0: mean, least and largest
    of some draws. One published comparison has n = 6."""
    counts = counts[:3] if size == "smoke" else counts
    figure, axes = new_figure(1, 1, 2.8, width=4.6)
    axis, told = axes[0, 0], {}
    for place, dataset in enumerate(("mnist", "cifar10")):
        real = real_features(dataset, 2 * max(counts), size)
        found = torch.empty(draws, len(counts))
        for draw in range(draws):
            shuffled = real.features[torch.randperm(len(real.features), generator=generator("frechet n", draw))]
            reference = shuffled[max(counts):]
            found[draw] = torch.tensor([frechet_distance(shuffled[:n], reference) for n in counts])
        axis.plot(counts, found.mean(0), label=f"n real {NAMES[dataset]} images", **line(place))
        axis.fill_between(counts, found.amin(0), found.amax(0), color=PALETTE[place], alpha=0.2, linewidth=0)
        told[dataset] = {"frechet": found.tolist(), "reference_images": len(reference), **real.metadata}
    axis.set(xscale="log", yscale="log", xlabel="images n", ylabel="Fréchet distance")
    axis.set_xticks(counts, [str(n) for n in counts])
    axis.legend(fontsize=7)
    footnote(figure, f"to {len(reference):,} real test images; features of our own classifiers, 128 (MNIST) and 256 "
                     f"(CIFAR-10) wide; mean and range of {draws} draws")
    return figure, {"counts": list(counts), **told, **input_hashes(*map(weights_file, told))}


@exhibit("study_encoders", "png")
def encoders_figure():
    """Accuracy by wording of the prompt for each text encoder, and what is drawn for the caption and for "seven"."""
    rows = [*rows_of("encoders"), *read_part("encoders-of-the-hub").values()]
    by = {(row["cell"]["checkpoint"].removeprefix("ablation-"), row["cell"]["wording"]): row for row in rows}
    encoders = list(dict.fromkeys(encoder for encoder, _ in by))
    figure = new_figure(1, 1, 5.2)[0]
    figure.clear()
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.1))
    axis = top.subplots()
    for place, (encoder, colour) in enumerate(zip(encoders, PALETTE)):
        chosen = [(x, by[encoder, wording]) for x, wording in enumerate(WORDINGS) if (encoder, wording) in by]
        found = [row for _, row in chosen]
        width = 0.81 / len(encoders)
        places = [x + width * (place - (len(encoders) - 1) / 2) for x, _ in chosen]
        axis.bar(places, [ACCURACY(row)["value"] for row in found], 0.93 * width,
                 yerr=bars(found, ACCURACY), color=colour, hatch=("", "///", "...", "xx")[place % 4],
                 edgecolor="white", label=encoder, error_kw={"elinewidth": 0.8})
    axis.axhline(0.1, color=GREY, linestyle=":", label="chance")
    axis.set_xticks(range(len(WORDINGS)), ["the caption" if wording == "caption" else textwrap.fill(f"“{wording}”", 15)
                                           for wording in WORDINGS], fontsize=6.5)
    axis.grid(axis="x", visible=False)
    axis.set(ylabel="accuracy", ylim=(0, 1.05))
    axis.legend(fontsize=7, ncols=4, loc="upper right", bbox_to_anchor=(1, 1.2))
    shown = [key for key in by if key[1] in ("caption", "seven")]
    labels = [f"{encoder}, {'caption' if wording == 'caption' else 'the word'}" for encoder, wording in shown]
    image_grid(bottom.subplots(), torch.stack([picture(by[key]) for key in shown]), labels, range(10))
    footnote(figure, note_of_rows(rows) + "; one-hot vectors can only be asked for the captions")
    return figure, facts_of_rows(rows, "encoders", "encoders-of-the-hub", pictured=[by[key] for key in shown])


def all_figures():
    """Averages, the price of small n, and text encoders, one after the other."""
    yield averages_figure()
    yield frechet_against_n()
    yield encoders_figure()
