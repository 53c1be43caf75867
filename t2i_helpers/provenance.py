"""The record beside every figure, table, run and checkpoint: code, versions, inputs, and what a figure reads."""

import ast
import contextlib
import ctypes
import dataclasses
import functools
import hashlib
import importlib.metadata
import io
import json
import math
import platform
import subprocess
import tokenize
from pathlib import Path

from safetensors import safe_open

from . import presets
from .errors import BadData
from .paths import ROOT, read_json, write_text
from .presets import Preset, preset_hash, to_dict

LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "datasets", "pyarrow", "torchvision", "torchmetrics",
             "pytorch-fid", "pillow", "matplotlib")
MALLOPT = {-4: 0, -1: 2**31 - 1, -2: 10**9}         # M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD of glibc's malloc.h
SCHEMA = 3                      # of the sidecars beside figures and tables
_RECORDINGS: list[list] = []     # the innermost is the last


@contextlib.contextmanager
def recording():
    """Yield a list of (kind, content) that `note_use` fills while the block runs: what a figure or table reads."""
    _RECORDINGS.append([])
    try:
        yield _RECORDINGS[-1]
    finally:
        _RECORDINGS.pop()


def note_use(kind: str, *contents) -> None:
    """Add to the innermost recording, if there is one, that `contents` are used. Kinds: "checkpoint" and "sampling"
    (dictionaries with a "pipe"), "evaluation", "rows" of the study, "images", "preset", and "file", a path."""
    if _RECORDINGS:
        _RECORDINGS[-1].extend((kind, content) for content in contents)


