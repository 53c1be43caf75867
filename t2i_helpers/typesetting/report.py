r"""`t2i report`: what code writes of the report, into ``report/generated``; the same results give the same bytes.

The text names results, \val{name} and \ci{name}, findings, \claim{name}{sentence} and \finding{name}.., and exhibits.
A finding that does not hold and an exhibit that is stale are marked in the margin, and never stop the report.
"""

import json
import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadData, BadReport, one_line
from ..paths import atomic_write
from ..provenance import file_hash, read_sidecar, stale_reasons
from ..reporting.latex import escaped, prose
from .findings import why_false
from .result import UNITS, Result, is_share, nearest, to_latex
from .results import read_results

GENERATED, WRITTEN_HERE = "report/generated", ("results.json", "numbers.tex", "exhibits.tex")
USED = re.compile(r"\\(val|ci|claim|finding|exhibitfigure|exhibittable)\{([^{}#]*)\}")
VERDICTS = ("reproduced", "corrected", "not testable here")
NAMES = re.compile(r"CIFAR-10\b|ResNet-18|Inception-v3|ViT-B/32")
ARGUMENTS = re.compile(
    r"\\(?:cite\w*|[cC]?ref|label|begin|end|exhibit\w+|claim|val|ci|finding|url|input|[vh]space)(?:\[[^]]*\])?\{[^}]*\}")
MATH = re.compile(r"(?<!\\)\$.*?(?<!\\)\$|\\\[.*?\\\]|\\begin\{(equation|align)\}.*?\\end\{\1\}", re.S)


@dataclass(frozen=True)
class Exhibit:
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
    stated = _read_conditions(root / "report/findings.toml")
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
    used = sorted({(command, name) for command, name, _ in uses})
    return Report(dict(zip(WRITTEN_HERE, (_as_json(results), _numbers(used, results, false, verdicts),
                                          _exhibit_lines(exhibits)))), problems)


def find_changed(root: Path, report: Report) -> list[str]:
    """A line for each generated text that is not what `t2i report` would write."""
    folder = root / GENERATED
    return [f"{GENERATED}/{name}: not what t2i report writes today: run it" for name, text in report.texts.items()
            if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text]


def write_report(root: Path, report: Report) -> None:
    """Write the texts into ``report/generated``."""
    for name, text in report.texts.items():
        with atomic_write(root / GENERATED / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def read_exhibits(root: Path) -> dict[str, Exhibit]:
    """Every exported figure and table, by name."""
    files = [file for folder, suffixes in (("figures", (".png", ".pdf")), (GENERATED, (".tex",)))
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
        exhibits[file.stem] = Exhibit(file.relative_to(root).as_posix(), sidecar, tuple(stale))
    return exhibits


def _read_conditions(file) -> dict:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadReport(f"{file} cannot be read ({one_line(error)}): correct it") from error


def _uses(root, file) -> list[tuple[str, str, str]]:
    """(command, name, place) of all that a section names; BadReport where it types a number."""
    text = re.sub(r"(?<!\\)%.*", "", file.read_text(encoding="utf-8"))

    def place(position):
        return f"{file.relative_to(root)}, line {text.count(chr(10), 0, position) + 1}"

    prosaic = text
    for formula in MATH.finditer(text):
        if r"\%" in formula[0] or re.fullmatch(r"\$[-+\d.,]+\$", formula[0]):
            raise BadReport(f"{place(formula.start())}: a number is typed in {formula[0]}: use \\val")
    for pattern in (MATH, ARGUMENTS, NAMES):
        prosaic = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), prosaic)
    if typed := re.search(r"\d[\d.,]*", prosaic):
        raise BadReport(f"{place(typed.start())}: the number {typed[0]!r} is typed: use \\val, or words for what is no "
                        "result")
    return [(match[1], match[2], place(match.start())) for match in USED.finditer(text)]


def _as_json(results) -> str:
    """One line for each name, sorted."""
    def entry(name, result):
        unit = next((ending[1:] for ending in UNITS if name.endswith(ending)), None)
        fields = {"value": None if math.isnan(result.value) else result.value, "interval": result.interval,
                  "n": result.n, "text": result.text, "percent": is_share(name, result), "unit": unit,
                  "source": result.source}
        return {key: value for key, value in fields.items() if key in ("value", "source") or value}

    lines = (f"{json.dumps(name)}: {json.dumps(entry(name, results[name]), ensure_ascii=False)}"
             for name in sorted(results))
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _numbers(used, results, false, verdicts) -> str:
    """LaTeX's definitions of the results, findings that fail, and verdicts that the text uses."""
    lines = [rf"\setnumber{{{name}}}{{{'}{'.join(to_latex(name, results[name]))}}}"
             for name in sorted({name for command, name in used if command in ("val", "ci")})]
    lines += [rf"\setfalse{{{name}}}" for command, name in used if command == "claim" and false[name]]
    lines += [rf"\setverdict{{{name}}}{{{verdicts[name]}}}" for command, name in used if command == "finding"]
    return "\n".join(lines) + "\n"


def _exhibit_lines(exhibits) -> str:
    """LaTeX's definitions of each exhibit's file, the note that ends its caption, and why it is stale."""
    lines = []
    for name, exhibit in exhibits.items():
        note = exhibit.sidecar.get("note", "")
        if note[1:2].isalpha():                                # a word, and not a symbol such as n
            note = note[0].upper() + note[1:]
        stale = re.sub(r"[/.]|\\_", r"\g<0>\\allowbreak{}", escaped("; ".join(exhibit.stale)))
        lines.append(rf"\defineexhibit{{{name}}}{{../{exhibit.file}}}{{{prose(note)}}}{{{stale}}}" + "\n")
    return "".join(lines)
