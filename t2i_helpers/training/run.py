"""A run folder: what a training was told (config.json), what it measured (metrics.jsonl), where it stands
(state.safetensors), and the pipeline it has so far, so that the folder is itself a checkpoint."""

import dataclasses
import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import BadCheckpoint, OutputError, one_line
from ..models import WEIGHTS, CaptionPipeline
from ..paths import atomic_write
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
        """Check that `record` may go on in this folder; True if there is a state to resume from.

        Raises BadCheckpoint where the folder belongs to another preset or other data, OutputError where it cannot
        be written or holds something else.
        """
        if not self.config_file.exists():
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise OutputError(f"{self.folder} exists and is no run: choose another --out")
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
        """Write config.json: the `record` of the run's start, and under "parts" what each later stretch ran on."""
        told = ("git_commit", "git_dirty", "device", "precision", "processes")
        part = {"from_step": step} | {key: record[key] for key in told}
        config = self.config() if step else record | {"parts": []}
        write_json(self.config_file, config | {"parts": [*config["parts"], part]})
        self.truncate_metrics(step)

    def config(self) -> dict:
        """What the run was started with."""
        try:
            config = json.loads(self.config_file.read_text())
            if not isinstance(config, dict):
                raise ValueError("it holds no JSON object")
        except (OSError, ValueError) as error:
            raise BadCheckpoint(f"{self.config_file} cannot be read ({error}): restore it, or choose another --out"
                                ) from error
        return config

    def metrics(self) -> list[dict]:
        """One dictionary a step: step (from 1), epoch (from 1), loss, seconds of training so far."""
        return read_metrics(self.metrics_file)

    def log(self, rows: list[dict]) -> None:
        """Append `rows` to the metrics."""
        with self.metrics_file.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def truncate_metrics(self, step: int) -> None:
        """Drop metrics of steps that a kill left after the last saved state."""
        kept = [line for line in self.metrics_file.read_text().splitlines()
                if line.endswith("}") and json.loads(line)["step"] <= step] if self.metrics_file.exists() else []
        with atomic_write(self.metrics_file) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept))

    def save_state(self, step: int, seconds: float, unet, optimizer, averages: dict, stream) -> None:
        """Everything the next step depends on, as one safetensors file; `averages` are diffusers' EMAModels by name,
        `stream` is the WikiArtStream that training reads, or None. Random numbers need no state: see loop.py."""
        tensors = {f"unet.{name}": value for name, value in unet.state_dict().items()}
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{slot}": torch.as_tensor(value) for slot, value in slots.items()}
        for average, ema in averages.items():
            tensors |= {f"{average}.{index}": value for index, value in enumerate(ema.shadow_params)}
        tensors = {name: value.detach().contiguous() for name, value in tensors.items()}
        metadata = {"step": str(step), "seconds": str(seconds)}
        if stream is not None:
            metadata["stream"] = json.dumps(stream.state_dict())
        with atomic_write(self.state_file) as temporary:
            save_file(tensors, temporary, metadata=metadata)

    def load_state(self, unet, optimizer, averages: dict, stream) -> tuple[int, float]:
        """Restore what `save_state` wrote; (steps done, seconds of training). BadCheckpoint if it is damaged."""
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
        """Make this folder a checkpoint of `pipeline`; with `kept_as`, also keep one in that subfolder, told alike."""
        for target in [self.folder, *([self.folder / kept_as] if kept_as else [])]:
            fresh = self.folder / ".saving"
            shutil.rmtree(fresh, ignore_errors=True)
            pipeline.save_pretrained(fresh)
            for file in sorted(fresh.rglob("*.*")):
                destination = target / file.relative_to(fresh)
                destination.parent.mkdir(parents=True, exist_ok=True)
                file.replace(destination)
            shutil.rmtree(fresh)
            if target != self.folder:
                for file in (self.config_file, self.metrics_file):
                    shutil.copyfile(file, target / file.name)


def _restore(groups, unet, optimizer, averages) -> None:
    """Copy saved tensors, {"unet": .., "optimizer": .., and each average: ..}, into the objects they came from."""
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
    """What a sidecar tells of the checkpoint in `folder`: weights, training, preset, data, encoder, code."""
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
    """The rows of a metrics.jsonl; BadCheckpoint, naming file and line, where it is missing, empty or cut short."""
    rows = []
    try:
        for line in Path(path).read_text().splitlines():
            rows.append(json.loads(line))
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{path}, line {len(rows) + 1}: {error}; train again, or restore the file") from error
    if not rows:
        raise BadCheckpoint(f"{path} is empty; train again, or restore the file")
    return rows


def _identity(record) -> dict:
    """What must not change between the parts of one run: all but how its network is sampled and how long it goes on.

    A learning rate that decays depends on the number of epochs.
    """
    later = {"scheduler", "timestep_spacing", "sample_steps", "guidance_scales", "max_steps", "epochs",
             "checkpoint_epochs"}
    newer = {field.name: field.default for field in dataclasses.fields(Preset)}       # than a run of an earlier version
    preset = newer | record.get("preset", {})
    if preset["learning_rate_decay"] != "none":
        later.remove("epochs")
    preset = {name: value for name, value in preset.items() if name not in later}
    data = {"data_fingerprint": record["data_fingerprint"]} if "data_fingerprint" in record else {}
    return preset | {"loader": record.get("loader", "store")} | data
