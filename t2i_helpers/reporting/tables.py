"""Tables with their provenance: Markdown in a notebook, LaTeX for the report, never typed by hand."""

from dataclasses import dataclass, field

from ..data import CLASS_NAMES
from ..paths import atomic_write, tables_dir
from ..presets import DATASETS, NAMES, PRINTED, PRINTED_COMPARISON, get
from ..provenance import best_device, code_record, file_hash, preset_record, record, write_sidecar
from .checkpoints import by_w
from .configured import agrees, best_scales, from_text
from .latex import WithInterval, tabular
from .recorded import evaluation_metadata, evaluation_note

# the distance that a dataset's guidance table shows: which features', which, and its title
DISTANCE = {"mnist": ("classifier", "frechet", "Fréchet"), "cifar10": ("classifier", "frechet", "Fréchet"),
            "wikiart": ("efficientnet", "kernel", "kernel distance")}
PLAIN = {"accuracy": "accuracy", "style_top3": "right style among three", "genre_accuracy": "genre accuracy",
         "target_probability": "mean target probability", "untrained_head_accuracy": "accuracy by an untrained head",
         "clip_score": "CLIP score"}                                # metrics of a row; all but the last are shares
OF_FEATURES = {"frechet": "Fréchet distance", "frechet_infinity": "Fréchet, n → ∞", "kernel": "kernel distance",
               "precision": "precision", "recall": "recall"}
FEATURES = ("classifier", "efficientnet", "inception")


