"""Guidance rules side by side: drawn from the same noise, and measured by the study."""

import statistics
import textwrap

from ..data import captions
from ..intervals import overlap
from ..paths import WEIGHTS, checkpoint_dir
from ..presets import NAMES
from ..provenance import note_use
from . import pictures
from .drawing import COLOURS, bars, image_grids, line, new_figure
from .exhibits import exhibit
from .study import ACCURACY, DIVERSITY, FRECHET, SATURATION, finish_tradeoff, grouped, points, rows_of
from .tables import with_interval

SHORT = {"airplane": "plane", "automobile": "car"}            # over a small picture
RULE_PARTS = {"rules-mnist": NAMES["mnist"], "rules-cifar10": NAMES["cifar10"]}
# rules with a large w where they take one, else with a scale like that of their papers
SHOWN = [("cfg", 1), ("cfg", 2), ("cfg", 5), ("rescale", 5), ("interval sigma_min=0.2 sigma_max=5", 5),
         ("threshold", 5), ("apg", 5), ("cfg-zero", 5), ("tcfg", 5), ("mag", 5), ("fdg", 5), ("cfg++", 0.5),
         ("auto", 1.5), ("pag", 2), ("slg", 2), ("seg", 2)]
COLUMNS = [("accuracy", ACCURACY, True), ("Fréchet", FRECHET, False),
           ("KID", lambda row: row["classifier"]["kernel"], False), ("diversity", DIVERSITY, False),
           ("saturation", SATURATION, True)]
WHEN = [                                # an aim, the metric for it, and the distance of a metric from the aim
    ("match the caption", ACCURACY, lambda metric: -metric["value"]),
    ("look like real images", FRECHET, lambda metric: metric["value"]),
    ("vary like real images", DIVERSITY, lambda metric: abs(metric["value"] - metric["real"]["value"])),
    ("saturate like real images", SATURATION, lambda metric: abs(metric["value"] - metric["real"]["value"])),
]


def front(rows) -> list[dict]:
    """The rows that no other beats in both accuracy and Frechet distance, the most accurate first (Pareto)."""
    chosen = []
    for row in sorted(rows, key=lambda row: (-ACCURACY(row)["value"], FRECHET(row)["value"])):
        if not chosen or FRECHET(row)["value"] < FRECHET(chosen[-1])["value"]:
            chosen.append(row)
    return chosen


@exhibit("study_pareto", "pdf")
def pareto(size: str = "demo"):
    """Accuracy against Frechet distance, a point a rule and scale; the points that no other beats are named.

    Points more than three times as far from real images as the median are outside, and counted in the title.
    """
    figure, (axes,) = new_figure(1, len(RULE_PARTS), 3.6)
    for axis, (part, name) in zip(axes, RULE_PARTS.items()):
        rows = rows_of(part, size, lambda row: row["w"] > 0)                       # w = 0 does not read the caption
        far = 3 * statistics.median(FRECHET(row)["value"] for row in rows)
        shown = [row for row in rows if FRECHET(row)["value"] < far]
        best = front(shown)
        axis.plot(*points(shown), "o", markersize=3, color="0.7", label="every rule and w")
        axis.plot(*points([row for row in shown if _rule(row) == "cfg"]), label="plain guidance, w = 1 to 10",
                  **line(0))
        axis.errorbar(*points(best), xerr=bars([*map(FRECHET, best)]), yerr=bars([*map(ACCURACY, best)]),
                      fmt="o", markersize=4, elinewidth=0.8, color=COLOURS["improved"],
                      label="no other is better in both")
        for place, row in enumerate(reversed(best)):
            axis.annotate(_name(row), (FRECHET(row)["value"], ACCURACY(row)["value"]), (0.04, 0.06 + 0.085 * place),
                          textcoords="axes fraction", fontsize=7,
                          arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "0.6", "relpos": (1, 0.5)})
        outside = f" ({len(rows) - len(shown)} outside)" if len(shown) < len(rows) else ""
        finish_tradeoff(axis, rows[0], title=name + outside)
        axis.set_ylim(bottom=0.6 if part == "rules-mnist" else 0)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


