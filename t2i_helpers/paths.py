"""Where files are read and written, and the one way to write them: all or nothing."""

import atexit
import contextlib
import errno
import functools
import glob
import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import filelock
import psutil
from safetensors import SafetensorError

from .errors import OutputError, SourceUnavailable, one_line

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = not (ROOT / "pyproject.toml").is_file()                 # as a package, without the repository around it
HOME = Path(os.environ.get("T2I_HOME") or (Path("~/.t2i") if INSTALLED else ROOT)).expanduser().resolve()
DATA, RUNS = HOME / "data", HOME / "checkpoints" / "runs"           # caches, and a user's own runs: git ignores both
CHECKPOINTS = (HOME if INSTALLED else ROOT) / "checkpoints"         # those that ship with the repository
FIGURES, TABLES = ROOT / "figures", ROOT / "report" / "generated"
LARGEST_JSON = 2**26                    # bytes
WEIGHTS = Path("unet") / "diffusion_pytorch_model.safetensors"      # in a checkpoint folder


def checkpoint_dir(dataset: str, variant: str, size: str) -> Path:
    """The checkpoint of figures, tables and the study of `size`: at `full` the user's own run, existing or not, else
    the one that ships. `variant` is "thesis", "improved" or, for autoguidance, "weak"."""
    return RUNS / f"{dataset}-{variant}-full" if size == "full" else CHECKPOINTS / f"{dataset}-{variant}"


def study_dir(size: str) -> Path:
    """The folder of the guidance study's results: the user's own at `full`, otherwise those that ship."""
    return RUNS / "study-full" if size == "full" else CHECKPOINTS / "study"


def figures_dir(size: str) -> Path:
    """`figures/`; at `smoke`, whose images only show that the code runs, a folder under `build/`."""
    return ROOT / "build" / "smoke-figures" if size == "smoke" else FIGURES


def tables_dir(size: str) -> Path:
    """`report/generated/`; at `smoke`, a folder under `build/`."""
    return ROOT / "build" / "smoke-tables" if size == "smoke" else TABLES


def mirror(kind: str, name: str) -> Path | None:
    """``$T2I_MIRROR/<kind>/<owner>/<name>`` if that folder exists; `kind` is "datasets" or "models"."""
    root = os.environ.get("T2I_MIRROR")
    if root and not Path(root).is_dir():
        raise SourceUnavailable(f"T2I_MIRROR is {root}, which is not a folder: correct or unset it")
    folder = Path(root or os.devnull) / kind / name
    return folder if folder.is_dir() else None


def check_repository() -> None:
    """Raise SourceUnavailable if the package is installed without the repository around it."""
    if INSTALLED:
        raise SourceUnavailable("notebooks, figures and report are not installed: clone the repository for them")


