"""The exported figures and tables with their sidecars, and which of them are stale."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import BadData, BadValue
from ..provenance import file_hash, read_sidecar, stale_reasons
from ..reporting.latex import escaped

FIGURES, TABLES = "figures", "report/generated"
WRITTEN_HERE = ("numbers.tex", "exhibits.tex", "reproduced.tex", "number_list.tex", "provenance.tex")     # t2i report
TOLD = ("file", "file_sha256_16", "git_commit", "git_dirty", "device", "size", "note")
AGAIN = "run t2i figures to draw it again"


@dataclass(frozen=True)
class Exhibit:
    """One exported file, its sidecar, and why it is stale (nothing where it is fresh)."""

    name: str
    file: str                            # from the root
    sidecar: dict
    stale: tuple[str, ...]


def read_exhibits(root: Path) -> dict[str, Exhibit]:
    """Every exhibit by name; BadData where a sidecar is missing, edited, of an older schema, or not of its file."""
    found, hashes = {}, {}
    for folder, suffixes in ((FIGURES, (".png", ".pdf")), (TABLES, (".tex",))):
        files = {path for path in (root / folder).glob("*") if path.suffix in suffixes} - {
            root / folder / name for name in WRITTEN_HERE}
        told = {path: _sidecar(path) for path in (root / folder).glob("*.json")}
        sidecars = {path.with_name(sidecar["file"]): sidecar for path, sidecar in told.items()}
        for path in sorted(files | sidecars.keys()):
            sidecar = sidecars.get(path) or _sidecar(path.with_suffix(".json"))
            found[path.stem] = _exhibit(root, path, sidecar, hashes)
    return found


def _sidecar(path) -> dict:
    found = read_sidecar(path)
    if missing := [key for key in TOLD if key not in found]:
        raise BadData(f"{path} does not tell {missing[0]}: {AGAIN}, or remove it if it belongs to no figure or table")
    return found


def _exhibit(root, path, sidecar, hashes) -> Exhibit:
    try:
        plain = escaped(path.stem) == path.stem.replace("_", r"\_")
    except BadValue:
        plain = False
    if not plain:
        raise BadData(f"{path}: a name with characters that LaTeX reads as its own: rename the file and its sidecar")
    if not path.is_file():
        raise BadData(f"{path} is missing and its sidecar is there: {AGAIN}, or remove the sidecar")
    if file_hash(path) != sidecar["file_sha256_16"]:
        raise BadData(f"{path} is not the file that its sidecar tells (edited?): {AGAIN}")
    return Exhibit(path.stem, path.relative_to(root).as_posix(), sidecar, tuple(stale_reasons(sidecar, root, hashes)))