@exhibit("study_rules", "png")
def rule_strips(pipe, steps: int, rules=SHOWN, classes=(0, 1, 3, 5, 7, 8)):
    """Some classes (columns) by each (rule, w) of `rules` (rows), one noise image a column; drawn live."""
    prompts = [captions(pipe.preset)[which] for which in classes]
    guiders = [pipe.make_guider(rule, w) for rule, w in rules]
    images = pictures.vary(pipe, prompts, "guider", guiders, steps=steps, scheduler="dpm++").transpose(0, 1)
    if "auto" in dict(rules):
        note_use("file", checkpoint_dir(pipe.preset.dataset, "weak", pipe.preset.size) / WEIGHTS)
    labels, names = [f"{rule}, w = {w:g}" for rule, w in rules], pictures.names(pipe.preset)
    return image_grids({"": (images, [textwrap.fill(label, 22) for label in labels],
                             [SHORT.get(names[which], names[which]) for which in classes])}, width=3.9), {
        "prompts": prompts, "rules": labels}


@exhibit("study_negative", "png")
def negative_prompts(pipe, steps: int, caption: str = "A handwritten digit 4", w: float = 3.0):
    """One caption from ten noise images, away from the empty caption and from two others (rows); drawn live."""
    negatives = [None, "A handwritten digit 9", "A handwritten digit 1"]
    images = pictures.vary(pipe, [caption] * 10, "negative", negatives, w=w, steps=steps, scheduler="dpm++")
    labels = [f"away from {(negative or '∅').split()[-1]}" for negative in negatives]
    return image_grids({f"“{caption}”, w = {w:g}": (images.transpose(0, 1), labels)}), {
        "prompts": [caption], "negatives": negatives}


@exhibit("study_{}", "tex")
def rules_table(part: str, size: str = "demo"):
    """Plain guidance, and every other rule at the scale where it is nearest to real images; most accurate first, real
    images last."""
    rules = grouped(rows_of(part, size), _rule)
    best = [row for row in rules.pop("cfg") if row["w"] > 0]
    best += [min(rows, key=lambda row: FRECHET(row)["value"]) for rows in rules.values()]
    best.sort(key=lambda row: -ACCURACY(row)["value"])
    lines = [[_rule(row), f"{row['w']:g}", str(row["forward_passes"]),
              *(with_interval(metric(row), percent) for _, metric, percent in COLUMNS)] for row in best]
    lines.append(["real images", "–", "–",
                  *(with_interval(metric(best[0])["real"], percent) for _, metric, percent in COLUMNS)])
    note = ("plain guidance (cfg) at every w, each other rule at the w of its least Fréchet distance, a choice that is "
            "within the noise at this n; passes: evaluations of a U-Net an image")
    return ["rule", "w", "passes", *(title for title, *_ in COLUMNS)], lines, {"note": note}


@exhibit("study_when", "tex")
def when_table(size: str = "demo"):
    """Which rule to use when: the cheapest of the rows whose interval overlaps that of the best one.

    For variety and saturation only rows count that are not surely less accurate than plain guidance at w = 2.
    """
    parts = [rows_of(part, size) for part in RULE_PARTS]
    lines = [[aim, *(recommended(rows, metric, distance) for rows in parts)] for aim, metric, distance in WHEN]
    note = ("of the rules whose interval overlaps that of the best, the one with the fewest passes, plain guidance "
            "first, unless more than two thirds of all rules overlap; the last two aims: among rules not less accurate "
            "than plain guidance at w = 2")
    return ["images should", *RULE_PARTS.values()], lines, {"note": note}


def _rule(row) -> str:
    return row["cell"]["guider"]


def _name(row) -> str:
    return f"{_rule(row)}, w = {row['w']:g}"


def recommended(rows, metric, distance) -> str:
    """The rule and w for an aim: `metric` takes a metric from a row, `distance` is its distance from the aim."""
    plain = next(row for row in rows if _rule(row) == "cfg" and row["w"] == 2)
    if metric in (DIVERSITY, SATURATION):
        rows = [row for row in rows if ACCURACY(row)["interval"][1] >= ACCURACY(plain)["interval"][0]]
    best = min(rows, key=lambda row: distance(metric(row)))
    alike = [row for row in rows if overlap(metric(row)["interval"], metric(best)["interval"])]
    rules = {*map(_rule, alike)}
    if 3 * len(rules) > 2 * len({*map(_rule, rows)}):
        return f"no clear winner at this n (best: {_name(best)})"
    cheapest = min(alike, key=lambda row: (row["forward_passes"], _rule(row) != "cfg", distance(metric(row))))
    return f"{_name(cheapest)} ({cheapest['forward_passes']} passes), {len(rules) - 1} others alike"
