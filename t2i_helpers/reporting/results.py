"""Everything that is stored, as one flat dictionary: ``cifar10.improved.w10.accuracy`` -> Result.

Names follow the stored JSON. A row of a list is named by its w and by the other fields in which the rows differ.
"""

import json
import re
import statistics
from pathlib import Path

from safetensors import SafetensorError

from .. import presets
from ..errors import BadData, one_line
from ..paths import ROOT, WEIGHTS, checkpoint_dir, read_json, study_dir
from ..provenance import count_parameters
from .derived import all_derived, summary
from .result import Result, Results, slug

# beside a checkpoint's weights -> in names
FILES = {"evaluation.json": "", "metrics.jsonl": ".training", **{f"{name}.json": f".{name}" for name in (
    "composition", "recognition", "latent", "provenance", "variations", "scales", "samplers", "critic", "fine_tuning",
    "six_images", "styles", "transfer")}}
LABELS = ("dataset", "variant", "checkpoint", "style", "words", "guider", "loss", "critic", "way", "scheduler", "steps",
          "strength", "wording", "train_timesteps", "embedding", "sigma", "w")   # fields that name a row, in order
SKIPPED = {"versions", "parts", "drawn_with", "schema", "input_hashes", "code", "first_and_last_seed", "seconds",
           "wall_seconds", "cell", "w", "per_class", "confusion", "cells", "checkpoint", "checkpoints", "evaluations",
           "preset", "presets", "study", "experiment", "recognition", "composition",
           "curves"}                                                      # provenance, copies, matrices


def read_results(root: Path, sidecars: dict[str, dict]) -> tuple[Results, dict[str, dict]]:
    """Every stored result under `root`, a folder like the repository, and the content of each file by its path.

    `sidecars` are those of figures and tables, by path; the size that most tables have decides which evaluations and
    which study are read. BadData, with the remedy, where a file is missing or damaged.
    """
    sizes = [sidecar.get("size") for name, sidecar in sidecars.items() if "generated" in name]
    size = statistics.mode(sizes or ["demo"])
    pairs = [(dataset, variant) for dataset in presets.DATASETS for variant in presets.VARIANTS]
    evaluated = {".".join(pair): root / checkpoint_dir(*pair, size).relative_to(ROOT) for pair in pairs}
    folders = evaluated | {folder.name: folder for folder in sorted((root / "checkpoints").glob("*"))
                           if folder.name.replace("-", ".", 1) not in (*evaluated, "runs", "study")}
    files = {folder / file: name + part for name, folder in folders.items() for file, part in FILES.items()
             if (folder / file).exists() or (name in evaluated and not part)}
    files |= {file: f"study.{file.stem}"
              for file in sorted((root / study_dir(size).relative_to(ROOT)).glob("*.json*"))}
    results, contents = Results(), dict(sidecars)
    try:
        for file, prefix in files.items():
            source = file.relative_to(root).as_posix()
            contents[source] = content = _read(file, f"run t2i evaluate {prefix.partition('.')[0]}")
            for name, result in flatten(content, prefix, source):
                name = re.sub(r"(\w+)\.\w+\.real\b", r"\1.real", name) if prefix in evaluated else name
                results.setdefault(name, result)
        for file, sidecar in sidecars.items():
            results.update(flatten(sidecar, Path(file).stem, file))
        settings = {".".join([*pair, size]): presets.to_dict(presets.get(*pair, size)) for pair in pairs
                    for size in presets.SIZES}
        results.update(flatten(settings, "preset", "presets.get"))
        results.update(flatten(presets.PRINTED_ELSEWHERE, "printed", "presets.PRINTED_ELSEWHERE"))
        results.update(flatten(presets.TRAINING_IMAGES, "training_images", "presets.TRAINING_IMAGES"))
        evaluations = {name: contents[(folder / "evaluation.json").relative_to(root).as_posix()]
                       for name, folder in evaluated.items()}
        parameters = {name: (count_parameters(file), file.relative_to(root).as_posix())
                      for name, folder in folders.items() for file in (folder / WEIGHTS, folder / WEIGHTS.name)
                      if file.is_file()}
        results.update(all_derived(results, evaluations, contents, parameters))
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, OSError, SafetensorError) as error:
        raise BadData(f"a stored result does not hold what it should ({one_line(error)}): run t2i evaluate or "
                      "t2i figures, or restore it with git checkout") from error
    return results, contents


def _read(file: Path, remedy: str):
    try:
        if file.suffix == ".json":
            return read_json(file)
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return summary(rows) if file.name == "metrics.jsonl" else rows
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BadData(f"{file} is missing or cut short ({one_line(error)}): {remedy}, or restore it with "
                      "git checkout") from error


def flatten(content, name: str, source: str, n=None, row=None):
    """(name, Result) of every number in JSON; `row` renames what belongs to real images, (a row's name, theirs).

    {"value", "interval"} is one result. The classifier whose features every row of a data set has is not named.
    """
    if isinstance(content, dict) and "value" in content:
        yield name, Result(content["value"], source, tuple(content.get("interval", ())) or None, content.get("n", n))
        if "real" in content:
            yield from flatten(content["real"], name.replace(*row, 1) if row else f"{name}.real", source, n)
    elif isinstance(content, dict):
        features = content.get("classifier") or content.get("efficientnet") if "accuracy" in content else None
        for key, value in content.items():
            if key not in SKIPPED:
                plain = key == "rows" or (features is not None and value is features)
                yield from flatten(value, name if plain else f"{name}.{slug(key)}", source, content.get("n", n), row)
        if "judges" in content:                                                              # of an evaluation
            for key in ("preset", "training_steps"):
                yield from flatten(content["checkpoint"][key], f"{name}.{key}", source)
    elif isinstance(content, list) and content and all(isinstance(each, dict) for each in content):
        for label, each in zip(_labels(content), content):
            path = f"{name}.{label}"
            yield from flatten(each, path, source, each.get("n"), (path, f"{name}.real"))
    elif isinstance(content, list):
        for place, value in enumerate(content):
            if isinstance(value, (int, float)):
                yield f"{name}.{place}", Result(value, source)
    elif isinstance(content, (int, float)) and not isinstance(content, bool):
        yield name, Result(content, source, n=n)


def _labels(rows) -> list[str]:
    """A name for each row, of the fields in which the rows differ, and its w."""
    rows = [{field: value for field, value in (row | row.get("cell", {})).items()
             if field in LABELS and isinstance(value, (str, int, float))} for row in rows]
    fields = [field for field in LABELS if field == "w" or len({row[field] for row in rows if field in row}) > 1]
    return [".".join(slug(row[field]) if isinstance(row[field], str) else f"{field}{row[field]:g}"
                     for field in fields if field in row) or str(place) for place, row in enumerate(rows)]
