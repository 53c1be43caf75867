"""What code writes of the report, into ``report/generated/``: the same results give the same bytes."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import BadReport
from ..paths import atomic_write
from . import pages
from .claims import check_claims
from .exhibits import TABLES, Exhibit, read_exhibits
from .findings import FINDINGS
from .number import Number, count
from .numbers import all_numbers
from .prose import Claim, Prose, read_prose
from .stored import Stored
from .verdicts import CORRECTED, REPRODUCED, UNTESTABLE, Verdict, all_verdicts, summary


@dataclass(frozen=True)
class Report:
    """What the report consists of, checked."""

    exhibits: list[Exhibit]
    numbers: dict[str, Number]                   # those that the text uses
    claims: list[Claim]
    verdicts: dict[str, list[Verdict]]


def read_report(root: Path) -> Report:
    """Check the report's text against everything that is stored under `root`.

    Raises BadData where a result cannot be read, BadReport where the text names what is not there, or claims what does
    not hold.
    """
    exhibits, numbers, prose = read_exhibits(root), all_numbers(Stored(root)), read_prose(root)
    verdicts = all_verdicts(numbers)
    numbers |= _of_verdicts(verdicts, prose)
    _check_names(prose, numbers, exhibits)
    check_claims(prose.claims, numbers, FINDINGS)
    used = {name: numbers[name] for name in sorted(prose.macros)}
    return Report([exhibits[name] for name in sorted(exhibits)], used, prose.claims, verdicts)


def write_generated(root: Path, report: Report) -> None:
    """Write what belongs to the text: macros, exhibits' notes and marks, verdicts, the lists of the appendix."""
    for name, text in {
        "numbers.tex": pages.macros(report.numbers), "exhibits.tex": pages.exhibit_lines(report.exhibits),
        "reproduced.tex": pages.reproduced(report.verdicts), "number_list.tex": pages.number_list(report.numbers),
        "provenance.tex": pages.provenance(Stored(root), report.exhibits),
    }.items():
        with atomic_write(root / TABLES / name) as temporary:
            temporary.write_text(text)


def _of_verdicts(verdicts, prose) -> dict[str, Number]:
    found, source = summary(verdicts), "typesetting/verdicts.py"
    named = {"Reproduced": found[REPRODUCED], "Corrected": found[CORRECTED], "Untestable": found[UNTESTABLE],
             "Total": sum(found.values())}
    return {f"Verdicts{name}": count(value, source) for name, value in named.items()} | {
        "CheckedClaims": count(len(prose.claims), "typesetting/findings.py")}


def _check_names(prose: Prose, numbers, exhibits):
    for name, place in prose.macros.items():
        if name not in numbers:
            raise BadReport(f"{place}: the macro \\{name} has no source: correct its name, or add it to "
                            "typesetting/numbers.py")
    for name, place in prose.exhibits.items():
        if name not in exhibits:
            raise BadReport(f"{place}: {name} is no exported figure or table: correct its name, or run t2i figures")
