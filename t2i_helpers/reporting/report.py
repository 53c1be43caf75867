r"""`t2i report`: what code writes of the report, into ``report/generated``; the same results give the same bytes.

The text names results, \val{name} and \ci{name}, findings, \claim{name}{sentence} and \finding{name}.., and exhibits.
A finding that does not hold and an exhibit that is stale are marked in the margin, and never stop the report.
"""

import json
import math
import os
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadData, BadReport, one_line
from ..paths import atomic_write, write_text
from ..provenance import file_hash, read_sidecar, stale_reasons
from .findings import why_false
from .latex import escaped, prose
from .result import UNITS, Result, is_share, nearest, to_latex
from .results import read_results

GENERATED, WRITTEN_HERE = "report/generated", ("results.json", "numbers.tex", "exhibits.tex")
USED = re.compile(r"\\(val|ci|claim|finding|exhibitfigure|exhibittable)\{([^{}#]*)\}")
VERDICTS = ("reproduced", "corrected", "not testable here")
MATH = re.compile(r"(?<!\\)\$.*?(?<!\\)\$|\\\[.*?\\\]|\\begin\{(equation|align)\}.*?\\end\{\1\}", re.S)
NO_RESULTS = re.compile(                # digits of formulas, arguments of commands, and names
    MATH.pattern + r"|\\(?:cite\w*|[cC]?ref|label|begin|end|exhibit\w+|claim|val|ci|finding|url|input|[vh]space)"
    r"(?:\[[^]]*\])?\{[^}]*\}|CIFAR-10\b|ResNet-18|Inception-v3|ViT-B/32", re.S)
PACKAGES = ("latexmk texlive-latex-extra texlive-science lmodern (Debian), or texlive-core latexmk (conda, as "
            "environment.yml does)")
INSTALL = f"no LaTeX here, so report/main.pdf is left as it was: install {PACKAGES}"
WARNINGS = re.compile(r"^(?:LaTeX|Package \w+) Warning: .*(?:undefined|not found|multiply[- ]defined).*"
                      r"|^Missing character.*|^Overfull \\[hv]box \((?:[5-9]|\d\d+)\.?\d*pt.*", re.M)


@dataclass(frozen=True)
class Exported:
    """An exported figure or table: its file from the root, its sidecar, and why it is stale (nothing where fresh)."""

    file: str
    sidecar: dict
    stale: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """The texts that belong into report/generated, and a line on everything that is stale or no longer true."""

    texts: dict[str, str]
    problems: list[str]


