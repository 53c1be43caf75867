"""A number of the report: its value, its interval, and how LaTeX prints it."""

import difflib
import re
from dataclasses import dataclass

from .latex import escaped, rounded

SHARES = re.compile(r"accuracy|precision|recall|saturation|probability|top3|dropout|\.both|chance|zero_shot|quartiles"
                    r"|per_class|effort|as_asked|shares")                        # in the names of shares of 1
UNITS = {"_ms": r"\milli\second", "_s": r"\second", "_mb": r"\mega\byte", "_db": r"\decibel"}
NOISE = "noise"                                         # in the names of what is printed in thousandths


@dataclass(frozen=True)
class Result:
    """A number with its source and, where they are known, its 95 % interval and its number of images n."""

    value: float
    source: str = ""
    interval: tuple[float, float] | None = None
    n: int | None = None
    text: str | None = None                             # as the thesis prints it, where it is no plain number


class Results(dict):
    """{name: Result}; KeyError, with the nearest known name, where a name is unknown."""

    def __missing__(self, name):
        raise KeyError(f"no result is named {name}{nearest(name, self)}")


def nearest(name: str, known) -> str:
    """A hint at the known name that is nearest to `name`, if one is near."""
    return "".join(f" (did you mean {near}?)" for near in difflib.get_close_matches(name, known, 1, 0.6))


def slug(text: str) -> str:
    """`text` as a part of a name: in lower case, with hyphens in place of what is no letter, digit, or one of _.=+-"""
    return re.sub(r"[^a-z0-9_.=+-]+", "-", text.lower()).strip("-")


def is_share(name: str, result: Result) -> bool:
    """Whether the result is a share of 1, printed in per cent; counts are integers, shares are not."""
    return isinstance(result.value, float) and result.text is None and bool(SHARES.search(name))


def to_latex(name: str, result: Result) -> tuple[str, str]:
    """The result and its interval (empty where there is none) as LaTeX prints them."""
    if result.text is not None:
        number = re.search(r"\d+(,\d{3})*(\.\d+)?(e-?\d+)?", result.text)
        tex = escaped(result.text)
        return tex.replace(number[0], rf"\num{{{number[0].replace(',', '')}}}", 1) if number else tex, ""
    percent, scale = is_share(name, result), 1000 if NOISE in name.rpartition(".")[2] else 1
    value, *ends = rounded(*(scale * each for each in (result.value, *(result.interval or ()))), percent=percent)
    unit = r"\percent" if percent else next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
    command, unit = ("qty", f"{{{unit}}}") if unit else ("num", "")
    interval = rf"\{command}range{{{'}{'.join(ends)}}}{unit}" if ends else ""
    return rf"\{command}{{{value}}}{unit}", interval
