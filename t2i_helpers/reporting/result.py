"""A number of the report: its value, its interval, how LaTeX prints it, and conditions on such numbers, as
``report/findings.toml`` states and explains them."""

import difflib
import fnmatch
import re
from dataclasses import dataclass

from ..errors import one_line
from ..intervals import overlap
from .latex import escaped, rounded

SHARES = re.compile(r"accuracy|precision|recall|saturation|probability|top3|dropout|\.both|chance|zero_shot|quartiles"
                    r"|per_class|effort|as_asked|shares")                        # in the names of shares of 1
UNITS = {"_ms": r"\milli\second", "_s": r"\second", "_mb": r"\mega\byte", "_db": r"\decibel"}
NOISE = "noise"                                         # in the names of what is printed in thousandths
COMPARE = {"<": lambda a, b: a[2] < b[0], ">": lambda a, b: a[0] > b[2], "<=": lambda a, b: a[1] <= b[1],
           "~": lambda a, b: overlap((a[0], a[2]), (b[0], b[2]))}          # of (lower end, value, upper end)


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



def why_false(conditions, results) -> str | None:
    """The first of the conditions, such as ``mnist.{thesis < improved}.w{1, 2}.accuracy``, that does not hold or cannot
    be decided; None where all hold."""
    for condition in conditions:
        clause = condition.removeprefix("not ")
        try:
            if any(_compare(each, results) != (clause == condition) for each in _written_out(clause, results)):
                return condition
        except (KeyError, ValueError) as error:
            return f"{condition} ({one_line(error)})"
    return None


def _written_out(clause: str, results):
    """The clauses without braces and * that one with them stands for."""
    if options := re.search(r"\{[^{}<>~]*\}", clause):
        choices = [(options[0], option) for option in options[0].strip("{}").split(", ")]
    elif gap := re.search(r"(\S*)\{([^{}]*)\}(\S*)", clause):
        parts = re.split(r"( [<>~] )", gap[2])
        parts[::2] = [gap[1] + part + gap[3] for part in parts[::2]]
        choices = [(gap[0], "".join(parts))]
    elif wild := re.search(r"\S*[\w.]\*\S*|\*\S+", clause):
        choices = [(wild[0], name) for name in fnmatch.filter(results, wild[0])]
    else:
        return [clause]
    return [each for old, new in choices for each in _written_out(clause.replace(old, new), results)]


def _compare(clause: str, results) -> bool:
    parts = re.split(r" (<=|[<>~]) ", clause)
    operands, signs = [_operand(text, results) for text in parts[::2]], parts[1::2]
    if set(signs) == {"~"}:
        return overlap(*((low, high) for low, _, high in operands))
    return all(COMPARE[sign](a, b) for a, sign, b in zip(operands, signs, operands[1:]))


def _operand(text: str, results) -> list[float]:
    """The lower end, the value and the upper end of "name", "2 * name" or "2"."""
    factor, _, name = text.rpartition(" * ")
    if re.fullmatch(r"-?[\d.]+", name):
        return [float(name)] * 3
    result = results[name]
    low, high = result.interval or (result.value, result.value)
    return [float(factor or 1) * end for end in (low, result.value, high)]
