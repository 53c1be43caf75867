"""On what the thesis ran, on what this project does, and how its checkpoints were trained."""

import json

from ..models.sources import describe_machine
from ..models.text import ENCODER_LABELS
from ..paths import CHECKPOINTS, WEIGHTS
from ..presets import DATASETS, NAMES, PRINTED_SETUP, TRAINING_IMAGES, VARIANTS, get
from ..provenance import count_parameters, input_hashes
from .tables import Table


def setup_table() -> Table:
    """The thesis's machine and software, and those here; where the checkpoints were trained and evaluated stands in
    rows of its own."""
    files = {name: sorted(CHECKPOINTS.glob(f"*/{name}.json")) for name in ("provenance", "evaluation")}
    trained, evaluated = ([json.loads(file.read_text()) for file in found] for found in files.values())
    here, encoders = describe_machine(), sorted({found["text_encoder"] for found in trained if "text_encoder" in found})
    ours = {
        "processor": here["processor"],
        "cores": str(here["cores"]),
        "memory": f"{here['memory_gb']} GB",
        "accelerator": here["accelerator"] or "none",
        "operating system": here["operating_system"],
        "Python": here["versions"]["python"],
        "PyTorch": here["versions"]["torch"],
        "CUDA": here["cuda"] or "none",
        "diffusers": here["versions"]["diffusers"],
        "transformers": here["versions"]["transformers"],
        "text encoder": ", ".join(ENCODER_LABELS.get(name, name) for name in encoders),
        "trained on": _devices(part for found in trained for part in found.get("parts", [found])),
        "evaluated on": _devices(evaluated),
    }
    rows = [[name, PRINTED_SETUP.get(name, "–"), found] for name, found in ours.items()]
    note = ("this machine: the one that this table was made on; trained and evaluated on: what the records of the "
            "shipped checkpoints, classifiers and the image-text model tell, wherever that was; –: not told")
    told = {name: here[name] for name in ("processor", "cores", "memory_gb", "accelerator", "operating_system", "cuda")}
    return Table("setup", ["", "the thesis", "this machine"], rows, note,
                 {"setup": told, **input_hashes(*files["provenance"], *files["evaluation"])})


def trained_table() -> Table:
    """How each checkpoint that ships was trained, and how much of the thesis's effort that is."""
    rows, files = [], []
    for dataset in DATASETS:
        full = get(dataset, "thesis", "full")
        for variant in VARIANTS:
            folder = CHECKPOINTS / f"{dataset}-{variant}"
            found = json.loads((folder / "provenance.json").read_text())
            preset, files = found["preset"], [*files, folder / "provenance.json", folder / WEIGHTS]
            effort = found["images_seen"] / (TRAINING_IMAGES[dataset] * full.epochs)
            rows.append([f"{NAMES[dataset]}, {variant}", f"{count_parameters(folder / WEIGHTS):,}",
                         f"{preset['resolution']}×{preset['resolution']}", str(preset["batch_size"]),
                         f"{preset['learning_rate']:g}", f"{found['steps']:,}", f"{effort:.1%}",
                         f"{found['training_seconds'] / 3600:.1f}"])
    header = ["checkpoint", "parameters", "pixels", "batch size", "learning rate", "steps", "effort", "hours"]
    note = ("effort: images that passed through the network, as a share of those of the thesis's epochs (of WikiArt's "
            "81,444 paintings; ours are a reduced copy); the improved network for paintings sees latents; hours: on "
            "one or two cores of a processor, beside other work for the paintings")
    return Table("trained", header, rows, note, input_hashes(*files))


def _devices(records) -> str:
    return "; ".join(sorted({found["device"] for found in records}))
