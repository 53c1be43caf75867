"""Results that are not stored but follow from what is: small functions that yield (name, Result). Imports no torch."""

import re
import statistics
import tomllib

from .. import presets
from ..intervals import overlap, wilson_interval
from ..paths import ROOT
from .result import Result, slug

PRINTED = tomllib.loads((ROOT / "report/thesis.toml").read_text(encoding="utf-8"))      # what the thesis prints
AIRPLANE, BIRD, CAT, DOG, VEHICLES, ANIMALS = 0, 2, 3, 5, (0, 1, 8, 9), (2, 3, 4, 5, 6, 7)      # classes of CIFAR-10


def all_derived(results, evaluations: dict, contents: dict, parameters: dict):
    """Every derived result; `evaluations` and `parameters` by checkpoint ("cifar10.improved"), `contents` by file."""
    for name, (counted, file) in parameters.items():
        yield f"{name}.parameters", Result(counted, file)
    counted = contents["report/generated/table04_comparison.json"]["parameters"]
    for dataset, number in counted.items():
        yield f"preset.{dataset}.thesis.full.parameters", Result(number, "the network of the preset, built and counted")
    for name, evaluation in evaluations.items():
        source = results[f"{name}.training_steps"].source
        yield from effort(name, results)
        for metric in ("frechet", "accuracy"):
            scales = best_scales(evaluation, metric)
            yield f"{name}.best_{metric}_w", Result(float(scales.split(",")[0]), source, text=scales)
        if name.startswith("cifar10"):
            yield from mistakes(name, evaluation, source)
    random = results["table03_loading.bench.random-access.p50_ms"].value
    for way in ("lru-of-5-files", "file-sequential-thesis"):                       # how many times as fast as that
        ratio = random / results[f"table03_loading.bench.{way}.p50_ms"].value
        yield f"table03_loading.speedup.{way}", Result(float(f"{ratio:.2g}"), "report/generated/table03_loading.json")
    yield from floors(contents)
    yield from printed()
    yield from contradicted(counted, evaluations)


def summary(rows) -> dict:
    """The mean training loss of the first ten steps, of fifty after a tenth of all, and of the last hundred."""
    losses, tenth = [row["loss"] for row in rows], len(rows) // 10
    parts = {"first": losses[:10], "early": losses[tenth:tenth + 50], "last": losses[-100:]}
    return {"steps": rows[-1]["step"], "loss": {name: statistics.fmean(part) for name, part in parts.items()}}


def effort(name, results):
    """How many images a checkpoint saw, and their share of those of the thesis's training."""
    dataset, steps = name.partition(".")[0], results[f"{name}.training_steps"]
    seen = steps.value * results[f"{name}.preset.batch_size"].value
    all_images = presets.TRAINING_IMAGES[dataset] * presets.get(dataset, "thesis", "full").epochs
    yield f"{name}.images_seen", Result(seen, f"{steps.source}: steps x batch size")
    yield f"{name}.effort", Result(seen / all_images, f"{steps.source}: images seen, of the thesis's")


def mistakes(name, evaluation, source):
    """Vehicles and animals that are right, and classes taken for others, from a confusion matrix of CIFAR-10."""
    classes = range(10)
    pairs = {"vehicles": [(each, each) for each in VEHICLES], "animals": [(each, each) for each in ANIMALS],
             "cat-as-dog": [(CAT, DOG)], "dog-as-cat": [(DOG, CAT)], "cat-dog": [(CAT, DOG), (DOG, CAT)],
             "bird-airplane": [(BIRD, AIRPLANE), (AIRPLANE, BIRD)],
             "seen-as-airplane": [(each, AIRPLANE) for each in classes]}
    others = [[(a, b), (b, a)] for a in classes for b in range(a) if (a, b) != (DOG, CAT)]
    for row in evaluation["rows"]:
        def share(cells, counts=row["confusion"]):
            hits, n = sum(counts[a][b] for a, b in cells), sum(sum(counts[a]) for a in {a for a, _ in cells})
            return Result(hits / n, source, wilson_interval(hits, n), n)

        shares = {title: share(cells) for title, cells in pairs.items()}
        shares["next-pair"] = max(map(share, others), key=lambda result: result.value)
        for title, result in shares.items():
            yield f"{name}.w{row['w']:g}.shares.{title}", result


