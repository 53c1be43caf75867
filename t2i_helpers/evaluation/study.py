"""The guidance study: one list of cells, each a set of images with its measurements, one line a cell.

`run_study` (``t2i evaluate study``) measures PARTS and EXPERIMENTS into NAME.jsonl and NAME.json in
``paths.study_dir(size)``. It skips stored results of the same weights and classifier, so that an interrupted study
resumes. `provenance.stale_reasons` names results of other code, and ``--stale`` measures them again.
"""

import functools
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch.nn.functional as F
from torchvision.utils import save_image

from ..data import sentences
from ..errors import BadData, SourceUnavailable, UnknownName, or_raise
from ..models import WEIGHTS, load_pipeline
from ..paths import atomic_write, read_json, study_dir, write_text
from ..presets import DATASETS
from ..provenance import code_record, file_hash, recording, write_json
from ..training.ablation import AVERAGES, CHANGES, SEEDS, TRAININGS, train_missing, training_dir
from .classifiers import weights_file
from .evaluate import evaluate, real_images
from .experiments import CODE, EXPERIMENTS, dependency_hashes
from .features import real_features
from .samples import DRAWING, JUDGES, MEASURING, draw_samples

WORDINGS = {"caption": None} | {         # and some that no training caption has, named like that of a 7
    wording.format(7, word="seven"): sentences("mnist", wording) for wording in (
        "{}", "the digit {}", "a picture of the number {}", "{word}", "a handwritten digit {word}")}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """n images, image i from seed i and of class i mod 10, or with the caption of a held-out painting."""

    checkpoint: str             # a dataset (its `improved` one), or "TRAINING[/AVERAGE]" of training.ablation
    w: float = 2.0
    guider: str = "cfg"
    scheduler: str = "dpm++"
    steps: int = 10
    n: int = 200
    wording: str = "caption"    # of WORDINGS

    @property
    def dataset(self) -> str:
        return TRAININGS[self.training][0]

    @property
    def training(self) -> str:
        return f"{self.checkpoint}-improved" if self.checkpoint in DATASETS else self.checkpoint.partition("/")[0]

    def folder(self, size: str) -> Path:
        """The checkpoint folder."""
        return training_dir(self.training, size) / self.checkpoint.partition("/")[2]

    @property
    def classifier(self) -> Path | None:
        """The weights file of the classifier that judges it; paintings have none."""
        return weights_file(self.dataset) if JUDGES[self.dataset] == "evaluation.classifiers" else None

    @property
    def weak(self) -> str | None:
        """The training of the network that autoguidance guides away from."""
        return f"{self.dataset}-weak" if self.guider == "auto" else None

    @property
    def code(self) -> tuple[str, ...]:
        """The modules that decide its numbers."""
        return *DRAWING, *MEASURING, JUDGES[self.dataset]


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


def _flow():
    """Of notebook 7: networks and conditionings, steps without guidance, scales, and the weights without an average."""
    drawn = dict(scheduler="euler", steps=10, n=250)
    cells = [Cell(checkpoint=name, **drawn) for name in ("flow-dit", "flow-unet", "flow-dit-short", "flow-dit-cross",
                                                         "flow-dit-context", "flow-dit-half", "flow-dit/raw")]
    cells += [Cell(checkpoint="flow-dit", w=float(w), **drawn) for w in (1, 3, 4, 5)]
    cells += [Cell(checkpoint="v-dit", **drawn | {"scheduler": "ddim"})]
    for name, scheduler in (("flow-dit", "euler"), ("flow-dit", "heun"), ("v-dit", "ddim")):
        counts = (2, 4, 8) if scheduler == "heun" else (1, 2, 4, 8, 16, 32)         # Heun's take 2 k - 1 passes
        cells += [Cell(checkpoint=name, w=1.0, **drawn | {"scheduler": scheduler, "steps": k}) for k in counts]
    return cells


def _changes():
    """`thesis` with one change each; an average of the weights and the spacing of timesteps need no training."""
    ways = [(change, "", "ddpm") for change in CHANGES] + [("none", "/ema-999", "ddpm"),
                                                           ("none", "", "ddpm spacing=trailing")]
    return [Cell(checkpoint=f"change-{change}-{seed}{average}", scheduler=scheduler, steps=20, w=w)
            for change, average, scheduler in ways for w in (1.0, 5.0) for seed in SEEDS]


PARTS = {
    "rules-mnist": _rules("mnist", 150),
    "rules-cifar10": _rules("cifar10", 260),            # more than the 256 features that are compared
    "samplers": _samplers(),
    "flow": _flow(),
    "latent": [Cell(checkpoint=name, w=w, scheduler="euler", steps=20, n=400)
               for name in ("latent-unet", "latent-dit") for w in (1.0, 4.0)],
    "changes": _changes(),
    "averages": [Cell(checkpoint=f"ablation-minilm{average}", w=float(w), n=300)
                 for average in ("", *(f"/{name}" for name in AVERAGES)) for w in (1, 2, 5)],
    "encoders": [Cell(checkpoint=f"ablation-{encoder}", wording=wording)
                 for encoder in ("minilm", "random", "one-hot") for wording in WORDINGS
                 if encoder != "one-hot" or wording == "caption"],
    "encoders-of-the-hub": [Cell(checkpoint=f"ablation-{encoder}", wording=wording)
                            for encoder in ("clip", "bert") for wording in WORDINGS],
}
OPTIONAL = ("encoders-of-the-hub",)             # skipped where their weights are not available
WEAK = "weak_weights_sha256_16"
THUMBNAIL = 64                  # most pixels a side of a kept picture


