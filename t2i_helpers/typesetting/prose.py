r"""The report's text as it is written by hand: which macros, figures, tables and claims it names, and where.

Text may hold no digits, so that no number can be typed: all come from macros, but for scales and formulas in math.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadReport
from .claims import like

LATEX_NAMES = {"LaTeX", "TeX", "Large", "Cref", "Delta", "Gamma", "Lambda", "Omega", "Phi", "Pi", "Psi", "Sigma",
               "Theta", "Xi"}                                        # capitals, but no numbers
NAMES = re.compile(r"CIFAR-10\b|ResNet-18|Inception-v3|ViT-B/32")
ARGUMENTS = re.compile(
    r"\\(?:cite\w*|[cC]?ref|label|begin|end|exhibit\w+|claim|url|input|[vh]space)(?:\[[^]]*\])?\{[^}]*\}")
MATH = re.compile(r"(?<!\\)\$.*?(?<!\\)\$|\\\[.*?\\\]|\\begin\{(equation|align)\}.*?\\end\{\1\}", re.S)
LINK = re.compile(r"\\(cite\w*|[cC]?ref)(?:\[[^]]*\])*\{([^}]*)\}")
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
    exhibits: dict[tuple[str, str], Place]       # by ("figure" or "table", name)
    claims: list[Claim]


def read_prose(root: Path) -> Prose:
    """Read ``report/main.tex`` and the sections that it takes in; BadReport where one is missing, types a number, or
    concludes something that is not checked."""
    prose, main = Prose({}, {}, []), root / "report" / "main.tex"
    text = _read(main)
    place = _placer(root, main, text)
    _collect(text, place, prose)
    _refuse_typed_numbers(_blank(text, 0, text.find(r"\begin{document}")), place)
    labels = {"tab:reproduced"}                                                  # in a table that code writes
    keys = set(re.findall(r"@\w+\{([^,\s]+),", _read(main.with_name("references.bib"))))
    links = []
    for name in re.findall(r"\\input\{(sections/[^}]*)\}", text):
        file = main.parent / f"{name}.tex"
        text = _read(file)
        place = _placer(root, file, text)
        spans = _collect(text, place, prose)
        labels |= set(re.findall(r"\\label\{([^}]*)\}", text))
        links += [(found[1], key.strip(), place(found.start())) for found in LINK.finditer(text)
                  for key in found[2].split(",")]
        if file.name in CONCLUDING:
            _refuse_unchecked(text, spans, place)
        _refuse_typed_numbers(text, place)
    labels |= {f"{kind[:3]}:{name}" for kind, name in prose.exhibits}
    for command, key, where in links:
        if key not in (keys if command.startswith("cite") else labels):
            raise BadReport(f"{where}: \\{command} names {key!r}, which is nowhere{like(key, keys | labels)}: "
                            "correct it")
    return prose


def _read(file) -> str:
    try:
        return re.sub(r"(?<!\\)%.*", "", file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise BadReport(f"{file} cannot be read ({error}): restore it with git checkout") from error


def _placer(root, file, text):
    """A function from a position in the text to its Place."""
    return lambda position: Place(file.relative_to(root), text.count("\n", 0, position) + 1)


def _collect(text, place, prose) -> list[tuple[int, int]]:
    """Put what the text names into `prose`; returns where its claims begin and end."""
    for found in MACRO.finditer(text):
        if found[1] not in LATEX_NAMES:
            prose.macros.setdefault(found[1], place(found.start()))
    for found in re.finditer(r"\\exhibit(figure|table)\{([^}#]*)\}", text):
        if found.groups() in prose.exhibits:
            raise BadReport(f"{place(found.start())}: {found[2]} is shown twice: refer to it the second time")
        prose.exhibits[found.groups()] = place(found.start())
    spans, names = [], {claim.name for claim in prose.claims}
    for found in re.finditer(r"\\claim\{([^}#]*)\}(\{?)", text):
        if not found[2] or found[1] in names:
            wrong = "stands twice: rename one" if found[2] else "has no sentence: write it behind the name"
            raise BadReport(f"{place(found.start())}: the claim {found[1]!r} {wrong}")
        names.add(found[1])
        end = _closing(text, found.start(2), place)
        prose.claims.append(Claim(found[1], " ".join(text[found.end():end].split()), place(found.start())))
        spans.append((found.start(), end + 1))
    return spans


def _refuse_unchecked(text, spans, place):
    """Where conclusions are drawn, numbers and comparisons stand in claims only."""
    for span in spans:
        text = _blank(text, *span)
    for found in re.finditer(r"\\([A-Z]\w*)|\bthan\b|\bper cent\b", text):
        if found[1] not in LATEX_NAMES:
            raise BadReport(f"{place(found.start())}: {found[0]!r} stands outside a claim: put the sentence into "
                            r"\claim and its predicate into t2i_helpers/typesetting/findings.py")


def _refuse_typed_numbers(text, place):
    for math in MATH.finditer(text):
        if r"\%" in math[0] or re.fullmatch(r"\$[-+\d.,]+\$", math[0]):
            raise BadReport(f"{place(math.start())}: a number is typed in {math[0]}: use a macro, as of appendix B")
    for pattern in (MATH, ARGUMENTS, NAMES):
        for found in pattern.finditer(text):
            text = _blank(text, *found.span())
    if found := re.search(r"\d[\d.,]*", text):
        raise BadReport(f"{place(found.start())}: the number {found[0]!r} is typed: use a macro, as of appendix B, or "
                        "words for what is no result")


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
