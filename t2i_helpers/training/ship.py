"""Make a checkpoint that ships from a run: ``python -m t2i_helpers.training.ship RUN OUT``."""

import json
import shutil
import sys
from pathlib import Path

from .. import presets
from ..models import WEIGHTS, load_pipeline
from ..provenance import file_hash, preset_record, write_json
from .run import Run


def ship(run_folder, out) -> Path:
    """Copy a run's checkpoint to `out` as float16 safetensors with config.json, metrics.jsonl and a sidecar.

    The sidecar, provenance.json, is the run's configuration with the training that it really had.
    """
    run, out = Run(run_folder), Path(out)
    rows, record = run.metrics(), run.config()
    pipeline = load_pipeline(run.folder, device="cpu")
    pipeline.unet.half()
    pipeline.save_pretrained(out)
    for file in (out / "model_index.json", out / "unet" / "config.json"):       # forget the folder it came from
        write_json(file, {k: v for k, v in json.loads(file.read_text()).items() if k != "_name_or_path"})
    preset = presets.from_dict(record["preset"])
    record |= preset_record(preset)                              # the run may have begun when presets had fewer fields
    write_json(out / run.config_file.name, record)
    shutil.copyfile(run.metrics_file, out / run.metrics_file.name)
    losses = [row["loss"] for row in rows[-100:]]
    return write_json(out / "provenance.json", record | {
        "steps": rows[-1]["step"],
        "images_seen": rows[-1]["step"] * preset.batch_size,
        "training_seconds": rows[-1]["seconds"],
        "mean_loss_of_last_100_steps": sum(losses) / len(losses),
        "weights": "exponential moving average, float16" if preset.ema_decay else "float16",
        "weights_sha256_16": file_hash(out / WEIGHTS),
    })


if __name__ == "__main__":
    print(ship(*sys.argv[1:]))