@recording()                            # a figure reads the results, not what is drawn for them
def run_study(parts=None, size: str = "demo", stale: bool = False) -> None:
    """Measure the missing results of `parts`, by default all, printing a line a cell; missing networks are trained.

    `size` is "demo", with the checkpoints that ship, or "full", with the user's own. `stale`: also measure results
    again that other code made. Raises UnknownName for a part or size that does not exist, BadData for a damaged file.
    """
    if size not in ("demo", "full"):
        raise UnknownName("size of the study", size, ("demo", "full"))
    for part in parts or (*PARTS, *EXPERIMENTS):
        if part not in PARTS and part not in EXPERIMENTS:
            raise UnknownName("part of the study", part, (*PARTS, *EXPERIMENTS))
        try:
            _run(part, size, stale)
        except SourceUnavailable as error:
            if part not in OPTIONAL:
                raise
            print(f"{part} is left out: {error}")


def _run(part, size, stale) -> None:
    def missing(stored, code):
        return not stored or stale and stored.get("code") != code_record(*code)["code"]

    if part in EXPERIMENTS:
        if missing(read_experiment(part, size), CODE):
            write_json(study_dir(size) / f"{part}.json", EXPERIMENTS[part](size))
        return
    rows = read_part(part, size)
    for cell in PARTS[part]:
        if missing(rows.get(cell), cell.code):
            rows[cell] = measure(cell, size)
            lines = [json.dumps(rows[cell]) + "\n" for cell in PARTS[part] if cell in rows]
            write_text(study_dir(size) / f"{part}.jsonl", "".join(lines))
            print(f"{part}: {cell}: accuracy {rows[cell]['accuracy']['value']:.3f}", flush=True)


def read_part(part: str, size: str = "demo") -> dict[Cell, dict]:
    """The stored rows of a part's cells, without those of other weights or another classifier. A row of a network that
    is not here is kept. BadData, with the line, where the file is damaged."""
    path, rows = study_dir(size) / f"{part}.jsonl", {}
    hash_once = functools.cache(file_hash)      # of files of megabytes, shared by many rows
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else [], 1):
        with or_raise(BadData, f"{path}, line {number} is damaged", "restore it, or delete it to measure it again"):
            row = json.loads(line)
            cell, known = Cell(**row["cell"]), {WEAK: None} | row
            current = _hashes(cell, size, hash_once)
            if cell in PARTS[part] and all(known[name] == value for name, value in current.items()):
                rows[cell] = row
    return rows


def read_experiment(name: str, size: str = "demo") -> dict:
    """The stored result of an experiment with the current networks and settings, else {}; BadData if it is damaged."""
    path = study_dir(size) / f"{name}.json"
    with or_raise(BadData, f"{path} is damaged", "restore it, or delete it to measure it again"):
        stored = read_json(path) if path.exists() else {}
        return stored if stored and stored["made_with"] == dependency_hashes(name, size) else {}


def measure(cell: Cell, size: str = "demo") -> dict:
    """The row of one cell: its measurements and provenance. The first ten images become a PNG file where the checkpoint
    is a small training. SourceUnavailable where real images to compare with are missing."""
    began = time.monotonic()
    if cell.classifier:                            # of the others, `evaluate` loads real images before it draws
        real_features(cell.dataset, 2 * cell.n)
    for training in filter(None, (cell.training, cell.weak)):
        train_missing(training, size)
    pipe = load_pipeline(cell.folder(size))
    drawn = dict(steps=cell.steps, scheduler=cell.scheduler, guider=cell.guider, prompts=WORDINGS[cell.wording])
    evaluation = evaluate(pipe, [cell.w], cell.n, **drawn)
    (row,) = evaluation["rows"]
    row = {name: value for name, value in row.items() if name not in ("confusion", "per_class", "store")}
    row |= {name: evaluation[name] for name in ("git_commit", "git_dirty", "device", "timestep_spacing",
                                                "first_and_last_seed", "code")}
    if cell.checkpoint not in DATASETS:
        real = real_images(pipe)
        asked = real and real.asked(pipe.preset, cell.n)
        images, *_ = draw_samples(pipe, cell.w, cell.n, asked=asked, **drawn).load()
        row["picture"] = hashlib.sha256(json.dumps(asdict(cell)).encode()).hexdigest()[:12] + ".png"
        with atomic_write(study_dir(size) / "pictures" / row["picture"]) as temporary:
            side = min(THUMBNAIL, images.shape[-1])
            save_image(F.interpolate(images[:10] / 255, (side, side), mode="area"), temporary, nrow=10, padding=0)
    return {"cell": asdict(cell), **row, "training_steps": evaluation["checkpoint"]["training_steps"],
            "real_images": next(iter(evaluation["judges"].values()))["data_source"], **_hashes(cell, size, file_hash),
            "weights_sha256_16": pipe.weights_sha256_16, "seconds": round(time.monotonic() - began, 1)}


def _hashes(cell, size, hash_of) -> dict[str, str]:
    """The current hashes of the classifier that judges, of the cell's weights and, for autoguidance, of the weak
    network's; without those of files that are not here."""
    files = {"weights_sha256_16": cell.folder(size) / WEIGHTS, "classifier_sha256_16": cell.classifier,
             WEAK: cell.weak and training_dir(cell.weak, size) / WEIGHTS}
    return {name: hash_of(file) for name, file in files.items() if file and file.exists()}