def git_state() -> dict:
    """The commit and whether the code differs from it; both None where ROOT is not the top of a git checkout."""
    code = ("t2i_helpers", "scripts", "pyproject.toml", "notebooks/*.py")
    commit = dirty = None
    if (ROOT / ".git").exists():
        with contextlib.suppress(OSError, subprocess.CalledProcessError):              # no git, or no commit
            head, changes = (subprocess.run(["git", "-C", ROOT, *command], capture_output=True, check=True).stdout
                             for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", *code)))
            commit, dirty = head.decode().strip(), bool(changes)
    return {"git_commit": commit, "git_dirty": dirty}


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that decide a number."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}


def device_name(device) -> str:
    """The GPU's name, or the processor's architecture and threads."""
    import torch

    kind = torch.device(device).type
    return (torch.cuda.get_device_name(device) if kind == "cuda"
            else f"{platform.machine()} {kind.upper()}, {torch.get_num_threads()} threads")


def best_device() -> str:
    """The available accelerator ("cuda", "mps"), else "cpu"."""
    import torch

    return torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"


def computes_bf16(device) -> bool:
    """Whether a device computes in bf16 without emulation: some GPUs, and CPUs with AMX or AVX512-BF16."""
    import torch

    if (kind := torch.device(device).type) == "cpu":
        return any(torch.cpu.get_capabilities().get(name) for name in ("amx_bf16", "avx512_bf16"))
    return kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc's malloc keep freed memory: page faults take a CPU up to half of a training step, an eighth of a
    sampling."""
    with contextlib.suppress(OSError, AttributeError):                          # another C library
        libc = ctypes.CDLL("libc.so.6")
        for option, value in MALLOPT.items():
            libc.mallopt(option, value)


def record(device, **more) -> dict:
    """What every result carries: code, versions and device, and `more` (preset, seeds, data, checkpoint, counts)."""
    return {**git_state(), "versions": versions(), "device": device_name(device), **more}


def preset_record(preset: Preset) -> dict:
    """The part of a record that describes the preset."""
    return {"preset": to_dict(preset), "preset_hash": preset_hash(preset)}


def file_hash(path) -> str:
    """The first 16 hexadecimal digits of a file's SHA-256."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def content_hash(content) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of `content` as JSON with sorted keys."""
    as_read = json.loads(json.dumps(content))                       # keys that are numbers become texts
    return hashlib.sha256(json.dumps(as_read, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def input_hashes(*paths) -> dict:
    """{"input_hashes": {file: hash}} of files, named by their path in the repository; elsewhere by its last 3 parts."""
    return {"input_hashes": {
        path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else "/".join(path.parts[-3:]): file_hash(path)
        for path in sorted({Path(path).resolve() for path in paths})}}


def code_hash(*modules: str) -> str:
    """The first 16 hexadecimal digits of a SHA-256 over the code of `modules`, such as "diffusion" and
    "evaluation.metrics". Comments, docstrings and blank lines do not count."""
    digest = hashlib.sha256()
    for name in sorted(modules):
        path = ROOT / "t2i_helpers" / name.replace(".", "/")
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
            code = _bare_code(file) if file.exists() else "gone"
            digest.update(f"{file.relative_to(ROOT).as_posix()}\n{code}\n".encode())
    return digest.hexdigest()[:16]


def code_record(*modules: str) -> dict:
    """The part of a record about the code of a result: {"code": {"modules": [...], "sha256_16": ...}}."""
    return {"code": {"modules": sorted(modules), "sha256_16": code_hash(*modules)}}


@functools.cache
def _bare_code(file: Path) -> str:
    source = file.read_text(encoding="utf-8")
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][:token.start[1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            first, last = node.body[0].lineno, node.body[0].end_lineno
            lines[first - 1:last] = [""] * (last - first + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def stale_reasons(record: dict, root: Path = ROOT, hashes: dict | None = None) -> list[str]:
    """Why a result is out of date, one line each: uncommitted code, newer inputs, another preset, other code. `record`
    is its sidecar; everything nested in it counts too. `hashes` caches the hashes of shared input files."""
    hashes = {} if hashes is None else hashes
    reasons = []
    for part in _dictionaries(record):
        if part.get("git_dirty", False) not in (False, [False]):
            reasons.append("made from code that no commit holds")
        if "code" in part and code_hash(*part["code"]["modules"]) != part["code"]["sha256_16"]:
            reasons.append(f"made with other code than today's {', '.join(part['code']['modules'])}")
        if "preset_hash" in part and not _is_current(part):
            preset = " ".join(str(part["preset"].get(key)) for key in ("dataset", "variant", "size"))
            reasons.append(f"made with another preset than today's {preset}")
    for name, known in record.get("input_hashes", {}).items():
        if name not in hashes:
            hashes[name] = file_hash(root / name) if (root / name).is_file() else None
        if hashes[name] != known:
            reasons.append(f"older than {name}" if hashes[name] else f"made from {name}, which is gone")
    return list(dict.fromkeys(reasons))


def _dictionaries(content):
    """`content` and every dictionary in it."""
    if isinstance(content, dict):
        yield content
    if isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from _dictionaries(value)


def _is_current(part) -> bool:
    """Whether the preset is today's, apart from the choices of a user of `t2i train`: images, encoder and seed."""
    try:
        preset = presets.from_dict(part["preset"])
    except TypeError:                                          # a field that no longer exists
        return False
    chosen = ["data_source", "text_encoder", "seed"]
    chosen += ["class_names", "caption", "resolution", "max_steps"] if preset.dataset == "own" else []
    chosen, today = ({name: getattr(preset, name) for name in chosen},
                     presets.get(preset.dataset, preset.variant, preset.size))
    return part["preset_hash"] in {preset_hash(dataclasses.replace(today, **changes | chosen))
                                   for changes in ({}, *presets.NAMED.values())}


def count_parameters(weights_file) -> int:
    """The numbers in a safetensors file, from its header, without the scales of compact weights (models/weights.py)."""
    with safe_open(weights_file, "np") as weights:
        names = set(weights.keys())
        counted = names - {f"{name}.scale" for name in names}
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in counted)


def write_json(path, content: dict) -> Path:
    """Write `content` as readable JSON, all or nothing."""
    write_text(path, json.dumps(content, indent=2) + "\n")
    return Path(path)


def write_sidecar(path, content: dict) -> Path:
    """Write the record of a figure or table with SCHEMA and its own hash; the order of keys does not matter."""
    content = json.loads(json.dumps({"schema": SCHEMA, **content}))
    return write_json(path, dict(sorted(content.items())) | {"record_sha256_16": content_hash(content)})


def read_sidecar(path) -> dict:
    """What `write_sidecar` wrote; BadData where it is missing, damaged, of another schema, or was edited since."""
    reason = "was edited after it was written"
    try:
        content = read_json(path)
        if (schema := content.get("schema") if isinstance(content, dict) else None) != SCHEMA:
            reason = f"is of schema {schema or 'unknown'}, not {SCHEMA}"
        elif content.pop("record_sha256_16", None) == content_hash(content):
            return content
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
    except (ValueError, RecursionError):
        reason = "is no JSON, or cut short"
    raise BadData(f"{path} {reason}: run t2i figures (or make report) to draw it again")
