"""On what the thesis ran, and on what this project does."""

import json

from ..doctor import report
from ..models.text import IN_WORDS
from ..paths import CHECKPOINTS
from ..presets import PRINTED_SETUP
from ..provenance import made_from
from .tables import Table


def setup_table() -> Table:
    """The thesis's machine and software, and those here; where the checkpoints were trained and evaluated stands in
    rows of its own."""
    files = {name: sorted(CHECKPOINTS.glob(f"*/{name}.json")) for name in ("provenance", "evaluation")}
    trained, evaluated = ([json.loads(file.read_text()) for file in found] for found in files.values())
    here, encoders = report(), sorted({found["text_encoder"] for found in trained if "text_encoder" in found})
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
        "hub": here["hub"],
        "text encoder": ", ".join(IN_WORDS.get(name, name) for name in encoders),
        "trained on": _devices(part for found in trained for part in found.get("parts", [found])),
        "evaluated on": _devices(evaluated),
    }
    rows = [[name, PRINTED_SETUP.get(name, "–"), found] for name, found in ours.items()]
    note = ("this machine: the one that this table was made on; trained and evaluated on: what the records of the "
            "shipped checkpoints, classifiers and the image-text model tell, wherever that was; –: not told")
    told = {name: here[name] for name in ("processor", "cores", "memory_gb", "accelerator", "operating_system", "cuda",
                                          "hub")}
    return Table("setup", ["", "the thesis", "this machine"], rows, note,
                 {"setup": told, **made_from(*files["provenance"], *files["evaluation"])})


def _devices(records) -> str:
    return "; ".join(sorted({found["device"] for found in records}))
