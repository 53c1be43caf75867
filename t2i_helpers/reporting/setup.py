"""The machines of the thesis and of this project, and how each checkpoint was trained."""

import json

from ..models.sources import describe_machine
from ..models.text import ENCODER_LABELS
from ..paths import CHECKPOINTS, RUNS, WEIGHTS, checkpoint_dir
from ..presets import DATASETS, NAMES, PRINTED_SETUP, TRAINING_IMAGES, VARIANTS, get
from ..provenance import count_parameters, note_use
from ..training import Run, describe_checkpoint
from .exhibits import exhibit


@exhibit("setup", "tex")
def setup_table(size: str = "demo"):
    """The thesis's machine and software beside those of this machine, and where checkpoints were trained and judged."""
    root, kind = (RUNS, "config") if size == "full" else (CHECKPOINTS, "provenance")
    trained, evaluated = ([_read(file) for file in sorted(root.glob(f"*/{name}.json"))]
                          for name in (kind, "evaluation"))
    here = describe_machine()
    encoders = sorted({record["text_encoder"] for record in trained if "text_encoder" in record})
    rows = {
        "processor": here["processor"], "cores": str(here["cores"]), "memory": f"{here['memory_gb']} GB",
        "accelerator": here["accelerator"] or "none", "operating system": here["operating_system"],
        "Python": here["versions"]["python"], "PyTorch": here["versions"]["torch"], "CUDA": here["cuda"] or "none",
        "diffusers": here["versions"]["diffusers"], "transformers": here["versions"]["transformers"],
        "text encoder": ", ".join(ENCODER_LABELS.get(name, name) for name in encoders),
        "trained on": _devices(part for record in trained for part in record.get("parts", [record])),
        "evaluated on": _devices(evaluated),
    }
    note = ("this machine: the one that made this table; trained and evaluated on: from the records of the checkpoints "
            "and classifiers, which may name other machines; –: not given")
    kept = ("processor", "cores", "memory_gb", "accelerator", "operating_system", "cuda")
    return ["", "the thesis", "this machine"], [
        [name, PRINTED_SETUP.get(name, "–"), mine] for name, mine in rows.items()], {
        "note": note, "setup": {name: here[name] for name in kept}}


@exhibit("trained", "tex")
def trained_table(size: str = "demo"):
    """How each checkpoint was trained, and its share of the thesis's training, for the checkpoints that exist."""
    rows = []
    for dataset, variant in ((dataset, variant) for dataset in DATASETS for variant in VARIANTS):
        folder = checkpoint_dir(dataset, variant, size)
        if not (folder / WEIGHTS).exists():
            continue
        preset, last = describe_checkpoint(folder)["preset"], Run(folder).metrics()[-1]
        for file in (folder / "metrics.jsonl", folder / WEIGHTS):
            note_use("file", file)
        in_thesis = TRAINING_IMAGES[dataset] * get(dataset, "thesis", "full").epochs
        rows.append([f"{NAMES[dataset]}, {variant}", f"{count_parameters(folder / WEIGHTS):,}",
                     f"{preset['resolution']}×{preset['resolution']}", str(preset["batch_size"]),
                     f"{preset['learning_rate']:g}", f"{last['step']:,}",
                     f"{last['step'] * preset['batch_size'] / in_thesis:.1%}", f"{last['seconds'] / 3600:.1f}"])
    note = ("effort: images that passed through the network, as a share of those of the thesis's epochs (for WikiArt "
            "of 81,444 paintings); the improved network for paintings sees latents; hours: wall-clock time")
    return ["checkpoint", "parameters", "pixels", "batch size", "learning rate", "steps", "effort", "hours"], rows, {
        "note": note}


def _read(file) -> dict:
    note_use("file", file)
    return json.loads(file.read_text())


def _devices(records) -> str:
    return "; ".join(sorted({record["device"] for record in records if "device" in record}))
