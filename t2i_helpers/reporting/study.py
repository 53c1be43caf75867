"""The stored guidance study, as figures and tables show it. A row is a cell with its metrics and their record."""

import statistics
import textwrap

import scipy.stats
import torch

from ..errors import BadData
from ..evaluation.classifiers import weights_file
from ..evaluation.experiments import BEST, CANDIDATES, WORDS, networks
from ..evaluation.features import real_features
from ..evaluation.metrics import frechet_distance
from ..evaluation.study import OPTIONAL, PARTS, WORDINGS, read_experiment, read_part, run_study
from ..intervals import overlap
from ..paths import WEIGHTS, checkpoint_dir, study_dir
from ..presets import DATASETS, NAMES
from ..provenance import note_use
from ..randomness import generator
from .derived import flat
from .drawing import COLOURS, GREY, PALETTE, bars, image_grid, line, metric_curves, new_figure, plot_real, plot_with_ci
from .exhibits import exhibit
from .pictures import stored_images
from .tables import metric_table, scale, scaled

QUALITY = {"Fréchet distance ↓": "frechet", "accuracy ↑": "accuracy"}
RULE_PARTS = {"rules-mnist": NAMES["mnist"], "rules-cifar10": NAMES["cifar10"]}
COLUMNS = {"accuracy (%)": "accuracy", "Fréchet": "frechet", "KID": "kernel", "diversity": "diversity",
           "saturation (%)": "saturation"}
WHEN = {"match the caption": "accuracy", "look like real images": "frechet", "vary like real images": "diversity",
        "saturate like real images": "saturation"}                          # an aim, and the metric for it
IMAGE_TEXT_NOTE = "the image-text model of the project stands in for CLIP"
JUDGES = f"judged by our own classifier; {IMAGE_TEXT_NOTE}; intervals 95 %"
CHANGED = {"none": "thesis", "dropout": "caption dropout 0.1", "range": "pixels in [−1, 1]", "v": "v-prediction",
           "average": "averaged weights", "trailing": "trailing timesteps"}
DECAYS = {"/raw": "none", "/ema-99": "0.99", "/ema-999": "0.999", "/ema-9999": "0.9999", "": "rising"}


def rows_of(part: str, size: str = "demo", keep=lambda row: True) -> list[dict]:
    """The stored rows of a part of the study that `keep` keeps, `flat`, in order; at `full`, missing ones are measured
    first.

    BadData where any is missing, except of an optional part.
    """
    if size == "full" and part not in OPTIONAL:
        run_study([part], size)
    rows = read_part(part, size)
    if (missing := len(PARTS[part]) - len(rows)) and part not in OPTIONAL:
        raise BadData(f"{missing} of {len(PARTS[part])} cells of {part} are not measured with the networks that are "
                      "here: run t2i evaluate study")
    rows = [*filter(keep, (flat(rows[cell]) for cell in PARTS[part] if cell in rows))]
    datasets = {row["checkpoint"] for row in rows} & set(DATASETS)
    files = [study_dir(size) / f"{part}.jsonl",
             *(checkpoint_dir(dataset, "improved", size) / WEIGHTS for dataset in sorted(datasets))]
    note_use("file", *(file for file in files if file.exists()))         # an optional part may be missing
    note_use("rows", rows)
    return rows


def experiment(name: str, size: str = "demo") -> dict:
    """The stored result of an experiment, at `full` measured first where it is missing.

    BadData where none fits the current networks and settings.
    """
    if size == "full":
        run_study([name], size)
    result = read_experiment(name, size)
    if not result:
        raise BadData(f"{name} was not measured with the networks and settings that are here: run t2i evaluate study")
    note_use("file", study_dir(size) / f"{name}.json", *networks(name, size).values())
    return result


def points(rows) -> list[list[float]]:
    """The Frechet distances and the accuracies of rows."""
    return [[row[metric]["value"] for row in rows] for metric in QUALITY.values()]


def finish_tradeoff(axis, row, **settings) -> None:
    """Labels of an axis of `points`, and the point of real images, which `row` was compared with."""
    axis.plot(*(row[metric]["real"]["value"] for metric in QUALITY.values()), "*", markersize=9, color=GREY,
              label="real images")
    axis.set(xlabel="Fréchet distance (better →)", ylabel="accuracy", **settings)
    axis.invert_xaxis()


def grouped(rows, field: str) -> dict:
    """{value of a field: the rows that have it}, in order."""
    return {value: [row for row in rows if row[field] == value] for value in dict.fromkeys(row[field] for row in rows)}


