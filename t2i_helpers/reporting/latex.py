r"""LaTeX of the report: escaped text, numbers rounded to what their intervals support, and tables."""

import itertools
import math
import re
import textwrap
import unicodedata
from dataclasses import dataclass

_SPECIAL = str.maketrans({**{plain: rf"\{plain}" for plain in "&%$#_{}"}, "^": r"\textasciicircum{}", "~": r"$\sim$",
                          "\\": r"\textbackslash{}", "\N{NO-BREAK SPACE}": "~"})
# between two characters that the font would join into another one
_LIGATURE = re.compile("|".join(f"(?<={each})(?={each})" for each in "-<>,'`") + "|(?<=[?!])(?=`)")
_NUMBER, _EXPONENT = re.compile(r"-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?"), re.compile(r"-?\d+(\.\d+)?e-?\d+")
REFERENCE = "real images"                               # the row after a rule
LONG, LINE = 22, 105                                    # characters of text that may be broken, and of a line
# w, n, s, c as symbols: alone, and neither a possessive's s nor seconds
_SYMBOL = re.compile(r"((?<![\w'’./])(?<!\d )(?<!\((?=s\)))[cnsw](?![\w'’.]))")


@dataclass(frozen=True)
class WithInterval:
    """A measured number with its 95 % interval; its text is what Markdown shows, its `numbers` what LaTeX does."""

    value: float
    low: float
    high: float
    percent: bool = False

    def __str__(self) -> str:
        return "{0}{3} ({1}{3} to {2}{3})".format(*self.numbers(), "%" * self.percent)

    def numbers(self) -> list[str]:
        """The number and its interval's ends as LaTeX prints them, of percentages without the sign."""
        return rounded(self.value, self.low, self.high, percent=self.percent)


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
    """A booktabs table, no wider than the text: numbers aligned at the decimal point, each over its interval.

    Titles "a: b", "a: c" side by side share the head a; a rule stands before the row of real images.
    """
    header, rows = _percent_in_titles(header, rows)
    tall = any(isinstance(cell, WithInterval) for row in rows for cell in row)
    columns = [_column(cells, first=not place) for place, cells in enumerate(zip(*rows))]
    lengths = [max(len(str(cell)) for cell in cells) for cells in zip(*rows)]
    if not tall and sum(lengths) > LINE - 2 * len(lengths):
        roots = [length**0.5 if length > LONG and kind == "l" else 0 for kind, length in zip(columns, lengths)]
        space = LINE - sum(length + 2 for length, root in zip(lengths, roots) if not root)
        columns = [rf">{{\raggedright\arraybackslash}}p{{{0.48 * space * root / sum(roots):.1f}em}}" if root else kind
                   for kind, root in zip(columns, roots)]
    spaced = tall or any(column[0] == ">" for column in columns)
    lines = [*_head(header), r"\midrule"]
    for number, row in enumerate(rows):
        before = r"\midrule " if number and row[0] == REFERENCE else r"\addlinespace[2.5pt]" * (number > 0 and spaced)
        for line in itertools.zip_longest(*map(_lines, row, columns, [tall] * len(row)), fillvalue=""):
            lines.append(before + " & ".join(line) + r" \\")
            before = r"\noalign{\vskip-1.5pt}"
    return "\n".join([r"\begingroup\footnotesize\setlength{\tabcolsep}{4.5pt}\begin{adjustbox}{max width=\textwidth}",
                      rf"\begin{{tabular}}{{@{{}}{''.join(columns)}@{{}}}}", r"\toprule", *lines, r"\bottomrule",
                      r"\end{tabular}", "\\end{adjustbox}\\endgroup\n"])


def _is_number(cell) -> bool:
    return isinstance(cell, WithInterval) or bool(_NUMBER.fullmatch(cell))


def _is_percentage(cell) -> bool:
    return cell.percent if isinstance(cell, WithInterval) else cell.endswith("%") and _is_number(cell[:-1])


