"""The tables of the report, of evaluations, configurations and machines; none of their numbers is typed."""

import torch

from ..data import CLASS_NAMES
from ..models import build_unet
from ..models.sources import describe_machine
from ..models.text import ENCODER_LABELS
from ..paths import CHECKPOINTS, RUNS, WEIGHTS, checkpoint_dir, read_json
from ..presets import DATASETS, NAMES, TRAINING_IMAGES, VARIANTS, get
from ..provenance import count_parameters, note_use
from ..training import Run, describe_checkpoint
from .derived import PRINTED, agrees, best_scales, flat, from_text
from .exhibits import exhibit

# the distance that a guidance table shows, and its title, by the features that were compared
DISTANCE = {"classifier": ("frechet", "Fréchet"), "efficientnet": ("kernel", "kernel distance")}
PLAIN = {"accuracy": "accuracy (%)", "style_top3": "right style among three (%)",          # metrics of a row
         "genre_accuracy": "genre accuracy (%)", "target_probability": "mean target probability (%)",
         "untrained_head_accuracy": "accuracy by an untrained head (%)", "clip_score": "CLIP score"}
OF_FEATURES = {"frechet": "Fréchet distance ({})", "frechet_infinity": "Fréchet, n → ∞ ({})",
               "kernel": "kernel distance ({})", "precision": "precision ({}, %)", "recall": "recall ({}, %)"}
FEATURES = ("classifier", "efficientnet", "inception")


def metric_table(rows: list[dict], columns: dict, real: bool = True) -> tuple[list[str], list[list]]:
    """(header, cells) of {title: a field of the rows, or a function of a row}, with `real` images last if a metric
    knows their value."""
    lines = [[row[value] if isinstance(value, str) else value(row) for value in columns.values()] for row in rows]
    theirs = [value.get("real") if isinstance(value, dict) else None for value in lines[0]]
    if real and any(theirs):
        lines.append(["real images", *(value or "–" for value in theirs[1:])])
    return [*columns], lines


def scaled(metric: dict, factor: float) -> dict:
    """A metric and its interval, times a number."""
    return {"value": factor * metric["value"], "interval": [factor * end for end in metric["interval"]]}


def scale(row) -> str:
    """The guidance scale of a row."""
    return f"{row['w']:g}"


@exhibit("{}", "tex")
def guidance_table(name: str, evaluations: dict):
    """One row a guidance scale, one pair of columns a variant, real images last; the thesis's own numbers if any.

    `evaluations` is {variant: what `t2i evaluate` stored}.
    """
    first = next(iter(evaluations.values()))
    features = next(name for name in DISTANCE if name in first["rows"][0])
    distance, title = DISTANCE[features]
    rows = [*zip(*(map(flat, each["rows"]) for each in evaluations.values()))]              # for each w, one a variant
    columns = {"w": lambda row: scale(row[0])}
    if printed := PRINTED.get(first["checkpoint"]["preset"]["dataset"], {}).get("table1"):
        texts = {row["w"]: (f"{row['fid']:.2f}", f"{100 * row['accuracy']:.1f}") for row in printed}
        columns |= {f"thesis prints: {title}": lambda row, place=place: texts.get(row[0]["w"], "––")[place]
                    for place, title in enumerate(("FID", "accuracy (%)"))}
    for place, variant in enumerate(evaluations):
        columns |= {f"{variant}: {name}": lambda row, place=place, field=field: row[place][field]
                    for name, field in ((title, distance), ("accuracy (%)", "accuracy"))}
    return *metric_table(rows, columns), {}


@exhibit("{}", "tex")
def metrics_table(name: str, variant: str, evaluation: dict):
    """Every metric of one variant (rows) at every guidance scale (columns), real images last."""
    rows = evaluation["rows"]
    shown = [(title, [row[key] for row in rows]) for key, title in PLAIN.items() if key in rows[0]]
    shown += [(title.format(features), [row[features][key] for row in rows])
              for features in FEATURES for key, title in OF_FEATURES.items() if key in rows[0].get(features, {})]
    return [variant, *(f"w = {row['w']:g}" for row in rows), "real images"], [
        [title, *metrics, metrics[0]["real"]] for title, metrics in shown], {}


@exhibit("{}", "tex")
def comparison_table(name: str, evaluations: dict):
    """Table 2: MNIST against CIFAR-10, `evaluations` {dataset: {variant: ..}}; configurations are `full`'s."""
    columns = []
    for (dataset, text), each in zip(_thesis_texts(evaluations).items(), evaluations.values()):
        columns.append({
            "image size": text["resolution"], "channels": text["channels"],
            "parameters, printed": PRINTED[dataset]["parameters"], "parameters, counted": text["parameters"],
            "epochs": text["epochs"], "batch size": text["batch size"], "best w, printed": PRINTED[dataset]["best_w"]})
        for variant in VARIANTS:
            columns[-1][f"least Fréchet, {variant}"] = f"w = {best_scales(each[variant], 'frechet')}"
            columns[-1][f"most accurate, {variant}"] = f"w = {best_scales(each[variant], 'accuracy')}"
    rows = [[title, *(column[title] for column in columns)] for title in columns[0]]
    return ["", *map(NAMES.get, evaluations)], rows, {
        "note": "sizes, epochs and parameters of the full thesis configuration; best w: every w whose interval "
                "overlaps the best one's"}


