"""Guidance rules side by side: drawn from the same noise, and measured by the study."""

import statistics
import textwrap

import torch

from ..data import captions
from ..intervals import overlap
from ..models import WEIGHTS
from ..paths import CHECKPOINTS
from ..presets import NAMES
from .drawing import COLOURS, GREY, fit_height, footnote, image_grid, line, new_figure
from .export import exhibit
from .pictures import facts_of_pipes, names, training_note
from .study import ACCURACY, DIVERSITY, FRECHET, SATURATION, bars, facts_of_rows, note_of_rows, rows_of
from .tables import Table, with_interval

SHORT = {"airplane": "plane", "automobile": "car"}            # over a small picture
# rules with a large w where they take one, else with a scale like their papers'
SHOWN = [("cfg", 1), ("cfg", 2), ("cfg", 5), ("rescale", 5), ("interval sigma_min=0.2 sigma_max=5", 5),
         ("threshold", 5), ("apg", 5), ("cfg-zero", 5), ("tcfg", 5), ("mag", 5), ("fdg", 5), ("cfg++", 0.5),
         ("auto", 1.5), ("pag", 2), ("slg", 2), ("seg", 2)]
COLUMNS = [("accuracy", ACCURACY, True), ("Fréchet", FRECHET, False),
           ("KID", lambda row: row["classifier"]["kernel"], False), ("diversity", DIVERSITY, False),
           ("saturation", SATURATION, True)]
WHEN = [                            # what someone wants, the metric that tells, and how far a row is from the wish
    ("the caption obeyed", ACCURACY, lambda metric: -metric["value"]),
    ("images like real ones", FRECHET, lambda metric: metric["value"]),
    ("as varied as real ones", DIVERSITY, lambda metric: abs(metric["value"] - metric["real"]["value"])),
    ("as many burnt-out values as in real ones", SATURATION,
     lambda metric: abs(metric["value"] - metric["real"]["value"])),
]


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
    """Accuracy against Frechet distance, a point a rule and scale; the points that no other beats are named.

    Points more than three times as far from real images as the median are outside, and counted in the title.
    """
    figure, axes = new_figure(1, len(parts), 3.9)
    found = {part: rows_of(part) for part in parts}
    for axis, (part, rows) in zip(axes[0], found.items()):
        rows = [row for row in rows if row["w"] > 0]                # w = 0 does not read the caption
        far = 3 * statistics.median(FRECHET(row)["value"] for row in rows)
        shown = [row for row in rows if FRECHET(row)["value"] < far]
        plain = [row for row in shown if row["cell"]["guider"] == "cfg"]
        axis.plot(*_points(shown), "o", markersize=3, color="0.7", label="every rule and w")
        axis.plot(*_points(plain), label="plain guidance, w = 1 to 10", **line(0))
        best = front(shown)
        axis.errorbar(*_points(best), xerr=bars(best, FRECHET), yerr=bars(best, ACCURACY), fmt="o", markersize=4,
                      elinewidth=0.8, color=COLOURS["improved"], label="no other is better in both")
        for place, row in enumerate(best):
            axis.annotate(_name(row), (FRECHET(row)["value"], ACCURACY(row)["value"]), fontsize=7,
                          xytext=(0.04, 0.06 + 0.085 * (len(best) - 1 - place)), textcoords="axes fraction",
                          arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "0.6", "relpos": (1, 0.5)})
        real = FRECHET(rows[0])["real"]["value"], ACCURACY(rows[0])["real"]["value"]
        axis.plot(*real, "*", markersize=9, color=GREY, label="real images")
        outside = f" ({len(rows) - len(shown)} outside)" if len(shown) < len(rows) else ""
        axis.set(title=NAMES[part.partition("-")[2]] + outside, xlabel="Fréchet distance (better →)", ylabel="accuracy")
        axis.set_ylim(bottom=0.6 if part == "rules-mnist" else 0)
        axis.invert_xaxis()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=7)
    everything = [row for rows in found.values() for row in rows]
    footnote(figure, note_of_rows(everything))
    return figure, facts_of_rows(everything, *parts)


@exhibit("study_rules", "png")
def rule_strips(pipe, steps: int, rules=SHOWN, classes=(0, 1, 3, 5, 7, 8)):
    """Some classes (columns) by each (rule, w) of `rules` (rows), a noise a column; drawn live."""
    prompts = [captions(pipe.preset)[which] for which in classes]
    strips = [pipe(prompts, guider=pipe.make_guider(rule, w), steps=steps, scheduler="dpm++").images
              for rule, w in rules]
    figure, axes = new_figure(1, 1, 0.5 * len(rules) + 0.6, width=3.9)
    labels = [f"{rule}, w = {w:g}" for rule, w in rules]
    image_grid(axes[0, 0], torch.stack(strips), [textwrap.fill(label, 22) for label in labels],
               [SHORT.get(names(pipe.preset)[which], names(pipe.preset)[which]) for which in classes])
    weaker = [CHECKPOINTS / f"{pipe.preset.dataset}-weak" / WEIGHTS] if "auto" in dict(rules) else []
    return _told_live(figure, pipe, steps, len(prompts), *weaker, prompts=prompts, rules=labels)


