"""A run folder: a training's config (config.json), metrics (metrics.jsonl), state (state.safetensors) and pipeline so
far, so that the folder is itself a checkpoint."""

import dataclasses
import json
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ..errors import BadCheckpoint, OutputError, one_line
from ..models import WEIGHTS, CaptionPipeline
from ..paths import atomic_write, save_tensors, write_text
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
        """Check that a training with `record` may use this folder; True if there is a state to resume from.

        Raises BadCheckpoint if the folder belongs to another preset or other data, OutputError if it holds something
        else.
        """
        if not self.config_file.exists():
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise OutputError(f"{self.folder} is not a run directory: choose another --out")
            return False
        if not self.state_file.exists() and (self.folder / "model_index.json").exists():
            raise OutputError(f"{self.folder} holds a checkpoint without its training state: choose another --out")
        earlier = self.config()
        for name in _identity(record):
            old, new = _identity(earlier).get(name), _identity(record)[name]
            if old != new:
                raise BadCheckpoint(f"{self.folder} holds a run with {name} {old!r}, not {new!r}: choose another --out")
        return self.state_file.exists()

    def start_segment(self, record: dict, step: int) -> None:
        """Write config.json: the `record` of the run's start and, under "parts", code and device of each segment."""
        kept = ("git_commit", "git_dirty", "device", "precision", "processes")
        part = {"from_step": step} | {key: record[key] for key in kept}
        config = self.config() if step else record | {"parts": []}
        write_json(self.config_file, config | {"parts": [*config["parts"], part]})
        self.truncate_metrics(step)

    def config(self) -> dict:
        """The record that the run was started with, and its parts."""
        try:
            config = json.loads(self.config_file.read_text(encoding="utf-8"))
            if not isinstance(config, dict):
                raise ValueError("it holds no JSON object")
        except (OSError, ValueError) as error:
            raise BadCheckpoint(f"{self.config_file} cannot be read ({error}): restore it, or choose another --out"
                                ) from error
        return config

    def metrics(self) -> list[dict]:
        """One dictionary per step: step (from 1), epoch (from 1), loss, seconds of training so far."""
        return read_metrics(self.metrics_file)

    def log(self, rows: list[dict]) -> None:
        """Append `rows` to the metrics."""
        with self.metrics_file.open("a", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def truncate_metrics(self, step: int) -> None:
        """Drop the metrics of steps after the last saved state, which a kill left behind."""
        lines = self.metrics_file.read_text(encoding="utf-8").splitlines() if self.metrics_file.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        write_text(self.metrics_file, "".join(line + "\n" for line in kept))

    def save_state(self, step: int, seconds: float, unet, optimizer, averages: dict, stream) -> None:
        """Write everything the next step depends on as one safetensors file; `averages` are diffusers' EMAModels by
        name, `stream` is the training's WikiArtStream or None. Random numbers need no state: see loop.py."""
        tensors = {f"unet.{name}": value for name, value in unet.state_dict().items()}
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{slot}": torch.as_tensor(value) for slot, value in slots.items()}
        for average, ema in averages.items():
            tensors |= {f"{average}.{index}": value for index, value in enumerate(ema.shadow_params)}
        metadata = {"step": str(step), "seconds": str(seconds)}
        if stream is not None:
            metadata["stream"] = json.dumps(stream.state_dict())
        save_tensors(self.state_file, tensors, metadata)

    def load_state(self, unet, optimizer, averages: dict, stream) -> tuple[int, float]:
        """Restore the state of `save_state`; (steps done, seconds of training). BadCheckpoint if it is damaged."""
        try:
            with safe_open(self.state_file, "pt") as file:
                metadata = file.metadata()
                groups = {name: {} for name in ("unet", "optimizer", *averages)}
                for name in file.keys():
                    group, _, rest = name.partition(".")
                    groups[group][rest] = file.get_tensor(name)
            _restore(groups, unet, optimizer, averages)
            if stream is not None:
                stream.load_state_dict(json.loads(metadata["stream"]))
            for ema in averages.values():
                ema.optimization_step = int(metadata["step"])
            return int(metadata["step"]), float(metadata["seconds"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise BadCheckpoint(f"{self.state_file} is damaged ({one_line(error)}): delete {self.folder} and train "
                                "again, or choose another --out") from error

    def save_pipeline(self, pipeline: CaptionPipeline, kept_as: str | None = None) -> None:
        """Make this folder a checkpoint of `pipeline`; with `kept_as`, also its subfolder of that name."""
        for target in [self.folder, *([self.folder / kept_as] if kept_as else [])]:
            with tempfile.TemporaryDirectory(prefix=".saving-", dir=self.folder) as fresh:
                pipeline.save_pretrained(fresh)
                for file in sorted(Path(fresh).rglob("*.*")):
                    with atomic_write(target / file.relative_to(fresh)) as temporary:
                        file.replace(temporary)
            if target != self.folder:
                for file in (self.config_file, self.metrics_file):
                    write_text(target / file.name, file.read_text(encoding="utf-8"))


def _restore(groups, unet, optimizer, averages) -> None:
    """Copy saved tensors, {"unet": .., "optimizer": .., average: ..}, into the objects they came from."""
    unet.load_state_dict(groups["unet"])
    slots = {}
    for name, value in groups["optimizer"].items():
        index, slot = name.split(".")
        slots.setdefault(int(index), {})[slot] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": slots})
    for average, ema in averages.items():
        for index, parameter in enumerate(ema.shadow_params):
            parameter.copy_(groups[average][str(index)])


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


def read_metrics(path) -> list[dict]:
    """The rows of a metrics.jsonl; BadCheckpoint, naming file and line, if it is missing, empty or truncated."""
    rows = []
    try:
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            rows.append(json.loads(line))
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{path}, line {len(rows) + 1}: {error}; train again, or restore the file") from error
    if not rows:
        raise BadCheckpoint(f"{path} is empty; train again, or restore the file")
    return rows


def _identity(record) -> dict:
    """The part of a record that must not change when a run resumes: all but sampling settings and training length,
    unless the learning rate decays, which depends on the number of epochs."""
    may_change = {"scheduler", "timestep_spacing", "sample_steps", "guidance_scales", "max_steps", "epochs",
                  "checkpoint_epochs"}
    defaults = {field.name: field.default for field in dataclasses.fields(Preset)}    # an older run lacks newer fields
    preset = defaults | record.get("preset", {})
    if preset["learning_rate_decay"] != "none":
        may_change.remove("epochs")
    preset = {name: value for name, value in preset.items() if name not in may_change}
    data = {"data_fingerprint": record["data_fingerprint"]} if "data_fingerprint" in record else {}
    return preset | {"loader": record.get("loader", "store")} | data
