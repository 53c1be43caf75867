r"""Tables of the report for booktabs, siunitx and makecell, as wide as they must be and no wider than the text.

A number stands over its interval in a column aligned at the decimal point; `%` moves to the title of the column or row.
Like latex.py, it starts at once.
"""

import itertools
import re
import textwrap
from typing import NamedTuple

from .latex import WithInterval, escaped

TEXT_WIDTH = 455.0                                      # points: 16 cm
REFERENCE = "real images"                               # the row that a rule sets apart
LONG = 22                                               # characters of text that may be broken


class Layout(NamedTuple):
    """How closely a table is set; sizes and the space beside a column in points, a title's line in characters."""

    size: str
    points: float
    interval: str
    interval_points: float
    padding: float
    title: int
    broken: bool                                        # whether long text takes several lines


LAYOUTS = [Layout("footnotesize", 9, r"\scriptsize", 8, 5, 12, False),
           Layout("footnotesize", 9, r"\scriptsize", 8, 3.5, 12, True),
           Layout("footnotesize", 9, r"\fontsize{7}{8}\selectfont", 7, 3, 12, True),
           Layout("scriptsize", 8, r"\fontsize{7}{8}\selectfont", 7, 2.5, 9, True)]
_NUMBER = re.compile(r"-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?")
_EXPONENT = re.compile(_NUMBER.pattern + r"e-?\d+")
# w, n, s, c as symbols: alone, and neither a possessive's s nor seconds
_SYMBOL = re.compile(r"(?<![\w'’./])(?<!\d )(?<!\((?=s\)))[cnsw](?![\w'’.])")


def tabular(header: list[str], rows: list[list]) -> str:
    """A booktabs table of text and numbers, no wider than TEXT_WIDTH where breaking text and small print allow it."""
    header, rows = _without_percent(header, rows)
    groups, titles = _groups(header)
    cells = [[row[place] for row in rows] for place in range(len(header))]
    kinds = [_kind(column, first=not place) for place, column in enumerate(cells)]
    layout, heads = _layout(cells, kinds, titles)
    tall = any(isinstance(cell, WithInterval) for row in rows for cell in row)
    paragraphs = [layout.broken and not tall and kind != "S" and max(map(_length, column)) > LONG
                  for kind, column in zip(kinds, cells)]
    if layout.broken and tall:
        cells = [column if kind == "S" else _broken(column) for kind, column in zip(kinds, cells)]
    environment, width = ("tabularx", r"{\textwidth}") if any(paragraphs) else ("tabular", "")
    columns = "".join(_specifications(cells, kinds, paragraphs))
    lines = [[_lines(cell, kind, paragraph, layout) for cell in column]
             for column, kind, paragraph in zip(cells, kinds, paragraphs)]
    return "\n".join([
        rf"\begingroup\{layout.size}\setlength{{\tabcolsep}}{{{layout.padding:g}pt}}%",
        rf"\begin{{{environment}}}{width}{{@{{}}{columns}@{{}}}}", r"\toprule", *_group_lines(groups),
        " & ".join(map(_head, heads, kinds)) + r" \\", r"\midrule",
        *_body(list(zip(*lines)), [row[0] == REFERENCE for row in rows], tall or any(paragraphs)), r"\bottomrule",
        rf"\end{{{environment}}}\endgroup", ""])


def _layout(cells, kinds, titles):
    """The first of LAYOUTS in which the columns fit, else the last, and the lines of the titles."""
    for layout in LAYOUTS:
        heads = [_wrapped(title, layout.title if kind == "S" else max(layout.title, *map(_length, column)))
                 for title, kind, column in zip(titles, kinds, cells)]
        widths = [_width(*column, layout) for column in zip(cells, kinds, heads)]
        if sum(widths) + 2 * layout.padding * (len(widths) - 1) <= TEXT_WIDTH:
            break
    return layout, heads


def _is_percentage(cell) -> bool:
    return cell.percent if isinstance(cell, WithInterval) else cell.endswith("%") and _is_number(cell[:-1])


def _is_number(cell) -> bool:
    return isinstance(cell, WithInterval) or bool(_NUMBER.fullmatch(cell))