def strips(rows, size: str = "demo") -> torch.Tensor:
    """The ten images that each row keeps, float32 [rows, 10, 3, h, w] in [0, 1]."""
    return torch.cat([stored_images(study_dir(size) / "pictures" / row["picture"], 1, 10) for row in rows])


def front(rows) -> list[dict]:
    """The rows that no other beats in both accuracy and Frechet distance, the most accurate first (Pareto)."""
    chosen = []
    for row in sorted(rows, key=lambda row: (-row["accuracy"]["value"], _frechet(row))):
        if not chosen or _frechet(row) < _frechet(chosen[-1]):
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
        far = 3 * statistics.median(map(_frechet, rows))
        shown = [row for row in rows if _frechet(row) < far]
        best = front(shown)
        axis.plot(*points(shown), "o", markersize=3, color="0.7", label="every rule and w")
        axis.plot(*points([row for row in shown if row["guider"] == "cfg"]), label="plain guidance, w = 1 to 10",
                  **line(0))
        x_error, y_error = (bars([row[metric] for row in best]) for metric in QUALITY.values())
        axis.errorbar(*points(best), xerr=x_error, yerr=y_error, fmt="o", markersize=4, elinewidth=0.8,
                      color=COLOURS["improved"], label="no other is better in both")
        for place, (row, *point) in enumerate(reversed([*zip(best, *points(best))])):
            axis.annotate(_name(row), point, (0.04, 0.06 + 0.085 * place), textcoords="axes fraction", fontsize=7,
                          arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": "0.6", "relpos": (1, 0.5)})
        outside = f" ({len(rows) - len(shown)} outside)" if len(shown) < len(rows) else ""
        finish_tradeoff(axis, rows[0], title=name + outside)
        axis.set_ylim(bottom=0.6 if part == "rules-mnist" else 0)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


@exhibit("study_{}", "tex")
def rules_table(part: str, size: str = "demo"):
    """Plain guidance, and every other rule at the scale where it is nearest to real images; most accurate first, real
    images last."""
    rules = grouped(rows_of(part, size), "guider")
    best = [row for row in rules.pop("cfg") if row["w"] > 0]
    best += [min(rows, key=_frechet) for rows in rules.values()]
    best.sort(key=lambda row: -row["accuracy"]["value"])
    note = ("plain guidance (cfg) at every w, each other rule at the w of its least Fréchet distance, a choice that is "
            "within the noise at this n; passes: evaluations of a U-Net an image")
    return *metric_table(best, {"rule": "guider", "w": scale, "passes": "forward_passes", **COLUMNS}), {"note": note}


@exhibit("study_when", "tex")
def when_table(size: str = "demo"):
    """Which rule to use when: the cheapest of the rows whose interval overlaps that of the best one.

    For variety and saturation only rows count that are not surely less accurate than plain guidance at w = 2.
    """
    parts = [rows_of(part, size) for part in RULE_PARTS]
    lines = [[aim, *(recommended(rows, metric) for rows in parts)] for aim, metric in WHEN.items()]
    note = ("of the rules whose interval overlaps that of the best, the one with the fewest passes, plain guidance "
            "first, unless more than two thirds of all rules overlap; the last two aims: among rules not less accurate "
            "than plain guidance at w = 2")
    return ["images should", *RULE_PARTS.values()], lines, {"note": note}


def recommended(rows, metric: str) -> str:
    """The rule and w of the rows that are best, or most like real images, in a metric of WHEN."""
    def distance(row):                                                                          # from the aim
        return {"accuracy": -row[metric]["value"], "frechet": row[metric]["value"]}.get(
            metric, abs(row[metric]["value"] - row[metric]["real"]["value"]))

    plain = next(row for row in rows if row["guider"] == "cfg" and row["w"] == 2)
    if metric in ("diversity", "saturation"):
        rows = [row for row in rows if row["accuracy"]["interval"][1] >= plain["accuracy"]["interval"][0]]
    best = min(rows, key=distance)
    alike = [row for row in rows if overlap(row[metric]["interval"], best[metric]["interval"])]
    rules = grouped(alike, "guider")
    if 3 * len(rules) > 2 * len(grouped(rows, "guider")):
        return f"no clear winner at this n (best: {_name(best)})"
    cheapest = min(alike, key=lambda row: (row["forward_passes"], row["guider"] != "cfg", distance(row)))
    return f"{_name(cheapest)} ({cheapest['forward_passes']} passes), {len(rules) - 1} others alike"


def _frechet(row) -> float:
    return row["frechet"]["value"]


def _name(row) -> str:
    return f"{row['guider']}, w = {row['w']:g}"


@exhibit("loss_strengths", "pdf")
def loss_curves(size: str = "demo"):
    """Each loss at the end, as a share of its value without guidance, and the accuracy that the classifier reports."""
    result = experiment("losses", size)
    losses = {loss: [row | {"share": scaled(row["loss_at_end"], 1 / rows[0]["loss_at_end"]["value"])} for row in rows]
              for loss, rows in grouped(result["rows"], "loss").items()}
    figure, (left, right) = metric_curves(losses, "strength", {"loss, relative to s = 0 ↓": "share",
                                                               "accuracy ↑": "accuracy"}, 2.4, xlabel="strength s")
    left.set_ylim(0)
    right.set_ylim(0, 1.05)
    left.legend()
    note = (f"CIFAR-10, w = 1, {result['scheduler'].upper()}, {result['steps']} steps, "
            f"n = {result['rows'][0]['n']} a point; {JUDGES}; the classifier is no fair judge of its own loss")
    return figure, {"note": note, "experiment": result}


@exhibit("best_of_fifteen", "tex")
def best_of_table(size: str = "demo"):
    """The critic's mean scores and the accuracy, of all candidates and of those that each critic chose."""
    result = experiment("best-of", size)
    columns = {"": lambda row: f"{NAMES[row['dataset']]}, w = {row['w']:g}", "chosen by": "critic", "n": "n",
               **{word: lambda row, word=word: f"{row['scores'][word]:.3f}" for word in WORDS},
               "accuracy (%)": "accuracy"}
    note = (f"the best {BEST} of {CANDIDATES} of each class; {result['scheduler'].upper()}, {result['steps']} steps; "
            f"good, clear, blurry: the critic's probability of each word among the three; {JUDGES}")
    return *metric_table(result["rows"], columns), {"note": note, "experiment": result}


@exhibit("quality_against_passes", "pdf")
def quality_against_passes(size: str = "demo"):
    """Accuracy and Frechet distance against U-Net evaluations an image, a line a sampler with its usual timesteps."""
    rows = sorted(rows_of("samplers", size, lambda row: not _is_spaced(row)), key=lambda row: row["forward_passes"])
    ticks = 10, 20, 40, 100, 200
    figure, (left, right) = metric_curves(
        grouped(rows, "scheduler"), "forward_passes", dict(reversed(QUALITY.items())), 2.8,
        xlabel="U-Net evaluations an image", xscale="log", xticks=ticks, xticklabels=ticks)
    left.set_ylim(0, 1.05)
    right.set_yscale("log")
    for axis in (left, right):
        axis.minorticks_off()
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return figure, {"note": f"w = {rows[0]['w']:g}"}


@exhibit("study_spacing", "tex")
def spacing_table(size: str = "demo"):
    """The effect of the timestep spacing, by scheduler, spacing and steps; and DDPM with all T steps."""
    columns = {"scheduler and spacing": lambda row: row["scheduler"].replace("spacing=", ""),
               "steps": lambda row: str(row["steps"]), "n": "n", "accuracy (%)": "accuracy",
               "Fréchet": lambda row: "–" if row["fewer_samples_than_features"] else row["frechet"]}
    return *metric_table(rows_of("samplers", size, _is_spaced), columns, real=False), {}


def _is_spaced(row) -> bool:
    """Whether a row belongs to the comparison of spacings, or has all T steps and a smaller n than the others."""
    return "spacing" in row["scheduler"] or row["steps"] == 1000


@exhibit("study_averages", "png")
def averages_figure(size: str = "demo"):
    """One training's weights, averaged in five ways: Frechet distance and diversity by w, and the digits at w = 2."""
    rows = rows_of("averages", size)
    by = {(row["checkpoint"].removeprefix("ablation-minilm"), row["w"]): row for row in rows}
    figure, top, bottom = _two_parts(5.2)
    for axis, (title, metric) in zip(top.subplots(1, 2), (("Fréchet distance ↓", "frechet"), ("diversity",) * 2)):
        for place, (w, shift) in enumerate(zip((1, 2, 5), (-0.12, 0, 0.12))):
            metrics = [by[decay, w][metric] for decay in DECAYS]
            axis.errorbar([column + shift for column in range(len(DECAYS))], [each["value"] for each in metrics],
                          yerr=bars(metrics), capsize=2, label=f"w = {w}", **line(place, linestyle=""))
        plot_real(axis, rows[0][metric])
        axis.set_xticks(range(len(DECAYS)), DECAYS.values())
        axis.set(title=title, xlabel="decay of the average", yscale="log" if metric == "frechet" else "linear")
        axis.legend()
    images = strips([by[decay, 2] for decay in DECAYS], size)
    image_grid(bottom.subplots(), images, list(DECAYS.values()), range(10), "decay (rows), w = 2")
    return figure


@exhibit("study_changes", "pdf")
def changes_figure(size: str = "demo"):
    """The recipe `thesis` with one change each: accuracy and Frechet distance at w = 1 and 5, a point a seed, and the
    mean of the seeds; in the sidecar also the mean differences from the unchanged recipe, seed by seed."""
    rows = rows_of("changes", size)
    values = {metric: {(change, w): torch.tensor([row[metric]["value"] for row in rows
                                                  if (_change(row), row["w"]) == (change, w)], dtype=torch.float64)
                       for change in CHANGED for w in (1, 5)} for metric in ("accuracy", "frechet")}    # [seeds] each
    figure, (axes,) = new_figure(1, 2, 2.8)
    for axis, by in zip(axes, values.values()):
        for place, (w, shift) in enumerate(((1, -0.12), (5, 0.12))):
            for row, change in enumerate(CHANGED):
                seeds = by[change, w]
                axis.plot(seeds, [row + shift] * len(seeds), "|", color=PALETTE[place], markersize=7)
                axis.plot(seeds.mean(), row + shift, label=f"w = {w}" if row == 0 else None,
                          **line(place, linestyle=""))
        axis.set_yticks(range(len(CHANGED)), CHANGED.values() if axis is axes[0] else [])
        axis.invert_yaxis()
    axes[0].set(xlabel="accuracy (better →)", xlim=(0, 1))
    axes[1].set(xlabel="Fréchet distance (← better)", xscale="log")
    axes[1].axvline(rows[0]["frechet"]["real"]["value"], color=GREY, linestyle="--", label="real images")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    differences = {metric: {(change, w): seeds - by["none", w] for (change, w), seeds in by.items()}
                   for metric, by in values.items()}
    return figure, {"seeds": len(seeds), "means": _by_change(values), "differences": _by_change(differences)}


def _change(row) -> str:
    """Which of CHANGED a row of the part "changes" has."""
    return ("average" if "/" in row["checkpoint"] else "trailing" if "trailing" in row["scheduler"]
            else row["checkpoint"].split("-")[1])


def _by_change(values) -> dict:
    """{change: {"w1": {metric: mean over seeds, with Student's interval}}} of {metric: {(change, w): [seeds]}}."""
    def mean(seeds):
        middle, n = float(seeds.mean()), len(seeds)
        half = float(scipy.stats.t.ppf(0.975, n - 1) * seeds.std()) / n ** 0.5
        return {"value": middle, "interval": [middle - half, middle + half], "n": n}

    return {change: {f"w{w}": {metric: mean(by[change, w]) for metric, by in values.items()} for w in (1, 5)}
            for change in CHANGED}


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
    rows = rows_of("encoders", size) + rows_of("encoders-of-the-hub", size)
    by = {(row["checkpoint"].removeprefix("ablation-"), row["wording"]): row for row in rows}
    encoders = list(dict.fromkeys(encoder for encoder, _ in by))
    figure, top, bottom = _two_parts(4.9)
    axis, width = top.subplots(), 0.81 / len(encoders)
    for place, (encoder, colour) in enumerate(zip(encoders, PALETTE)):
        places = {wording: x + width * (place - (len(encoders) - 1) / 2) for x, wording in enumerate(WORDINGS)}
        chosen = {wording: by[encoder, wording]["accuracy"] for wording in WORDINGS if (encoder, wording) in by}
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
    shown = {f"{encoder}, {'caption' if wording == 'caption' else 'the word'}": row
             for (encoder, wording), row in by.items() if wording in ("caption", "seven")}
    image_grid(bottom.subplots(), strips(shown.values(), size), list(shown), range(10))
    return figure, {"note": "one-hot vectors exist only for the captions"}


def _two_parts(height):
    """A figure with one part for curves above one for pictures."""
    figure, _ = new_figure(1, 1, height)
    figure.clear()
    return figure, *figure.subfigures(2, 1, height_ratios=(1, 1.15))
