r"""LaTeX of the report: escaped text, numbers rounded to what their intervals support, and tables."""

import itertools
import math
import re
import textwrap
import unicodedata

_SPECIAL = str.maketrans({**{plain: rf"\{plain}" for plain in "&%$#_{}"}, "^": r"\textasciicircum{}", "~": r"$\sim$",
                          "\\": r"\textbackslash{}", "\N{NO-BREAK SPACE}": "~"})
# between two characters that the font would join into another one
_LIGATURE = re.compile("|".join(f"(?<={each})(?={each})" for each in "-<>,'`") + "|(?<=[?!])(?=`)")
_NUMBER = re.compile(r"-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?")
REFERENCE = "real images"                               # the row after a rule
LONG, X = 28, r">{\raggedright\arraybackslash}X"        # characters of text that is broken, in such a column
# w, n, s, c as symbols: alone, and neither a possessive's s nor seconds
_SYMBOL = re.compile(r"((?<![\w'’./])(?<!\d )(?<!\((?=s\)))[cnsw](?![\w'’.]))")


def cell(value, percent: bool = False) -> str | list[str]:
    """What a table shows of a metric, {"value", "interval"}: see `rounded`; of another number its digits; or a text."""
    if isinstance(value, dict):
        return rounded(value["value"], *value["interval"], percent=percent)
    return f"{value:,}" if isinstance(value, int) else f"{value:.2g}" if isinstance(value, float) else value


def rounded(value: float, *ends: float, percent: bool = False) -> list[str]:
    """The number and the ends of its interval, to two digits of the interval's width; percentages have no sign.

    A number without an interval is printed as it is where it has up to four digits, else to about three.
    """
    value, *ends = (100 * number if percent else number for number in (value, *ends))
    size, width = abs(value), abs(ends[1] - ends[0]) if ends else 0
    if ends:
        digits = max(0, min(1 - math.floor(math.log10(width)) if width else 3, 1 if percent else 3))
    elif percent:
        return [f"{value:.1f}".removesuffix(".0")]
    elif isinstance(value, int) or float(f"{value:.4g}") == value:
        return [f"{value:.0e}" if 0 < size < 0.01 else f"{value:g}" if size < 1e4 else f"{value:.0f}"]
    else:
        digits = sum(size < limit for limit in (1, 10, 1000))
    return [text if (text := f"{number:.{digits}f}").strip("-0.") else text.lstrip("-") for number in (value, *ends)]


def escaped(text: str) -> str:
    """`text` as LaTeX prints it; main.tex declares characters that are neither ASCII nor Latin."""
    parts = _LIGATURE.split(unicodedata.normalize("NFC", text))
    return "{}".join(part.translate(_SPECIAL) for part in parts)


def prose(text: str) -> str:
    """Escaped text with our symbols in italics, w = 2 on one line, and minus signs where hyphens are between spaces."""
    text = re.sub(r"(?<=\b[cnsw]) = (?=\d)", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}", text.replace(" - ", " − "))
    pieces = _SYMBOL.split(text)
    tex = "".join(f"${piece}$" if place % 2 else escaped(piece) for place, piece in enumerate(pieces))
    return "{}" * tex.startswith(("[", "*")) + tex              # no option of the row's end before it


def tabular(header: list[str], rows: list[list]) -> str:
    """A booktabs table of `cell`s, no wider than the text: numbers aligned at the decimal point, over their intervals.

    Titles "a: b", "a: c" side by side share the head a; a rule stands before the row of real images.
    """
    titles, *others = zip(*rows)
    tall = any(isinstance(cell, list) for row in rows for cell in row)
    columns = [X if max(map(len, titles)) > LONG and not tall else "l", *map(_column, others)]
    if X in columns:                                        # beside paragraphs, text is to the left
        columns = ["l" if column == "r" else column for column in columns]
    space = r"\addlinespace[2.5pt]" * (tall or X in columns)
    lines = []
    for row in rows:
        before = (r"\midrule " if row[0] == REFERENCE else space) * bool(lines)
        for line in itertools.zip_longest(*map(_lines, row, columns), fillvalue=""):
            lines.append(before + " & ".join(line) + r" \\")
            before = r"\noalign{\vskip-1.5pt}"
    kind, width = ("tabularx", r"{\textwidth}") if X in columns else ("tabular", "")
    return "\n".join([r"\begingroup\footnotesize\setlength{\tabcolsep}{4.5pt}\begin{adjustbox}{max width=\textwidth}",
                      rf"\begin{{{kind}}}{width}{{@{{}}{''.join(columns)}@{{}}}}", r"\toprule", *_head(header),
                      r"\midrule", *lines, r"\bottomrule", rf"\end{{{kind}}}", "\\end{adjustbox}\\endgroup\n"])


def _head(header) -> list[str]:
    """The lines of the titles, under those that "a: b", "a: c" side by side share."""
    def wrapped(title):
        lines = textwrap.wrap(title, 13 if len(header) < 9 else 8, break_long_words=False, break_on_hyphens=False)
        tex = r" \\ ".join(map(prose, lines))
        return rf"{{\makecell[b]{{{tex}}}}}" if len(lines) > 1 else f"{{{tex}}}"

    heads, titles = zip(*(title.rpartition(": ")[::2] for title in header))
    last, groups, rules = 0, [], []
    for head, same in itertools.groupby(heads):
        first, last = last + 1, last + len([*same])
        groups.append(rf"\multicolumn{{{last - first + 1}}}{{c}}{{{prose(head)}}}")
        rules += [rf"\cmidrule(lr){{{first}-{last}}}"] * bool(head)
    above = [" & ".join(groups) + r" \\ " + " ".join(rules)] if rules else []
    return [*above, " & ".join(map(wrapped, titles)) + r" \\"]


def _number(cell) -> str:
    """A number as siunitx reads it, and empty text for what is no number."""
    if isinstance(cell, list):
        return cell[0]
    return cell.replace(",", "") if _NUMBER.fullmatch(cell) else ""


def _column(cells) -> str:
    """The type of a column: S of numbers, X of long text, else r."""
    numbers = [_number(cell) for cell in cells if cell not in ("", "–")]
    if numbers and all(numbers):
        parts = [number.lstrip("-").partition(".") for number in numbers]
        whole, decimals = (max(len(part[place]) for part in parts) for place in (0, 2))
        return f"S[table-format={'-' * any(number[0] == '-' for number in numbers)}{whole}.{decimals}]"
    return X if max(map(len, cells)) > LONG else "r"


def _lines(cell, column: str) -> list[str]:
    """The lines of a cell: an estimate over its interval, a long title on several, or one."""
    if isinstance(cell, list):
        value, low, high = cell
        return [value, rf"{{\scriptsize[\num{{{low}}}, \num{{{high}}}]}}"]
    if column[0] == "S":
        return [_number(cell) or f"{{{prose(cell)}}}"]
    tex = [prose(line) for line in (textwrap.wrap(cell, LONG) if column == "l" else [cell])] or [""]
    return [line.replace(r"\_", r"\_\allowbreak{}") if column == X else line for line in tex]
