"""LaTeX that code writes: macros, what goes with each exhibit, and the long tables."""

from ..errors import BadData, one_line
from ..provenance import file_hash
from ..reporting.booktabs import prose
from ..reporting.latex import escaped
from .stored import RESTORE

RAGGED = r">{\raggedright\arraybackslash}p"


def macros(numbers) -> str:
    """One macro for each of {name: number}."""
    return "".join(rf"\newcommand{{\{name}}}{{{number.text}\xspace}}" + "\n" for name, number in numbers.items())


def exhibit_lines(exhibits) -> str:
    """Each exhibit's file, the note that ends its caption, and why it is stale."""
    lines = []
    for exhibit in exhibits:
        note, stale = exhibit.sidecar["note"], escaped("; ".join(exhibit.stale))
        if note[1:2].isalpha():                                # a word, and not a symbol such as n
            note = note[0].upper() + note[1:]
        lines.append(rf"\defineexhibit{{{exhibit.name}}}{{../{exhibit.file}}}{{{prose(note)}}}{{{stale}}}" + "\n")
    return "".join(lines)


def reproduced(verdicts) -> str:
    """{part: verdicts on its claims} as a table."""
    rows = []
    for part, claims in verdicts.items():
        rows += [rf"\multicolumn{{4}}{{@{{}}l}}{{\textit{{{escaped(part)}}}}} \\*[2pt]"]
        for claim in claims:
            told = rf"\textbf{{{claim.verdict}}}" + (f"; {claim.reason}" if claim.reason else "")
            rows.append(_line(claim.claim, claim.printed, claim.here, told))
        rows.append(r"\addlinespace")
    columns = f"@{{}}{RAGGED}{{4.1cm}}{RAGGED}{{2.2cm}}{RAGGED}{{4.1cm}}{RAGGED}{{4.6cm}}@{{}}"
    caption = (r"\caption{Every number of the thesis's Tables 1 to 4, and what it finds, against ours. ``Thesis's "
               r"recipe'' and ``improved'' are our two variants at their small size.}\label{tab:reproduced}\\")
    return _longtable(columns, ["claim", "printed", "here", "verdict"], rows, r"\footnotesize", caption)


def number_list(numbers) -> str:
    """Every macro with its number and source; an interval has those of the number that it belongs to."""
    rows = [_line(rf"\texttt{{\textbackslash {name}}}", number.text, _breakable(escaped(number.source)))
            for name, number in numbers.items() if not name.endswith("CI")]
    return _longtable(f"@{{}}ll{RAGGED}{{8.1cm}}@{{}}", ["macro", "value", "from"], rows, r"\scriptsize")


def provenance(stored, exhibits) -> str:
    """The checkpoints and the exhibits with what identifies them."""
    folder = stored.root / "checkpoints"
    networks = [*folder.glob("*/unet"), *folder.glob("*/model.safetensors")]
    files = sorted(found.with_name("provenance.json") for found in networks)
    checkpoints = []
    for file in files:
        try:
            checkpoints.append(_checkpoint(file.parent, stored.json(str(file.relative_to(stored.root)))))
        except (LookupError, TypeError, AttributeError, OSError) as error:
            raise BadData(f"{file} does not hold what it should ({one_line(error)}): {RESTORE}") from error
    header = ["checkpoint", "commit", "steps", "text", "weights", "trained on"]
    shown = [_line(*map(escaped, (exhibit.name, _short(exhibit.sidecar["git_commit"]), exhibit.sidecar["device"],
                                  _short(exhibit.sidecar["file_sha256_16"]), "; ".join(exhibit.stale) or "fresh")))
             for exhibit in exhibits]
    return "\n".join([
        r"\subsection{Checkpoints}", _longtable("@{}llrlll@{}", header, checkpoints, r"\scriptsize"),
        r"\subsection{Figures and tables}",
        _longtable(f"@{{}}llll{RAGGED}{{4.6cm}}@{{}}", ["file", "commit", "drawn on", "hash", "state"], shown,
                   r"\scriptsize")])


def _checkpoint(folder, told) -> str:
    parts = told.get("parts") or [told]
    steps = f"\\num{{{told['steps']}}}" if "steps" in told else "--"
    devices = ", ".join(sorted({part["device"] for part in parts}))
    weights = told.get("weights_sha256_16") or file_hash(folder / "model.safetensors")
    return _line(escaped(folder.name), _short(parts[-1]["git_commit"]), steps, escaped(told.get("text_encoder") or "–"),
                 _short(weights), escaped(devices))


def _line(*cells) -> str:
    return " & ".join(cells) + r" \\"


def _longtable(columns, header, rows, size, caption="") -> str:
    """A table over several pages; only one with a caption is numbered."""
    environment = "longtable" if caption else "longtable*"
    head = [r"\toprule", _line(*(rf"\textbf{{{title}}}" for title in header)), r"\midrule"]
    return "\n".join([
        rf"{{{size}\setlength{{\tabcolsep}}{{4pt}}", rf"\begin{{{environment}}}{{{columns}}}", *filter(None, [caption]),
        *head, r"\endfirsthead", *head, r"\endhead", r"\bottomrule", r"\endlastfoot", *rows,
        rf"\end{{{environment}}}}}", ""])


def _breakable(path: str) -> str:
    """A path that may be broken after its slashes and underscores."""
    return path.replace("/", r"/\allowbreak{}").replace(r"\_", r"\_\allowbreak{}")


def _short(hexadecimal) -> str:
    return (hexadecimal or "--")[:10]
