"""What `t2i evaluate study` measured, as figures and tables: rules, moving averages, text encoders.

A row is a line of ``checkpoints/study/PART.jsonl``: a cell, its metrics, and what it was made with.
"""

import torch
from torchvision.io import read_image

from ..data import captions
from ..errors import BadData
from ..evaluation.classifiers import load_classifier
from ..evaluation.features import FeatureFile, reference_file
from ..evaluation.metrics import frechet_distance
from ..evaluation.study import PARTS, STUDY, WORDINGS, read_part
from ..randomness import generator
from .drawing import COLOURS, fit_height, footnote, image_grid, new_figure
from .export import exhibit
from .pictures import checkpoints, names, training_note
from .tables import Table, with_interval

GREY = "0.45"
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]       # Okabe & Ito
AVERAGES_IN_WORDS = {"/raw": "none", "/ema-99": "0.99", "/ema-999": "0.999", "/ema-9999": "0.9999", "": "rising"}
FRECHET, ACCURACY = (lambda row: row["classifier"]["frechet"]), (lambda row: row["accuracy"])


def rows_of(part: str) -> list[dict]:
    """The stored rows of a part of the study, in the order of its list; BadData where some are missing."""
    found = read_part(part)
    if missing := sum(cell not in found for cell in PARTS[part]):
        raise BadData(f"{missing} of {len(PARTS[part])} cells of {part} are not measured: run t2i evaluate study")
    return [found[cell] for cell in PARTS[part]]


def note_of_rows(rows) -> str:
    """What was drawn and judged, in one line."""
    counts, training = (" or ".join(f"{number:,}" for number in sorted({row[name] for row in rows}))
                        for name in ("n", "training_steps"))
    steps, schedulers = ({row["cell"][name] for row in rows} for name in ("steps", "scheduler"))
    drawn = f"{schedulers.pop().upper()}, {steps.pop()} steps, " if len(schedulers) == len(steps) == 1 else ""
    return (f"n = {counts} a point, seeds 0 to n - 1, {drawn}networks of {training} training steps; judged by our own "
            "classifiers, whose features stand in for Inception's; text by the packaged MiniLM encoder where no other "
            "is named; intervals 95 %")


def facts_of_rows(rows) -> dict:
    """What a sidecar tells of the rows that a figure or table was made from."""
    told = ("git_commit", "git_dirty", "device", "weights_sha256_16", "classifier_sha256_16", "training_steps", "n")
    return {name: sorted({row[name] for row in rows}) for name in told} | {
        "cells": [row["cell"] for row in rows], "seconds": round(sum(row["seconds"] for row in rows), 1)}


def front(rows) -> list[dict]:
    """The rows that no other beats in both accuracy and Frechet distance, the most accurate first (Pareto)."""
    best, chosen = float("inf"), []
    for row in sorted(rows, key=lambda row: (-ACCURACY(row)["value"], FRECHET(row)["value"])):
        if FRECHET(row)["value"] < best:
            best = FRECHET(row)["value"]
            chosen.append(row)
    return chosen


@exhibit("study_pareto", "pdf")
def pareto(parts=("rules-mnist", "rules-cifar10")):
    """Accuracy against Frechet distance, a point a rule and scale; the points that no other beats are named."""
    figure, axes = new_figure(1, len(parts), 3.6)
    found = {part: rows_of(part) for part in parts}
    for axis, (part, rows) in zip(axes[0], found.items()):
        rows = [row for row in rows if row["w"] > 0 or row["cell"]["guider"] != "cfg"]
        plain = [row for row in rows if row["cell"]["guider"] == "cfg"]
        axis.plot(*_points(rows), "o", markersize=3, color="0.7", label="every rule and w")
        axis.plot(*_points(plain), "o-", markersize=4, color=COLOURS["thesis"], label="plain guidance, w = 1 to 10")
        best = front(rows)
        axis.errorbar(*_points(best), xerr=_bars(best, FRECHET), yerr=_bars(best, ACCURACY), fmt="o", markersize=5,
                      capsize=2, color=COLOURS["improved"], label="no other is better in both")
        for place, row in enumerate(best):
            axis.annotate(_name(row), (FRECHET(row)["value"], ACCURACY(row)["value"]), textcoords="offset points",
                          xytext=(6, 5 - 11 * (place % 2)), fontsize=6.5)
        real = FRECHET(rows[0])["real"]["value"], ACCURACY(rows[0])["real"]["value"]
        axis.plot(*real, "*", markersize=9, color=GREY, label="real images")
        axis.set(title=part.partition("-")[2], xscale="log", xlabel="Fréchet distance (better →)", ylabel="accuracy")
        axis.invert_xaxis()
    axes[0, 0].legend(fontsize=6.5, loc="lower left")
    everything = [row for rows in found.values() for row in rows]
    footnote(figure, note_of_rows(everything))
    return figure, facts_of_rows(everything)


