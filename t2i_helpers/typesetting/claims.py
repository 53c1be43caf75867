"""The findings that the report states, as predicates over its numbers: one that no longer holds fails the build."""

import difflib
import re

from .. import intervals
from ..errors import BadReport, one_line

FINDINGS = "t2i_helpers/typesetting/findings.py"
COUNTS = ("Samples", "Images", "Steps")                 # of what a finding was made from: no part of it


def above(*numbers) -> bool:
    """Whether each number's whole interval lies above the next one's."""
    return all(a.low > b.high for a, b in zip(numbers, numbers[1:]))


def overlap(*numbers) -> bool:
    """Whether every two of the intervals share a point: the numbers are not told apart."""
    return intervals.overlap(*((number.low, number.high) for number in numbers))


def contains(number, value) -> bool:
    """Whether `value` lies in the number's interval."""
    return number.low <= value <= number.high


class Asked:
    """The numbers as attributes, that remembers which were asked for."""

    def __init__(self, numbers):
        self._numbers, self.names = numbers, set()

    def __getattr__(self, name):
        if name not in self._numbers:
            raise BadReport(f"a predicate asks for {name}, which no source gives: correct it in {FINDINGS}")
        self.names.add(name)
        return self._numbers[name]

    __getitem__ = __getattr__

    def like(self, pattern: str) -> list:
        """Every number whose whole name matches."""
        return [self[name] for name in self._numbers if re.fullmatch(pattern, name)]


def check_claims(claims, numbers, predicates) -> None:
    """BadReport at the first claim without a predicate, with a number its predicate does not read, or that is false."""
    for claim in claims:
        if claim.name not in predicates:
            raise BadReport(f"{claim.place}: the claim {claim.name!r} has no predicate{like(claim.name, predicates)}: "
                            f"add it to {FINDINGS}")
        asked = Asked(numbers)
        try:
            holds = predicates[claim.name](asked)
        except (NameError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
            raise BadReport(f"{claim.place}: the predicate of {claim.name!r} stops ({one_line(error)}): mend it in "
                            f"{FINDINGS}") from error
        if not holds:
            raise BadReport(f"{claim.place}: no longer true: “{in_plain_words(claim.sentence, numbers)}”: "
                            "rewrite the sentence, or find out what changed")
        stated = {macro.removesuffix("CI") for macro in claim.macros if not macro.endswith(COUNTS)}
        if unread := stated - asked.names:
            raise BadReport(f"{claim.place}: the predicate of {claim.name!r} does not read "
                            f"{', '.join(sorted(unread))}: mend it in {FINDINGS}")
    if unused := predicates.keys() - {claim.name for claim in claims}:
        raise BadReport(f"{FINDINGS} checks {min(unused)!r}, which no sentence claims: remove it")


def like(name: str, known) -> str:
    """A word on the known name that is nearest to `name`, if one is near."""
    return "".join(f" (did you mean {near}?)" for near in difflib.get_close_matches(name, known, 1, 0.8))


def in_plain_words(sentence: str, numbers) -> str:
    """A sentence of the report as text: macros become their numbers."""
    sentence = re.sub(r"\\([A-Z][A-Za-z]*)(\{\})?", lambda found: _said(found, numbers), sentence)
    sentence = re.sub(r"\\(?:qtyrange|numrange)\{([^{}]*)\}\{([^{}]*)\}", r"\1 to \2", sentence)
    sentence = re.sub(r"\\(?:qty|num)\{([^{}]*)\}", r"\1", sentence)
    sentence = sentence.replace(r"{\percent}", " %").replace("~", " ").replace("$", "")
    return re.sub(r"\\[cC]?ref\{([^{}]*)\}", r"[\1]", sentence)


def _said(found, numbers) -> str:
    return numbers[found[1]].text if found[1] in numbers else found[0]