def _percent_in_titles(header, rows):
    """The sign % in the title of a column or, where columns have other numbers too, of a row of percentages."""
    def all_percent(cells):
        return any(map(_is_percentage, cells)) and all(_is_percentage(cell) or not _is_number(cell) for cell in cells)

    def titled(title):
        return f"{title[:-1]},\N{NO-BREAK SPACE}%)" if title.endswith(")") else f"{title} (%)"

    columns = [all_percent(cells) for cells in zip(*rows)]
    changed = []
    for row in rows:
        in_row = all_percent([cell for cell, percent in zip(row, columns) if not percent])
        cells = [cell if not _is_percentage(cell) else str(cell) if not (percent or in_row) else
                 cell if isinstance(cell, WithInterval) else cell[:-1] for cell, percent in zip(row, columns)]
        changed.append([titled(row[0]), *cells[1:]] if in_row else cells)
    return [titled(title) if percent else title for title, percent in zip(header, columns)], changed


def _head(header) -> list[str]:
    """The lines of the titles, under those that "a: b", "a: c" side by side share."""
    def wrapped(title):
        lines = textwrap.wrap(title, 13 if len(header) < 9 else 8, break_long_words=False, break_on_hyphens=False)
        tex = r" \\ ".join(map(prose, lines))
        return rf"{{\makecell[b]{{{tex}}}}}" if len(lines) > 1 else f"{{{tex}}}"

    parts, lines, rules, titles = [title.partition(": ") for title in header], [], [], []
    for _, same in itertools.groupby(parts, lambda part: part[0] if part[1] else part):
        same = list(same)
        shared = len(same) > 1
        titles += [part[2] if shared else "".join(part) for part in same]
        lines.append(rf"\multicolumn{{{len(same)}}}{{c}}{{{prose(same[0][0])}}}" if shared else "{}")
        rules += [rf"\cmidrule(lr){{{len(titles) - len(same) + 1}-{len(titles)}}}"] * shared
    above = [" & ".join(lines) + rf" \\ {' '.join(rules)}"] if rules else []
    return [*above, " & ".join(map(wrapped, titles)) + r" \\"]


def _column(cells, first: bool) -> str:
    """The type of a column: S of numbers, r of short text that starts with them, else l; the first is of titles."""
    filled = [cell for cell in cells if cell not in ("", "–")]
    if filled and all(map(_is_number, filled)) and not first:
        numbers = [_plain(cell).partition(".") for cell in filled]
        whole, decimals = (max(len(number[part].lstrip("-")) for number in numbers) for part in (0, 2))
        return f"S[table-format={'-' * any(number[0].startswith('-') for number in numbers)}{whole}.{decimals}]"
    numeric = 2 * sum(bool(re.match(r"[≠~<>≈]? ?\d", str(cell))) for cell in filled) > len(filled)
    return "r" if numeric and max(len(str(cell)) for cell in cells) <= LONG and not first else "l"


def _plain(cell) -> str:
    """A number as siunitx reads it."""
    return cell.numbers()[0] if isinstance(cell, WithInterval) else cell.replace(",", "")


def _lines(cell, column: str, tall: bool) -> list[str]:
    """The lines of a cell: an estimate over its interval, long text beside estimates on two, or one."""
    if isinstance(cell, WithInterval):
        value, low, high = cell.numbers()
        interval = rf"{{\scriptsize[\num{{{low}}}, \num{{{high}}}]}}"
        return [value if column[0] == "S" else rf"\num{{{value}}}", interval]
    if column[0] == "S":
        return [_plain(cell) if _is_number(cell) else f"{{{prose(cell)}}}"]
    if column[0] == ">":
        return [prose(cell).replace(r"\_", r"\_\allowbreak{}")]
    lines = (textwrap.wrap(cell, max(LONG, len(cell) // 2 + 6)) or [""]) if tall else [cell]
    return [_text(line) for line in lines]


def _text(cell: str) -> str:
    """Text, or a number by siunitx, also where it is marked with ≠ or ~."""
    mark, number = re.fullmatch(r"((?:≠|~) ?)?(.*)", cell, re.DOTALL).groups()
    if not (_NUMBER.fullmatch(number) or _EXPONENT.fullmatch(number)):
        return prose(cell)
    return prose(mark or "").replace(" ", "~") + rf"\num{{{number.replace(',', '')}}}"
