r"""LaTeX of the report: text with every special character escaped, and estimates with their intervals.

Imports nothing but the standard library and our errors, so that it starts at once; tables are in booktabs.py.
"""

import re
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
        if self.percent:
            return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"
        return f"{self.value:.{self._digits}f} ± {(self.high - self.low) / 2:.{self._digits}f}"

    @property
    def _digits(self) -> int:
        size = abs(self.value)
        return 1 if self.percent or size >= 10 else 2 if size >= 1 else 3

    def numbers(self) -> tuple[str, str, str]:
        """The number and its interval's ends, of percentages without the sign; from 1,000 on without decimals."""
        value, low, high = (100 * number if self.percent else number for number in (self.value, self.low, self.high))
        ends = self._digits if max(abs(low), abs(high)) < 1000 else 0
        return _fixed(value, self._digits if abs(value) < 1000 else 0), _fixed(low, ends), _fixed(high, ends)


def _fixed(value: float, digits: int) -> str:
    """The number with so many decimals, a zero without a minus."""
    text = f"{value:.{digits}f}"
    return text if text.strip("-0.") else text.lstrip("-")