@exhibit("study_rules", "png")
def rule_strips(pipe, rules, steps: int = 10):
    """The ten classes (columns) by each (rule, w) of `rules` (rows), all from the same ten noises; drawn live."""
    prompts = captions(pipe.preset)
    strips = [pipe(prompts, guider=pipe.make_guider(rule, w), steps=steps, scheduler="dpm++").images
              for rule, w in rules]
    figure, axes = new_figure(1, 1, 0.5 * len(rules) + 0.6)
    labels = [f"{rule}, w = {w:g}" for rule, w in rules]
    image_grid(axes[0, 0], torch.stack(strips), labels, names(pipe.preset))
    shown = {pipe.preset.variant: pipe}
    footnote(figure, f"{training_note(shown)}; DPM++, {steps} steps")
    fit_height(figure)
    seeds = [pipe.preset.seed, pipe.preset.seed + len(prompts) - 1]
    return figure, {"checkpoints": checkpoints(shown), "rules": labels, "scheduler": "dpm++", "steps": steps,
                    "first_and_last_seed": seeds}


def rules_table(part: str) -> Table:
    """Every rule at the scale where it is nearest to real images, most accurate first, real images last."""
    rows = rows_of(part)
    rules = list(dict.fromkeys(row["cell"]["guider"] for row in rows))
    best = [min((row for row in rows if row["cell"]["guider"] == rule), key=lambda row: FRECHET(row)["value"])
            for rule in rules]
    best.sort(key=lambda row: -ACCURACY(row)["value"])
    lines = [[row["cell"]["guider"], f"{row['w']:g}", str(row["forward_passes"]),
              *(with_interval(find(row), percent) for _, find, percent in COLUMNS)] for row in best]
    lines.append(["real images", "–", "–",
                  *(with_interval(find(best[0])["real"], percent) for _, find, percent in COLUMNS)])
    header = ["rule", "w", "passes", *(title for title, *_ in COLUMNS)]
    note = "each rule at the w of its least Fréchet distance; passes: evaluations of a U-Net an image; "
    return Table(f"study_{part.replace('-', '_')}", header, lines, note + note_of_rows(rows), facts_of_rows(rows))


DIVERSITY, SATURATION = (lambda row: row["classifier"]["diversity"]), (lambda row: row["saturation"])
COLUMNS = [("accuracy", ACCURACY, True), ("Fréchet", FRECHET, False),
           ("KID", lambda row: row["classifier"]["kernel"], False), ("diversity", DIVERSITY, False),
           ("saturation", SATURATION, True)]
WHEN = [                            # what someone wants, the metric that tells, whether more of it is better
    ("the caption obeyed", ACCURACY, max), ("images like real ones", FRECHET, min),
    ("variety", DIVERSITY, max),
    ("no burnt-out pixels", SATURATION, min),
]


def when_table(parts=("rules-mnist", "rules-cifar10")) -> Table:
    """Which rule to use when: by each wish the rules whose interval overlaps the best one's, cheapest first.

    For variety and saturation only cells count whose accuracy is not below plain guidance's at w = 2: noise is varied.
    """
    found = {part: rows_of(part) for part in parts}
    lines = [[wish, *(_named_best(rows, find, choose) for rows in found.values())] for wish, find, choose in WHEN]
    header = ["you want", *(part.partition("-")[2] for part in parts)]
    everything = [row for rows in found.values() for row in rows]
    note = ("the best rule and w, and how many other rules have an interval that overlaps its; variety and burnt-out "
            "pixels among those at least as accurate as plain guidance at w = 2; ")
    return Table("study_when", header, lines, note + note_of_rows(everything), facts_of_rows(everything))


def _named_best(rows, find, choose) -> str:
    plain = next(row for row in rows if row["cell"]["guider"] == "cfg" and row["w"] == 2)
    if find not in (ACCURACY, FRECHET):
        rows = [row for row in rows if ACCURACY(row)["value"] >= ACCURACY(plain)["value"]]
    best = choose(rows, key=lambda row: find(row)["value"])
    low, high = find(best)["interval"]
    equal = {row["cell"]["guider"] for row in rows
             if find(row)["interval"][0] <= high and low <= find(row)["interval"][1]} - {best["cell"]["guider"]}
    return f"{_name(best)} ({best['forward_passes']} passes), and {len(equal)} others alike"


@exhibit("study_averages", "png")
def averages_figure():
    """One training's weights, averaged in five ways: Frechet distance and diversity by w, and the digits at w = 2."""
    rows = rows_of("averages")
    figure, axes = new_figure(1, 2, 5.6)
    figure.clear()
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.15))
    panels = (("Fréchet distance (better ↓)", FRECHET), ("diversity", DIVERSITY))
    for axis, (title, find) in zip(top.subplots(1, 2), panels):
        for w, colour in zip((1, 2, 5), PALETTE):
            chosen = [next(row for row in rows if row["w"] == w and row["cell"]["checkpoint"].endswith("minilm" + name))
                      for name in AVERAGES_IN_WORDS]
            axis.errorbar(range(len(chosen)), [find(row)["value"] for row in chosen], yerr=_bars(chosen, find),
                          fmt="o-", markersize=4, capsize=2, color=colour, label=f"w = {w}")
        real = find(rows[0])["real"]
        axis.axhline(real["value"], color=GREY, linestyle="--", label="real images")
        axis.set_xticks(range(len(AVERAGES_IN_WORDS)), AVERAGES_IN_WORDS.values())
        axis.set(title=title, xlabel="decay of the average")
        axis.set_yscale("log" if find is FRECHET else "linear")
        axis.legend(fontsize=7)
    strips = [_picture(row) for name in AVERAGES_IN_WORDS for row in rows
              if row["w"] == 2 and row["cell"]["checkpoint"].endswith("minilm" + name)]
    image_grid(bottom.subplots(), torch.stack(strips), list(AVERAGES_IN_WORDS.values()), range(10), "w = 2")
    footnote(figure, note_of_rows(rows))
    return figure, facts_of_rows(rows)


