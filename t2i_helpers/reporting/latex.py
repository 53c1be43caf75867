r"""LaTeX of the report: escaped text, numbers rounded to what their intervals support, and tables."""

import itertools
import re
import textwrap
import unicodedata
from dataclasses import dataclass

from ..errors import BadValue

_GREEK = {letter: unicodedata.name(letter).split()[-1].lower() for letter in "αβγδεζηθικμνξπρστυφχψω"} | {
    letter: unicodedata.name(letter).split()[-1].title() for letter in "ΓΔΘΞΠΣΦΨΩ"} | {"λ": "lambda", "Λ": "Lambda"}
_MATH = {"±": "pm", "×": "times", "→": "to", "←": "leftarrow", "↑": "uparrow", "↓": "downarrow", "∞": "infty",
         "≠": "ne", "≤": "le", "≥": "ge", "≈": "approx", "·": "cdot", "∅": "varnothing", "~": "sim", **_GREEK}
_SPECIAL = {**{plain: rf"\{plain}" for plain in "&%$#_{}"}, "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
            "−": "$-$", "–": "--", "—": "---", "…": r"\ldots{}", "“": "``", "”": "''", "‘": "`", "’": "'",
            "\N{NO-BREAK SPACE}": "~", "\N{THIN SPACE}": r"\,",
            **{plain: rf"$\{name}$" for plain, name in _MATH.items()}}
# between two characters that the font would join into another one
_LIGATURE = re.compile("|".join(f"(?<={each})(?={each})" for each in "-<>,'`") + "|(?<=[?!])(?=`)")
# w, n, s, c as symbols: alone, and neither a possessive's s nor seconds
_SYMBOL = re.compile(r"(?<![\w'’./])(?<!\d )(?<!\((?=s\)))[cnsw](?![\w'’.])")


def escaped(text: str) -> str:
    """`text` as LaTeX prints it; BadValue where it has a character that the report's fonts lack."""
    parts = _LIGATURE.split(unicodedata.normalize("NFC", text))
    return "{}".join("".join(_character(each, text) for each in part) for part in parts)


def _character(each: str, text: str) -> str:
    if each in _SPECIAL:
        return _SPECIAL[each]
    if each in "\t\n" or " " <= each <= "~" or ("À" <= each <= "ž" and each not in "÷ĦħĸĿŀŉŦŧ"):
        return each
    told = f"{each} (U+{ord(each):04X})" if each.isprintable() else f"U+{ord(each):04X}"
    raise BadValue(f"the report cannot print {told} in {' '.join(text.split())!r}: rename or replace it")


@dataclass(frozen=True)
class WithInterval:
    """A measured number with its 95 % interval; its text is what Markdown shows, its `numbers` what LaTeX does."""

    value: float
    low: float
    high: float
    percent: bool = False

    def __str__(self) -> str:
        value, low, high = self.numbers()
        return f"{value}% ({low}% to {high}%)" if self.percent else f"{value} ({low} to {high})"

    def numbers(self) -> list[str]:
        """The number and its interval's ends as LaTeX prints them, of percentages without the sign."""
        return rounded(self.value, self.low, self.high, percent=self.percent)


def rounded(value: float, *ends: float, percent: bool = False) -> list[str]:
    """The number and the ends of its interval; an exact number keeps up to four digits. Percentages have no sign."""
    if not ends and isinstance(value, int):
        return [str(value)]
    value, *ends = (100 * number if percent else number for number in (value, *ends))
    size = abs(value)
    digits = 1 if percent or size >= 10 else 2 if size >= 1 else 3
    if not ends and percent:
        return [f"{value:.1f}".removesuffix(".0")]
    if not ends and 0 < size < 0.01:
        return [f"{value:.0e}"]
    if not ends and float(f"{value:.4g}") == value:
        return [f"{value:.4g}"]
    small = [digits if size < 1000 else 0] + [digits if max(map(abs, ends), default=0) < 1000 else 0] * len(ends)
    return [_fixed(number, places) for number, places in zip((value, *ends), small)]


def _fixed(value: float, digits: int) -> str:
    """The number with so many decimals, a zero without a minus."""
    text = f"{value:.{digits}f}"
    return text if text.strip("-0.") else text.lstrip("-")


def prose(text: str) -> str:
    """Escaped text with our symbols in italics, w = 2 on one line, and minus signs where hyphens are between spaces."""
    text = re.sub(r"(?<=\b[cnsw]) = (?=\d)", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}", text.replace(" - ", " − "))
    pieces, last = [], 0
    for found in _SYMBOL.finditer(text):
        pieces += [escaped(text[last:found.start()]), f"${found[0]}$"]
        last = found.end()
    tex = "".join([*pieces, escaped(text[last:])])
    return "{}" * tex.startswith(("[", "*")) + tex              # no option of the row's end before it
