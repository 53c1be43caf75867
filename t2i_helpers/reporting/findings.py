"""Conditions on the results, as ``report/findings.toml`` states and explains them."""

import fnmatch
import re

from ..errors import one_line
from ..intervals import overlap

COMPARE = {"<": lambda a, b: a[2] < b[0], ">": lambda a, b: a[0] > b[2], "<=": lambda a, b: a[1] <= b[1],
           "~": lambda a, b: overlap((a[0], a[2]), (b[0], b[2]))}          # of (lower end, value, upper end)


def why_false(conditions, results) -> str | None:
    """The first of the conditions that does not hold or cannot be decided; None where all hold."""
    for condition in conditions:
        try:
            if not holds(condition, results):
                return condition
        except (KeyError, ValueError) as error:
            return f"{condition} ({one_line(error)})"
    return None


def holds(condition: str, results) -> bool:
    """Whether a condition holds, such as ``mnist.{thesis < improved}.w{1, 2}.accuracy``."""
    wanted = not condition.startswith("not ")
    return all(_compare(clause, results) == wanted for clause in _written_out(condition.removeprefix("not "), results))


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
