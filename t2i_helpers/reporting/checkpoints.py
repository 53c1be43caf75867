"""The trained models that figures and tables of a size show, and what was measured of each, stored beside it."""

import json

from ..evaluation import evaluate, fashion, recognition
from ..evaluation.classifiers import classifier_hash
from ..evaluation.latent import measure_latent
from ..evaluation.paintings import composition
from ..evaluation.styles import styles
from ..evaluation.transfer import transfer
from ..models import load_pipeline
from ..paths import checkpoint_dir, read_json
from ..presets import VARIANTS, get
from ..provenance import note_use, record, recording, write_json
from ..training import train

SCALES = {"mnist": (0.0, 1.0, 2.0, 5.0, 10.0, 20.0), "cifar10": (0.0, 1.0, 2.0, 5.0, 10.0), "wikiart": (1.0, 4.0)}
SAMPLES = {"mnist": 1000, "cifar10": 1000, "wikiart": 400}      # 1,000 is the thesis's count
PAIR_SAMPLES = 30                                               # images of each (genre, style) pair
RECOGNITION_SCALES = {"mnist": (1.0, 2.0), "cifar10": (1.0, 5.0), "fashion": (1.0,)}
RECOGNITION_SAMPLES = 100
LATENT_SAMPLES = 60


def pipeline(dataset: str, variant: str, size: str):
    """The pipeline of `paths.checkpoint_dir`. At `full` it is trained first, or its training resumed."""
    folder = checkpoint_dir(dataset, variant, size)
    if size == "full":
        train(get(dataset, variant, "full"), folder)
    return load_pipeline(folder)


def pipelines(dataset: str, size: str) -> dict:
    """{"thesis": pipeline, "improved": pipeline}, see `pipeline`."""
    return {variant: pipeline(dataset, variant, size) for variant in VARIANTS}


MEASUREMENTS = {        # beside a checkpoint, in NAME.json; "latent" takes 20 minutes of a processor core
    "evaluation": lambda pipe: evaluate(pipe, *(each[pipe.preset.dataset] for each in (SCALES, SAMPLES))),
    "recognition": lambda pipe: {"rows": [recognition(pipe, w, RECOGNITION_SAMPLES)
                                          for w in RECOGNITION_SCALES[pipe.preset.dataset]]},
    "composition": lambda pipe: record(pipe.device, **composition(pipe, w=4.0, images_a_pair=PAIR_SAMPLES)),
    "latent": lambda pipe: record(pipe.device, **measure_latent(pipe, LATENT_SAMPLES)),
    **fashion.EXPERIMENTS, "transfer": transfer, "styles": styles,
}


def measured(pipe, name: str) -> dict:
    """The NAME.json of MEASUREMENTS beside the weights of `pipe`, made now unless it holds their hash, that of the
    current classifier, and the scales of SCALES or RECOGNITION_SCALES."""
    file = pipe.folder / f"{name}.json"
    scales = {"evaluation": SCALES, "recognition": RECOGNITION_SCALES}.get(name, {}).get(pipe.preset.dataset)
    try:
        stored = read_json(file)
        fits = not scales or tuple(row["w"] for row in stored["rows"]) == scales
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        stored, fits = {}, False
    text = json.dumps(stored)
    fits &= pipe.weights_sha256_16 in text
    judged = "mnist" if name == "styles" else pipe.preset.dataset
    if not fits or "classifier_sha256_16" in text and classifier_hash(judged) not in text:
        with recording():                       # a figure reads the result, not what is drawn for it
            stored = MEASUREMENTS[name](pipe)
        write_json(file, stored)
    note_use("file", file)
    return stored
