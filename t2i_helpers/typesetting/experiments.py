"""Numbers of the three experiments: evaluations, configurations, loading, and what the thesis prints."""

import re
import statistics

from .. import presets
from ..models.autoencoder import WEIGHTS_FILE
from ..reporting.latex import escaped
from .number import SHORT, Number, count, estimate, grey_levels, metrics, proportion, quantity, real, share, words
from .stored import DRAW, EVALUATE, RESTORE, STUDY

TABLES = {"mnist": "mnist_guidance", "cifar10": "table01_cifar10", "wikiart": "wikiart_guidance"}


def evaluated(stored, dataset, variant) -> tuple[str, dict]:
    """The file, from the root, and the content of the evaluation that the dataset's table was made from.

    So the text speaks of the checkpoints that the tables show, be they those that ship or a user's runs.
    """
    table = stored.json(f"report/generated/{TABLES[dataset]}.json", DRAW)
    folder = table["evaluations"][variant]["checkpoint"]["checkpoint"]
    (name,) = (file for file in table["input_hashes"] if file.endswith(f"/{folder}/evaluation.json"))
    return name, stored.json(name, f"{EVALUATE} {dataset}")


def evaluations(stored):
    """What `t2i evaluate` measured of the six checkpoints."""
    for dataset, short in SHORT.items():
        for variant in presets.VARIANTS:
            name, found = evaluated(stored, dataset, variant)
            prefix = short + variant.title()
            for row in found["rows"]:
                yield from metrics(prefix, row, f"{name}, w = {row['w']:g}", f"W{words(row['w'])}")
                if dataset == "cifar10":
                    yield from _mistakes(prefix, row, name)
            yield from real(short, found["rows"][0], name)
            yield f"{prefix}Steps", count(found["checkpoint"]["training_steps"], f"{name}, checkpoint")
            yield f"{short}Samples", count(found["rows"][0]["n"], name)
            yield f"{short}SamplesPerClass", count(found["rows"][0]["n"] // len(found["rows"][0]["per_class"]), name)
            yield f"{short}EvaluationSteps", count(found["steps"], name)
            judge = found["judges"].get("classifier") or found["judges"]["efficientnet"]
            yield f"{short}Features", count(judge["width"], name)


VEHICLES, ANIMALS = (0, 1, 8, 9), (2, 3, 4, 5, 6, 7)
AIRPLANE, BIRD, CAT, DOG = 0, 2, 3, 5


def _mistakes(prefix, row, name):
    """Vehicles against animals, and which classes are taken for which, from a confusion matrix of CIFAR-10."""
    seen, suffix, source = row["confusion"], f"W{words(row['w'])}", f"{name}, w = {row['w']:g}, confusion"

    def taken(*pairs):
        return proportion(sum(seen[a][b] for a, b in pairs), sum(sum(seen[a]) for a, _ in pairs), source)

    yield f"{prefix}Vehicles{suffix}", taken(*((each, each) for each in VEHICLES))
    yield f"{prefix}Animals{suffix}", taken(*((each, each) for each in ANIMALS))
    yield f"{prefix}CatAsDog{suffix}", taken((CAT, DOG))
    yield f"{prefix}DogAsCat{suffix}", taken((DOG, CAT))
    yield f"{prefix}CatDog{suffix}", taken((CAT, DOG), (DOG, CAT))
    yield f"{prefix}BirdAirplane{suffix}", taken((BIRD, AIRPLANE), (AIRPLANE, BIRD))
    yield f"{prefix}SeenAirplane{suffix}", proportion(sum(line[AIRPLANE] for line in seen), row["n"], source)
    others = [taken((a, b), (b, a)) for a in range(len(seen)) for b in range(a) if {a, b} != {CAT, DOG}]
    yield f"{prefix}NextPair{suffix}", max(others, key=lambda pair: pair.value)


def configurations(stored):
    """The presets of the full thesis and of what was evaluated, the networks' parameters, and how many images there
    are and were seen."""
    table = "report/generated/table04_comparison.json"
    for dataset, short in SHORT.items():
        full = presets.get(dataset, "thesis", "full")
        yield from _preset(f"{short}Full", vars(full), f"presets.get({dataset!r}, 'thesis', 'full')")
        for prefix, variant in (("Improved", "improved"), ("Demo", "thesis")):
            name, found = evaluated(stored, dataset, variant)
            preset, steps = found["checkpoint"]["preset"], found["checkpoint"]["training_steps"]
            yield from _preset(f"{short}{prefix}", preset, f"{name}, preset")
            folder = name.rpartition("/")[0]
            yield f"{short}{prefix}Params", count(stored.parameters(folder), f"{name}: the weights beside it")
            seen = steps * preset["batch_size"]
            yield f"{short}{prefix}ImagesSeen", count(seen, f"{name}: steps x batch size")
        parameters = stored.json(table)["parameters"][dataset]
        yield f"{short}ThesisParams", count(parameters, f"{table}: the full preset's U-Net, counted")
        images = presets.TRAINING_IMAGES[dataset]
        yield f"{short}TrainingImages", count(images, "presets.TRAINING_IMAGES")
        yield f"{short}EffortShare", share(seen / (images * full.epochs), f"{name}: images seen, of the thesis's")
        yield f"{short}RawMegabytes", quantity(images * full.resolution**2 * full.channels / 1e6,
                                               "presets: images x pixels x channels", r"\mega\byte")
        yield f"{short}Classes", count(len(found["rows"][0]["confusion"]), f"{name}, confusion")
    paintings = stored.json("figures/wikiart_imbalance.json", DRAW)["paintings"].values()
    yield "WikiartLargestStyle", count(max(paintings), "figures/wikiart_imbalance.json")
    yield "WikiartSmallestStyle", count(min(paintings), "figures/wikiart_imbalance.json")


def _preset(prefix, fields, source):
    for field, value in fields.items():
        if type(value) in (int, float):
            name = prefix + field.title().replace("_", "")
            yield name, _setting(value, f"{source}.{field}", is_share=field == "caption_dropout")


def _setting(value, source, is_share) -> Number:
    if is_share:
        return share(value, source, 0)
    small = isinstance(value, float) and 0 < abs(value) < 0.01
    return Number(value, rf"\num{{{value:.0e}}}" if small else rf"\num{{{value:g}}}", source)


def printed(stored):
    """What the thesis prints, to stand beside ours; its accuracies with the interval of a share of its n."""
    table = "Table 1 of the thesis"
    for w, value in presets.PRINTED["cifar10"]["fid"].items():
        yield f"PrintedFidW{words(w)}", Number(value, rf"\num{{{value:.2f}}}", table)
    n = presets.PRINTED["cifar10"]["samples"]
    for w, value in presets.PRINTED["cifar10"]["accuracy"].items():
        yield f"PrintedAccuracyW{words(w)}", proportion(value * n, n, f"{table}, {n:,} images")
    yield "PrintedCifarSamples", count(n, "section 3.3.6 of the thesis")
    in_its_text = presets.PRINTED["mnist"]["parameters"].split()[0]
    yield "PrintedMnistParamsText", _printed(in_its_text, "section 3.2.2 of the thesis")
    yield "InceptionFeatures", count(presets.PRINTED["cifar10"]["features"], "section 3.3.6 of the thesis")
    for place, short in enumerate(SHORT.values()):
        for row, values in presets.PRINTED_COMPARISON.items():
            name = "Params" if row == "parameters" else row.title().replace(" ", "").replace("-", "")
            yield f"Printed{short}{name}", _printed(values[place], "Table 4 of the thesis")
    for way, (batch, memory) in presets.PRINTED_LOADING.items():
        for name, text in (("Batch", batch), ("Memory", memory)):
            yield f"PrintedLoading{LOADERS[way]}{name}", _printed(text, "Table 3 of the thesis")


def _printed(text, source) -> Number:
    """A printed value as it stands; its first number is its value."""
    found = re.search(r"\d[\d,]*\.?\d*(e-?\d+)?", text)
    value = float(found[0].replace(",", "")) if found else float("nan")
    tex = escaped(text)
    if found:
        tex = tex.replace(found[0], rf"\num{{{found[0].replace(',', '')}}}", 1)
    return Number(value, tex, source)


LOADERS = {"random access": "Random", "LRU of 5 files": "Lru", "file-sequential (thesis)": "Sequential",
           "datasets streaming": "Streaming", "WebDataset": "Webdataset", "our stream": "Stream", "our store": "Store"}
LOADED = {"Batch": ("p50_ms", r"\milli\second"), "BatchSlow": ("p99_ms", r"\milli\second"),
          "Rate": ("samples_per_second", ""), "First": ("first_batch_s", r"\second"),
          "Memory": ("peak_memory_mb", r"\mega\byte"), "Read": ("times_the_files", ""),
          "Entropy": ("style_entropy_bits", ""), "Files": ("files_per_batch", "")}


def losses(stored):
    """The training loss of the MNIST pair, by its first ten steps, those after a tenth, and the last hundred."""
    for variant in presets.VARIANTS:
        name, found = evaluated(stored, "mnist", variant)
        name = name.replace("evaluation.json", "metrics.jsonl")
        rows = stored.lines(name, RESTORE)
        loss = [row["loss"] for row in rows]
        if rows[-1]["step"] != found["checkpoint"]["training_steps"]:
            raise ValueError(f"it ends at step {rows[-1]['step']} of {found['checkpoint']['training_steps']}")
        tenth = len(loss) // 10
        for title, part in (("First", loss[:10]), ("Early", loss[tenth:tenth + 50]), ("Last", loss[-100:])):
            source = f"{name}, mean of {len(part)} steps"
            yield f"Mnist{variant.title()}Loss{title}", quantity(statistics.fmean(part), source)


def noise(stored):
    """How noisy the digits of both recipes are, with and without guidance."""
    name = "checkpoints/study/noise.json"
    found = stored.json(name, STUDY)
    measures = (("", "noise_level"), ("Background", "background_noise"))
    for title, measure in measures:
        for row in found["rows"]:
            guided = "Guided" if row["w"] > 1 else "Unguided"
            yield f"Noise{row['variant'].title()}{guided}{title}", grey_levels(row[measure], f"{name}, rows, {measure}")
        for row in found["differences"]:
            difference = grey_levels(row[measure], f"{name}, differences, {measure}")
            yield f"Noise{row['variant'].title()}{title}Difference", difference
        yield f"NoiseReal{title}", grey_levels(found["real"][measure], f"{name}, real, {measure}")
    yield "NoiseSamples", count(found["real"]["n"], name)


def loaders(stored):
    """Table 3, as `t2i bench loader` measured it."""
    name = "report/generated/table03_loading.json"
    bench = stored.json(name, "run t2i bench loader")["bench"]
    for row in bench["rows"]:
        for title, (key, unit) in LOADED.items():
            yield f"Loading{LOADERS[row['way']]}{title}", quantity(row[key], f"{name}, {row['way']}, {key}", unit)
    yield "LoadingFileCount", count(bench["files"], name)
    yield "LoadingRows", count(bench["rows_per_file"], name)
    yield "DecodingOurs", quantity(bench["decoding"]["ours_ms"], name, r"\milli\second")
    yield "DecodingPillow", quantity(bench["decoding"]["pillow_ms"], name, r"\milli\second")
    rows = {row["way"]: row for row in bench["rows"]}
    way = {short: way for way, short in LOADERS.items()}
    for ours, other in (("Sequential", "Random"), ("Lru", "Random")):                       # how many times as fast
        ratio = rows[way[other]]["p50_ms"] / rows[way[ours]]["p50_ms"]
        text = rf"\num{{{ratio:.{0 if ratio > 10 else 2}f}}}"
        yield f"Loading{ours}Over{other}", Number(ratio, text, f"{name}, p50_ms")


def judges(stored):
    """The classifiers' accuracy on real test images."""
    for dataset in ("mnist", "cifar10"):
        short = SHORT[dataset]
        name = f"checkpoints/classifier-{dataset}/provenance.json"
        found = stored.json(name)
        yield f"{short}JudgeAccuracy", share(found["test_accuracy"], name, 1 if found["test_accuracy"] < 0.99 else 2)
        yield f"{short}JudgeImages", count(found["test_images"], name)


def paintings(stored):
    """The autoencoders' round trips, the paintings that there were, and how well unseen pairs are drawn."""
    name = "checkpoints/autoencoder/provenance.json"
    found = stored.json(name)
    yield "AutoencoderPsnr", quantity(found["heldout_psnr_db"], name, r"\decibel")
    yield "TaesdPsnr", quantity(found["taesd_heldout_psnr_db"], name, r"\decibel")
    yield "AutoencoderCrops", count(found["crops_seen"], name)
    yield "PaintingsHeldOut", count(found["test_images"], name)
    yield "PaintingsTrained", count(found["training_images"], name)
    yield "AutoencoderParams", count(stored.parameters("checkpoints/autoencoder", WEIGHTS_FILE), name)
    folder = evaluated(stored, "wikiart", "improved")[0].rpartition("/")[0]
    name = f"{folder}/composition.json"
    found = stored.json(name, "run t2i figures")
    for pairs in ("seen", "unseen"):
        yield f"Composed{pairs.title()}Images", count(found[pairs]["n"], name)
        for title, key in (("Genre", "genre_accuracy"), ("Style", "style_accuracy"), ("Both", "both")):
            metric = found[pairs][key]
            yield f"Composed{pairs.title()}{title}", estimate(metric, f"{name}, {pairs}, {key}", percent=True)
            yield f"Composed{pairs.title()}{title}Real", estimate(metric["real"], f"{name}, {pairs}, {key}, real", True)
    yield "ComposedGenreChance", share(found["chance"]["genre"], name)
    yield "ComposedStyleChance", share(found["chance"]["style"], name)


def floors(stored):
    """Real photographs against real ones, and where ten steps of a sampler lie."""
    name = "figures/cifar10_floor.json"
    floor = stored.json(name, DRAW)
    for title, n in (("Few", 100), ("Many", 5000)):
        value = floor["frechet"][floor["counts"].index(n)]
        yield f"CifarFloor{title}Images", count(n, name)
        yield f"CifarFloor{title}Frechet", quantity(value, f"{name}, n = {n}")
    name = "figures/sigma_schedules.json"
    sigmas = stored.json(name, DRAW)["sigmas"]["ddpm spacing=trailing"]
    for title, sigma in zip(("First", "Second"), sigmas):
        yield f"SigmaTrailing{title}", quantity(sigma, name)


GROUPS = (evaluations, configurations, printed, losses, noise, loaders, judges, paintings, floors)
