r"""The report's text as it is written by hand: which macros, figures, tables and claims it names, and where.

Text may hold no digits, so that no number can be typed: all come from macros, but for scales and formulas in math.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadReport

LATEX_NAMES = {"LaTeX", "TeX", "Large", "Cref", "Sigma"}                              # capitals, but no numbers
NAMES = re.compile(r"CIFAR-10\b|ResNet-18|Inception-v3|ViT-B/32")
ARGUMENTS = re.compile(r"\\(?:cite\w*|[cC]?ref|label|begin|end|exhibit\w+|claim|url)(?:\[[^]]*\])?\{[^}]*\}")
MATH = re.compile(r"(?<!\\)\$.*?(?<!\\)\$|\\\[.*?\\\]|\\begin\{(equation|align)\}.*?\\end\{\1\}", re.S)
MACRO = re.compile(r"\\([A-Z][A-Za-z]*)")
CONCLUDING = ("00_abstract.tex", "10_discussion.tex", "11_conclusion.tex")      # no finding outside a claim


@dataclass(frozen=True)
class Place:
    """A file of the report's text and a line in it, as an error tells it."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True)
class Claim:
    r"""A sentence that states a finding, \claim{name}{sentence}."""

    name: str
    sentence: str
    place: Place

    @property
    def macros(self) -> set[str]:
        return set(MACRO.findall(self.sentence)) - LATEX_NAMES


@dataclass(frozen=True)
class Prose:
    """What the text names: each macro and each exhibit with its first place, and the claims."""

    macros: dict[str, Place]
    exhibits: dict[str, Place]
    claims: list[Claim]


def read_prose(root: Path) -> Prose:
    """Read ``report/main.tex`` and ``report/sections``; BadReport where one is missing, types a number, or concludes
    something that is not checked."""
    prose = Prose({}, {}, [])
    for file in [root / "report" / "main.tex", *sorted((root / "report" / "sections").glob("*.tex"))]:
        try:
            text = re.sub(r"(?<!\\)%.*", "", file.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise BadReport(f"{file} cannot be read ({error}): restore it with git checkout") from error
        _scan(file, text, prose)
    return prose


def _scan(file, text, prose):
    def place(position):
        return Place(file.relative_to(file.parents[2 if file.parent.name == "sections" else 1]),
                     text.count("\n", 0, position) + 1)

    for found in MACRO.finditer(text):
        if found[1] not in LATEX_NAMES:
            prose.macros.setdefault(found[1], place(found.start()))
    for found in re.finditer(r"\\exhibit(?:figure|table)\{([^}#]*)\}", text):
        prose.exhibits.setdefault(found[1], place(found.start()))
    rest = text
    for found in re.finditer(r"\\claim\{([^}#]*)\}(?=\{)", text):
        end = _closing(text, found.end(), place)
        prose.claims.append(Claim(found[1], " ".join(text[found.end() + 1:end].split()), place(found.start())))
        rest = _blank(rest, found.start(), end + 1)
    if file.name == "main.tex":
        return
    if file.name in CONCLUDING and (found := re.search(r"\\(?!LaTeX|TeX)[A-Z]\w*|\bthan\b", rest)):
        raise BadReport(f"{place(found.start())}: {found[0]!r} stands outside a claim: put the sentence into "
                        r"\claim and its predicate into typesetting/findings.py")
    for pattern in (MATH, ARGUMENTS, NAMES):
        for found in pattern.finditer(text):
            text = _blank(text, found.start(), found.end())
    if found := re.search(r"\d[\d.,]*", text):
        raise BadReport(f"{place(found.start())}: the number {found[0]!r} is typed: use a macro, as of appendix B")


def _closing(text, start, place) -> int:
    """The position of the brace that closes the one at `start`."""
    depth = 0
    for found in re.finditer(r"\\.|[{}]", text[start:], re.S):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if not depth:
            return start + found.start()
    raise BadReport(f"{place(start)}: a brace is not closed: close it")


def _blank(text, start, end) -> str:
    """`text` with spaces from `start` to `end`, so that positions and lines stay."""
    return text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]