def _all_percentages(cells) -> bool:
    """Whether there are percentages among `cells`, and no other numbers."""
    return any(map(_is_percentage, cells)) and not any(_is_number(cell) and not _is_percentage(cell) for cell in cells)


def _without_percent(header, rows):
    """The sign in the title of a column of percentages or, where columns have others too, of a row of them.

    Numbers WithInterval that are alone in neither become text.
    """
    columns = [_all_percentages([row[place] for row in rows]) for place in range(len(header))]
    header = [_with_percent(title) if percent else title for title, percent in zip(header, columns)]
    changed = []
    for title, *cells in rows:
        in_row = _all_percentages([cell for cell, percent in zip(cells, columns[1:]) if not percent])
        line = [title, *(_stripped(cell) if percent or in_row else str(cell) if _is_percentage(cell) else cell
                         for cell, percent in zip(cells, columns[1:]))]
        changed.append([_with_percent(title) if in_row else title, *line[1:]])
    return header, changed


def _stripped(cell):
    return cell if isinstance(cell, WithInterval) else cell.removesuffix("%")


def _with_percent(title: str) -> str:
    return f"{title[:-1]},\N{NO-BREAK SPACE}%)" if title.endswith(")") else f"{title} (%)"


def _groups(header):
    """[(group, columns)] and the titles under it: "a: b", "a: c" side by side share the group a."""
    parts = [re.fullmatch(r"(.+?): (.+)", title) for title in header]
    names = [part[1] if part else None for part in parts]
    shared = [name is not None and name in names[max(0, place - 1):place] + names[place + 1:place + 2]
              for place, name in enumerate(names)]
    groups = []
    for name, together in zip(names, shared):
        if together and groups and groups[-1][0] == name:
            groups[-1][1] += 1
        else:
            groups.append([name if together else "", 1])
    return groups, [part[2] if together else title for title, part, together in zip(header, parts, shared)]


def _group_lines(groups) -> list[str]:
    if not any(name for name, _ in groups):
        return []
    cells, rules, place = [], [], 1
    for name, count in groups:
        cells.append(rf"\multicolumn{{{count}}}{{c}}{{{prose(name)}}}" if name else "")
        rules += [rf"\cmidrule(lr){{{place}-{place + count - 1}}}"] * bool(name)
        place += count
    return [" & ".join(cells) + r" \\", " ".join(rules)]


def _kind(cells, first: bool) -> str:
    """S of numbers, r of what mostly starts with one and is short, else l; the first column is of titles."""
    filled = [cell for cell in cells if cell not in ("", "–")]
    if filled and all(map(_is_number, filled)):
        return "S"
    marked = sum(bool(re.match(r"[≠~<>≈]? ?\d", str(cell))) for cell in filled)
    return "r" if 2 * marked > len(filled) and max(map(_length, filled)) <= LONG and not first else "l"


def _specifications(cells, kinds, paragraphs):
    """The columns as tabularx and siunitx take them; paragraphs share the rest by the roots of their longest texts."""
    roots = [max(map(_length, column)) ** 0.5 if paragraph else 0 for column, paragraph in zip(cells, paragraphs)]
    for column, kind, root in zip(cells, kinds, roots):
        share = root * sum(map(bool, roots)) / (sum(roots) or 1)
        yield (rf">{{\hsize={share:.3f}\hsize\raggedright\arraybackslash}}X" if root
               else f"S[table-format={_format(column)}]" if kind == "S" else kind)


def _format(cells) -> str:
    """siunitx's table-format that holds every number of a column."""
    numbers = [_plain(cell).partition(".") for cell in cells if _is_number(cell)]
    sign = "-" * any(whole.startswith("-") for whole, *_ in numbers)
    whole, decimals = (max(len(number[part].lstrip("-")) for number in numbers) for part in (0, 2))
    return f"{sign}{whole}.{decimals}"


def _plain(cell) -> str:
    """A number as siunitx reads it."""
    return cell.numbers()[0] if isinstance(cell, WithInterval) else cell.replace(",", "")


