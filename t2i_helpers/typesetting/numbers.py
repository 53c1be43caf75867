r"""Every number of the report's text, by the name of its LaTeX macro, with where it comes from.

A name is built from what it tells, in letters only: ``\CifarImprovedAccuracyWTen`` is the accuracy of the improved
CIFAR-10 checkpoint at w = 10, ``\CifarImprovedAccuracyWTenCI`` its 95 % interval.
"""

from ..errors import BadData, one_line
from . import experiments, study
from .number import Number
from .stored import EVALUATE, RESTORE, STUDY


def all_numbers(stored) -> dict[str, Number]:
    """{macro: number} from everything that is stored; BadData, with the file, where one misses what it should hold."""
    numbers = {}
    for group in (*experiments.GROUPS, *study.GROUPS):
        try:
            numbers |= dict(group(stored))
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            remedy = {experiments.evaluations: EVALUATE}.get(group, STUDY if group in study.GROUPS else RESTORE)
            file = stored.root / stored.last
            raise BadData(f"{file} does not hold what it should ({one_line(error)}): {remedy}") from error
    return numbers | {f"{name}CI": number.of_interval() for name, number in numbers.items() if number.interval}
