"""The guidance study: one list of cells, each a set of images with its measurements, kept one line a cell.

``t2i evaluate study`` measures all of PARTS and EXPERIMENTS, and ``python -m t2i_helpers.evaluation.study NAME ...``
some of them, into ``checkpoints/study/NAME.jsonl`` or ``.json``. What is there is not measured again, unless its
weights or the classifier have changed; an interrupted study goes on where it stopped.
"""

import functools
import hashlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from torchvision.io import write_png
from torchvision.utils import make_grid

from ..data.wordings import NUMBERS
from ..errors import BadData, SourceUnavailable, T2IError, UnknownName
from ..models import WEIGHTS, load_pipeline
from ..paths import CHECKPOINTS, RUNS, atomic_write, study_dir
from ..presets import DATASETS
from ..provenance import file_hash, write_json
from ..training.ablation import AVERAGES, train_ablation
from .classifiers import classifier_hash
from .evaluate import evaluate
from .experiments import EXPERIMENTS, made_with
from .samples import draw_samples

STUDY = CHECKPOINTS / "study"
WORDINGS = {                    # the caption's, and some that no training caption has
    "caption": None,
    "7": [str(digit) for digit in range(10)],
    "the digit 7": [f"the digit {digit}" for digit in range(10)],
    "a picture of the number 7": [f"a picture of the number {digit}" for digit in range(10)],
    "seven": list(NUMBERS),
    "a handwritten digit seven": [f"a handwritten digit {word}" for word in NUMBERS],
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """n images drawn in one way, the classes in turn, from seeds 0 to n - 1."""

    checkpoint: str             # a dataset, whose `improved` ships, or a small training: "ablation-NAME[/AVERAGE]"
    w: float = 2.0
    guider: str = "cfg"
    scheduler: str = "dpm++"
    steps: int = 10
    n: int = 200
    wording: str = "caption"    # of WORDINGS


def _rules(dataset, n):
    guided = ("rescale", "interval sigma_min=0.2 sigma_max=5", "threshold", "apg", "interval start=0.2 stop=0.8",
              "cfg-zero", "tcfg", "mag", "fdg")
    scales = {"cfg": (0, 1, 2, 3, 5, 10), **{rule: (2, 5) for rule in guided}, "cfg++": (0.25, 0.5, 1),
              "auto": (1.25, 1.5, 2), **{rule: (1, 2) for rule in ("pag", "slg", "seg")}}
    return [Cell(checkpoint=dataset, guider=rule, w=float(w), n=n) for rule in scales for w in scales[rule]]


def _samplers():
    digits = dict(checkpoint="ablation-minilm", n=130)
    cells = [Cell(scheduler=name, steps=steps, **digits) for steps in (5, 10, 20, 50)
             for name in ("ddpm", "ddim", "ddim eta=0.5", "ddim eta=1", "dpm++", "unipc", "heun", "lms", "euler")]
    cells += [Cell(scheduler=name, steps=100, **digits) for name in ("ddpm", "ddim", "dpm++")]
    cells += [Cell(scheduler=f"{name} spacing={spacing}", steps=steps, **digits) for name in ("ddpm", "dpm++")
              for spacing in ("leading", "linspace", "trailing") for steps in (5, 10)]
    return [*cells, Cell(scheduler="ddpm", steps=1000, checkpoint="ablation-minilm", n=30)]


PARTS = {
    "rules-mnist": _rules("mnist", 150),
    "rules-cifar10": _rules("cifar10", 260),            # more than the 256 features that are compared
    "samplers": _samplers(),
    "averages": [Cell(checkpoint=f"ablation-minilm{average}", w=float(w), n=300)
                 for average in ("", *(f"/{name}" for name in AVERAGES)) for w in (1, 2, 5)],
    "encoders": [Cell(checkpoint=f"ablation-{encoder}", wording=wording, n=200)
                 for encoder in ("minilm", "random", "one-hot") for wording in WORDINGS
                 if encoder != "one-hot" or wording == "caption"],
    "encoders-of-the-hub": [Cell(checkpoint=f"ablation-{encoder}", wording=wording, n=200)
                            for encoder in ("clip", "bert") for wording in WORDINGS],
}
WEAK = "weak_weights_sha256_16"
OPTIONAL = ("encoders-of-the-hub",)             # left out where their weights cannot be had


def run_study(parts=None) -> None:
    """Measure what is missing of `parts`, by default all, printing a line a cell. Trains a network that is not there.

    Raises UnknownName for a part that does not exist, BadData for a results file that cannot be read.
    """
    for part in parts or (*PARTS, *EXPERIMENTS):
        if part not in PARTS and part not in EXPERIMENTS:
            raise UnknownName("part of the study", part, (*PARTS, *EXPERIMENTS))
        try:
            _run_experiment(part) if part in EXPERIMENTS else _run_part(part)
        except SourceUnavailable as error:
            if part not in OPTIONAL:
                raise
            print(f"{part} is left out: {error}")


def _run_experiment(name) -> None:
    if not read_experiment(name):
        write_json(STUDY / f"{name}.json", EXPERIMENTS[name]())


def _run_part(part) -> None:
    rows = read_part(part)
    for cell in PARTS[part]:
        if cell not in rows:
            rows[cell] = measure(cell)
            _write(part, rows)
            print(f"{part}: {_in_words(cell)}: accuracy {rows[cell]['accuracy']['value']:.3f}", flush=True)


def read_part(part: str, size: str = "demo") -> dict[Cell, dict]:
    """What is stored of the cells in a part's list, and still holds; empty where nothing does. BadData, with the line,
    where the file is damaged."""
    path, rows = (study_dir(size) if size == "full" else STUDY) / f"{part}.jsonl", {}
    hashes = functools.cache(_hashes)           # of files of megabytes, that many rows share
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else [], 1):
        try:
            row = json.loads(line)
            cell = Cell(**row["cell"])
            told = {WEAK: None} | row
            now = hashes(cell.checkpoint, cell.guider == "auto")
            if cell in PARTS[part] and all(told[name] == value for name, value in now.items()):
                rows[cell] = row
        except (ValueError, KeyError, TypeError) as error:
            raise BadData(f"{path}, line {number}: {error}; restore the file, or delete the line to measure its cell "
                          "again") from error
    return rows


