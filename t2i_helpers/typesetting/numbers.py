r"""Every number of the report's text, by the name of its LaTeX macro, with where it comes from.

A name is built from what it tells, in letters only: ``\CifarImprovedAccuracyWTen`` is the accuracy of the improved
CIFAR-10 checkpoint at w = 10, ``\CifarImprovedAccuracyWTenCI`` its 95 % interval.
"""

from ..errors import BadData, one_line
from . import experiments, study
from .number import Number, interval_of
from .stored import EVALUATE, RESTORE, STUDY

REMEDIES = {experiments.evaluations: EVALUATE, **dict.fromkeys(study.GROUPS, STUDY)}


def all_numbers(stored) -> dict[str, Number]:
    """{macro: number} from everything that is stored; BadData where a file misses what it should hold."""
    numbers = {}
    for group in (*experiments.GROUPS, *study.GROUPS):
        try:
            for name, number in group(stored):
                numbers[name] = number
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            what = group.__name__.strip("_").replace("_", " ")
            raise BadData(f"the stored {what} lack {one_line(error)}: {REMEDIES.get(group, RESTORE)}") from error
    return numbers | {f"{name}CI": interval_of(number) for name, number in numbers.items() if number.interval}
