"""Where files are read and written, and the one way to write them: all or nothing."""

import contextlib
import errno
import os
from pathlib import Path

import filelock

from .errors import OutputError, SourceUnavailable, one_line

ROOT = Path(__file__).resolve().parents[1]
DATA, CHECKPOINTS, FIGURES = ROOT / "data", ROOT / "checkpoints", ROOT / "figures"
TABLES = ROOT / "report" / "generated"
RUNS = CHECKPOINTS / "runs"             # a user's own runs, git-ignored
WEIGHTS = Path("unet") / "diffusion_pytorch_model.safetensors"      # in a checkpoint folder


def checkpoint_dir(dataset: str, variant: str, size: str) -> Path:
    """The checkpoint that figures, tables and the study of `size` use: at `full` the user's own run, existing or not;
    otherwise the one that ships. `variant` is "thesis", "improved" or, for autoguidance, "weak"."""
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


@contextlib.contextmanager
def atomic_write(path):
    """Yield a temporary file beside `path`. If the block succeeds, sync it and rename it to `path`; else remove it.

    The file gets the permissions of the umask. Raises OutputError if it cannot be written; other errors of the block,
    such as a missing input, pass through.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")   # keeps the suffix: writers choose by it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        os.chmod(temporary, mode)                  # safetensors writes files that only their owner may read
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())             # else a crash may leave the new name without the content
        os.replace(temporary, path)
    except OSError as error:
        own = map(str, (path, temporary, *path.parents))
        if not (str(error.filename) in own if error.filename else error.errno):     # a full disk has an errno only
            raise
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another output path") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path, text: str) -> None:
    """Write `text` to `path` as UTF-8, all or nothing."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def save_tensors(path, tensors: dict, metadata: dict[str, str] | None = None) -> None:
    """Write torch `tensors` by name as a safetensors file, all or nothing."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        with atomic_write(path) as temporary:
            save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, temporary, metadata)
    except SafetensorError as error:                           # such as a full disk
        raise OutputError(f"cannot write {path}: {one_line(error)}; choose another output path") from error


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
                file.write_text(str(os.getpid()))
        except filelock.Timeout as error:
            process = "unknown"
            with contextlib.suppress(OSError):
                process = file.read_text()
            raise OutputError(f"{folder} is in use by process {process}: wait until it ends, or choose another output "
                              "path") from error
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
