"""After a change of the code that should change no result: measure some stored results again, and if they are equal,
write the hash of today's code into all stored results of the dataset.

``python scripts/confirm_results.py [DATASET ...]``. Run the tests first: they compare the images of every rule,
scheduler and edit with stored ones. Then this repeats whole measurements of each dataset, from noise to metrics: a
cell of each part of the guidance study (MNIST, CIFAR-10; some need runs of their own), the evaluation of the shipped
`improved` checkpoint at w = 1 (WikiArt, which needs the paintings), all experiments of notebook 5 (Fashion-MNIST,
which needs their runs and the butterflies).
Results that really change must be measured again, see ``t2i evaluate study --stale``.
"""

import json
import math
import sys

from t2i_helpers import presets
from t2i_helpers.evaluation import evaluate, fashion
from t2i_helpers.evaluation.experiments import EXPERIMENTS
from t2i_helpers.evaluation.study import measure, read_part
from t2i_helpers.evaluation.styles import styles
from t2i_helpers.evaluation.transfer import transfer
from t2i_helpers.models import load_pipeline
from t2i_helpers.paths import checkpoint_dir, read_json, study_dir, write_text
from t2i_helpers.provenance import code_record, record, write_json

DATASETS = (*presets.DATASETS, "fashion")
# parts of the study
PARTS = {"mnist": ("rules-mnist", "flow", "changes"), "cifar10": ("rules-cifar10",), "wikiart": ("latent",),
         "fashion": ()}
NOTES = ("git_commit", "git_dirty", "device", "seconds", "code", "store", "drawn_with", "real_images", "confirmed_by",
         "versions", "time_s", "seconds_a_step")


def differences(stored, repeated, name=""):
    """(name, stored value, repeated value) of every number that differs by more than a part in 100,000: networks round
    differently in batches of another size."""
    if isinstance(stored, dict):
        for key in stored.keys() - set(NOTES):
            yield from differences(stored[key], repeated.get(key), f"{name}.{key}")
    elif isinstance(stored, list):
        for place, value in enumerate(stored):
            yield from differences(value, repeated[place], f"{name}.{place}")
    elif isinstance(stored, float):
        if not math.isclose(stored, repeated, rel_tol=1e-5, abs_tol=1e-9):
            yield name, stored, repeated
    elif stored != repeated:
        yield name, stored, repeated


def repeat(dataset):
    """Pairs: a stored result of the dataset, and the same measured now."""
    pipe = load_pipeline(dataset)
    if dataset == "wikiart":
        stored = read_json(pipe.folder / "evaluation.json")["rows"][0]
        yield stored, evaluate(pipe, [stored["w"]], stored["n"])["rows"][0]
    if dataset == "fashion":
        for name, experiment in (fashion.EXPERIMENTS | {"transfer": transfer, "styles": styles}).items():
            yield read_json(pipe.folder / f"{name}.json"), experiment(pipe)
    for part in PARTS[dataset]:
        rows = read_part(part)
        cell = next(cell for cell in rows if cell.guider == "cfg" and cell.w == 1)
        yield rows[cell], measure(cell)


def restamped(content):
    """`content` with the hash of today's code in place of every older one."""
    if isinstance(content, list):
        return [restamped(each) for each in content]
    if not isinstance(content, dict):
        return content
    content = {name: restamped(value) for name, value in content.items()}
    if "code" not in content:
        return content
    return content | code_record(*content["code"]["modules"]) | {"confirmed_by": record("cpu")["git_commit"]}


def confirm(files) -> None:
    """Write the code's hash into the results in `files`."""
    for file in files:
        if file.suffix == ".json":
            write_json(file, restamped(read_json(file)))
        else:
            rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
            write_text(file, "".join(json.dumps(restamped(row)) + "\n" for row in rows))


def main(datasets) -> None:
    datasets = datasets or DATASETS
    for dataset in datasets:
        if found := [difference for pair in repeat(dataset) for difference in differences(*pair)]:
            sys.exit(f"{dataset}: {len(found)} numbers differ, such as {found[0]}: measure its results again")
        confirm([file for variant in presets.VARIANTS
                 for file in checkpoint_dir(dataset, variant, "demo").glob("*.json") if '"code"' in file.read_text()])
        confirm([study_dir("demo") / f"{part}.jsonl" for part in PARTS[dataset]])
        print(f"{dataset}: what was repeated is equal; the stored results carry the hash of today's code")
    if {"mnist", "cifar10"} <= {*datasets}:
        confirm([study_dir("demo") / f"{name}.json" for name in EXPERIMENTS])


if __name__ == "__main__":
    main(sys.argv[1:])