def floors(contents):
    """Fréchet distances between real images by n (means over draws), and the largest and the smallest style."""
    files = [f"figures/{name}.json" for name in ("cifar10_floor", "study_frechet_n", "wikiart_imbalance")]
    floor, drawn, imbalance = (contents[file] for file in files)
    for n, value in zip(floor["counts"], floor["frechet"]):
        yield f"cifar10_floor.n{n}.frechet", Result(value, files[0], n=n)
        yield f"cifar10_floor.n{n}.images", Result(n, files[0])
    for dataset in ("mnist", "cifar10"):
        for n, values in zip(drawn["counts"], zip(*drawn[dataset]["frechet"])):
            yield f"study_frechet_n.{dataset}.n{n}.frechet", Result(statistics.fmean(values), files[1], n=n)
    for title, extreme in (("largest", max), ("smallest", min)):
        yield f"wikiart_imbalance.{title}", Result(extreme(imbalance["paintings"].values()), files[2])


def printed():
    """What the thesis prints; its accuracies with the interval of a share of its n."""
    n = PRINTED["cifar10"]["samples"]
    for row in PRINTED["cifar10"]["table1"]:
        name, hits = f"printed.cifar10.w{row['w']}", row["accuracy"] * n
        yield f"{name}.fid", Result(row["fid"], "Table 1 of the thesis", n=n)
        yield f"{name}.accuracy", Result(hits / n, "Table 1 of the thesis", wilson_interval(hits, n), n)
    for field in ("samples", "features"):
        yield f"printed.cifar10.{field}", Result(PRINTED["cifar10"][field], "section 3.3.6 of the thesis")
    for dataset in presets.DATASETS:
        text = PRINTED[dataset]["parameters"].partition(" ")[0]
        yield f"printed.{dataset}.parameters", Result(_number(text), "its sections of the thesis", text=text)
    for number in (2, 3, 4):
        for group, texts in PRINTED[f"table{number}"].items():
            for row, text in texts.items():
                yield f"printed.table{number}.{slug(group)}.{slug(row)}", Result(
                    _number(text), f"Table {number} of the thesis", text=text)


def _number(text: str) -> float:
    """The first number of a text, times a million where an M follows; NaN where there is none."""
    number = re.search(r"(\d[\d,]*\.?\d*(?:e-?\d+)?)(M\b)?", text)
    return float(number[1].replace(",", "")) * (1e6 if number[2] else 1) if number else float("nan")


def contradicted(counted, evaluations):
    """How many cells of the thesis's Table 4 contradict its text; its sizes of downloads cannot be compared."""
    agree = {}
    for dataset, texts in PRINTED["table4"].items():
        classes = len(evaluations[f"{dataset}.thesis"]["rows"][0]["confusion"])
        of_text = from_text(presets.get(dataset, "thesis", "full"), counted[dataset], classes)
        agree[dataset] = [agrees(texts[row], text) for row, text in of_text.items()]
    cells = sum(agree.values(), [])
    for name, count in (("cells", len(cells)), ("contradicted", cells.count(False)),
                        ("contradicted_mnist", agree["mnist"].count(False))):
        yield f"table4.{name}", Result(count, "Table 4 of the thesis")


def from_text(preset, parameters: int, classes: int) -> dict[str, str]:
    """What the thesis's text says in the rows of its tables, of a preset whose network has so many `parameters`."""
    return {
        "resolution": f"{preset.resolution}×{preset.resolution}", "channels": str(preset.channels),
        "classes": str(classes), "training samples": f"{presets.TRAINING_IMAGES[preset.dataset]:,}",
        "U-Net blocks": str(len(preset.block_channels)), "parameters": f"{parameters:,}",
        "batch size": str(preset.batch_size), "learning rate": f"{preset.learning_rate:.0e}".replace("e-0", "e-"),
        "epochs": str(preset.epochs)}


def agrees(printed: str, text: str, within: float = 0.02) -> bool:
    """Whether two numbers are the same; one printed as "~45M" or "~81,000" need only be so `within` a share of it."""
    number, text = printed.strip("~M").replace(",", ""), text.replace(",", "")
    if not (printed.startswith("~") and text.isdigit()):
        return number == text
    return abs(float(text) / (1e6 if printed.endswith("M") else 1) - float(number)) < within * float(number)


def flat(row: dict) -> dict:
    """A row of an evaluation or of the study, with its cell's fields and its first features' metrics beside its own."""
    return row.get("cell", {}) | row.get("classifier", row.get("efficientnet", {})) | row


def best_scales(evaluation: dict, metric: str) -> str:
    """The scale of the least "frechet" or the highest "accuracy", with those whose intervals overlap its: "10, 20"."""
    metrics = {row["w"]: flat(row)[metric] for row in evaluation["rows"]}
    best = (min if metric == "frechet" else max)(metrics.values(), key=lambda each: each["value"])
    return ", ".join(f"{w:g}" for w, each in metrics.items() if overlap(each["interval"], best["interval"]))