@contextlib.contextmanager
def scratch_folder(path):
    """Yield an empty folder beside `path` for what will be `path`; it and what killed processes left are removed.
    OutputError if it cannot be written; other errors of the block, such as a missing input, pass through."""
    path = Path(path)
    prefix = f".{path.name[:60]}.{platform.node()}-"
    folder = path.parent / f"{prefix}{os.getpid()}"
    try:
        with _output_errors(path, folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            for other in path.parent.glob(f"{glob.escape(prefix)}*"):
                process = other.name.removeprefix(prefix)
                if process == str(os.getpid()) or process.isdecimal() and not psutil.pid_exists(int(process)):
                    shutil.rmtree(other, ignore_errors=True)
            folder.mkdir()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _output_errors(path, folder):
    """OutputError in place of any library's error of writing `path` or into its scratch `folder`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if isinstance(error, SafetensorError):
            ours, reason = "while serializing" in str(error), one_line(error)
        else:
            name = Path(os.fsdecode(error.filename or folder))
            ours, reason = name in (path, *path.parents) or name.is_relative_to(folder), error.strerror
        if not ours or not reason:
            raise
        moved = path.is_relative_to(DATA) or path.is_relative_to(RUNS)
        remedy = "free some space or set T2I_HOME" if moved else "free some space or choose another output path"
        raise OutputError(f"cannot write {path}: {reason}; {remedy}") from error


@contextlib.contextmanager
def atomic_write(path):
    """Yield a temporary file for `path`. If the block succeeds, sync it and rename it to `path`; else remove it. It
    gets the permissions of the umask. A link is replaced. Errors as in `scratch_folder`."""
    path = Path(path)
    with scratch_folder(path) as folder:
        if path.exists() and not path.is_file():               # root could even replace /dev/null
            raise OSError(errno.EINVAL, "it is a folder, a device or a pipe", str(path))
        temporary = folder / f".{path.name}"       # keeps the suffix: writers choose by it
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        os.chmod(temporary, mode)                  # safetensors writes files that only their owner may read
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())             # else a crash may leave the new name without the content
        os.replace(temporary, path)


def write_text(path, text: str) -> None:
    """Write `text` to `path` as UTF-8, all or nothing."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def append_text(path, text: str) -> None:
    """Add `text` to the end of `path` as UTF-8; OutputError if it cannot be written."""
    with _output_errors(path, path), open(path, "a", encoding="utf-8", newline="\n") as file:
        file.write(text)


def read_json(path):
    """The JSON in `path`, UTF-8 of at most 64 MB; OSError if it cannot be read, ValueError if it is not that."""
    with open(path, "rb") as file:
        content = file.read(LARGEST_JSON + 1)
    if len(content) > LARGEST_JSON:
        raise ValueError("it is larger than 64 MB")
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def save_tensors(path, tensors: dict, metadata: dict[str, str] | None = None) -> None:
    """Write torch `tensors` by name as a safetensors file, all or nothing."""
    from safetensors.torch import save_file

    with atomic_write(path) as temporary:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, temporary, metadata)


def cached(name: str, make) -> dict:
    """The tensors that `make()` returns by name, kept as ``data/<name>.safetensors``. A damaged file is replaced; if
    none can be written, there is only a warning. `name` ends with a hash of everything that they depend on, the version
    of the code included."""
    from safetensors.torch import load_file

    path = DATA / f"{name}.safetensors"
    with contextlib.suppress(OSError, SafetensorError):
        return load_file(path)
    tensors = make()
    try:
        save_tensors(path, tensors)
    except OutputError as error:
        _warn_of_cache(one_line(error.__cause__))
    return tensors


@functools.cache
def cache_folder(folder: Path) -> Path:
    """`folder`, or, with a warning, a temporary folder for this process if files cannot be written there."""
    try:
        check_writable(folder / "file")
    except OutputError as error:
        _warn_of_cache(one_line(error.__cause__))
        folder = Path(tempfile.mkdtemp(prefix="t2i-")) / folder.name
        atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    return folder


@functools.cache
def _warn_of_cache(reason):
    print(f"warning: nothing is kept in {DATA} ({reason}): set T2I_HOME to another folder", file=sys.stderr)


@contextlib.contextmanager
def directory_lock(folder, wait: bool = True):
    """Let only one process at a time write `folder`. The others wait, or without `wait` raise OutputError with that
    process's id. A killed process leaves no lock. OutputError if the folder's parent cannot be written."""
    folder = Path(folder).resolve()
    file = folder.with_name(f".{folder.name}.lock")
    with contextlib.ExitStack() as stack:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(filelock.FileLock(file, blocking=wait))
            with contextlib.suppress(PermissionError):      # Windows: nobody can write or read a locked file
                file.write_text(str(os.getpid()), encoding="utf-8")
        except filelock.Timeout as error:
            process = "unknown"
            with contextlib.suppress(OSError):
                process = file.read_text(encoding="utf-8")
            raise OutputError(f"{folder} is in use by process {process}: wait, or choose another output") from error
        except OSError as error:
            raise OutputError(f"cannot write beside {folder}: {error.strerror}; choose another folder") from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.unlink()                       # while it is held: processes that wait for it notice


def check_writable(path) -> None:
    """Raise OutputError now, before minutes of work, if a file at `path` could not be written later."""
    existed = Path(path).parent.exists()
    with contextlib.suppress(InterruptedError), atomic_write(path):
        raise InterruptedError                     # leaves before the rename
    if not existed:
        with contextlib.suppress(OSError):
            Path(path).parent.rmdir()
