"""Results that are not stored but follow from what is: a short list of small functions that yield (name, Result)."""

import re
import statistics

from .. import presets
from ..intervals import wilson_interval
from ..reporting.configured import agrees, best_scales, from_text
from .result import Result, slug

AIRPLANE, BIRD, CAT, DOG = 0, 2, 3, 5                                   # classes of CIFAR-10
VEHICLES, ANIMALS = (0, 1, 8, 9), (2, 3, 4, 5, 6, 7)
LOADING = "report/generated/table03_loading.json"


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
    yield from loading(results)
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
    for row in evaluation["rows"]:
        def share(title, *pairs, row=row):
            hits = sum(row["confusion"][a][b] for a, b in pairs)
            n = sum(sum(row["confusion"][a]) for a in {a for a, _ in pairs})
            return f"{name}.w{row['w']:g}.shares.{title}", Result(hits / n, source, wilson_interval(hits, n), n)

        classes = range(len(row["confusion"]))
        yield share("vehicles", *((each, each) for each in VEHICLES))
        yield share("animals", *((each, each) for each in ANIMALS))
        yield share("cat-as-dog", (CAT, DOG))
        yield share("dog-as-cat", (DOG, CAT))
        yield share("cat-dog", (CAT, DOG), (DOG, CAT))
        yield share("bird-airplane", (BIRD, AIRPLANE), (AIRPLANE, BIRD))
        yield max((share("next-pair", (a, b), (b, a)) for a in classes for b in range(a) if (a, b) != (DOG, CAT)),
                  key=lambda pair: pair[1].value)
        yield share("seen-as-airplane", *((each, AIRPLANE) for each in classes))


def loading(results):
    """How many times as fast as random access other ways to read the files are, to two digits."""
    random = results["table03_loading.bench.random-access.p50_ms"].value
    for way in ("lru-of-5-files", "file-sequential-thesis"):
        ratio = random / results[f"table03_loading.bench.{way}.p50_ms"].value
        yield f"table03_loading.speedup.{way}", Result(float(f"{ratio:.2g}"), LOADING)


def floors(contents):
    """Fréchet distances between real images by n (means over draws), and the largest and the smallest style."""
    floor, drawn = contents["figures/cifar10_floor.json"], contents["figures/study_frechet_n.json"]
    for n, value in zip(floor["counts"], floor["frechet"]):
        yield f"cifar10_floor.n{n}.frechet", Result(value, "figures/cifar10_floor.json", n=n)
        yield f"cifar10_floor.n{n}.images", Result(n, "figures/cifar10_floor.json")
    for dataset in ("mnist", "cifar10"):
        for n, values in zip(drawn["counts"], zip(*drawn[dataset]["frechet"])):
            name = f"study_frechet_n.{dataset}.n{n}.frechet"
            yield name, Result(statistics.fmean(values), "figures/study_frechet_n.json", n=n)
    file = "figures/wikiart_imbalance.json"
    paintings = contents[file]["paintings"].values()
    yield "wikiart_imbalance.largest", Result(max(paintings), file)
    yield "wikiart_imbalance.smallest", Result(min(paintings), file)


def printed():
    """What the thesis prints; its accuracies with the interval of a share of its n."""
    table = presets.PRINTED["cifar10"]
    for w, value in table["fid"].items():
        yield f"printed.cifar10.w{w}.fid", Result(value, "Table 1 of the thesis", n=table["samples"])
        hits, n = table["accuracy"][w] * table["samples"], table["samples"]
        yield f"printed.cifar10.w{w}.accuracy", Result(hits / n, "Table 1 of the thesis", wilson_interval(hits, n), n)
    for field in ("samples", "features"):
        yield f"printed.cifar10.{field}", Result(table[field], "section 3.3.6 of the thesis")
    for dataset, values in presets.PRINTED.items():
        yield f"printed.{dataset}.parameters", _as_printed(values["parameters"].partition(" ")[0], "its sections")
    for number, rows in ((2, presets.PRINTED_SETTINGS), (4, presets.PRINTED_COMPARISON)):
        for row, values in rows.items():
            for dataset, text in zip(presets.DATASETS, values):
                yield f"printed.table{number}.{dataset}.{slug(row)}", _as_printed(text, f"Table {number}")
    for way, (batch, memory) in presets.PRINTED_LOADING.items():
        yield f"printed.table3.{slug(way)}.batch", _as_printed(batch, "Table 3")
        yield f"printed.table3.{slug(way)}.memory", _as_printed(memory, "Table 3")


def _as_printed(text, where) -> Result:
    """Text of the thesis; its first number, times a million where an M follows, is its value."""
    number = re.search(r"(\d[\d,]*\.?\d*(?:e-?\d+)?)(M\b)?", text)
    value = float(number[1].replace(",", "")) * (1e6 if number[2] else 1) if number else float("nan")
    return Result(value, f"{where} of the thesis", text=text)


def contradicted(counted, evaluations):
    """How many cells of the thesis's Table 4 contradict its text; its sizes of downloads cannot be compared."""
    source = "presets.PRINTED_COMPARISON"
    cells = {(row, dataset): agrees(text, from_text(row, presets.get(dataset, "thesis", "full"), counted[dataset], len(
        evaluations[f"{dataset}.thesis"]["rows"][0]["confusion"])))
        for row, values in presets.PRINTED_COMPARISON.items() if row != "dataset size"
        for dataset, text in zip(presets.DATASETS, values)}
    yield "table4.cells", Result(len(cells), source)
    yield "table4.contradicted", Result(sum(not same for same in cells.values()), source)
    yield "table4.contradicted_mnist", Result(sum(not cells[row, at] for row, at in cells if at == "mnist"), source)