@exhibit("{}", "tex")
def configuration_table(name: str):
    """Table 4: what the thesis prints of each experiment beside what its own text says; ≠ where they disagree."""
    texts = _thesis_texts(DATASETS)
    rows = [[row] for row in texts["mnist"]]
    for dataset, text in texts.items():
        for row in rows:
            printed, ours = PRINTED["table4"][dataset][row[0]], text[row[0]]
            row += [printed, ours if agrees(printed, ours) else f"≠ {ours}"]
    header = ["", *(f"{NAMES[dataset]}: {column}" for dataset in texts for column in ("printed", "its text"))]
    note = ("printed: Table 4 of the thesis; its text: sections 3.2 to 3.4 and the network that they describe, built "
            "and counted, images as the hub has them; ≠ marks what disagrees")
    counted = {dataset: int(text["parameters"].replace(",", "")) for dataset, text in texts.items()}
    return header, rows, {"note": note, "parameters": counted}


def _thesis_texts(datasets) -> dict:
    """{dataset: what the thesis's text says}, with the parameters of its U-Net counted with CLIP's text width."""
    texts = {}
    for dataset in datasets:
        preset = get(dataset, "thesis", "full")
        note_use("preset", preset)
        with torch.device("meta"):                  # shapes without numbers
            unet = build_unet(preset, text_dim=512)
        texts[dataset] = from_text(preset, sum(p.numel() for p in unet.parameters()), len(CLASS_NAMES[dataset]))
    return texts


@exhibit("setup", "tex")
def setup_table(size: str = "demo"):
    """The thesis's machine and software beside those of this machine, and where checkpoints were trained and judged."""
    root, kind = (RUNS, "config") if size == "full" else (CHECKPOINTS, "provenance")
    files = {name: sorted(root.glob(f"*/{name}.json")) for name in (kind, "evaluation")}
    note_use("file", *sum(files.values(), []))
    trained, evaluated = ([read_json(file) for file in each] for each in files.values())
    here = describe_machine()
    encoders = sorted({record["text_encoder"] for record in trained if "text_encoder" in record})
    rows = {
        "processor": here["processor"], "cores": str(here["cores"]), "memory": f"{here['memory_gb']} GB",
        "accelerator": here["accelerator"] or "none", "operating system": here["operating_system"],
        "Python": here["versions"]["python"], "PyTorch": here["versions"]["torch"], "CUDA": here["cuda"] or "none",
        "diffusers": here["versions"]["diffusers"], "transformers": here["versions"]["transformers"],
        "text encoder": ", ".join(ENCODER_LABELS.get(name, name) for name in encoders),
        "trained on": _devices(part for record in trained for part in record.get("parts", [record])),
        "evaluated on": _devices(evaluated),
    }
    note = ("this machine: the one that made this table; trained and evaluated on: from the records of the checkpoints "
            "and classifiers, which may name other machines; –: not given")
    kept = ("processor", "cores", "memory_gb", "accelerator", "operating_system", "cuda")
    return ["", "the thesis", "this machine"], [
        [name, PRINTED["setup"].get(name, "–"), mine] for name, mine in rows.items()], {
        "note": note, "setup": {name: here[name] for name in kept}}


def _devices(records) -> str:
    return "; ".join(sorted({record["device"] for record in records if "device" in record}))


@exhibit("trained", "tex")
def trained_table(size: str = "demo"):
    """How each checkpoint was trained, and its share of the thesis's training, for the checkpoints that exist."""
    rows = []
    for dataset, variant in ((dataset, variant) for dataset in DATASETS for variant in VARIANTS):
        folder = checkpoint_dir(dataset, variant, size)
        if not (folder / WEIGHTS).exists():
            continue
        preset, last = describe_checkpoint(folder)["preset"], Run(folder).metrics()[-1]
        note_use("file", folder / "metrics.jsonl", folder / WEIGHTS)
        in_thesis = TRAINING_IMAGES[dataset] * get(dataset, "thesis", "full").epochs
        rows.append([f"{NAMES[dataset]}, {variant}", f"{count_parameters(folder / WEIGHTS):,}",
                     f"{preset['resolution']}×{preset['resolution']}", str(preset["batch_size"]),
                     f"{preset['learning_rate']:g}", f"{last['step']:,}",
                     f"{100 * last['step'] * preset['batch_size'] / in_thesis:.1f}", f"{last['seconds'] / 3600:.1f}"])
    note = ("effort: images that passed through the network, as a share of those of the thesis's epochs (for WikiArt "
            "of 81,444 paintings); the improved network for paintings sees latents; hours: wall-clock time")
    header = ["checkpoint", "parameters", "pixels", "batch size", "learning rate", "steps", "effort (%)", "hours"]
    return header, rows, {"note": note}