@dataclass(frozen=True)
class Table:
    """Rows of text and numbers under a header, the name of its file, and the metadata for its sidecar."""

    name: str
    header: list[str]
    rows: list[list[str | WithInterval]]
    note: str
    metadata: dict = field(repr=False)

    def _repr_markdown_(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + f"\n\n*{self.note}*"

    def latex(self) -> str:
        """A booktabs table without its note, for any float."""
        return tabular(self.header, self.rows)


def export_table(table: Table, size: str) -> Table:
    """Write NAME.tex and its JSON sidecar into the tables folder of `size`; returns the table, to be displayed."""
    path = tables_dir(size) / f"{table.name}.tex"
    with atomic_write(path) as temporary:
        temporary.write_text(table.latex(), encoding="utf-8")
    metadata = code_record("reporting.latex", "reporting.tables") | table.metadata
    sidecar = record(best_device(), size=size, **metadata, note=table.note, file=path.name,
                     file_sha256_16=file_hash(path))
    write_sidecar(path.with_suffix(".json"), sidecar)
    return table


def with_interval(metric, percent=False) -> WithInterval:
    """A metric, {"value", "interval"}, as a table's cell."""
    return WithInterval(metric["value"], *metric["interval"], percent)


def guidance_table(name: str, evaluations: dict) -> Table:
    """One row a guidance scale, one pair of columns a variant, real images last; the thesis's own numbers if any.

    `evaluations` is {variant: what `t2i evaluate` stored}.
    """
    first = next(iter(evaluations.values()))
    dataset = first["checkpoint"]["preset"]["dataset"]
    features, distance, title = DISTANCE[dataset]
    printed = {metric: PRINTED[dataset][metric] for metric in ("fid", "accuracy") if metric in PRINTED[dataset]}
    header = ["w", *(f"thesis prints: {'FID' if metric == 'fid' else metric}" for metric in printed)]
    header += [f"{variant}: {metric}" for variant in evaluations for metric in (title, "accuracy")]
    rows = [[f"{w:g}", *(_printed(metric, values.get(w)) for metric, values in printed.items())] for w in by_w(first)]
    rows.append(["real images", *("–" for _ in printed)])
    for evaluation in evaluations.values():
        pairs = [(row[features][distance], row["accuracy"]) for row in evaluation["rows"]]
        pairs.append(tuple(metric["real"] for metric in pairs[0]))
        for row, (far, accuracy) in zip(rows, pairs):
            row += [with_interval(far), with_interval(accuracy, percent=True)]
    return Table(name, header, rows, evaluation_note(evaluations.values()),
                 evaluation_metadata(evaluations.values()))


def _printed(metric, value) -> str:
    return "–" if value is None else f"{value:.2f}" if metric == "fid" else f"{value:.1%}"


def metrics_table(name: str, variant: str, evaluation: dict) -> Table:
    """Every metric of one variant (rows) at every guidance scale (columns), real images last."""
    rows = evaluation["rows"]
    shown = [(title, [row[key] for row in rows], key != "clip_score") for key, title in PLAIN.items() if key in rows[0]]
    shown += [(f"{title} ({features})", [row[features][key] for row in rows], key in ("precision", "recall"))
              for features in FEATURES for key, title in OF_FEATURES.items() if key in rows[0].get(features, {})]
    lines = [[title, *(with_interval(metric, percent) for metric in (*metrics, metrics[0]["real"]))]
             for title, metrics, percent in shown]
    header = [variant, *(f"w = {row['w']:g}" for row in rows), "real images"]
    return Table(name, header, lines, evaluation_note([evaluation]), evaluation_metadata([evaluation]))


def comparison_table(name: str, evaluations: dict) -> Table:
    """Table 2: MNIST against CIFAR-10, `evaluations` {dataset: {variant: ..}}; configurations are `full`'s."""
    presets = {dataset: get(dataset, "thesis", "full") for dataset in evaluations}
    counted = _count_parameters(presets)
    rows = [["image size", *(f"{preset.resolution}×{preset.resolution}" for preset in presets.values())],
            ["channels", *(str(preset.channels) for preset in presets.values())],
            ["parameters, printed", *(PRINTED[dataset]["parameters"] for dataset in presets)],
            ["parameters, counted", *(f"{counted[dataset]:,}" for dataset in presets)],
            ["epochs", *(str(preset.epochs) for preset in presets.values())],
            ["batch size", *(str(preset.batch_size) for preset in presets.values())],
            ["best w, printed", *(PRINTED[dataset]["best_w"] for dataset in presets)]]
    for variant in next(iter(evaluations.values())):
        for title, metric in (("least Fréchet", "frechet"), ("most accurate", "accuracy")):
            rows.append([f"{title}, {variant}", *(f"w = {best_scales(variants[variant], metric)}"
                                                  for variants in evaluations.values())])
    metadata = {"presets": {dataset: preset_record(preset) for dataset, preset in presets.items()},
                **evaluation_metadata([each for variants in evaluations.values() for each in variants.values()])}
    steps = [f"{NAMES[dataset]} {variant} {evaluation['checkpoint']['training_steps']:,}"
             for dataset, variants in evaluations.items() for variant, evaluation in variants.items()]
    note = ("sizes, epochs and parameters of the full thesis configuration; best w measured on checkpoints of so many "
            f"training steps: {', '.join(steps)}; every w whose interval overlaps the best one's")
    return Table(name, ["", *map(NAMES.get, evaluations)], rows, note, metadata)


def configuration_table(name: str) -> Table:
    """Table 4: what the thesis prints of each experiment beside what its own text says; ≠ where they disagree."""
    configured = {dataset: get(dataset, "thesis", "full") for dataset in DATASETS}
    counted = _count_parameters(configured)
    rows = []
    for title in ("resolution", "channels", "classes", "training samples", "U-Net blocks", "parameters", "batch size",
                  "learning rate", "epochs"):
        row = [title]
        for printed, (dataset, preset) in zip(PRINTED_COMPARISON[title], configured.items()):
            text = from_text(title, preset, counted[dataset], len(CLASS_NAMES[dataset]))
            row += [printed, text if agrees(printed, text) else f"≠ {text}"]
        rows.append(row)
    header = ["", *(f"{NAMES[dataset]}: {column}" for dataset in configured for column in ("printed", "its text"))]
    note = ("printed: Table 4 of the thesis; its text: sections 3.2 to 3.4 and the network that they describe, built "
            "and counted, images as the hub has them; ≠ marks what disagrees")
    metadata = {"presets": {dataset: preset_record(p) for dataset, p in configured.items()}, "parameters": counted}
    return Table(name, header, rows, note, metadata)


def _count_parameters(configured) -> dict[str, int]:
    """The parameters of each preset's U-Net, {dataset: preset}, with CLIP's text width."""
    import torch

    from ..models import build_unet

    with torch.device("meta"):                  # shapes without numbers
        return {dataset: sum(p.numel() for p in build_unet(preset, text_dim=512).parameters())
                for dataset, preset in configured.items()}
