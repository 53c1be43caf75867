"""Where things are read and written, and how a file is replaced without ever being half there."""

import contextlib
import os
from pathlib import Path

import filelock

from .errors import OutputError, SourceUnavailable

ROOT = Path(__file__).resolve().parents[1]
DATA, CHECKPOINTS, FIGURES = ROOT / "data", ROOT / "checkpoints", ROOT / "figures"
TABLES = ROOT / "report" / "generated"
RUNS = CHECKPOINTS / "runs"             # a user's own runs, git-ignored
WEIGHTS = Path("unet") / "diffusion_pytorch_model.safetensors"      # in a checkpoint folder


def checkpoint_dir(dataset: str, variant: str, size: str) -> Path:
    """The checkpoint that a figure, a table or the study of `size` uses.

    `variant` is "thesis", "improved" or, for autoguidance, "weak". At `full` it is the user's own run, whether it is
    there yet or not; else it is the checkpoint that ships. Evaluations lie in the same folder.
    """
    return RUNS / f"{dataset}-{variant}-full" if size == "full" else CHECKPOINTS / f"{dataset}-{variant}"


def study_dir(size: str) -> Path:
    """The folder of the guidance study's results: the user's own at `full`, else those that ship."""
    return RUNS / "study-full" if size == "full" else CHECKPOINTS / "study"


def figures_dir(size: str) -> Path:
    """`figures/`, but for `smoke`, whose pictures only show that the code runs."""
    return ROOT / "build" / "smoke-figures" if size == "smoke" else FIGURES


def tables_dir(size: str) -> Path:
    """`report/generated/`, but for `smoke`."""
    return ROOT / "build" / "smoke-tables" if size == "smoke" else TABLES


def mirror(kind: str, name: str) -> Path | None:
    """``$T2I_MIRROR/<kind>/<owner>/<name>`` where that folder exists; `kind` is "datasets" or "models"."""
    root = os.environ.get("T2I_MIRROR")
    if root and not Path(root).is_dir():
        raise SourceUnavailable(f"T2I_MIRROR names {root}, which is no folder: correct or unset it")
    folder = Path(root) / kind / name if root else None
    return folder if folder and folder.is_dir() else None


@contextlib.contextmanager
def atomic_write(path):
    """Yield a temporary path beside `path`; sync and rename it over `path` if all went well, else remove it.

    Raises OutputError where the folder cannot be made or the file cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")   # keeps the suffix: writers choose by it
    try:
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
        if not path.parent.is_dir():
            raise OSError(f"{path.parent} is a file, not a folder")
        if path.is_dir():
            raise OSError(f"{path} is a folder")
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())         # else a crash may leave the new name with none of the content
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another output path") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def directory_lock(folder):
    """Processes that would make `folder` wait here for the first of them, and then find it made.

    Raises OutputError where its parent cannot be written.
    """
    folder = Path(folder).resolve()
    lock = filelock.FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise OutputError(f"cannot write beside {folder}: {error.strerror}; choose another folder") from error
    try:
        yield
    finally:
        lock.release()


def check_writable(path) -> None:
    """Raise OutputError now, before minutes of work, if a file at `path` could not be written later."""
    path = Path(path)
    existed = path.parent.exists()
    with contextlib.suppress(_Probe), atomic_write(path) as temporary:
        temporary.touch()
        raise _Probe
    if not existed:
        with contextlib.suppress(OSError):
            path.parent.rmdir()


class _Probe(Exception):
    """Leaves atomic_write before it renames."""