def _length(cell) -> int:
    """The characters of text, or of the longest of its lines."""
    return max(map(len, cell)) if isinstance(cell, list) else len(str(cell))


def _width(cells, kind, head, layout) -> float:
    """About how many points a column takes, seldom less than it does."""
    if kind == "S":
        intervals = [sum(map(len, cell.numbers()[1:])) + 4 for cell in cells if isinstance(cell, WithInterval)]
        return max(0.52 * layout.points * max(_length(head), *map(len, map(_plain, cells))),
                   0.45 * layout.interval_points * max(intervals, default=0))
    lines = [line for cell in _broken(cells) for line in cell] if layout.broken else map(str, cells)
    return 0.47 * layout.points * max(len(line) + sum(map(str.isupper, line)) / 2 for line in [*head, *lines])


def _broken(cells) -> list[list[str]]:
    """Each text on two lines of a width that does for all of them, on more where that would be above LONG."""
    width = min(LONG, max(_length(_wrapped(str(cell), _length(cell), lines=2)) for cell in cells))
    return [_wrapped(str(cell), width) for cell in cells]


def _wrapped(text: str, width: int, lines: int = 1) -> list[str]:
    """Whole words on the fewest lines of `width` characters, or on `lines` if these are more, as even as can be."""
    def at(width):
        return textwrap.wrap(text, max(1, width), break_long_words=False, break_on_hyphens=False) or [""]

    most = max(lines, len(at(width)))
    return next(found for found in map(at, itertools.count(1)) if len(found) <= most)


def _head(lines, kind) -> str:
    """A title above its column, on several lines where it is long."""
    text, side = r" \\ ".join(map(prose, lines)), "" if kind == "S" else kind
    if len(lines) > 1:
        text = rf"\makecell[b{side}]{{{text}}}"
    return f"{{{text}}}" if kind == "S" else text


def _body(rows, references, tall) -> list[str]:
    """The rows of cells of lines, with a little space between tall ones, and a rule before a reference."""
    body = []
    for place, (row, reference) in enumerate(zip(rows, references)):
        if place:
            body += [r"\midrule"] if reference else [r"\addlinespace[2.5pt]"] * tall
        *above, last = (" & ".join(line) for line in itertools.zip_longest(*row, fillvalue=""))
        body += [*(rf"{line} \\[-1.5pt]" for line in above), rf"{last} \\"]
    return body


def _lines(cell, kind, paragraph, layout) -> list[str]:
    """The lines of a cell: an estimate over its interval, those that text was broken into, or one."""
    if isinstance(cell, list):
        return [_text(line) for line in cell]
    if kind == "S" and isinstance(cell, WithInterval):
        number, low, high = cell.numbers()
        return [number, rf"{{{layout.interval}[\num{{{low}}}, \num{{{high}}}]}}"]
    if kind == "S":
        return [_plain(cell) if _is_number(cell) else f"{{{prose(cell)}}}" if cell else ""]
    return [prose(str(cell)).replace(r"\_", r"\_\allowbreak{}") if paragraph else _text(str(cell))]


def _text(cell: str) -> str:
    """Text, or a number by siunitx, also where it is marked with ≠ or ~."""
    mark, number = re.fullmatch(r"((?:≠|~) ?)?(.*)", cell, re.DOTALL).groups()
    if not (_NUMBER.fullmatch(number) or _EXPONENT.fullmatch(number)):
        return prose(cell)
    return (rf"{escaped(mark.strip())}{'~' * mark.endswith(' ')}" if mark else "") + \
        rf"\num{{{number.replace(',', '')}}}"


def prose(text: str) -> str:
    """Escaped text with our symbols in italics, w = 2 on one line, and minus signs where hyphens are between spaces."""
    text = re.sub(r"(?<=\b[cnsw]) = (?=\d)", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}", text.replace(" - ", " − "))
    pieces, last = [], 0
    for found in _SYMBOL.finditer(text):
        pieces += [escaped(text[last:found.start()]), f"${found[0]}$"]
        last = found.end()
    tex = "".join([*pieces, escaped(text[last:])])
    return "{}" * tex.startswith(("[", "*")) + tex              # no option of the row's end before it