@exhibit("study_frechet_n", "pdf")
def frechet_against_n(counts=(6, 12, 25, 50, 100, 250, 500, 1000, 2500)):
    """The Frechet distance of n real images to thousands of other real ones, which should be 0 (seed 002's n is 6)."""
    figure, axes = new_figure(1, 1, 2.8, width=4.6)
    axis, told = axes[0, 0], {}
    for dataset, colour in zip(("mnist", "cifar10"), PALETTE):
        real = FeatureFile.load(reference_file(dataset), load_classifier(dataset).head.in_features)
        shuffled = real.features[torch.randperm(len(real.features), generator=generator("frechet n"))]
        reference = shuffled[max(counts):]
        distances = [frechet_distance(shuffled[:n], reference) for n in counts]
        guided = next(row for row in rows_of(f"rules-{dataset}") if row["cell"]["guider"] == "cfg" and row["w"] == 2)
        axis.plot(counts, distances, "o-", markersize=4, color=colour, label=f"real {dataset} images")
        axis.plot(guided["n"], FRECHET(guided)["value"], "s", color=colour, label="generated at w = 2")
        told[dataset] = {"frechet": distances, "reference_images": len(reference), **real.facts}
    axis.set(xscale="log", yscale="log", xlabel="images n", ylabel="Fréchet distance to thousands of real ones")
    axis.set_xticks(counts, [str(n) for n in counts])
    axis.legend(fontsize=7)
    footnote(figure, "features of our own classifiers, 128 (mnist) and 256 (cifar10) wide, of the real test sets")
    return figure, {"counts": list(counts), **told}


@exhibit("study_encoders", "png")
def encoders_figure():
    """Accuracy by wording of the prompt for each text encoder, and what is drawn for the caption and for "seven"."""
    rows = rows_of("encoders")
    by = {(row["cell"]["checkpoint"].removeprefix("ablation-"), row["cell"]["wording"]): row for row in rows}
    encoders = list(dict.fromkeys(encoder for encoder, _ in by))
    figure = new_figure(1, 1, 5.2)[0]
    figure.clear()
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.1))
    axis = top.subplots()
    for place, (encoder, colour) in enumerate(zip(encoders, PALETTE)):
        chosen = [(x, by[encoder, wording]) for x, wording in enumerate(WORDINGS) if (encoder, wording) in by]
        found = [row for _, row in chosen]
        axis.bar([x + 0.27 * (place - 1) for x, _ in chosen], [ACCURACY(row)["value"] for row in found], 0.25,
                 yerr=_bars(found, ACCURACY), color=colour, label=encoder, error_kw={"elinewidth": 0.8})
    axis.axhline(0.1, color=GREY, linestyle=":", label="chance")
    axis.set_xticks(range(len(WORDINGS)), [f"“{wording}”" if wording != "caption" else "the caption"
                                           for wording in WORDINGS], fontsize=6.5)
    axis.set(ylabel="accuracy", ylim=(0, 1.05))
    axis.legend(fontsize=7, ncols=4, loc="upper right", bbox_to_anchor=(1, 1.2))
    shown = [key for key in by if key[1] in ("caption", "seven")]
    labels = [f"{encoder}, {'caption' if wording == 'caption' else '“seven”'}" for encoder, wording in shown]
    image_grid(bottom.subplots(), torch.stack([_picture(by[key]) for key in shown]), labels, range(10))
    footnote(figure, note_of_rows(rows) + "; one-hot vectors can only be asked for the captions")
    return figure, facts_of_rows(rows)


def _picture(row) -> torch.Tensor:
    """The ten images that a row keeps, float32 [10, c, h, w] in [0, 1]."""
    strip = read_image(str(STUDY / "pictures" / row["picture"]))                       # [c, h, 10 w]
    return torch.stack(strip.float().div(255).chunk(10, dim=2))


def _name(row) -> str:
    return f"{row['cell']['guider']}, w = {row['w']:g}"


def _points(rows):
    return [FRECHET(row)["value"] for row in rows], [ACCURACY(row)["value"] for row in rows]


def _bars(rows, find):
    """What matplotlib's error bars need: [2, rows], down and up from the values."""
    low = [max(0.0, find(row)["value"] - find(row)["interval"][0]) for row in rows]
    return [low, [max(0.0, find(row)["interval"][1] - find(row)["value"]) for row in rows]]
