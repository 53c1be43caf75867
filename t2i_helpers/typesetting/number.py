"""A number of the report: its value, its LaTeX, where it comes from; and how measurements become numbers."""

from dataclasses import dataclass, replace

from ..intervals import wilson_interval
from ..reporting.latex import WithInterval

SHORT = {"mnist": "Mnist", "cifar10": "Cifar", "wikiart": "Wikiart"}
WORDS = {0: "Zero", 1: "One", 2: "Two", 3: "Three", 4: "Four", 5: "Five", 6: "Six", 7: "Seven", 8: "Eight", 9: "Nine",
         10: "Ten", 12: "Twelve", 15: "Fifteen", 20: "Twenty", 25: "TwentyFive", 50: "Fifty", 100: "Hundred",
         250: "TwoHundredFifty", 500: "FiveHundred", 1000: "Thousand", 2500: "TwentyFiveHundred"}


@dataclass(frozen=True)
class Number:
    """A value as predicates compare it, as LaTeX prints it, with its 95 % interval if it is an estimate."""

    value: float
    text: str
    source: str                                     # file and place in it
    interval: tuple[float, float] | None = None
    interval_text: str = ""

    @property
    def low(self) -> float:
        """The lower end of the interval; TypeError where there is none: compare values."""
        return self._ends()[0]

    @property
    def high(self) -> float:
        """The upper end of the interval; TypeError where there is none."""
        return self._ends()[1]

    def _ends(self):
        if self.interval is None:
            raise TypeError(f"{self.text} has no interval: compare its value")
        return self.interval

    def of_interval(self) -> "Number":
        """The interval as a number of its own."""
        return Number(self.value, self.interval_text, self.source)


def words(number) -> str:
    """A number in letters: 5 is Five, 0.5 is ZeroPointFive."""
    if number in WORDS:
        return WORDS[number]
    whole, _, decimals = f"{number:g}".partition(".")
    return words(int(whole)) + "Point" + "".join(WORDS[int(digit)] for digit in decimals)


def count(value, source) -> Number:
    """An integer or a number that is printed with all its digits."""
    return Number(value, rf"\num{{{value}}}", source)


def share(value, source, digits=1) -> Number:
    """A share of 1, printed in per cent."""
    return Number(value, rf"\qty{{{100 * value:.{digits}f}}}{{\percent}}", source)


def quantity(value, source, unit: str = "") -> Number:
    """A measured quantity to three digits or so, with its unit if it has one."""
    text, *_ = WithInterval(value, value, value).numbers()
    return Number(value, rf"\qty{{{text}}}{{{unit}}}" if unit else rf"\num{{{text}}}", source)


def estimate(metric, source, percent=False) -> Number:
    """A metric as the evaluations store it, {"value", "interval"}."""
    value, low, high = WithInterval(metric["value"], *metric["interval"], percent).numbers()
    text = rf"\qty{{{value}}}{{\percent}}" if percent else rf"\num{{{value}}}"
    interval = rf"\qtyrange{{{low}}}{{{high}}}{{\percent}}" if percent else rf"\numrange{{{low}}}{{{high}}}"
    return Number(metric["value"], text, source, tuple(metric["interval"]), interval)


def grey_levels(metric, source) -> Number:
    """An estimate of pixels in [0, 1], printed in thousandths."""
    scaled = estimate({"value": 1000 * metric["value"], "interval": [1000 * end for end in metric["interval"]]}, source)
    return replace(scaled, value=metric["value"], interval=tuple(metric["interval"]))


def proportion(hits, n, source) -> Number:
    """A share of n with Wilson's interval."""
    return estimate({"value": hits / n, "interval": wilson_interval(hits, n)}, source, percent=True)


def _distances(row) -> dict:
    """What the judge that every evaluation of the dataset has says: our classifier, or EfficientNet of paintings."""
    return row.get("classifier") or row["efficientnet"]


METRICS = {                                         # name -> (where it is in a row, whether it is a share)
    "Accuracy": (lambda row: row["accuracy"], True), "Target": (lambda row: row.get("target_probability"), True),
    "TopThree": (lambda row: row.get("style_top3"), True), "Genre": (lambda row: row.get("genre_accuracy"), True),
    "Saturation": (lambda row: row.get("saturation"), True),
    **{name: (lambda row, key=key: _distances(row).get(key), percent) for name, key, percent in (
        ("Frechet", "frechet", False), ("FrechetInfinity", "frechet_infinity", False), ("Kernel", "kernel", False),
        ("Precision", "precision", True), ("Recall", "recall", True), ("Diversity", "diversity", False))},
}


def metrics(prefix, row, source, suffix=""):
    """(name, number) of every metric of a row."""
    for name, (find, percent) in METRICS.items():
        if metric := find(row):
            yield f"{prefix}{name}{suffix}", estimate(metric, f"{source}, {name.lower()}", percent)


def real(prefix, row, source):
    """(name, number) of every metric of real images, at the row's n."""
    for name, (find, percent) in METRICS.items():
        if metric := find(row):
            yield f"{prefix}Real{name}", estimate(metric["real"], f"{source}, real images, {name.lower()}", percent)
