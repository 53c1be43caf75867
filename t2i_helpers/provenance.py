"""The record beside every figure, table, run and checkpoint: code, versions, inputs, and what a figure reads."""

import ast
import contextlib
import contextvars
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
from .paths import ROOT, atomic_write
from .presets import Preset, preset_hash, to_dict

LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "datasets", "pyarrow", "torchvision", "torchmetrics",
             "pytorch-fid", "pillow", "matplotlib")
SCHEMA = 3                      # of the sidecars beside figures and tables
CODE = ("t2i_helpers", "pyproject.toml", "notebooks/*.py")
_USES: contextvars.ContextVar[list | None] = contextvars.ContextVar("uses", default=None)


@contextlib.contextmanager
def recording():
    """Yield a list of (kind, content) that `note_use` fills while the block runs: what a figure or table reads."""
    token = _USES.set(uses := [])
    try:
        yield uses
    finally:
        _USES.reset(token)


def note_use(kind: str, content) -> None:
    """Add to the innermost recording, if there is one, that `content` is used.

    Kinds: "checkpoint" and "sampling" (dictionaries with a "pipe"), "evaluation", "rows" of the study, "images",
    "preset", and "file", a path. reporting/recorded.py makes metadata and notes from them.
    """
    if (uses := _USES.get()) is not None:
        uses.append((kind, content))


def git_state() -> dict:
    """The commit and whether the code differs from it; both None outside a git checkout."""

    def git(*arguments):
        result = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
        return result.stdout.strip() if result.returncode == 0 else None

    try:
        commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--", *CODE)
    except OSError:
        commit = changes = None
    return {"git_commit": commit, "git_dirty": None if changes is None else bool(changes)}


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that decide a number."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in LIBRARIES}


def device_name(device) -> str:
    """A device in words: the GPU's name, or the processor's."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {kind.upper()}, {torch.get_num_threads()} threads"


def best_device() -> str:
    """The accelerator that is here ("cuda", "mps"), else "cpu"."""
    import torch

    return torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"


def computes_bf16(device) -> bool:
    """Whether a device computes in bf16 and does not emulate it: some GPUs, and CPUs with AMX or AVX512-BF16."""
    import torch

    kind = torch.device(device).type
    if kind == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    return kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


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


def code_hash(*modules: str) -> str:
    """The first 16 hexadecimal digits of a SHA-256 over the code of `modules` ("diffusion", "evaluation.metrics").

    A name is a module or a subpackage of t2i_helpers. Comments, docstrings and blank lines do not count, so that the
    hash changes only where the code does.
    """
    digest = hashlib.sha256()
    for name in sorted(modules):
        path = ROOT / "t2i_helpers" / name.replace(".", "/")
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
            digest.update(f"{file.relative_to(ROOT).as_posix()}\n{_bare_code(file)}\n".encode())
    return digest.hexdigest()[:16]


def code_record(*modules: str) -> dict:
    """The part of a record that tells which code made a result: {"code": {"modules": [...], "sha256_16": ...}}."""
    return {"code": {"modules": sorted(modules), "sha256_16": code_hash(*modules)}}


@functools.cache
def _bare_code(file: Path) -> str:
    """A module's source without comments, docstrings and blank lines."""
    source = file.read_text(encoding="utf-8")
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][:token.start[1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
                node, clean=False) is not None:
            first, last = node.body[0].lineno, node.body[0].end_lineno
            lines[first - 1:last] = [""] * (last - first + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def stale_reasons(record: dict, root: Path = ROOT, hashes: dict | None = None) -> list[str]:
    """Why a result is out of date, one line each: uncommitted code, newer inputs, another preset, other code.

    `record` is its sidecar. Everything nested in it counts too. `hashes` caches the hashes of input files that several
    results share.
    """
    hashes = {} if hashes is None else hashes
    reasons = []
    dirty = [value for part in _parts_with(record, "git_dirty") for value in (
        part["git_dirty"] if isinstance(part["git_dirty"], list) else [part["git_dirty"]])]
    if any(value is not False for value in dirty):
        reasons.append("made from code that no commit holds")
    for name, known in record.get("input_hashes", {}).items():
        if name not in hashes:
            hashes[name] = file_hash(root / name) if (root / name).is_file() else None
        if hashes[name] != known:
            reasons.append(f"older than {name}" if hashes[name] else f"made from {name}, which is gone")
    for part in _parts_with(record, "code"):
        modules = part["code"]["modules"]
        if code_hash(*modules) != part["code"]["sha256_16"]:
            reasons.append(f"made with other code than today's {', '.join(modules)}")
    for part in _parts_with(record, "preset_hash"):
        if not _is_current(part):
            preset = " ".join(str(part["preset"].get(key)) for key in ("dataset", "variant", "size"))
            reasons.append(f"made with another preset than today's {preset}")
    return list(dict.fromkeys(reasons))


def _parts_with(record, key):
    """Every dictionary in `record`, itself included, that has `key`."""
    if isinstance(record, dict):
        if key in record:
            yield record
        for value in record.values():
            yield from _parts_with(value, key)
    elif isinstance(record, list):
        for value in record:
            yield from _parts_with(value, key)


def _is_current(part) -> bool:
    """Whether the preset is today's, apart from what `t2i train` lets a user choose: source, encoder and seed."""
    try:
        preset = presets.from_dict(part["preset"])
    except TypeError:                                          # a field that no longer exists
        return False
    today = presets.get(preset.dataset, preset.variant, preset.size)
    chosen = dict(data_source=preset.data_source, text_encoder=preset.text_encoder, seed=preset.seed)
    return presets.preset_hash(dataclasses.replace(today, **chosen)) == part["preset_hash"]


def count_parameters(weights_file) -> int:
    """The numbers in a safetensors file, from its header; SafetensorError or OSError where it cannot be read."""
    with safe_open(weights_file, "np") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())


def content_hash(content) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of `content` as JSON, however it is laid out."""
    as_read = json.loads(json.dumps(content))                       # numbers that are keys become texts
    canonical = json.dumps(as_read, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def input_hashes(*paths) -> dict:
    """{"input_hashes": {file: hash}} of the files that a result was made from.

    Files are named by their path in the repository, and files elsewhere by the last three parts of their path.
    """
    def name(path):
        return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else "/".join(path.parts[-3:])

    return {"input_hashes": {name(path): file_hash(path) for path in sorted({Path(path).resolve() for path in paths})}}


def write_json(path, content: dict) -> Path:
    """Write `content` as readable JSON, all or nothing."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return Path(path)


def write_sidecar(path, content: dict) -> Path:
    """Write the record of a figure or table with SCHEMA and its own hash; the order of keys does not matter."""
    content = json.loads(json.dumps({"schema": SCHEMA, **content}))
    return write_json(path, dict(sorted(content.items())) | {"record_sha256_16": content_hash(content)})


def read_sidecar(path) -> dict:
    """What `write_sidecar` wrote; BadData where it is missing, damaged, of another schema, or was edited since."""
    remedy = "run t2i figures (or make report) to draw it again"
    try:
        content = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise BadData(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    except ValueError as error:
        raise BadData(f"{path} is no JSON, or cut short: {remedy}") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise BadData(f"{path} is of schema {schema or 'unknown'}, not {SCHEMA}: {remedy}")
    if content.get("record_sha256_16") != content_hash({k: v for k, v in content.items() if k != "record_sha256_16"}):
        raise BadData(f"{path} was edited after it was written: {remedy}")
    return content
