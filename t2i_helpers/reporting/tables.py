"""Tables with their provenance: Markdown in a notebook, LaTeX for the report, never typed by hand."""

import itertools
from dataclasses import dataclass, field

import torch

from ..data import CLASS_NAMES
from ..intervals import overlap
from ..paths import atomic_write, tables_dir
from ..presets import DATASETS, NAMES, PRINTED, PRINTED_COMPARISON, TRAINING_IMAGES, get
from ..provenance import best_device, file_hash, preset_record, record, write_sidecar
from .booktabs import tabular
from .checkpoints import by_w
from .configured import FROM_TEXT, agrees
from .latex import WithInterval
from .recorded import evaluation_metadata, evaluation_note


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers under a header, the name of its file, and the metadata of what it was made from."""

    name: str
    header: list[str]
    rows: list[list[str | WithInterval]]
    note: str
    metadata: dict = field(repr=False)

    def _repr_markdown_(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + f"\n\n*{self.note}*"

    def latex(self) -> str:
        """A booktabs table without its note; nothing leaks from it, so that it can stand in any float."""
        return tabular(self.header, self.rows)


def export_table(table: Table, size: str) -> Table:
    """Write NAME.tex and its JSON sidecar into the tables folder of `size`; returns the table, to be displayed."""
    path = tables_dir(size) / f"{table.name}.tex"
    with atomic_write(path) as temporary:
        temporary.write_text(table.latex())
    sidecar = record(best_device(), size=size, **table.metadata, note=table.note, file=path.name,
                     file_sha256_16=file_hash(path))
    write_sidecar(path.with_suffix(".json"), sidecar)
    return table


def guidance_table(name: str, evaluations: dict) -> Table:
    """One row a guidance scale, one pair of columns a variant, real images last; the thesis's own numbers if any.

    `evaluations` is {variant: what `t2i evaluate` stored}.
    """
    dataset = next(iter(evaluations.values()))["checkpoint"]["preset"]["dataset"]
    judge, distance, title = DISTANCE[dataset]
    printed = {key: PRINTED[dataset][key] for key in ("fid", "accuracy") if key in PRINTED[dataset]}
    header = ["w", *(f"thesis prints: {'FID' if key == 'fid' else key}" for key in printed)]
    header += [f"{variant}: {metric}" for variant in evaluations for metric in (title, "accuracy")]
    rows = []
    for w in by_w(next(iter(evaluations.values()))):
        line = [f"{w:g}", *(_printed(key, values.get(w)) for key, values in printed.items())]
        for found in evaluations.values():
            row = by_w(found)[w]
            line += [with_interval(row[judge][distance]), with_interval(row["accuracy"], percent=True)]
        rows.append(line)
    last = ["real images", *("–" for _ in printed)]
    for found in evaluations.values():
        row = found["rows"][0]
        last += [with_interval(row[judge][distance]["real"]),
                 with_interval(row["accuracy"]["real"], percent=True)]
    return Table(name, header, [*rows, last], evaluation_note(evaluations.values()),
                 evaluation_metadata(evaluations.values()))


def metrics_table(name: str, variant: str, evaluation: dict) -> Table:
    """Every metric of one variant (rows) at every guidance scale (columns), real images last."""
    rows = evaluation["rows"]
    lines = []
    for title, find, percent in METRICS:
        found = [find(row) for row in rows if find(row)]
        if found:
            lines.append([title, *(with_interval(metric, percent) for metric in found),
                          with_interval(found[0]["real"], percent)])
    header = [variant, *(f"w = {row['w']:g}" for row in rows), "real images"]
    return Table(name, header, lines, evaluation_note([evaluation]), evaluation_metadata([evaluation]))


def _of(judge, metric):
    return lambda row: row.get(judge, {}).get(metric)


# the distance that a dataset's guidance table shows: which judge's, which, and its title
DISTANCE = {"mnist": ("classifier", "frechet", "Fréchet"), "cifar10": ("classifier", "frechet", "Fréchet"),
            "wikiart": ("efficientnet", "kernel", "kernel distance")}
METRICS = [
    ("accuracy", lambda row: row["accuracy"], True),
    ("right style among three", lambda row: row.get("style_top3"), True),
    ("genre accuracy", lambda row: row.get("genre_accuracy"), True),
    ("mean target probability", lambda row: row.get("target_probability"), True),
    *((f"{title} ({judge})", _of(judge, metric), percent)
      for judge in ("classifier", "efficientnet", "inception")
      for title, metric, percent in (
          ("Fréchet distance", "frechet", False), ("Fréchet, n → ∞", "frechet_infinity", False),
          ("kernel distance", "kernel", False), ("precision", "precision", True), ("recall", "recall", True))),
    ("accuracy by an untrained head", lambda row: row.get("untrained_head_accuracy"), True),
    ("CLIP score", lambda row: row.get("clip_score"), False),
]


def comparison_table(name: str, evaluations: dict) -> Table:
    """Table 2: MNIST against CIFAR-10, `evaluations` {dataset: {variant: ..}}; configurations are `full`'s."""
    presets = {dataset: get(dataset, "thesis", "full") for dataset in evaluations}
    counted = _count_parameters(presets)
    lines = {
        "image size": lambda d: f"{presets[d].resolution}×{presets[d].resolution}",
        "channels": lambda d: str(presets[d].channels),
        "parameters, printed": lambda d: PRINTED[d]["parameters"],
        "parameters, counted": lambda d: f"{counted[d]:,}",
        "epochs": lambda d: str(presets[d].epochs),
        "batch size": lambda d: str(presets[d].batch_size),
        "best w, printed": lambda d: PRINTED[d]["best_w"],
    }
    rows = [[title, *(tell(dataset) for dataset in evaluations)] for title, tell in lines.items()]
    for variant in next(iter(evaluations.values())):
        rows.append([f"least Fréchet, {variant}", *(_best(found[variant], _of("classifier", "frechet"), min)
                                                     for found in evaluations.values())])
        rows.append([f"most accurate, {variant}", *(_best(found[variant], lambda row: row["accuracy"], max)
                                                     for found in evaluations.values())])
    facts = {"presets": {dataset: preset_record(preset) for dataset, preset in presets.items()},
             **evaluation_metadata([each for found in evaluations.values() for each in found.values()])}
    told = [f"{NAMES[dataset]} {variant} {evaluation['checkpoint']['training_steps']:,}"
            for dataset, found in evaluations.items() for variant, evaluation in found.items()]
    note = ("sizes, epochs and parameters of the full thesis configuration; best w measured on checkpoints of so many "
            f"training steps: {', '.join(told)}; every w whose interval overlaps the best one's")
    return Table(name, ["", *map(NAMES.get, evaluations)], rows, note, facts)


