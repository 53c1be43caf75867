"""A run folder: a training's config (config.json), metrics (metrics.jsonl), state (state.safetensors) and pipeline so
far, so that the folder is itself a checkpoint."""

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import safe_open

from ..errors import BadCheckpoint, OutputError, or_bad_checkpoint
from ..models import WEIGHTS, CaptionPipeline
from ..models.weights import read_hashed, save_hashed
from ..paths import append_text, atomic_write, read_json, scratch_folder, write_text
from ..presets import Preset
from ..provenance import file_hash, write_json


class Run:
    """The files of one training in `folder`."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.config_file = self.folder / "config.json"
        self.metrics_file = self.folder / "metrics.jsonl"
        self.state_file = self.folder / "state.safetensors"

    def open(self, record: dict) -> bool:
        """Check that a training with `record` may use this folder; True if there is a state to resume from. Raises
        BadCheckpoint if it belongs to another preset or other data, OutputError if it holds something else."""
        if not self.config_file.exists():
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.glob("[!.]*"))):
                raise OutputError(f"{self.folder} is not a run directory: choose another --out")
            return False
        if not self.state_file.exists() and (self.folder / "model_index.json").exists():
            raise OutputError(f"{self.folder} holds a checkpoint without its training state: choose another --out")
        earlier = _identity(self.config())
        for name, new in _identity(record).items():
            if (old := earlier.get(name)) != new:
                raise BadCheckpoint(f"{self.folder} holds a run with {name} {old!r:.99}, not {new!r:.99}: "
                                    "choose another --out")
        return self.state_file.exists()

    def start_segment(self, record: dict, step: int) -> None:
        """Write config.json: the `record` of the run's start and, under "parts", code and device of each segment; drop
        the metrics of steps after `step`, the last saved one, which a kill left behind. BadCheckpoint if they cannot be
        read."""
        with or_bad_checkpoint(self.metrics_file, "restore or delete it"):
            file = self.metrics_file
            lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
            lines = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        kept = ("git_commit", "git_dirty", "device", "precision", "processes")
        config = self.config() if step else record | {"parts": []}
        config["parts"].append({"from_step": step} | {key: record[key] for key in kept})
        write_json(self.config_file, config)
        write_text(self.metrics_file, "".join(line + "\n" for line in lines))

    def config(self) -> dict:
        """The record that the run was started with, and its parts; BadCheckpoint if it cannot be read."""
        with or_bad_checkpoint(self.config_file, "choose another --out"):
            if isinstance(config := read_json(self.config_file), dict):
                return config
            raise ValueError("it holds no JSON object")

    def metrics(self) -> list[dict]:
        """One dictionary per step: step (from 1), epoch (from 1), loss, seconds of training so far; BadCheckpoint,
        naming the line, if the file is missing, empty or truncated."""
        rows = []
        try:
            for line in self.metrics_file.read_text(encoding="utf-8").splitlines():
                rows.append(json.loads(line))
        except (OSError, ValueError) as error:
            raise BadCheckpoint(f"{self.metrics_file}, line {len(rows) + 1}: {error}; train again") from error
        if not rows:
            raise BadCheckpoint(f"{self.metrics_file} is empty; train again")
        return rows

    def log(self, rows: list[dict]) -> None:
        """Append `rows` to the metrics."""
        append_text(self.metrics_file, "".join(json.dumps(row) + "\n" for row in rows))

    def save_state(self, trainer) -> None:
        """Write all that the next step of `trainer`, of loop.py, depends on; random numbers need no state."""
        tensors = {f"unet.{name}": value for name, value in trainer.bare_unet.state_dict().items()}
        for index, slots in trainer.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{slot}": torch.as_tensor(value) for slot, value in slots.items()}
        for average, ema in trainer.averages.items():
            tensors |= {f"{average}.{index}": value for index, value in enumerate(ema.shadow_params)}
        metadata = {"step": str(trainer.step), "seconds": str(trainer.seconds)}
        if trainer.images.stream is not None:
            metadata["stream"] = json.dumps(trainer.images.stream.state_dict())
        save_hashed(self.state_file, tensors, metadata)

    def saved_step(self) -> int:
        """The step that the state was saved after."""
        with safe_open(self.state_file, "pt") as file:
            return int(file.metadata()["step"])

    def load_state(self, trainer) -> None:
        """Restore the state of `save_state`; BadCheckpoint if it is damaged."""
        with or_bad_checkpoint(self.state_file, "choose another --out"):
            tensors, metadata = read_hashed(self.state_file)
            trainer.step, trainer.seconds = int(metadata["step"]), float(metadata["seconds"])
            unet, slots, parameters = {}, {}, list(trainer.bare_unet.parameters())
            for name, value in tensors.items():
                group, _, rest = name.partition(".")
                if group == "unet":
                    unet[rest] = value
                elif group == "optimizer":                  # has no slots before the first step
                    index, slot = rest.split(".")
                    if value.ndim:              # a fused optimizer wants the strides of its parameter (channels_last)
                        value = torch.empty_like(parameters[int(index)]).copy_(value)
                    slots.setdefault(int(index), {})[slot] = value
            trainer.bare_unet.load_state_dict(unet)
            trainer.optimizer.load_state_dict(trainer.optimizer.state_dict() | {"state": slots})
            for average, ema in trainer.averages.items():
                ema.optimization_step = trainer.step
                for index, parameter in enumerate(ema.shadow_params):
                    parameter.copy_(tensors[f"{average}.{index}"])
            if trainer.images.stream is not None:
                trainer.images.stream.load_state_dict(json.loads(metadata["stream"]))

    def save_pipeline(self, pipeline: CaptionPipeline, subfolder: str = "") -> None:
        """Make this folder, or its `subfolder` with copies of config and metrics, a checkpoint of `pipeline`."""
        target = self.folder / subfolder
        with scratch_folder(target / "pipeline") as fresh:
            pipeline.save_pretrained(fresh)
            save_hashed(fresh / WEIGHTS, read_hashed(fresh / WEIGHTS)[0])
            for file in sorted(fresh.rglob("*.*")):
                with atomic_write(target / file.relative_to(fresh)) as temporary:
                    file.replace(temporary)
        if subfolder:
            for file in (self.config_file, self.metrics_file):
                write_text(target / file.name, file.read_text(encoding="utf-8"))


def describe_checkpoint(folder) -> dict:
    """The metadata of the checkpoint in `folder` for sidecars: weights, training, preset, data, encoder, code."""
    run = Run(folder)
    config = run.config()
    kept = ("git_commit", "parts", "preset", "preset_hash", "data_source", "data_fingerprint", "text_encoder", "seed")
    return {
        "checkpoint": run.folder.name,
        "weights_sha256_16": file_hash(run.folder / WEIGHTS),
        "training_steps": run.metrics()[-1]["step"],
        **{name: config.get(name) for name in kept},
    }


def _identity(record) -> dict:
    """The part of a record that must not change when a run resumes: all but sampling settings and training length,
    unless the learning rate decays, which depends on the number of epochs."""
    defaults = {field.name: field.default for field in dataclasses.fields(Preset)}    # an older run lacks newer fields
    preset = defaults | record.get("preset", {})
    may_change = ["scheduler", "timestep_spacing", "sample_steps", "guidance_scales", "max_steps", "checkpoint_epochs"]
    if preset["learning_rate_decay"] == "none":
        may_change.append("epochs")
    if preset["dataset"] == "own":
        may_change.append("data_source")              # the images may be moved; the fingerprint is of their pixels
    return {name: value for name, value in preset.items() if name not in may_change} | {
        "loader": record.get("loader", "store"), "start": record.get("start"),
        **{name: record[name] for name in ("data_fingerprint",) if name in record}}
