"""What code writes of the report, into ``report/generated/``: the same results give the same bytes."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import BadReport
from ..paths import atomic_write
from . import pages
from .claims import check_claims, like
from .exhibits import FIGURES, TABLES, WRITTEN_HERE, Exhibit, read_exhibits
from .findings import FINDINGS
from .number import Number, count
from .numbers import all_numbers
from .prose import Claim, Prose, read_prose
from .stored import Stored
from .verdict import CORRECTED, REPRODUCED, UNTESTABLE, Verdict
from .verdicts import TABLE_4, all_verdicts, summary


@dataclass(frozen=True)
class Report:
    """What the report consists of, checked."""

    exhibits: list[Exhibit]
    numbers: dict[str, Number]                   # those that the text uses
    claims: list[Claim]
    verdicts: dict[str, list[Verdict]]
    stored: Stored


def read_report(root: Path) -> Report:
    """Check the report's text against everything that is stored under `root`.

    Raises BadData where a result cannot be read, BadReport where the text names what is not there, or claims what does
    not hold.
    """
    stored = Stored(root)
    exhibits, numbers, prose = read_exhibits(root), all_numbers(stored), read_prose(root)
    verdicts = all_verdicts(numbers)
    numbers |= _of_verdicts(verdicts, prose)
    _check_names(prose, numbers, exhibits)
    check_claims(prose.claims, numbers, FINDINGS)
    used = {name: numbers[name] for name in sorted(prose.macros)}
    return Report([exhibits[name] for name in sorted(exhibits)], used, prose.claims, verdicts, stored)


def texts(report: Report) -> dict[str, str]:
    """{file: content} of what belongs to the text: macros, exhibits' notes and marks, verdicts, lists."""
    made = (pages.macros(report.numbers), pages.exhibit_lines(report.exhibits), pages.reproduced(report.verdicts),
            pages.number_list(report.numbers), pages.provenance(report.stored, report.exhibits))
    return dict(zip(WRITTEN_HERE, made, strict=True))


def write_generated(report: Report) -> None:
    """Write `texts` into ``report/generated``."""
    for name, text in texts(report).items():
        with atomic_write(report.stored.root / TABLES / name) as temporary:
            temporary.write_text(text)


def find_stale(report: Report) -> list[str]:
    """A line for each figure, table or result that is not what code, presets and runs give today."""
    lines = [f"{exhibit.file}: {reason}" for exhibit in report.exhibits for reason in exhibit.stale]
    lines += [f"{name}: made from code that no commit holds" for name in report.stored.uncommitted()
              if not name.startswith((FIGURES, TABLES))]
    return lines


def find_changed(report: Report) -> list[str]:
    """A line for each generated text that is not what `t2i report` would write."""
    folder = report.stored.root / TABLES
    return [f"{TABLES}/{name}: not what t2i report writes today: run it" for name, text in texts(report).items()
            if not (folder / name).is_file() or (folder / name).read_text() != text]


def _of_verdicts(verdicts, prose) -> dict[str, Number]:
    found, source = summary(verdicts), "typesetting/verdicts.py"
    cells = [claim for claim in verdicts[TABLE_4] if claim.verdict == CORRECTED]
    numbers = {"CheckedClaims": count(len(prose.claims), "typesetting/findings.py"),
               "ContradictedCells": count(len(cells), source),
               "ContradictedCellsMnist": count(sum(claim.claim.endswith("MNIST") for claim in cells), source)}
    for setting, title in ((True, "Settings"), (False, "Findings")):
        named = {"Reproduced": found[setting, REPRODUCED], "Corrected": found[setting, CORRECTED],
                 "Untestable": found[setting, UNTESTABLE]}
        for name, many in {**named, "Total": sum(named.values())}.items():
            numbers[title + name] = count(many, source)
    return numbers


def _check_names(prose: Prose, numbers, exhibits):
    for name, place in prose.macros.items():
        if name not in numbers:
            raise BadReport(f"{place}: the macro \\{name} has no source{like(name, numbers)}: correct its name, "
                            "restore the result that it tells of, or add it to t2i_helpers/typesetting/")
    for (kind, name), place in prose.exhibits.items():
        if name in exhibits and (kind == "table") != exhibits[name].file.endswith(".tex"):
            raise BadReport(f"{place}: {exhibits[name].file} is no {kind}: show it with the other command")
        if name not in exhibits:
            raise BadReport(f"{place}: {name} is no exported figure or table{like(name, exhibits)}: correct its name, "
                            "or run t2i figures")