def _told_live(figure, pipe, steps, images, *files, **more):
    """The figure with its footnote, and the facts of so many images a row drawn by DPM++ from the preset's seed on,
    with `files` beside the pipeline's own."""
    shown = {pipe.preset.variant: pipe}
    footnote(figure, f"{training_note(shown)}; DPM++, {steps} steps")
    fit_height(figure)
    return figure, {**facts_of_pipes(shown, *files), "scheduler": "dpm++", "steps": steps, **more,
                    "first_and_last_seed": [pipe.preset.seed, pipe.preset.seed + images - 1]}


@exhibit("study_negative", "png")
def negative_prompts(pipe, steps: int, caption: str = "A handwritten digit 4", w: float = 3.0):
    """One caption from ten noises, away from the empty caption and from two others (rows); drawn live."""
    negatives = [None, "A handwritten digit 9", "A handwritten digit 1"]
    rows = [pipe([caption] * 10, w=w, steps=steps, scheduler="dpm++", negative=negative).images
            for negative in negatives]
    figure, axes = new_figure(1, 1, 2.2)
    labels = ["away from ∅", *(f"away from {negative.split()[-1]}" for negative in negatives[1:])]
    image_grid(axes[0, 0], torch.stack(rows), labels, title=f"“{caption}”, w = {w:g}")
    return _told_live(figure, pipe, steps, 10, prompts=[caption], negatives=negatives, w=w)


def rules_table(part: str) -> Table:
    """Plain guidance, and every other rule at the scale where it is nearest to real images; most accurate first, real
    images last."""
    rows = rows_of(part)
    best = [row for row in rows if row["cell"]["guider"] == "cfg" and row["w"] > 0]
    for rule in dict.fromkeys(row["cell"]["guider"] for row in rows if row["cell"]["guider"] != "cfg"):
        best.append(min((row for row in rows if row["cell"]["guider"] == rule), key=lambda row: FRECHET(row)["value"]))
    best.sort(key=lambda row: -ACCURACY(row)["value"])
    lines = [[row["cell"]["guider"], f"{row['w']:g}", str(row["forward_passes"]),
              *(with_interval(find(row), percent) for _, find, percent in COLUMNS)] for row in best]
    lines.append(["real images", "–", "–",
                  *(with_interval(find(best[0])["real"], percent) for _, find, percent in COLUMNS)])
    header = ["rule", "w", "passes", *(title for title, *_ in COLUMNS)]
    note = ("plain guidance (cfg) at every w, each other rule at the w of its least Fréchet distance, a choice that is "
            "within the noise at this n; passes: evaluations of a U-Net an image; ")
    return Table(f"study_{part.replace('-', '_')}", header, lines, note + note_of_rows(rows), facts_of_rows(rows, part))


def when_table(parts=("rules-mnist", "rules-cifar10")) -> Table:
    """Which rule to use when: of the rows that no other is surely nearer to the wish than, the cheapest.

    For variety and burnt-out values only rows count that are not surely less accurate than plain guidance at w = 2.
    """
    found = {part: rows_of(part) for part in parts}
    lines = [[wish, *(recommended(rows, find, distance) for rows in found.values())] for wish, find, distance in WHEN]
    header = ["you want", *(NAMES[part.partition("-")[2]] for part in parts)]
    everything = [row for rows in found.values() for row in rows]
    note = ("of the rules whose interval overlaps the best one's, that with the fewest passes, plain guidance first, "
            "unless these are more than two thirds of all; "
            "the last two wishes among rules not less accurate than plain guidance at w = 2; ")
    return Table("study_when", header, lines, note + note_of_rows(everything), facts_of_rows(everything, *parts))


def recommended(rows, find, distance) -> str:
    """The rule and w for a wish: `find` takes the metric from a row, `distance` tells how far it is from the wish."""
    plain = next(row for row in rows if row["cell"]["guider"] == "cfg" and row["w"] == 2)
    if find in (DIVERSITY, SATURATION):
        rows = [row for row in rows if ACCURACY(row)["interval"][1] >= ACCURACY(plain)["interval"][0]]
    best = min(rows, key=lambda row: distance(find(row)))
    alike = [row for row in rows if overlap(find(row)["interval"], find(best)["interval"])]
    rules = {row["cell"]["guider"] for row in rows}
    if 3 * len({row["cell"]["guider"] for row in alike}) > 2 * len(rules):
        return f"not told apart at this n (best: {_name(best)})"
    cheapest = min(alike, key=lambda row: (row["forward_passes"], row["cell"]["guider"] != "cfg", distance(find(row))))
    others = len({row["cell"]["guider"] for row in alike} - {cheapest["cell"]["guider"]})
    return f"{_name(cheapest)} ({cheapest['forward_passes']} passes), {others} others alike"



def _name(row) -> str:
    return f"{row['cell']['guider']}, w = {row['w']:g}"


def _points(rows):
    return [FRECHET(row)["value"] for row in rows], [ACCURACY(row)["value"] for row in rows]


def all_figures(digits, objects, steps: int):
    """Negative prompts, the rules' strips and their Pareto front, one after the other."""
    yield negative_prompts(digits, steps)
    yield rule_strips(objects, steps)
    yield pareto()


def all_tables():
    """The rules of each dataset, and which to use when."""
    yield rules_table("rules-mnist")
    yield rules_table("rules-cifar10")
    yield when_table()