def configuration_table(name: str) -> Table:
    """Table 4: what the thesis prints of each experiment beside what its own text says; ≠ where they disagree."""
    configured = {dataset: get(dataset, "thesis", "full") for dataset in DATASETS}
    counted = _count_parameters(configured)
    said = FROM_TEXT | {
        "classes": lambda p: str(len(CLASS_NAMES[p.dataset])),
        "training samples": lambda p: f"{TRAINING_IMAGES[p.dataset]:,}",
        "parameters": lambda p: f"{counted[p.dataset]:,}",
    }
    titles = ("resolution", "channels", "classes", "training samples", "U-Net blocks", "parameters", "batch size",
              "learning rate", "epochs")
    rows = [[title, *itertools.chain.from_iterable(
        _beside(printed, said[title](p)) for printed, p in zip(PRINTED_COMPARISON[title], configured.values()))]
        for title in titles]
    header = ["", *(f"{NAMES[dataset]}: {column}" for dataset in configured for column in ("printed", "its text"))]
    note = ("printed: Table 4 of the thesis; its text: sections 3.2 to 3.4 and the network that they describe, built "
            "and counted, images as the hub has them; ≠ marks what disagrees")
    facts = {"presets": {dataset: preset_record(p) for dataset, p in configured.items()}, "parameters": counted}
    return Table(name, header, rows, note, facts)


def _beside(printed, said):
    """(printed, said), the latter marked where they are not the same number, at the printed one's precision."""
    return printed, said if agrees(printed, said) else f"≠ {said}"


def _count_parameters(configured) -> dict[str, int]:
    """The parameters of each preset's U-Net, {dataset: preset}, with CLIP's text width."""
    from ..models import build_unet

    with torch.device("meta"):                  # shapes without numbers
        return {dataset: sum(p.numel() for p in build_unet(preset, text_dim=512).parameters())
                for dataset, preset in configured.items()}


def _best(evaluation, find, choose) -> str:
    """The best scale and those whose intervals overlap its interval."""
    rows = evaluation["rows"]
    best = find(choose(rows, key=lambda row: find(row)["value"]))["interval"]
    equal = [f"{row['w']:g}" for row in rows if overlap(find(row)["interval"], best)]
    return "w = " + ", ".join(equal)


def with_interval(metric, percent=False) -> WithInterval:
    """A metric, {"value", "interval"}, as a table's cell."""
    return WithInterval(metric["value"], *metric["interval"], percent)


def _printed(key, value) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if key == "fid" else f"{value:.1%}"