def read_report(root: Path) -> Report:
    """Read the report's text and everything that is stored under `root`.

    BadData where a result cannot be read; BadReport where the text types a number or names what does not exist.
    """
    exhibits = read_exhibits(root)
    results, contents = read_results(root, {f"{exhibit.file.rpartition('.')[0]}.json": exhibit.sidecar
                                            for exhibit in exhibits.values() if exhibit.sidecar})
    try:
        stated = tomllib.loads((root / "report/findings.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadReport(f"{root / 'report/findings.toml'} cannot be read ({one_line(error)}): correct it") from error
    uses = [use for file in sorted((root / "report/sections").glob("*.tex")) for use in _uses(root, file)]
    false = {name: why_false(conditions, results)
             for name, conditions in (stated["findings"] | stated["verdicts"]).items()}
    verdicts = {name: VERDICTS[condition is not None] for name, condition in false.items()} | {
        verdict: verdict for verdict in VERDICTS}
    given = [verdicts.get(name) for command, name, _ in uses if command == "finding"]
    results |= {f"verdicts.{verdict.split()[0]}": Result(given.count(verdict), "report/findings.toml")
                for verdict in VERDICTS} | {"verdicts.all": Result(len(given), "report/findings.toml")}
    known = {"val": results, "ci": {name for name in results if results[name].interval}, "claim": stated["findings"],
             "finding": verdicts, "exhibitfigure": {name for name in exhibits if exhibits[name].file.startswith("fig")},
             "exhibittable": {name for name in exhibits if exhibits[name].file.startswith(GENERATED)}}
    for command, name, place in uses:
        if name not in known[command]:
            raise BadReport(f"{place}: \\{command}{{{name}}} names what does not exist{nearest(name, known[command])}: "
                            "correct it, or run t2i figures or t2i evaluate where a result is missing")
    problems = [f"{exhibit.file}: {reason}" for exhibit in exhibits.values() for reason in exhibit.stale]
    problems += [f"{file}: {reason}" for file, content in contents.items()
                 if not file.startswith(("figures", GENERATED)) and not file.endswith("provenance.json")
                 for reason in stale_reasons({"rows": content}, root)]
    problems += [f"{place}: the finding {name} does not hold: {false[name]}" for command, name, place in uses
                 if command == "claim" and false[name]]
    # LaTeX's definitions of the results, findings that fail, and verdicts that the text uses
    used = sorted({(command, name) for command, name, _ in uses})
    numbers = [rf"\setnumber{{{name}}}{{{'}{'.join(to_latex(name, results[name]))}}}"
               for name in sorted({name for command, name in used if command in ("val", "ci")})]
    numbers += [rf"\setfalse{{{name}}}" for command, name in used if command == "claim" and false[name]]
    numbers += [rf"\setverdict{{{name}}}{{{verdicts[name]}}}" for command, name in used if command == "finding"]
    texts = (_as_json(results), "\n".join(numbers) + "\n", "".join(map(_exhibit_line, exhibits.items())))
    return Report(dict(zip(WRITTEN_HERE, texts)), problems)


def find_changed(root: Path, report: Report) -> list[str]:
    """A line for each generated text that is not what `t2i report` would write."""
    folder = root / GENERATED
    return [f"{GENERATED}/{name}: not what t2i report writes today: run it" for name, text in report.texts.items()
            if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text]


def write_report(root: Path, report: Report) -> None:
    """Write the texts into ``report/generated``."""
    for name, text in report.texts.items():
        write_text(root / GENERATED / name, text)


def read_exhibits(root: Path) -> dict[str, Exported]:
    """Every exported figure and table, by name."""
    files = [file for folder, suffixes in (("figures", (".png", ".pdf", ".gif")), (GENERATED, (".tex",)))
             for file in (root / folder).glob("*") if file.suffix in suffixes and file.name not in WRITTEN_HERE]
    exhibits, hashes = {}, {}
    for file in sorted(files, key=lambda file: file.name):
        try:
            sidecar = read_sidecar(file.with_suffix(".json"))
            stale = stale_reasons(sidecar, root, hashes)
            if file_hash(file) != sidecar["file_sha256_16"]:
                stale.append("not the file that its sidecar describes (edited?): run t2i figures")
        except BadData as error:
            sidecar, stale = {}, [str(error)]
        exhibits[file.stem] = Exported(file.relative_to(root).as_posix(), sidecar, tuple(stale))
    return exhibits


def _uses(root, file) -> list[tuple[str, str, str]]:
    """(command, name, place) of all that a section names; BadReport where it types a number."""
    text = re.sub(r"(?<!\\)%.*", "", file.read_text(encoding="utf-8"))

    def place(match):
        return f"{file.relative_to(root)}, line {text.count(chr(10), 0, match.start()) + 1}"

    for formula in MATH.finditer(text):
        if r"\%" in formula[0] or re.fullmatch(r"\$[-+\d.,]+\$", formula[0]):
            raise BadReport(f"{place(formula)}: a number is typed in {formula[0]}: use \\val")
    prosaic = NO_RESULTS.sub(lambda match: " " * len(match[0]), text)
    if typed := re.search(r"\d[\d.,]*", prosaic):
        raise BadReport(f"{place(typed)}: the number {typed[0]!r} is typed: use \\val, or words for what is no result")
    return [(match[1], match[2], place(match)) for match in USED.finditer(text)]


def _as_json(results) -> str:
    """One line for each name, sorted."""
    lines = []
    for name, result in sorted(results.items()):
        fields = {"value": None if math.isnan(result.value) else result.value, "interval": result.interval,
                  "n": result.n, "text": result.text, "percent": is_share(name, result),
                  "unit": next((ending[1:] for ending in UNITS if name.endswith(ending)), None),
                  "source": result.source}
        entry = {key: value for key, value in fields.items() if key in ("value", "source") or value}
        lines.append(f"{json.dumps(name)}: {json.dumps(entry, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _exhibit_line(item) -> str:
    """LaTeX's definition of an exhibit's file, the note that ends its caption, and why it is stale."""
    name, exhibit = item
    note = exhibit.sidecar.get("note", "")
    if note[1:2].isalpha():                                # a word, and not a symbol such as n
        note = note[0].upper() + note[1:]
    stale = re.sub(r"[/.]|\\_", r"\g<0>\\allowbreak{}", escaped("; ".join(exhibit.stale)))
    return rf"\defineexhibit{{{name}}}{{../{exhibit.file}}}{{{prose(note)}}}{{{stale}}}" + "\n"


def has_latex() -> bool:
    """Whether latexmk, pdflatex and bibtex are here."""
    return all(map(shutil.which, ("latexmk", "pdflatex", "bibtex")))


def build_pdf(root: Path) -> list[str]:
    """Write ``report/main.pdf`` with latexmk; returns what LaTeX warns of: references, characters, wide lines.

    BadReport, and the PDF that was there stays, where LaTeX stops.
    """
    work, main = root / "build" / "report", root / "report" / "main.pdf"
    command = ["latexmk", "-norc", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "-file-line-error",
               f"-outdir={work}", "main.tex"]
    run = subprocess.run(command, cwd=root / "report", capture_output=True, encoding="utf-8", errors="replace",
                         env=os.environ | {"max_print_line": "10000"})
    log = work / "main.log"
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else run.stdout + run.stderr
    if run.returncode:
        error = re.search(r"^(?:! |\S+:\d+: )(?!.*==> Fatal).*", text, re.M)
        line = error[0] if error else (run.stderr or run.stdout).strip().splitlines()[-1]
        missing = f" (install {PACKAGES})" if ".sty' not found" in line else ""
        raise BadReport(f"LaTeX stops: {line}{missing}; see {log}; {main.name} is left as it was")
    with atomic_write(main) as temporary:
        shutil.copyfile(work / "main.pdf", temporary)
    return list(dict.fromkeys(WARNINGS.findall(text)))
