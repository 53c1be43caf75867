"""After a change of the code that should change no result: measure some stored results again, and if they are equal,
write the hash of today's code into all stored results of the dataset.

``python scripts/confirm_results.py [DATASET ...]``. Run the tests first: they compare the images of every rule,
scheduler and edit with stored ones. Then this repeats one whole measurement for each dataset, from noise to metrics: a
cell of the guidance study (MNIST, CIFAR-10), or the evaluation of the shipped `improved` checkpoint at w = 1 (WikiArt,
which needs the paintings). The cells of notebook 7 have networks of their own and so a repetition of their own, which
needs the run of ``flow-dit``. Results that really change must be measured again, see ``t2i evaluate study --stale``.
"""

import json
import math
import sys

from t2i_helpers import presets
from t2i_helpers.evaluation import evaluate, latent
from t2i_helpers.evaluation.experiments import CODE, EXPERIMENTS
from t2i_helpers.evaluation.samples import DRAWING, JUDGES, MEASURING
from t2i_helpers.evaluation.study import Cell, measure, read_part
from t2i_helpers.models import load_pipeline
from t2i_helpers.paths import checkpoint_dir, read_json, study_dir, write_text
from t2i_helpers.provenance import code_record, record, write_json

PARTS = {"mnist": ("rules-mnist", "flow"), "cifar10": ("rules-cifar10",), "wikiart": ()}          # of the study
NOTES = ("git_commit", "git_dirty", "device", "seconds", "code", "store", "drawn_with", "real_images", "confirmed_by")


def differences(stored, repeated, name=""):
    """(name, stored value, repeated value) of every number that differs by more than a millionth."""
    if isinstance(stored, dict):
        for key in stored.keys() - set(NOTES):
            yield from differences(stored[key], repeated.get(key), f"{name}.{key}")
    elif isinstance(stored, list):
        for place, value in enumerate(stored):
            yield from differences(value, repeated[place], f"{name}.{place}")
    elif isinstance(stored, float):
        if not math.isclose(stored, repeated, rel_tol=1e-6, abs_tol=1e-9):
            yield name, stored, repeated
    elif stored != repeated:
        yield name, stored, repeated


def repeat(dataset):
    """(a stored result, the same measured now) of the dataset."""
    if dataset == "wikiart":
        pipe = load_pipeline(dataset)
        stored = read_json(pipe.folder / "evaluation.json")["rows"][0]
        yield stored, evaluate(pipe, [stored["w"]], stored["n"])["rows"][0]
    for part in PARTS[dataset]:
        rows = read_part(part)
        cell = next(cell for cell in rows if cell.guider == "cfg" and cell.w == 1)
        yield rows[cell], measure(cell)


def confirm(dataset) -> None:
    """Write the code's hash into every stored result of the dataset's shipped checkpoints."""
    by = {"confirmed_by": record("cpu")["git_commit"]}
    results = code_record(*DRAWING, *MEASURING, JUDGES[dataset]) | by
    for variant in presets.VARIANTS:
        for name, code in (("evaluation", results), ("composition", results), ("recognition", code_record(*CODE) | by),
                           ("latent", code_record(*latent.CODE) | by)):
            file = checkpoint_dir(dataset, variant, "demo") / f"{name}.json"
            if file.exists():
                stored = read_json(file)
                for part in stored["rows"] if name == "recognition" else [stored]:
                    part.update(code)
                write_json(file, stored)
    for part in PARTS[dataset]:
        file = study_dir("demo") / f"{part}.jsonl"
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        write_text(file, "".join(json.dumps(row | code_record(*Cell(**row["cell"]).code) | by) + "\n" for row in rows))


def main(datasets) -> None:
    for dataset in datasets or presets.DATASETS:
        if found := [difference for pair in repeat(dataset) for difference in differences(*pair)]:
            sys.exit(f"{dataset}: {len(found)} numbers differ, such as {found[0]}: measure its results again")
        confirm(dataset)
        print(f"{dataset}: what was repeated is equal; the stored results carry the hash of today's code")
    if {"mnist", "cifar10"} <= set(datasets or presets.DATASETS):
        for name in EXPERIMENTS:
            file = study_dir("demo") / f"{name}.json"
            write_json(file, read_json(file) | code_record(*CODE) | {"confirmed_by": record("cpu")["git_commit"]})


if __name__ == "__main__":
    main(sys.argv[1:])