def read_experiment(name: str, size: str = "demo") -> dict:
    """What is stored of an experiment with the networks and settings of now; else empty. BadData for a damaged file."""
    path = (study_dir(size) if size == "full" else STUDY) / f"{name}.json"
    try:
        found = json.loads(path.read_bytes()) if path.exists() else {}
        return found if found and found["made_with"] == made_with(name) else {}
    except (ValueError, KeyError, TypeError) as error:
        raise BadData(f"{path}: {error}; restore the file, or delete it to measure it again") from error


def measure(cell: Cell) -> dict:
    """The measurements of one cell, and what it was made with; its first ten images, one a class, as a PNG file where
    its checkpoint does not ship."""
    began = time.monotonic()
    pipe = load_pipeline(_checkpoint(cell))
    drawn = dict(steps=cell.steps, scheduler=cell.scheduler, guider=cell.guider, prompts=WORDINGS[cell.wording])
    found = evaluate(pipe, [cell.w], cell.n, **drawn)
    (row,) = found.pop("rows")
    row = {name: value for name, value in row.items() if name not in ("confusion", "per_class", "store")}
    told = {name: found[name] for name in ("git_commit", "git_dirty", "device", "timestep_spacing",
                                           "first_and_last_seed")}
    if cell.checkpoint not in DATASETS:
        images, *_ = draw_samples(pipe, cell.w, cell.n, **drawn).load()
        told["picture"] = _keep_picture(images[:10], cell)
    return {"cell": asdict(cell), **row, **told, "training_steps": found["checkpoint"]["training_steps"],
            **_hashes(cell.checkpoint, cell.guider == "auto"), "weights_sha256_16": pipe.weights_sha256_16,
            "seconds": round(time.monotonic() - began, 1)}


def _checkpoint(cell) -> Path | str:
    """The folder of the cell's checkpoint, or the dataset whose checkpoint ships; trained now where it is missing."""
    if cell.checkpoint in DATASETS:
        return cell.checkpoint
    train_ablation(cell.checkpoint.removeprefix("ablation-").partition("/")[0])
    return RUNS / cell.checkpoint


def _hashes(checkpoint: str, auto: bool) -> dict[str, str]:
    """What a row of now tells of its networks: the classifier that ships, the weights, if they are here, and with
    autoguidance the weaker network's."""
    shipped = checkpoint in DATASETS
    weights = (CHECKPOINTS / f"{checkpoint}-improved" if shipped else RUNS / checkpoint) / WEIGHTS
    found = {"classifier_sha256_16": classifier_hash(checkpoint if shipped else "mnist")}
    if weights.exists():
        found["weights_sha256_16"] = file_hash(weights)
    if auto:
        found[WEAK] = file_hash(CHECKPOINTS / f"{checkpoint}-weak" / WEIGHTS)
    return found


def _keep_picture(images, cell) -> str:
    key = hashlib.sha256(json.dumps(asdict(cell)).encode()).hexdigest()[:12]
    path = STUDY / "pictures" / f"{key}.png"
    with atomic_write(path) as temporary:
        write_png(make_grid(images, nrow=len(images), padding=0), str(temporary))
    return path.name


def _write(part, rows) -> None:
    """The part's rows in the order of its list."""
    with atomic_write(STUDY / f"{part}.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(rows[cell]) + "\n" for cell in PARTS[part] if cell in rows))


def _in_words(cell) -> str:
    return " ".join(f"{name}={value}" for name, value in asdict(cell).items() if value != "caption")


if __name__ == "__main__":
    try:
        run_study(sys.argv[1:])
    except T2IError as error:
        print(f"study: {error}", file=sys.stderr)
        sys.exit(2)
