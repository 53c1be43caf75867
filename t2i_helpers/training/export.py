"""Export a run as a small checkpoint: ``python -m t2i_helpers.training.export RUN OUT``."""

import sys
from pathlib import Path

from .. import presets
from ..errors import T2IError
from ..models import WEIGHTS, load_pipeline
from ..models.weights import save_compact
from ..paths import read_json, write_text
from ..provenance import file_hash, preset_record, write_json
from .run import Run


def export_checkpoint(run_folder, out) -> Path:
    """Write a run's checkpoint to `out` with compact weights (see models/weights.py), config.json, metrics.jsonl and
    provenance.json, the run's config with its steps, images, time and loss; returns the path of the last."""
    run, out = Run(run_folder), Path(out)
    rows, record = run.metrics(), run.config()
    pipeline = load_pipeline(run.folder, device="cpu")
    Run(out).save_pipeline(pipeline)
    save_compact(pipeline.unet, out / WEIGHTS)
    for file in (out / "model_index.json", out / "unet" / "config.json"):       # drop the run's local path
        write_json(file, {key: value for key, value in read_json(file).items() if key != "_name_or_path"})
    preset = presets.from_dict(record["preset"])
    record |= preset_record(preset)                              # an older run lacks the newer fields of presets
    write_json(out / run.config_file.name, record)
    write_text(out / run.metrics_file.name, run.metrics_file.read_text(encoding="utf-8"))
    return write_json(out / "provenance.json", record | {
        "steps": rows[-1]["step"],
        "images_seen": rows[-1]["step"] * preset.batch_size,
        "training_seconds": rows[-1]["seconds"],
        "mean_loss_of_last_100_steps": sum(row["loss"] for row in rows[-100:]) / len(rows[-100:]),
        "weights": "exponential moving average, int8 per channel" if preset.ema_decay else "int8 per channel",
        "weights_sha256_16": file_hash(out / WEIGHTS),
    })


if __name__ == "__main__":
    try:
        print(export_checkpoint(*sys.argv[1:]))
    except T2IError as error:
        sys.exit(f"export: {error}")
