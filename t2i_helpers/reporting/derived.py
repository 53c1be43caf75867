"""Results that are not stored but follow from what is: small functions that yield (name, Result). Imports no torch."""

import re
import statistics

from .. import presets
from ..intervals import overlap, wilson_interval
from .result import Result, slug

AIRPLANE, BIRD, CAT, DOG = 0, 2, 3, 5                                   # classes of CIFAR-10
VEHICLES, ANIMALS = (0, 1, 8, 9), (2, 3, 4, 5, 6, 7)


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
    table = presets.PRINTED["cifar10"]
    n = table["samples"]
    for w, value in table["fid"].items():
        yield f"printed.cifar10.w{w}.fid", Result(value, "Table 1 of the thesis", n=n)
        hits = table["accuracy"][w] * n
        yield f"printed.cifar10.w{w}.accuracy", Result(hits / n, "Table 1 of the thesis", wilson_interval(hits, n), n)
    for field in ("samples", "features"):
        yield f"printed.cifar10.{field}", Result(table[field], "section 3.3.6 of the thesis")
    texts = {f"{dataset}.parameters": (values["parameters"].partition(" ")[0], "its sections")
             for dataset, values in presets.PRINTED.items()}
    for number, rows in ((2, presets.PRINTED_SETTINGS), (4, presets.PRINTED_COMPARISON)):
        texts |= {f"table{number}.{dataset}.{slug(row)}": (text, f"Table {number}")
                  for row, values in rows.items() for dataset, text in zip(presets.DATASETS, values)}
    texts |= {f"table3.{slug(way)}.{column}": (text, "Table 3") for way, texts_of_way in presets.PRINTED_LOADING.items()
              for column, text in zip(("batch", "memory"), texts_of_way)}
    for name, (text, where) in texts.items():           # its first number, times a million where an M follows
        number = re.search(r"(\d[\d,]*\.?\d*(?:e-?\d+)?)(M\b)?", text)
        value = float(number[1].replace(",", "")) * (1e6 if number[2] else 1) if number else float("nan")
        yield f"printed.{name}", Result(value, f"{where} of the thesis", text=text)


def contradicted(counted, evaluations):
    """How many cells of the thesis's Table 4 contradict its text; its sizes of downloads cannot be compared."""
    source, same = "presets.PRINTED_COMPARISON", {dataset: [] for dataset in presets.DATASETS}
    for row in presets.PRINTED_COMPARISON.keys() - {"dataset size"}:
        for dataset, text in zip(presets.DATASETS, presets.PRINTED_COMPARISON[row]):
            classes = len(evaluations[f"{dataset}.thesis"]["rows"][0]["confusion"])
            preset = presets.get(dataset, "thesis", "full")
            same[dataset].append(agrees(text, from_text(row, preset, counted[dataset], classes)))
    everywhere = sum(same.values(), [])
    yield "table4.cells", Result(len(everywhere), source)
    yield "table4.contradicted", Result(everywhere.count(False), source)
    yield "table4.contradicted_mnist", Result(same["mnist"].count(False), source)


def from_text(row: str, preset, parameters: int, classes: int) -> str:
    """What the thesis's text says in a row of its tables, of a preset whose network has so many `parameters`."""
    return {
        "resolution": f"{preset.resolution}×{preset.resolution}", "channels": str(preset.channels),
        "classes": str(classes), "training samples": f"{presets.TRAINING_IMAGES[preset.dataset]:,}",
        "U-Net blocks": str(len(preset.block_channels)), "parameters": f"{parameters:,}",
        "batch size": str(preset.batch_size), "epochs": str(preset.epochs),
        "learning rate": f"{preset.learning_rate:.0e}".replace("e-0", "e-"),
    }[row]


def agrees(printed: str, text: str, within: float = 0.02) -> bool:
    """Whether two numbers are the same; one printed as "~45M" or "~81,000" need only be so `within` a share of it."""
    number, text = printed.strip("~M").replace(",", ""), text.replace(",", "")
    if not (printed.startswith("~") and text.isdigit()):
        return number == text
    return abs(float(text) / (1e6 if printed.endswith("M") else 1) - float(number)) < within * float(number)


def best_scales(evaluation: dict, metric: str) -> str:
    """The scale of the least "frechet" or the highest "accuracy", with those whose intervals overlap its: "10, 20"."""
    metrics = {row["w"]: (row | row.get("classifier", row.get("efficientnet", {})))[metric]
               for row in evaluation["rows"]}
    best = (min if metric == "frechet" else max)(metrics.values(), key=lambda each: each["value"])
    return ", ".join(f"{w:g}" for w, each in metrics.items() if overlap(each["interval"], best["interval"]))
